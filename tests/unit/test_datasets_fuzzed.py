"""Whatever bytes a file holds: a load gives rows or a sentence, a look the same and never an exception."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftstudio_datasets.columns import choose
from ftstudio_datasets.decode import Tally
from ftstudio_datasets.files import find
from ftstudio_datasets.look import look
from ftstudio_datasets.options import FileOptions, TableOptions, TextOptions
from ftstudio_datasets.rows import nothing_in, table_choice, table_rows, text_rows
from ftstudio_datasets.words import DataError

SEEDS = {
    "txt": "one\n\ntwo é\r\n",
    "jsonl": '{"text": "a\\ud800"}\n{"text": "b"}\n',
    "json": '[{"messages": [{"role": "user", "content": "x"}]},\n {"messages": []}]',
    "csv": 'prompt;completion\n"a;\nb";c\nd;""\n',
}
PIECES = st.sampled_from(
    [b"\xff\xfe", b"\0", b"\r", b"\n", b'"', b";", b",", b"[", b"]", b"{", b"}", b"null", b"\xef\xbb\xbf"]
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with some pieces put in, taken out or cut off."""
    for _ in range(draw(st.integers(0, 4))):
        at, until = sorted((draw(st.integers(0, len(content))), draw(st.integers(0, len(content)))))
        content = content[:at] + draw(PIECES | st.binary(max_size=4)) + content[draw(st.sampled_from([at, until])) :]
    return content


def rows(options: FileOptions, folder: Path) -> list[dict[str, Any]]:
    def read() -> Iterator[dict[str, Any]]:
        files = find(options.path, folder)
        if isinstance(options, TableOptions):
            return table_rows(files, options, table_choice(files, options), Tally())
        assert isinstance(options, TextOptions)
        return text_rows(files, options, Tally())

    found = list(read())
    if not found:
        raise nothing_in(find(options.path, folder), "line" if isinstance(options, TextOptions) else "record")
    return found


def outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns, or the DataError that it raises."""
    try:
        return function(*arguments)
    except DataError as error:
        return error


@pytest.mark.parametrize("suffix", list(SEEDS))
@given(data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_damaged_files_give_rows_or_a_sentence_and_a_look_agrees(suffix: str, data: st.DataObject) -> None:
    content = data.draw(damaged(SEEDS[suffix].encode()))
    options: FileOptions = (TextOptions if suffix == "txt" else TableOptions)(path=(f"a.{suffix}",))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / f"a.{suffix}").write_bytes(content)
        seen = look(options, folder)
        found = outcome(rows, options, folder)
        if isinstance(found, DataError):
            assert seen.error is not None
            assert (seen.error.message, seen.error.hint) == (found.message, found.hint)
            assert len(found.message) < 700
        else:
            assert seen.error is None
            assert seen.facts.rows == len(found)
            assert all(str(row).encode() for row in found)


@given(
    st.lists(
        st.sampled_from(["text", "prompt", "Question", "answer", "chosen", "rejected", "input", "id", ""]), unique=True
    )
)
def test_columns_are_either_chosen_or_refused_with_an_option_that_exists(columns: list[str]) -> None:
    found = outcome(choose, columns, TableOptions(path=("a",)), "'a'")
    if isinstance(found, DataError):
        assert found.option in TableOptions.__dataclass_fields__
    else:
        assert set(found.columns.values()) <= set(columns)
