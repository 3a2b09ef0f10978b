"""Files -> rows with the standard columns. Loading, previewing and looking ahead all read through here,

so that what was promised before a start is what is trained on, and a bad input has one sentence everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from ftstudio_datasets.columns import Choice, choose
from ftstudio_datasets.decode import LONGEST_ROW, Tally, chunks, cut, lines
from ftstudio_datasets.files import OPTION_OF, DataFile
from ftstudio_datasets.options import TableOptions, TextOptions
from ftstudio_datasets.records import check_header, format_of, open_parquet, records
from ftstudio_datasets.words import DataError

Row = dict[str, Any]

MEASURED_ON = 32_768
"""Characters of a sample: 20 ms of a tokenizer's time."""
_LOOKED_AT = 100
"""Records whose keys together count as the columns of a JSON file."""


def weight(row: Row) -> int:
    """Characters of a row, those of all its messages included."""
    size = 0
    for value in row.values():
        size += len(value) if isinstance(value, str) else sum(len(message["content"]) for message in value)
    return size


def texts_of(row: Row) -> list[str]:
    """The texts that those characters are in."""
    found: list[str] = []
    for value in row.values():
        found += [value] if isinstance(value, str) else [message["content"] for message in value]
    return found


def first_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """As many of the first texts as make a sample that a tokenizer can be measured on at once."""
    taken: list[str] = []
    room = MEASURED_ON
    for text in texts:
        if room <= 0:
            break
        taken.append(text[:room])
        room -= len(text)
    return tuple(taken)


# --------------------------------------------------------------------------------------------------- text


def text_rows(files: Sequence[DataFile], options: TextOptions, tally: Tally) -> Iterator[Row]:
    """{"text": ...} for each line, paragraph or file that is not blank."""
    split = {"line": _by_line, "blank_line": _by_paragraph, "document": _by_file}[options.split_by]
    for file in files:
        for text in split(file, options.encoding, tally):
            if text.strip():
                yield {"text": text}
            else:
                tally.blank += 1


def _by_line(file: DataFile, encoding: str, tally: Tally) -> Iterator[str]:
    return (line for _, line in lines(file, encoding, tally, whole=False))


def _by_paragraph(file: DataFile, encoding: str, tally: Tally) -> Iterator[str]:
    held: list[str] = []
    size = 0
    for _, line in lines(file, encoding, tally, whole=False):
        if line.strip():
            held.append(line)
            size += len(line) + 1
        if held and (not line.strip() or size > LONGEST_ROW):
            tally.continued += bool(line.strip())
            yield "\n".join(held)
            held, size = [], 0
    if held:
        yield "\n".join(held)


def _by_file(file: DataFile, encoding: str, tally: Tally) -> Iterator[str]:
    text = ""
    for chunk in chunks(file, encoding, tally):
        text += chunk
        if len(text) > LONGEST_ROW:
            piece, text = cut(text)
            tally.continued += 1
            yield piece
    if text:
        yield text


# -------------------------------------------------------------------------------------------------- table


def table_choice(files: Sequence[DataFile], options: TableOptions) -> Choice:
    """How the columns of the files are read; the first file that has a record decides."""
    for file in files:
        columns = columns_of(file, options)
        if columns:
            return choose(columns, options, file.name)
    raise nothing_in(files, "record")


def table_rows(files: Sequence[DataFile], options: TableOptions, choice: Choice, tally: Tally) -> Iterator[Row]:
    """The rows of all files with the standard columns, those left out that are blank where there is to be learnt."""
    for file in files:
        for place, record in records(file, options, tally, choice.read):
            row = choice.convert(record, f"{file.name}, {place}", tally)
            if row is not None:
                yield row


def columns_of(file: DataFile, options: TableOptions) -> list[str]:
    """The header's columns; of JSON the keys of the first records, in order; none when there is no record."""
    if format_of(file, options) == "parquet":
        with open_parquet(file) as table:
            check_header(file, list(table.schema_arrow.names))
            return [str(name) for name in table.schema_arrow.names] if table.metadata.num_rows else []
    looked = islice(records(file, options, Tally()), _LOOKED_AT)
    return [str(name) for name in dict.fromkeys(chain.from_iterable(record for _, record in looked))]


def nothing_in(files: Sequence[DataFile], what: str, option: str = "path") -> DataError:
    """The sentence for files that hold bytes and yet no row; `what` is "record" or "line"."""
    said = "nothing but blank lines" if what == "line" else "no record that is not blank"
    name = files[0].name
    if len(files) == 1:
        return DataError(f"{name} holds {said}.", "Put text into it, or name another file.", option)
    return DataError(f"All {len(files):,} files, {name} first, hold {said}.", "Name other files.", option)


def check_read(count: int, table: str, files: Sequence[DataFile], what: str) -> None:
    """After the last row: raise when there was none, or when a file was written meanwhile."""
    for file in files:
        file.check_unchanged()
    if not count:
        raise nothing_in(files, what, OPTION_OF[table])
