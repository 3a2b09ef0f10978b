"""The list of tokenised rows and the token view: what is shown of a row, in which order, and what its rail says."""

import dataclasses
import json

import pytest

from ftstudio.api import ComponentError, Encoded
from ftstudio.process import token_view
from ftstudio.process.listing import Listing, clipped
from ftstudio.testing import FakeRun


def test_one_row_and_one_token_are_counted_as_one():
    one = {"rows": 1, "tokens": 1, "trained_tokens": 1, "truncated_rows": 1, "truncated_tokens": 1}
    assert token_view.summary(one) == "1 row, 1 token, 100 % trained; 1 row cut by 1 token"
    two = dict.fromkeys(one, 2)
    assert token_view.summary(two) == "2 rows, 2 tokens, 100 % trained; 2 rows cut by 2 tokens"


VOCABULARY = {"a": 0, "b": 1, "水": 2, "<pad>": 3, "<eos>": 4}


@pytest.fixture
def encoded(tmp_path):
    (tmp_path / "tokenizer.json").write_text(
        json.dumps({
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
            "pre_tokenizer": None, "post_processor": None, "decoder": None,
            "model": {"type": "WordLevel", "vocab": VOCABULARY, "unk_token": "a"},
        })
    )  # fmt: skip

    class Rows(list):
        column_names = ("input_ids", "labels")

    def make(rows, cut=None):
        table = Rows({"input_ids": ids, "labels": labels} for ids, labels in rows)
        return Encoded(table, None, tmp_path, 5, 3, "text", {"rows": len(table)}, cut or {})

    return make


@pytest.fixture
def listing(encoded, tmp_path):
    lengths = (3, 1, 5, 2)
    rows = [([0] * n, [0] * n) for n in lengths]
    return Listing(encoded(rows, {2: 7, 1: 1}), FakeRun(tmp_path / "run"))


def numbers(page):
    return [line["row"] for line in page["lines"]]


def test_rows_come_in_the_order_of_the_file_or_the_longest_first(listing):
    assert numbers(listing.page(0, 10)) == [1, 2, 3, 4]
    assert numbers(listing.page(0, 10, order="longest")) == [3, 1, 4, 2]


def test_only_cut_rows_are_listed_with_what_they_lost(listing):
    page = listing.page(0, 10, only="cut")
    assert [(line["row"], line["cut"]) for line in page["lines"]] == [(2, 1), (3, 7)]
    assert page["shown"] == 2
    assert page["rows"] == 4
    assert numbers(listing.page(0, 10, order="longest", only="cut")) == [3, 2]


def test_a_page_holds_no_more_than_was_asked_for(listing):
    page = listing.page(1, 2)
    assert numbers(page) == [2, 3]
    assert page["first"] == 1


def test_a_rows_place_depends_on_the_order_and_a_row_that_is_not_there_is_said(listing):
    assert listing.place(3, order="longest") == 0
    with pytest.raises(ComponentError, match="There is no row 5: the data has 4 rows"):
        listing.place(5)
    with pytest.raises(ComponentError, match="Row 1 is not among those that are shown"):
        listing.place(1, only="cut")


def test_the_summary_counts_lengths(listing):
    lengths = listing.summary()["lengths"]
    assert (lengths["longest"], lengths["median"]) == (5, 2)
    assert lengths["histogram"] == [0, 1, 1, 1, 0, 1]


def test_lengths_of_an_arrow_table_are_those_of_its_rows(encoded, tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [[0] * n for n in (2, 4, 1)]
    table = datasets.Dataset.from_dict({"input_ids": rows, "labels": rows}).select([2, 0, 1])
    with_arrow = dataclasses.replace(encoded([([0], [0])]), train=table)
    assert list(Listing(with_arrow, FakeRun(tmp_path / "run")).lengths) == [1, 2, 4]


def test_rows_without_token_ids_have_no_token_view(encoded, tmp_path):
    found = encoded([([0], [0])])
    found.train.column_names = ("chosen", "rejected")
    with pytest.raises(ComponentError, match="no token view"):
        Listing(found, FakeRun(tmp_path / "run"))


def test_the_rail_says_what_is_trained_masked_padding_and_cut(encoded):
    (view,) = token_view.rows(encoded([([0, 1, 4, 3, 3], [-100, 1, 4, -100, -100])], {0: 2}), [0])
    text, rail = token_view.lines(view, 80)
    assert text == "a|b|<eos>|<pad>|<pad>|2 tokens cut|"
    assert rail == ". = ===== _____ _____ xxxxxxxxxxxx "


def test_a_single_masked_end_of_text_is_no_padding():
    assert token_view.marks([0, 3], [0, -100], pad=3) == "=."


def test_the_rail_counts_columns_and_not_characters(encoded):
    (view,) = token_view.rows(encoded([([2, 0], [2, -100])]), [0])
    assert token_view.lines(view, 80) == ["水|a|", "== . "]


def test_lines_are_wrapped_at_tokens_and_long_tokens_anywhere():
    view = {"pieces": ["abcdefgh", "ij"], "marks": "=.", "tokens": 2, "cut": 0}
    assert token_view.lines(view, 5) == ["abcde", "=====", "fgh|", "=== ", "ij|", ".. "]


def test_a_view_that_ends_early_says_how_much_follows(encoded):
    (view,) = token_view.rows(encoded([([0] * 6, [0] * 6)], {0: 1}), [0], 2)
    text, rail = token_view.lines(view, 80)
    assert text == "a|a|... 4 more tokens|"
    assert rail.split() == ["=", "="]


def test_texts_are_clipped_to_what_there_is_room_for_and_their_length_is_said():
    shown, cut = clipped({"text": "x" * 10, "other": "abc", "messages": [{"role": "user"}]}, 5)
    assert shown["text"] == "xxxxx"
    assert shown["other"] == "abc"
    assert cut == {"text": 10, "messages": len(str([{"role": "user"}]))}
