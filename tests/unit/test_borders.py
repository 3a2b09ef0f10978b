"""The checks between components look at the type of each field and at rows of every shape, and name who gave them."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ftstudio.api import SHAPES, Checkpoint, Chunk, Component, ComponentError, Encoded, ModelRef
from ftstudio.errors import ContractError, PluginError
from ftstudio.plugins import Offer, Record
from ftstudio.process.borders import (
    SOURCE_ROWS,
    check_checkpoint,
    check_chunk,
    check_encoded,
    check_model,
    check_preview,
    check_tables,
)
from ftstudio.process.stages import prepare
from ftstudio.process.worker_run import WorkerRun
from ftstudio.project import load
from ftstudio.runs.folder import RunFolder
from ftstudio.testing import FakeTable, fake_tables


class Rows:
    column_names = ("input_ids", "labels", "chosen_tokens")

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows)


RECORD = Record(name="p", value="p", distribution="d", version="1", status="active")


def offer(kind):
    return Offer(kind=kind, component=Component(name="x", summary="", target="a:b", options=object), record=RECORD)


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_every_shape_are_checked(tmp_path, shape):
    def checked(**row):
        rows = Rows([{"chosen_tokens": 1, **row}])
        return check_encoded(Encoded(rows, None, tmp_path, 256, 0, shape), offer("tokenizer"), offer("trainer"))

    assert checked(input_ids=[1, 2], labels=[-100, 2]).shape == shape
    for row, sentence in (
        ({"input_ids": [1, 2], "labels": [1]}, "has 2 input_ids and 1 labels"),
        ({"input_ids": [1, 256], "labels": [1, 256]}, "a token id outside 0 to 255"),
        ({"input_ids": [1, 2], "labels": [-100, -100]}, "every label of train is -100"),
        ({"input_ids": [1, 2], "labels": [1, -100]}, "every label of train is -100, but a row's first"),
    ):
        with pytest.raises(ContractError, match=sentence):
            checked(**row)


@pytest.mark.parametrize("said", [{}, {"chosen_tokens": 0}, {"chosen_tokens": 2}])
def test_a_pair_says_where_its_second_answer_begins(tmp_path, said):
    rows = Rows([{"input_ids": [1, 2], "labels": [1, 2], **said}])
    with pytest.raises(ContractError, match="row 0 of train does not say in chosen_tokens"):
        check_encoded(Encoded(rows, None, tmp_path, 256, 0, "preference"), offer("tokenizer"), offer("trainer"))


def encoded(folder, rows=({"input_ids": [1, 2], "labels": [1, 2]},), **changes):
    usual = Encoded(Rows(list(rows)), None, folder, 10, 0, "text", {"rows": 1}, {0: 2})
    return check_encoded(replace(usual, **changes), offer("tokenizer"), offer("trainer"))


NAME = r"^tokenizer x of d 1: "


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train": None}, "encode() returned an Encoded whose train is None; expected a table with len()"),
        ({"train": [1]}, "whose train is list; expected a table"),
        ({"validation": [1]}, "whose validation is list; expected a table with len(), column_names and iteration or None."),
        ({"tokenizer": "/tmp"}, "whose tokenizer is str '/tmp'; expected a pathlib.Path."),
        ({"vocab_size": None}, "whose vocab_size is None; expected a whole number (int)."),
        ({"vocab_size": True}, "whose vocab_size is True; expected a whole number (int)."),
        ({"pad_token_id": 500}, "whose pad_token_id is 500; expected 0 to 9"),
        ({"shape": None}, "whose shape is None; expected a text (str)."),
        ({"shape": "txt"}, "whose shape is 'txt'; expected one of preference, prompt_completion, messages, text"),
        ({"counts": None}, "whose counts is None; expected a mapping."),
        ({"counts": {"rows": "three"}}, "whose counts has str 'three' at str 'rows'; expected a whole number"),
        ({"cut": {"0": 1}}, "whose cut has int '1' at str '0'"),
        ({"train": FakeTable(("ids",), [{"ids": [1]}])}, "train has the columns 'ids'; expected input_ids and labels."),
    ],
)  # fmt: skip
def test_each_field_of_what_a_tokenizer_returns_has_its_type(tmp_path, changes, sentence):
    with pytest.raises(ContractError, match=NAME) as error:
        encoded(tmp_path, **changes)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ([1, 2], "row 1 of train is list; expected a mapping with input_ids and labels."),
        ({"input_ids": [1]}, "row 1 of train has None in labels; expected a list of whole numbers (int)."),
        ({"input_ids": "ab", "labels": [1, 2]}, "has str 'ab' in input_ids"),
        ({"input_ids": ["a"], "labels": [1]}, "has str 'a' in input_ids"),
        ({"input_ids": [1.5], "labels": [1]}, "has float '1.5' in input_ids"),
        ({"input_ids": [1, [2]], "labels": [1, 2]}, "has list in input_ids"),
        ({"input_ids": [1], "labels": [True]}, "has True in labels"),
        ({"input_ids": [1], "labels": np.array([0.5])}, "has ndarray in labels"),
        ({"input_ids": [1], "labels": [10]}, "row 1 of train has a label outside 0 to 9 that is not -100"),
        ({"input_ids": [1], "labels": [-7]}, "row 1 of train has a label outside 0 to 9 that is not -100"),
    ],
)
def test_rows_of_a_tokenizer_are_whole_numbers_of_the_vocabulary(tmp_path, row, sentence):
    with pytest.raises(ContractError, match=NAME) as error:
        encoded(tmp_path, rows=[{"input_ids": [1, 2], "labels": [1, 2]}, row])
    assert sentence in str(error.value)


def test_numbers_of_numpy_are_whole_numbers_too(tmp_path):
    ids = np.array([1, 2], np.int32)
    assert encoded(tmp_path, rows=[{"input_ids": ids, "labels": ids}, {"input_ids": [*ids], "labels": [-100, ids[1]]}])
    assert encoded(tmp_path, shape="my-dist/own", rows=["anything"]).shape == "my-dist/own"


@pytest.mark.parametrize(
    ("check", "value", "sentence"),
    [
        (check_model, ModelRef("/tmp", True, "m"), "x: fetch() returned a ModelRef whose path is str '/tmp'"),
        (check_model, ModelRef(Path(), 1, "m"), "whose weights is int '1'; expected True or False."),
        (check_checkpoint, Checkpoint("/tmp", 3), "x: train() returned a Checkpoint whose path is str '/tmp'"),
        (check_checkpoint, Checkpoint(Path(), None), "whose step is None; expected a whole number (int)."),
        (check_checkpoint, Checkpoint(Path(), 3, metrics=None), "whose metrics is None; expected a mapping."),
        (check_chunk, Chunk(0, None), "x: generate() returned a Chunk whose text is None; expected a text (str)."),
        (check_chunk, Chunk(0.0, "a"), "whose index is float '0.0'; expected a whole number (int)."),
        (check_chunk, Chunk(0, "a", sequence="z"), "whose sequence is str 'z'; expected a whole number (int)."),
        (check_chunk, Chunk(0, "a", done=None), "whose done is None; expected True or False."),
    ],
)  # fmt: skip
def test_each_field_of_what_other_components_return_has_its_type(check, value, sentence):
    with pytest.raises(ContractError) as error:
        check(value, *([1] if check is check_chunk else []), replace(offer("x"), kind="kind"))
    assert str(error.value).startswith("kind x of d 1: ")
    assert sentence.removeprefix("x: ") in str(error.value)


class Once(FakeTable):
    """Its rows are gone when they were read."""

    def __iter__(self):
        while self.rows:
            yield self.rows.pop(0)


class Boasting(FakeTable):
    def __len__(self):
        return 5


def table(*rows, columns=("text",)):
    return FakeTable(columns, list(rows))


GOOD = {"text": "a"}


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ({"validation": table(GOOD)}, "load() returned dict; expected a mapping with 'train'."),
        ({"train": [GOOD]}, "load()['train'] returned list; expected a table with len()"),
        ({"train": table(GOOD, columns=None)}, "load()['train'].column_names is None; expected a list of texts."),
        ({"train": table(GOOD, columns=("text", 7))}, "load()['train'].column_names is tuple; expected a list of texts."),
        ({"train": table(GOOD), "validation": table({"q": "a"}, columns=("q",))},
         "load() gave the columns 'q' in validation, where train has 'text'; wanted text in both."),
        ({"train": table(GOOD, {"text": None})}, "row 1 of train has None in text; expected a text (str)."),
        ({"train": table(GOOD), "validation": table({"text": 3})}, "row 0 of validation has int '3' in text"),
        ({"train": table(GOOD, {"b": "a"})}, "row 1 of train lacks the column text."),
        ({"train": table(["a"])}, "row 0 of train is list; expected a mapping from column name to value."),
        ({"train": table({"messages": "a"}, columns=("messages",))}, "row 0 of train has str 'a' in messages"),
        ({"train": table({"messages": [{"role": "user"}]}, columns=("messages",))}, "row 0 of train has list in messages"),
        ({"train": Once(("text",), [GOOD])}, "train gave its rows once and no second time; expected them each time."),
        ({"train": Boasting(("text",), [GOOD])}, "train says that it has 5 rows, but gave 1."),
    ],
)  # fmt: skip
def test_what_a_source_gives_is_looked_at_before_a_tokenizer_sees_it(tables, sentence):
    with pytest.raises(ContractError, match=r"^dataset x of d 1: ") as error:
        check_tables(tables, offer("dataset"))
    assert sentence in str(error.value)


def test_a_source_whose_rows_cannot_be_read_is_named():
    class Raising(FakeTable):
        def __iter__(self):
            raise ZeroDivisionError("in the middle")

    with pytest.raises(PluginError, match="dataset x of d 1 failed in load\\(\\), when its rows were read: ZeroDiv"):
        check_tables({"train": Raising(("text",), [GOOD])}, offer("dataset"))
    with pytest.raises(ContractError, match=r"preview\(\) gave str 'a' as row 0; expected a mapping"):
        check_preview(["a"], offer("dataset"))


def test_rows_behind_the_first_are_looked_at_here_and_there():
    rows = [GOOD] * 10 * SOURCE_ROWS + [{"text": None}] * 50
    with pytest.raises(ContractError, match=r"row 10\d\d of train has None in text"):
        check_tables({"train": table(*rows)}, offer("dataset"))


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_each_shape_pass_the_border(shape):
    assert check_tables(fake_tables(shape), offer("dataset"))[1] == shape


def test_a_validation_table_without_rows_is_said_of_the_source():
    with pytest.raises(ComponentError, match="dataset x of d 1 gave no rows to evaluate on"):
        check_tables({"train": table(GOOD), "validation": table()}, offer("dataset"))


def test_a_tokenizer_that_fails_on_a_broken_row_far_behind_is_not_blamed(fakes, make_project, monkeypatch):
    import ftstudio_fakes

    rows = [GOOD] * (10 * SOURCE_ROWS)
    rows[SOURCE_ROWS + 1] = None
    monkeypatch.setattr(ftstudio_fakes.FakeData, "load", lambda self, run: {"train": table(*rows)})
    folder = make_project()
    run = RunFolder(folder / "runs" / "0001")
    run.path.mkdir(parents=True)
    at_work = WorkerRun(run, folder, attempt=1, seed=0, devices=("cpu",), secrets={})
    with (
        closing(at_work),
        pytest.raises(ContractError, match=f"dataset fake-data .*row {SOURCE_ROWS + 1} of train is None; expected"),
    ):
        prepare(load(folder), at_work)
