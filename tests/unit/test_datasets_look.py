"""The light side: facts without loading, the same refusals as a load, and what `new --data` is told of a file."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from ftstudio.api import ComponentError, Facts, Problem, ProjectInfo
from ftstudio.testing import FakeRun
from ftstudio_datasets import light, look
from ftstudio_datasets.options import FileOptions, InlineOptions, TableOptions, TextOptions
from ftstudio_datasets.sniff import sniff_table, sniff_text
from ftstudio_datasets.table import Table
from ftstudio_datasets.text import Text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def put(folder: Path, name: str, content: str | bytes) -> str:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def facts(options: FileOptions, folder: Path) -> Facts:
    return light.file_facts(options, folder)


def problems(options: Any, folder: Path, check: Callable[..., Any] = light.file_check) -> list[Problem]:
    project = ProjectInfo(folder=folder, name="fake", seed=1, uses={}, options={})
    return list(check(options, project, Facts()))


# --------------------------------------------------------------------------------------------------- facts


def test_describing_and_looking_load_nothing_heavy(folder: Path) -> None:
    code = f"""
import sys
from pathlib import Path
import ftstudio_datasets, ftstudio_datasets.light, ftstudio_datasets.sniff
list(ftstudio_datasets.ftstudio_dataset_sources())
Path({str(folder)!r}, "a.jsonl").write_text('{{"text": "a"}}')
assert ftstudio_datasets.sniff.sniff_table(Path({str(folder)!r}, "a.jsonl"))["rows"] == 1
heavy = {{"torch", "transformers", "datasets", "pandas", "pyarrow", "tokenizers", "huggingface_hub", "numpy"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_facts_of_inline_texts_are_exact(folder: Path) -> None:
    options = InlineOptions(texts=("four", " ", "seven77"))
    found = light.inline_facts(options, folder)
    assert (found.shape, found.rows, found.characters, found.longest_characters) == ("text", 2, 11, 7)
    assert [p.message for p in problems(options, folder, light.inline_check)] == ["1 blank text will be left out."]


@pytest.mark.parametrize("split_by", ["line", "blank_line", "document"])
def test_facts_of_a_small_text_are_those_of_its_load(folder: Path, split_by: Any) -> None:
    run = FakeRun(folder)
    put(run.project, "a.txt", "one\ntwo\n\nthree é\n\n\n")
    put(run.project, "v.txt", "v\n\nw\n")
    options = TextOptions(path=("a.txt",), validation_path=("v.txt",), split_by=split_by)
    tables, found = Text(options).load(run), facts(options, run.project)
    texts = list(tables["train"]["text"])
    assert (found.rows, found.validation_rows) == (len(texts), len(tables["validation"]))
    assert found.characters == sum(map(len, texts))
    assert found.longest_characters == max(map(len, texts))
    assert (found.shape, found.columns, found.estimated) == ("text", ("text",), frozenset())


def test_facts_of_a_small_table_are_those_of_its_load(folder: Path) -> None:
    run = FakeRun(folder)
    put(run.project, "a.csv", "question,answer,id\nhow,so,1\nwhy,,2\nwhen,now,3\n")
    options = TableOptions(path=("a.csv",))
    found = facts(options, run.project)
    assert (found.shape, found.columns) == ("prompt_completion", ("question", "answer", "id"))
    assert (found.rows, found.characters, found.longest_characters) == (len(Table(options).load(run)["train"]), 12, 7)


def test_large_data_is_judged_by_its_beginning_and_marked(folder: Path) -> None:
    name = put(folder, "a.txt", "0123456789abcde\n" * 200_000)
    found = facts(TextOptions(path=(name,)), folder)
    assert found.estimated == {"rows", "characters", "longest_characters"}
    assert found.rows == pytest.approx(200_000, rel=0.01)
    assert found.characters == pytest.approx(3_000_000, rel=0.01)
    assert found.longest_characters == 15


def test_a_large_csv_json_and_many_files_are_judged_too(folder: Path) -> None:
    put(folder, "a.csv", 'text,n\n"one, \ntwo",1\n' + '"one, \ntwo",2\n' * 200_000)
    put(folder, "a.json", json.dumps([{"text": "one two three"}] * 100_000))
    for i in range(50):
        put(folder, f"{i}.txt", "0123456789abcde\n" * 5_000)
    assert facts(TableOptions(path=("a.csv",)), folder).rows == pytest.approx(200_000, rel=0.02)
    assert facts(TableOptions(path=("a.json",)), folder).rows == pytest.approx(100_000, rel=0.02)
    many = TextOptions(path=("*.txt",))
    assert facts(many, folder).rows == pytest.approx(250_000, rel=0.02)
    whole = facts(TextOptions(path=("*.txt",), split_by="document"), folder)
    assert (whole.rows, whole.longest_characters) == (50, 80_000)
    assert problems(many, folder) == []


def test_parquet_rows_are_exact_and_its_characters_estimated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet.write_table(pa.table({"text": ["one", "two two"], "n": [1, 2]}), folder / "a.parquet")
    options = TableOptions(path=("a.parquet",))
    found = facts(options, folder)
    assert (found.rows, found.characters, found.columns, found.estimated) == (2, 10, ("text", "n"), frozenset())
    monkeypatch.setattr(look, "READ_WHOLE", 1)
    look._look.cache_clear()
    assert facts(options, folder).rows == 2
    assert facts(options, folder).estimated == {"rows", "characters"}


@pytest.mark.parametrize("order", [("a.parquet", "b.jsonl", "c.csv"), ("b.jsonl", "c.csv", "a.parquet")])
def test_files_of_several_formats_are_counted_in_any_order(folder: Path, order: tuple[str, ...]) -> None:
    parquet.write_table(pa.Table.from_pylist([{"text": "one"}, {"text": "fifteen letters"}]), folder / "a.parquet")
    put(folder, "b.jsonl", '{"text": "three"}\n')
    put(folder, "c.csv", "text\nfour\n")
    options = TableOptions(path=order)
    assert problems(options, folder) == []
    found = facts(options, folder)
    assert (found.rows, found.longest_characters, found.estimated) == (4, 15, frozenset())
    assert found.characters == len("onefifteen lettersthreefour")


@pytest.mark.parametrize("size", [1, 200_000])
def test_an_encoding_that_spoils_another_file_is_a_warning(folder: Path, size: int) -> None:
    put(folder, "m1.txt", "café\n" * size)
    put(folder, "m2.txt", "caf\xe9\n".encode("latin-1"))
    options = TextOptions(path=("m1.txt", "m2.txt"), encoding="cp1252")
    (problem,) = problems(options, folder)
    assert (problem.level, problem.option) == ("warning", "encoding")
    assert problem.message.startswith("'m1.txt' looks like UTF-8, but is read in the encoding that was set")
    run = FakeRun(folder / "run")
    Text(dataclasses.replace(options, path=tuple(str(folder / name) for name in options.path))).load(run)
    assert len(run.warnings) == 1
    assert "m1.txt' looks like UTF-8" in run.warnings[0]
    assert problems(TextOptions(path=("m2.txt",), encoding="cp1252"), folder) == []


def test_a_delimiter_that_nothing_reads_is_a_warning(folder: Path) -> None:
    put(folder, "a.jsonl", '{"text": "a"}\n')
    put(folder, "b.csv", "text\nb\n")
    (problem,) = problems(TableOptions(path=("a.jsonl",), delimiter=";"), folder)
    assert (problem.level, problem.option) == ("warning", "delimiter")
    assert problem.message == "delimiter does nothing: none of the files is a CSV."
    assert problems(TableOptions(path=("a.jsonl", "b.csv"), delimiter=";"), folder) == []


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (pa.array([b"a", b"b"]), "'text' is bytes, not a text."),
        (pa.array([["a"], ["b"]]), "'text' is a list, not a text."),
        (pa.array([1, 2]), "'text' is a number, not a text."),
    ],
)
def test_a_parquet_column_that_is_no_text(folder: Path, column: pa.Array, sentence: str) -> None:
    parquet.write_table(pa.table({"text": column}), folder / "a.parquet")
    (problem,) = problems(TableOptions(path=("a.parquet",)), folder)
    assert problem.message.endswith(sentence)
    assert (problem.option, problem.fix) == ("path", "Make it a text.")
    parquet.write_table(pa.table({"text": column, "other": ["a", "b"]}), folder / "a.parquet")
    (problem,) = problems(TableOptions(path=("a.parquet",)), folder)
    assert (problem.option, problem.fix) == ("text_column", "Make it a text, or choose another column.")


def test_two_parquet_columns_of_one_name_are_refused_as_in_csv(folder: Path) -> None:
    parquet.write_table(
        pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), folder / "a.parquet"
    )
    (problem,) = problems(TableOptions(path=("a.parquet",)), folder)
    assert (problem.message, problem.fix) == ("'a.parquet' has two columns named 'text'.", "Rename one of them.")


def test_a_changed_file_is_looked_at_again(folder: Path) -> None:
    options = TextOptions(path=(put(folder, "a.txt", "one\n"),))
    assert facts(options, folder).rows == 1
    put(folder, "a.txt", "one\ntwo\n")
    assert facts(options, folder).rows == 2


# -------------------------------------------------------------------------------------------------- checks


@pytest.mark.parametrize(
    ("name", "content", "options", "option"),
    [
        ("a.txt", None, {}, "path"),
        ("a.txt", b"", {}, "path"),
        ("a.txt", b"\n\n", {}, "path"),
        ("a.txt", b"a\0b", {}, "path"),
        ("a.txt", b"a\xff\n", {}, "encoding"),
        ("a.txt", b"a\n", {"validation_path": ("none.txt",)}, "validation_path"),
        ("a.txt", b"a\n", {"validation_path": ("*.none",)}, "validation_path"),
        ("a.csv", b"a,b\n1,2\n", {}, "text_column"),
        ("a.csv", b"a,b\n1,2\n", {"text_column": "c"}, "text_column"),
        ("a.csv", b"text,b\n1,2,3\n", {}, "path"),
        ("a.csv", b"text,b\n", {}, "path"),
        ("a.jsonl", b'{"text": 1}\n', {}, "path"),
        ("a.jsonl", b'{"text": 1, "b": "2"}\n', {}, "text_column"),
        ("a.jsonl", b'{"text": null, "b": "2"}\n', {}, "path"),
        ("a.jsonl", b'{"messages": [{"role": "tool", "content": "a"}]}\n', {}, "path"),
        ("a.jsonl", b'{"messages": "a"}\n', {}, "messages_column"),
        ("a.jsonl", b'{"text": "1"\n', {}, "path"),
        ("a.dat", b'{"text": "1"}\n', {}, "format"),
        ("a.parquet", b"no", {}, "path"),
    ],
)
def test_a_check_refuses_what_a_load_refuses_in_the_same_words(
    folder: Path, name: str, content: bytes | None, options: dict[str, Any], option: str
) -> None:
    run = FakeRun(folder)
    if content is not None:
        put(run.project, name, content)
    source, kind = (Text, TextOptions) if name.endswith("txt") else (Table, TableOptions)
    chosen = kind(path=(name,), **options)
    with pytest.raises(ComponentError) as caught:
        source(chosen).load(run)  # type: ignore[arg-type]
    (problem,) = problems(chosen, run.project)
    assert (problem.level, problem.option) == ("error", option)
    assert (problem.message, problem.fix) == (caught.value.message, caught.value.hint)
    assert isinstance(facts(chosen, run.project), Facts)


def test_a_bad_encoding_and_a_misspelt_column_come_with_the_setting_that_mends_them(folder: Path) -> None:
    put(folder, "a.txt", "caf\xe9\n".encode("latin-1"))
    put(folder, "a.csv", "quetsion,x\na,b\n")
    assert problems(TextOptions(path=("a.txt",)), folder)[0].edit == {"encoding": "cp1252"}
    misspelt = problems(TableOptions(path=("a.csv",), prompt_column="question"), folder)
    assert misspelt[0].edit == {"prompt_column": "quetsion"}


def test_a_guess_is_noted_and_a_standard_name_is_no_guess(folder: Path) -> None:
    put(folder, "q.csv", "question,answer\na,b\n")
    put(folder, "p.csv", "prompt,completion\na,b\n")
    (note,) = problems(TableOptions(path=("q.csv",)), folder)
    assert (note.level, note.option) == ("note", "prompt_column")
    assert note.message == "Columns 'question', 'answer' read as prompt, completion."
    assert problems(TableOptions(path=("p.csv",)), folder) == []


def test_a_file_that_is_trained_and_evaluated_on_is_a_warning(folder: Path) -> None:
    put(folder, "a.txt", "a\n")
    (problem,) = problems(TextOptions(path=("a.txt",), validation_path=("*.txt",)), folder)
    assert (problem.level, problem.option) == ("warning", "validation_path")


# --------------------------------------------------------------------------------------------------- sniff


@pytest.mark.parametrize(
    ("name", "content", "options", "says"),
    [
        ("a.jsonl", b'{"question": "a", "answer": "b"}\n', {}, "JSONL, 1 row; columns 'question', 'answer' read as"),
        ("a.json", b'[{"text": "a"}, {"text": "b"}]', {}, "JSON, 2 rows; columns 'text'"),
        ("a.csv", b"text;n\na;1\n", {}, "CSV with ';' between cells, 1 row; columns 'text'; not used: 'n'"),
        ("a.tsv", b"text\tn\na\t1\n", {}, "TSV, 1 row"),
        ("a.csv", "text\ncafé\n".encode("cp1252"), {"encoding": "cp1252"}, "; read as cp1252"),
        ("a.txt", b"one\ntwo\n", {}, "text, 2 lines"),
        ("noted", b"one\ntwo\n", {}, "text, 2 lines"),
        ("a.md", b"one\ntwo\n\n" * 5, {"split_by": "blank_line"}, "text, 5 paragraphs between blank lines"),
        ("a.txt", b"one\n\n" * 5, {}, "text, 5 lines"),
        ("a.txt", "one\n".encode("utf-16"), {"encoding": "utf-16"}, "text, 1 line; read as utf-16"),
    ],
)  # fmt: skip
def test_a_file_says_how_it_is_to_be_read(
    folder: Path, name: str, content: bytes, options: dict[str, Any], says: str
) -> None:
    path = folder / put(folder, name, content)
    found = [answer for answer in (sniff_text(path), sniff_table(path)) if answer is not None]
    assert len(found) == 1
    assert found[0]["options"] == {"path": str(path), **options}
    assert says in found[0]["says"]
    kind = {"text": TextOptions, "table": TableOptions}[found[0]["use"]]
    known = {f.name for f in dataclasses.fields(kind)}
    assert set(found[0]["options"]) <= known


def test_what_is_no_text_by_name_and_by_content_is_left_to_others(folder: Path) -> None:
    path = folder / put(folder, "a.bin", b"\0\1\2")
    assert (sniff_text(path), sniff_table(path)) == (None, None)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("a.txt", b"\0\1", "not a text file"), ("a.csv", b"a,b\n1,2\n", "no column"), ("a.txt", b"", "is empty")],
)
def test_a_file_that_cannot_be_read_as_its_name_says_is_refused(
    folder: Path, name: str, content: bytes, words: str
) -> None:
    path = folder / put(folder, name, content)
    with pytest.raises(ComponentError, match=words):
        assert sniff_text(path) or sniff_table(path)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_what_the_system_writes_anew_each_time_is_not_called_empty() -> None:
    with pytest.raises(ComponentError, match="lies on no disk"):
        sniff_text(Path("/proc/self/environ"))
