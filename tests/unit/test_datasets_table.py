"""The source table: every format gives the same rows, columns find their meaning, and bad lines are named."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from ftstudio.api import ComponentError, OptionError
from ftstudio.testing import FakeRun
from ftstudio_datasets import decode, records
from ftstudio_datasets.options import TableOptions
from ftstudio_datasets.table import Table

QA = [{"question": "1 + 1?", "answer": "2, or\nso"}, {"question": 'a "quote"', "answer": "é ☃"}]
SAID = "Columns 'question', 'answer' read as prompt, completion."


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path)


def put(run: FakeRun, name: str, content: str | bytes) -> str:
    (run.project / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def jsonl(run: FakeRun, *rows: Any, name: str = "a.jsonl") -> str:
    return put(run, name, "".join(json.dumps(row) + "\n" for row in rows))


def load(run: FakeRun, *path: str, table: str = "train", **options: Any) -> list[dict[str, Any]]:
    return list(Table(TableOptions(path=path, **options)).load(run)[table])


def refusal(run: FakeRun, *path: str, **options: Any) -> ComponentError:
    with pytest.raises(ComponentError) as caught:
        load(run, *path, **options)
    return caught.value


def write(run: FakeRun, suffix: str, rows: list[dict[str, Any]]) -> str:
    name = f"a.{suffix}"
    path = run.project / name
    if suffix == "jsonl":
        return jsonl(run, *rows)
    if suffix == "json":
        return put(run, name, json.dumps(rows, indent=1))
    if suffix == "parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
        return name
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t" if suffix == "tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return name


# ------------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_every_format_gives_the_same_rows_and_says_what_it_guessed(run: FakeRun, suffix: str) -> None:
    found = load(run, write(run, suffix, QA))
    assert found == [{"prompt": row["question"], "completion": row["answer"]} for row in QA]
    assert run.messages == [SAID]


def test_what_was_guessed_is_said_again_when_the_rows_come_from_the_cache(run: FakeRun) -> None:
    name = write(run, "jsonl", QA)
    assert load(run, name) == load(run, name)
    assert run.messages == [SAID, SAID]


def test_a_json_file_with_one_object_a_line_is_read_as_jsonl(run: FakeRun) -> None:
    assert load(run, jsonl(run, *QA, name="a.json"))[0]["prompt"] == "1 + 1?"


def test_format_overrules_the_suffix(run: FakeRun) -> None:
    assert load(run, put(run, "a.dat", "text\nhello\n"), format="csv") == [{"text": "hello"}]
    assert "suffix of 'a.dat' does not say" in refusal(run, "a.dat").message


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(run: FakeRun, delimiter: str) -> None:
    lines = [["prompt", "completion"], ["a,b;c", "d"], ["e", "f|g"]]
    content = "\n".join(delimiter.join(f'"{cell}"' for cell in line) for line in lines)
    assert load(run, put(run, "a.csv", content))[1] == {"prompt": "e", "completion": "f|g"}


def test_the_delimiter_that_is_set_is_used(run: FakeRun) -> None:
    put(run, "a.csv", "prompt:completion\na,b:c,d\n")
    assert load(run, "a.csv", delimiter=":") == [{"prompt": "a,b", "completion": "c,d"}]


def test_a_long_cell_and_windows_newlines_are_read(run: FakeRun) -> None:
    put(run, "a.csv", f'text\r\n"{"x" * 300_000}\r\ny"\r\n')
    assert load(run, "a.csv") == [{"text": "x" * 300_000 + "\ny"}]


def test_a_json_list_longer_than_the_buffer_is_decoded_piece_by_piece(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "CHUNK", 64)
    monkeypatch.setattr(records, "CHUNK", 64)
    rows = [{"text": f"{'long ' * (i % 40)}{i}"} for i in range(300)]
    assert load(run, put(run, "a.json", json.dumps(rows, indent=2))) == rows


def test_several_files_make_one_table_and_validation_another(run: FakeRun) -> None:
    jsonl(run, {"text": "a"}, name="1.jsonl")
    put(run, "2.csv", "text\nb\n")
    jsonl(run, {"text": "v"}, name="v.jsonl")
    options: dict[str, Any] = {"validation_path": ("v.jsonl",)}
    assert load(run, "1.jsonl", "2.csv", **options) == [{"text": "a"}, {"text": "b"}]
    assert load(run, "1.jsonl", **options, table="validation") == [{"text": "v"}]


def test_a_preview_stops_before_a_bad_line(run: FakeRun) -> None:
    put(run, "a.jsonl", '{"text": "a"}\n' * 200 + "oops\n")
    assert list(Table(TableOptions(path=("a.jsonl",))).preview(run, 1)) == [{"text": "a"}]


def test_the_encoding_that_is_set_is_used(run: FakeRun) -> None:
    put(run, "a.csv", "text\ncafé\n".encode("cp1252"))
    assert 'encoding = "cp1252"' in refusal(run, "a.csv").hint
    assert load(run, "a.csv", encoding="cp1252") == [{"text": "café"}]


# ------------------------------------------------------------------------------------------------- columns


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"text": "a", "id": 3}, {"text": "a"}),
        ({"anything": "a"}, {"text": "a"}),
        ({"Instruction": "a", "Response": "b"}, {"prompt": "a", "completion": "b"}),
        ({"input": "a", "output": "b"}, {"prompt": "a", "completion": "b"}),
        ({"prompt": "p", "chosen": "c", "rejected": "r"}, {"prompt": "p", "chosen": "c", "rejected": "r"}),
        ({"prompt": "p", "completion": "c", "text": "t"}, {"prompt": "p", "completion": "c"}),
        ({"text": "t", "question": "q", "answer": "a"}, {"text": "t"}),
    ],
)
def test_columns_are_guessed_where_one_reading_is_meant(
    run: FakeRun, row: dict[str, Any], expected: dict[str, str]
) -> None:
    assert load(run, jsonl(run, row)) == [expected]


def test_columns_that_are_named_are_used(run: FakeRun) -> None:
    name = jsonl(run, {"a": "1", "b": "2", "c": "3", "text": "t", "m": [{"role": "user", "content": "hi"}]})
    assert load(run, name, text_column="b") == [{"text": "2"}]
    assert load(run, name, prompt_column="a", completion_column="b") == [{"prompt": "1", "completion": "2"}]
    assert load(run, name, prompt_column="a", chosen_column="b", rejected_column="c") == [
        {"prompt": "1", "chosen": "2", "rejected": "3"}
    ]
    assert load(run, name, messages_column="m") == [{"messages": [{"role": "user", "content": "hi"}]}]
    assert run.messages == []


def test_what_is_not_named_is_guessed_beside_what_is(run: FakeRun) -> None:
    assert load(run, jsonl(run, {"q": "1", "answer": "2"}), prompt_column="q") == [{"prompt": "1", "completion": "2"}]


def test_instruction_and_input_of_alpaca_are_one_prompt_unless_one_is_named(run: FakeRun) -> None:
    file = jsonl(
        run,
        {"instruction": "Add.", "input": "1 and 2", "output": "3"},
        {"instruction": "Greet.", "input": "", "output": "Hi", "source": "me"},
    )
    rows = load(run, file)
    assert rows == [
        {"prompt": "Add.\n\n1 and 2", "completion": "3"},
        {"prompt": "Greet.", "completion": "Hi"},
    ]
    assert run.messages == [
        "Columns 'instruction', 'output' read as prompt, completion, 'input' after the prompt where it is not blank; "
        "not used: 'source'."
    ]
    assert [row["prompt"] for row in load(run, file, prompt_column="instruction")] == ["Add.", "Greet."]
    wrong = jsonl(run, {"instruction": "Add.", "input": [1, 2], "output": "3"}, name="b.jsonl")
    assert "'b.jsonl', line 1: 'input' is a list, not a text." in str(refusal(run, wrong))


def test_conversations_of_sharegpt_become_messages(run: FakeRun) -> None:
    turns = [("system", "s"), ("human", "h"), ("gpt", "g")]
    name = jsonl(run, {"conversations": [{"from": who, "value": said} for who, said in turns]})
    roles = ["system", "user", "assistant"]
    assert load(run, name) == [
        {"messages": [{"role": r, "content": s} for r, (_, s) in zip(roles, turns, strict=True)]}
    ]


def test_messages_may_be_json_in_a_cell(run: FakeRun) -> None:
    put(run, "a.tsv", 'messages\n"[{""role"": ""user"", ""content"": ""hi""}]"\n')
    assert load(run, "a.tsv") == [{"messages": [{"role": "user", "content": "hi"}]}]


def test_rows_with_nothing_to_learn_are_left_out_and_said(run: FakeRun) -> None:
    name = jsonl(run, {"prompt": "", "completion": "a"}, {"prompt": "b", "completion": " "})
    assert load(run, name) == [{"prompt": "", "completion": "a"}]
    assert run.messages == ["train: 1 blank row left out, 1 kept."]


def test_lone_surrogates_are_replaced_and_counted(run: FakeRun) -> None:
    assert load(run, put(run, "a.jsonl", '{"text": "a\\ud800b"}\n')) == [{"text": "a\ufffdb"}]
    assert run.warnings == ["1 lone surrogate became U+FFFD: no tokenizer can read them."]


@pytest.mark.parametrize(
    ("rows", "options", "message", "hint"),
    [
        ([{"a": "1", "b": "2"}], {}, "no column that is plainly usable; it has 'a', 'b'", "text_column"),
        ([{"text": "1", "b": "2"}], {"text_column": "txt"}, "has no column 'txt'; it has 'text', 'b'", "'text'"),
        ([{"question": "1", "query": "2", "output": "3"}], {}, "'question', 'query' could be the prompt",
         "prompt_column"),
        ([{"question": "1", "answer": "2", "content": "3"}], {}, "can be read in more than one way", "prompt_column"),
        ([{"chosen": "1", "rejected": "2"}], {}, "no column for the prompt", "prompt_column"),
        ([{"q": "1", "b": "2"}], {"prompt_column": "q"}, "plainly the completion", "completion_column"),
    ],
)  # fmt: skip
def test_columns_without_one_plain_reading_are_refused(
    run: FakeRun, rows: list[Any], options: dict[str, Any], message: str, hint: str
) -> None:
    error = refusal(run, jsonl(run, *rows), **options)
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    "options",
    [
        {"text_column": "a", "prompt_column": "b"},
        {"text_column": "a", "messages_column": "b"},
        {"messages_column": "a", "prompt_column": "b"},
        {"completion_column": "a", "chosen_column": "b"},
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="say two different things"):
        TableOptions(path=("a",), **options)


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n"])
def test_a_delimiter_is_one_character(delimiter: str) -> None:
    with pytest.raises(OptionError, match="one character"):
        TableOptions(path=("a",), delimiter=delimiter)


# ------------------------------------------------------------------------------------------------ bad data


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "a', "Line 1 of 'a.jsonl' is not valid JSON: Unterminated string starting at column 10: "),
        ("a.json", '[{"text": "a', "'a.json' is not valid JSON: row 1, line 1: Unterminated string: "),
        ("a.jsonl", '{"text": "a"}\n\n{"text": }\n', "Line 3 of 'a.jsonl' is not valid JSON: Expecting value at"),
        ("a.jsonl", '{"text": "a"}\n["b"]\n', "Line 2 of 'a.jsonl' is not a JSON object"),
        ("a.jsonl", '{"text": "a"}\n{"text": ' + "[" * 200_000 + "\n", "Line 2 of 'a.jsonl' is nested too deeply"),
        ("a.jsonl", '{"text": "a"}\n{"text": ' + "1" * 5000 + "}\n", "Line 2 of 'a.jsonl' is nested too deeply"),
        ("a.jsonl", "\n \n", "holds no record that is not blank"),
        ("a.json", '{\n"text": "a"}', "is not a list of objects: it starts with '{ \"text\""),
        ("a.json", '[{"text": "a"},\n{"text" "b"}]', "not valid JSON: row 2, line 2: Expecting ':' delimiter"),
        ("a.json", '[{"text": "a"},\n{"text": "b"}', "not valid JSON: row 3, line 2"),
        ("a.json", '[{"text": "a"}] [{}]', "goes on after its list: '[{}]'"),
        ("a.json", "[]", "holds no record that is not blank"),
        ("a.json", '["a"]', "Row 1 of 'a.json' is not a JSON object"),
        ("a.csv", "prompt,completion\na,b\nc\n", "Line 3 of 'a.csv' has 1 column, the header has 2"),
        ("a.csv", 'prompt,completion\n"a\nb",c\nd,e,f\n', "Line 4 of 'a.csv' has 3 columns, the header has 2"),
        ("a.csv", 'text\n"a\nb\n', "Line 2 of 'a.csv' is not valid CSV: a quoted cell begins there and never ends"),
        ("a.csv", 'text\n"a"b\n', "Line 2 of 'a.csv' is not valid CSV"),
        ("a.csv", "text,text\na,b\n", "two columns named 'text'"),
        ("a.csv", "text\n", "holds no record that is not blank"),
        ("a.csv", "", "'a.csv' is empty: it holds 0 bytes."),
        ("a.parquet", "PAR1 no", "is not a readable Parquet file"),
        ("a.parquet", "version https://git-lfs.github.com/spec/v1\n" + "x" * 99, "it is a Git LFS pointer"),
        ("a.jsonl", '{"text": null}\n', "'a.jsonl', line 1: 'text' is null."),
        ("a.jsonl", '{"text": "a"}\n{"text": 3}\n', "'a.jsonl', line 2: 'text' is a number, not a text."),
        ("a.jsonl", '{"text": "a"}\n{"txt": "b"}\n', "'a.jsonl', line 2: there is no 'text'."),
        ("a.jsonl", '{"messages": []}', "'a.jsonl', line 1: 'messages' is no list of messages."),
        ("a.jsonl", '{"messages": "hi"}', "'a.jsonl', line 1: 'messages' is no list of messages."),
        ("a.jsonl", '{"messages": [3]}', "line 1: message 1 in 'messages' is not an object."),
        ("a.jsonl", '{"messages": [{"role": "user"}]}', "message 1 in 'messages' has no text in 'content'."),
        ("a.jsonl", '{"messages": [{"role": "tool", "content": ""}]}', "is by 'tool', which is not system, user or"),
        ("a.jsonl", '{"messages": [{"role": "assistant", "content": "", "tool_calls": [{"function": {}}]}]}',
         "message 1 in 'messages' calls a tool, and only its text would be trained."),
        ("a.jsonl", '{"messages": [{"role": "assistant", "content": null, "function_call": {"name": "f"}}]}',
         "message 1 in 'messages' calls a tool"),
        ("a.json", '{"data": [{"text": "a"}]}', "is not a list of objects: it starts with '{\"data\": [{\"text"),
        ("a.json", '{"version": "1", "data": [{"text": "a"}]}', "and its rows are a list under 'data'"),
        ("a.json", '{\n"version": "1",\n"data": [\n{"text": "a"}]}', "and its rows are a list under 'data'"),
        ("a.tsv", 'text\tn\n"so said\t2\n', "Line 2 of 'a.tsv' is not valid TSV: a quoted cell begins there"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_named_with_its_place(run: FakeRun, name: str, content: str, message: str) -> None:
    assert message in refusal(run, put(run, name, content)).message
    cache = run.cache / "datasets"
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_ragged_line_is_told_how_to_be_mended(run: FakeRun) -> None:
    assert (
        refusal(run, put(run, "a.csv", "prompt,completion\na,b,c\n")).hint
        == "A cell that holds ',' needs quotes around it."
    )
    assert refusal(run, put(run, "b.tsv", "prompt\tcompletion\na\n")).hint == "An empty cell still needs its tab."


def test_one_object_on_the_only_line_is_a_record_where_it_can_be_one(run: FakeRun) -> None:
    assert load(run, put(run, "a.json", '{"text": "a", "spans": [{"from": 1}]}')) == [{"text": "a"}]
    talk = [{"role": "user", "content": "hi"}]
    assert load(run, put(run, "b.json", json.dumps({"messages": talk}))) == [{"messages": talk}]


def test_messages_that_could_have_called_a_tool_and_did_not_are_read(run: FakeRun) -> None:
    name = jsonl(run, {"messages": [{"role": "user", "content": "hi", "tool_calls": None, "function_call": ""}]})
    assert load(run, name) == [{"messages": [{"role": "user", "content": "hi"}]}]


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_the_way_that_is_told_to_begin_a_cell_with_a_quote_is_one(run: FakeRun, suffix: str) -> None:
    way = refusal(run, put(run, f"a.{suffix}", 'text\n"So," he said\n')).hint.rpartition(": ")[2]
    assert load(run, put(run, f"b.{suffix}", f"text\n{way}\n")) == [{"text": '"So," he said'}]


def test_a_null_in_parquet_names_its_row(run: FakeRun) -> None:
    parquet.write_table(pa.table({"text": ["a", None]}), run.project / "a.parquet")
    assert refusal(run, "a.parquet").message == "'a.parquet', row 2: 'text' is null."


@pytest.mark.parametrize(
    ("name", "start"), [("a.jsonl", '{"text": "'), ("a.csv", 'text\n"'), ("a.json", '[{"text": "')]
)
def test_a_record_without_an_end_is_refused_before_it_fills_the_memory(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch, name: str, start: str
) -> None:
    for module in (decode, records):
        monkeypatch.setattr(module, "LONGEST_RECORD", 3_000_000)
    put(run, name, start + "x" * 6_000_000)
    assert "cannot be read as one record" in refusal(run, name).message
