"""The sources inline and text: what becomes a row, and the sentence for each file that cannot be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ftstudio.api import ComponentError, OptionError
from ftstudio.testing import FakeRun
from ftstudio_datasets import decode
from ftstudio_datasets.inline import Inline
from ftstudio_datasets.options import InlineOptions, TextOptions
from ftstudio_datasets.text import Text


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path)


def put(run: FakeRun, name: str, content: str | bytes) -> str:
    path = run.project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def texts(run: FakeRun, *path: str, table: str = "train", **options: Any) -> list[str]:
    return list(Text(TextOptions(path=path, **options)).load(run)[table]["text"])


def refusal(run: FakeRun, *path: str, **options: Any) -> ComponentError:
    with pytest.raises(ComponentError) as caught:
        texts(run, *path, **options)
    return caught.value


# ---------------------------------------------------------------------------------------------------- rows


def test_inline_texts_become_rows_and_blank_ones_are_left_out_and_said(run: FakeRun) -> None:
    source = Inline(InlineOptions(texts=("one", "  ", "two")))
    assert list(source.load(run)["train"]["text"]) == ["one", "two"]
    assert run.messages == ["1 blank text left out, 2 kept."]
    assert [row["text"] for row in source.preview(run, 1)] == ["one"]
    assert source.fingerprint(run) != Inline(InlineOptions(texts=("one",))).fingerprint(run)


def test_inline_refuses_to_hold_no_text() -> None:
    with pytest.raises(OptionError, match="texts holds no text"):
        InlineOptions(texts=(" ", ""))


def test_each_line_is_a_row_without_its_newline_whatever_the_newline_is(run: FakeRun) -> None:
    path = put(run, "a.txt", "one\r\n  two \n\rthree")
    assert texts(run, path) == ["one", "  two ", "three"]


def test_blank_lines_are_left_out_and_said(run: FakeRun) -> None:
    assert texts(run, put(run, "a.txt", "one\n\n \ntwo\n")) == ["one", "two"]
    assert run.messages == ["train: 2 blank rows left out, 2 kept."]


def test_paragraphs_are_parted_by_blank_lines_and_keep_their_own_lines(run: FakeRun) -> None:
    path = put(run, "a.txt", "\none\ntwo\n \n\nthree\n")
    assert texts(run, path, split_by="blank_line") == ["one\ntwo", "three"]


def test_a_document_is_a_row_for_each_file(run: FakeRun) -> None:
    put(run, "notes/b.txt", "one\n\ntwo\n")
    put(run, "notes/deep/a.txt", "three")
    assert texts(run, "notes/**/*.txt", split_by="document") == ["one\n\ntwo\n", "three"]


def test_a_byte_order_mark_is_no_part_of_the_text(run: FakeRun) -> None:
    assert texts(run, put(run, "a.txt", b"\xef\xbb\xbfone\ntwo")) == ["one", "two"]
    assert texts(run, put(run, "b.txt", "one\ntwo".encode("utf-16")), encoding="utf-16") == ["one", "two"]


def test_one_character_is_enough(run: FakeRun) -> None:
    assert texts(run, put(run, "a.txt", "x")) == ["x"]


def test_files_come_in_the_order_of_the_list_and_each_once(run: FakeRun) -> None:
    put(run, "b.txt", "b")
    put(run, "a.txt", "a")
    put(run, "[x].txt", "brackets")
    assert texts(run, "b.txt", "*.txt") == ["b", "brackets", "a"]
    assert texts(run, "[x].txt") == ["brackets"]
    assert texts(run, str(run.project / "a.txt")) == ["a"]


def test_an_empty_file_among_others_is_passed_over(run: FakeRun) -> None:
    put(run, "a.txt", "a")
    put(run, "b.txt", "")
    assert texts(run, "*.txt") == ["a"]


def test_validation_path_makes_a_table_of_its_own(run: FakeRun) -> None:
    put(run, "a.txt", "a")
    put(run, "v.txt", "v\nw")
    assert texts(run, "a.txt", validation_path=("v.txt",), table="validation") == ["v", "w"]


def test_a_preview_reads_no_further_than_its_rows(run: FakeRun) -> None:
    put(run, "a.txt", b"one\ntwo\n" * 200_000 + b"\xff")
    assert list(Text(TextOptions(path=("a.txt",))).preview(run, 2)) == [{"text": "one"}, {"text": "two"}]


@pytest.mark.parametrize("split_by", ["line", "blank_line", "document"])
def test_an_overlong_row_goes_on_in_the_next_one_and_that_is_said(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch, split_by: Any
) -> None:
    monkeypatch.setattr(decode, "CHUNK", 1000)
    monkeypatch.setattr(decode, "LONGEST_ROW", 5000)
    monkeypatch.setattr("ftstudio_datasets.rows.LONGEST_ROW", 5000)
    long = "words and " * 2000
    found = texts(run, put(run, "a.txt", long), split_by=split_by)
    assert len(found) > 1
    assert max(map(len, found)) <= 6000
    assert "".join(found) == long
    assert "go on in a next row" in run.warnings[0]


# ----------------------------------------------------------------------------------------------- refusals


def test_a_missing_file_is_named_with_its_nearest_neighbour(run: FakeRun) -> None:
    put(run, "data.txt", "x")
    error = refusal(run, "dota.txt")
    assert error.message == "There is no file 'dota.txt'."
    assert error.hint == "Did you mean 'data.txt'?"


def test_a_missing_folder_is_told_from_a_missing_file(run: FakeRun) -> None:
    assert "its folder does not exist" in refusal(run, "nowhere/a.txt").message


@pytest.mark.parametrize("path", ["x" * 5000, "~nobody-here/a.txt", "x" * 300 + "/a.txt", "a\0b", "", "x" * 5000 + "*"])
def test_a_path_that_no_file_can_have_is_refused(run: FakeRun, path: str) -> None:
    assert len(refusal(run, path, "b.txt").message) < 300


def test_an_empty_file_is_refused(run: FakeRun) -> None:
    assert refusal(run, put(run, "a.txt", "")).message == "'a.txt' is empty: it holds 0 bytes."


@pytest.mark.parametrize("content", ["\n\n\n", " \t\r\n", "\ufeff\n"])
@pytest.mark.parametrize("split_by", ["line", "blank_line", "document"])
def test_only_newlines_are_refused(run: FakeRun, content: str, split_by: Any) -> None:
    error = refusal(run, put(run, "a.txt", content), split_by=split_by)
    assert error.message == "'a.txt' holds nothing but blank lines."
    assert list((run.cache / "datasets").iterdir()) == []


def test_a_pattern_that_matches_nothing_is_refused(run: FakeRun) -> None:
    assert "No file matches 'notes/*.txt'" in refusal(run, "notes/*.txt").message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"abc\0def\n", "is not a text file: byte 3 is zero"),
        (b"\x1f\x8b\x08rest", "is a gzip file"),
        (b"PAR1rest", "is a Parquet file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "is a Git LFS pointer"),
        (b"text\n" * 300_000 + b"\0", "is not a text file: it holds zero bytes"),
    ],
)
def test_a_binary_file_is_refused(run: FakeRun, content: bytes, words: str) -> None:
    assert words in refusal(run, put(run, "a.txt", content)).message


@pytest.mark.parametrize(
    ("content", "encoding", "words", "likely"),
    [
        ("naïve\n".encode("cp1252"), "utf-8", "line 1, byte 2 (0xef)", "cp1252"),
        (b"ok\n" * 500_000 + b"caf\xe9 \n", "utf-8", "line 500,001, byte 1,500,003 (0xe9)", "cp1252"),
        (b"caf\xe9 \x81\n", "utf-8", "line 1, byte 3", "latin-1"),
        ("one\n".encode("utf-16"), "utf-8", "is UTF-16 text, not UTF-8", "utf-16"),
        ("one two three\n".encode("utf-16-le"), "utf-8", "looks like UTF-16 text", "utf-16-le"),
        ("ї\n".encode(), "ascii", "line 1, byte 0", "utf-8"),
        (b"one\n\xe2\x82", "utf-8", "line 2, byte 4", "cp1252"),
    ],
)
def test_another_encoding_is_refused_with_place_and_guess(
    run: FakeRun, content: bytes, encoding: str, words: str, likely: str
) -> None:
    error = refusal(run, put(run, "a.txt", content), encoding=encoding)
    assert words in error.message
    assert f'encoding = "{likely}"' in error.hint


def test_a_folder_and_a_pipe_are_no_files(run: FakeRun) -> None:
    (run.project / "notes").mkdir()
    error = refusal(run, "notes")
    assert (error.message, error.hint) == ("'notes' is a folder.", "Name its files: 'notes/*.txt'.")
    os.mkfifo(run.project / "pipe")
    assert "not a regular file" in refusal(run, "pipe").message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(run: FakeRun) -> None:
    (run.project / put(run, "a.txt", "x")).chmod(0)
    assert "permission denied" in refusal(run, "a.txt").message


def test_a_file_that_is_written_meanwhile_is_refused(run: FakeRun) -> None:
    source = Text(TextOptions(path=(put(run, "a.txt", "one\n"),)))
    progress = run.progress

    def write_more(*figures: Any) -> None:
        progress(*figures)
        put(run, "a.txt", "one\ntwo\n")

    run.progress = write_more  # type: ignore[method-assign]
    with pytest.raises(ComponentError, match="was changed while it was read"):
        source.load(run)


@pytest.mark.parametrize("encoding", ["utf8-x", "rot13", "hex", ""])
def test_an_unknown_encoding_is_an_error_of_its_option(encoding: str) -> None:
    with pytest.raises(OptionError, match="is not an encoding of text"):
        TextOptions(path=("a.txt",), encoding=encoding)


def test_no_path_is_an_error_of_its_option() -> None:
    with pytest.raises(OptionError, match="path names no file"):
        TextOptions(path=())
