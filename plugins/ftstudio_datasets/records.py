"""Records of JSONL, JSON, CSV, TSV and Parquet files, one after the other, in bounded memory.

Each reader yields (place, record): the place is "line 7" or "row 7", the record a mapping from column to value.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from ftstudio_datasets.columns import choose
from ftstudio_datasets.decode import CHUNK, LONGEST_RECORD, Tally, chunks, lines, too_long
from ftstudio_datasets.files import DataFile
from ftstudio_datasets.options import TableOptions
from ftstudio_datasets.words import DataError, listed, plural, quote

Format = Literal["jsonl", "json", "csv", "tsv", "parquet"]
Record = tuple[str, Mapping[str, Any]]

_BETWEEN = re.compile(r"[ \t\n,]*")
_AROUND = re.compile(r'\{[^\[{]*"([^"]+)"\s*:\s*\[\s*\{')
"""An object whose first list is one of objects, under this key."""

SUFFIXES: Mapping[str, Format] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip


def format_of(file: DataFile, options: TableOptions) -> Format:
    """How the file is written: by the option, else by its suffix; a .json of one object a line is JSONL."""
    if options.format is not None:
        return options.format
    found = SUFFIXES.get(file.path.suffix.lower())
    if found is None:
        raise DataError(
            f"The suffix of {file.name} does not say how it is written; known: {', '.join(SUFFIXES)}.",
            'Set format, such as format = "csv", or use = "text" for plain text.',
            "format",
        )
    return "jsonl" if found == "json" and _one_object_a_line(file, options) else found


def _one_object_a_line(file: DataFile, options: TableOptions) -> bool:
    """Not where the only line is an object around the list of rows."""
    head = next(chunks(file, options.encoding, Tally(limit=CHUNK)), "")
    line, _, rest = head.lstrip().partition("\n")
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and (bool(rest.strip()) or not _lies_around_rows(record, options, file.name))


def _lies_around_rows(record: Mapping[str, Any], options: TableOptions, name: str) -> bool:
    """Whether an object holds a list of objects and can be no row itself: {"data": [{"text": "..."}, ...]}."""
    if not any(isinstance(value, list) and value and isinstance(value[0], dict) for value in record.values()):
        return False
    try:
        choice = choose(list(record), options, name)
    except DataError:
        return True
    return choice.shape != "messages" and not all(isinstance(record[c], str) for c in choice.columns.values())


def records(
    file: DataFile, options: TableOptions, tally: Tally, columns: Sequence[str] | None = None
) -> Iterator[Record]:
    """The records of a file, whatever its format; `columns` are enough where that saves reading (Parquet).

    Raises DataError, naming the place, for what is malformed.
    """
    kind = format_of(file, options)
    if kind == "parquet":
        return _parquet(file, tally, columns)
    readers: Mapping[Format, Callable[[DataFile, TableOptions, Tally], Iterator[Record]]]
    readers = {"jsonl": _jsonl, "json": _json, "csv": _csv, "tsv": _csv}
    return readers[kind](file, options, tally)


# --------------------------------------------------------------------------------------------------- JSON


def _jsonl(file: DataFile, options: TableOptions, tally: Tally) -> Iterator[Record]:
    for number, line in lines(file, options.encoding, tally, whole=True):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            where = f"Line {number:,} of {file.name}"
            raise DataError(
                f"{where} is not valid JSON: {_what(error)} at column {error.colno:,}: {quote(line)}.",
                "Mend that line, or take it out.",
            ) from error
        except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 100,000 brackets
            raise _unreadable(file, f"Line {number:,}") from error
        yield f"line {number:,}", _object(record, file, f"Line {number:,}")


def _what(error: json.JSONDecodeError) -> str:
    """Its words, of which some end with "at"."""
    return error.msg.removesuffix(" at")


def _object(record: Any, file: DataFile, where: str) -> Mapping[str, Any]:
    if not isinstance(record, dict):
        raise DataError(
            f"{where} of {file.name} is not a JSON object: {quote(json.dumps(record)[:200])}.",
            'Each record is an object, such as {"text": "..."}.',
        )
    return record


def _unreadable(file: DataFile, where: str) -> DataError:
    return DataError(f"{where} of {file.name} is nested too deeply or holds too long a number.", "Take it out.")


def _json(file: DataFile, options: TableOptions, tally: Tally) -> Iterator[Record]:
    """The objects of one JSON list, decoded one by one from a buffer that holds little more than the current one."""
    decoder, source = json.JSONDecoder(), chunks(file, options.encoding, tally)
    buffer = next(source, "")
    line = 1  # at which the buffer begins
    at = len(buffer) - len(buffer.lstrip())
    if not buffer.startswith("[", at):
        around = _AROUND.match(buffer, at)
        inside = f", and its rows are a list under {quote(around[1])}" if around else ""
        raise DataError(
            f"{file.name} is not a list of objects: it starts with {quote(buffer[:30])}{inside}.",
            'Write [{"text": "..."}, ...], or one object a line (JSONL).',
        )
    row, at = 0, at + 1
    while True:
        between = _BETWEEN.match(buffer, at)
        at = between.end() if between else at
        if buffer.startswith("]", at):
            _check_end(file, buffer[at + 1 :] + next(source, ""))
            return
        try:
            record, at = decoder.raw_decode(buffer, at)
        except json.JSONDecodeError as error:
            place = f"row {row + 1:,}, line {line + buffer.count(chr(10), 0, error.pos):,}"
            cut_off = error.msg.startswith("Unterminated string") or error.pos > len(buffer) - 10
            line += buffer.count("\n", 0, at)
            buffer, at = buffer[at:], 0
            if len(buffer) > LONGEST_RECORD:
                raise too_long(file, f"Row {row + 1:,}") from error
            # Growing by half keeps the work linear when a record is long.
            grown = "".join(islice(source, max(1, len(buffer) // (2 * CHUNK)))) if cut_off else ""
            if grown:
                buffer += grown
                continue
            if cut_off and tally.limit is not None and tally.limit < file.size:
                return
            what = _what(error).removesuffix(" starting")
            raise DataError(
                f"{file.name} is not valid JSON: {place}: {what}: {quote(buffer[:200])}.",
                "Mend the file there" + (": its list does not end." if cut_off else "."),
            ) from error
        except (ValueError, RecursionError) as error:
            raise _unreadable(file, f"Row {row + 1:,}") from error
        row += 1
        yield f"row {row:,}", _object(record, file, f"Row {row:,}")


def _check_end(file: DataFile, rest: str) -> None:
    if rest.strip():
        raise DataError(
            f"{file.name} goes on after its list: {quote(rest.strip())}.", "Make it one list, or one object a line."
        )


# ---------------------------------------------------------------------------------------------------- CSV


def _csv(file: DataFile, options: TableOptions, tally: Tally) -> Iterator[Record]:
    delimiter = options.delimiter or delimiter_of(file, options)
    csv.field_size_limit(LONGEST_RECORD)  # the default of 131,072 characters is less than many a document
    source = (line + "\n" for _, line in lines(file, options.encoding, tally, whole=True))
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    header: list[str] = []
    first = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if tally.limit is not None and tally.limit < file.size and "unexpected end" in str(error):
                return
            raise _bad_csv(file, first, error, delimiter) from error
        if cells is None:
            return
        if not header and cells:
            header = [cell.strip() for cell in cells]
            check_header(file, header)
        elif cells:
            if len(cells) != len(header):
                raise _ragged(file, first, cells, header, delimiter)
            yield f"line {first:,}", dict(zip(header, cells, strict=True))
        first = reader.line_num + 1


def delimiter_of(file: DataFile, options: TableOptions) -> str:
    """The delimiter that parts the first lines into the most columns, the same number in each."""
    if format_of(file, options) == "tsv":
        return "\t"
    head = next(chunks(file, options.encoding, Tally(limit=CHUNK)), "").split("\n")
    head = [line + "\n" for line in head[:50]]

    def columns(delimiter: str) -> tuple[bool, int]:
        try:
            found = [len(cells) for cells in csv.reader(head, delimiter=delimiter) if cells]
        except csv.Error:
            return False, 0
        return len(set(found)) == 1 and found[0] > 1, found[0] if found else 0

    return max(",;\t|", key=columns)


def check_header(file: DataFile, header: Sequence[str]) -> None:
    """Raise DataError where two columns have one name: which is meant nobody could say."""
    twice = [name for i, name in enumerate(header) if name and name in header[:i]]
    if twice:
        raise DataError(f"{file.name} has two columns named {quote(twice[0])}.", "Rename one of them.")


def _ragged(file: DataFile, line: int, cells: list[str], header: list[str], delimiter: str) -> DataError:
    shown = quote(delimiter) if delimiter.strip() else "tab"
    found = f"Line {line:,} of {file.name} has {plural(len(cells), 'column')}"
    return DataError(
        f"{found}, the header has {len(header):,}: {listed(header)}.",
        f"A cell that holds {shown} needs quotes around it."
        if len(cells) > len(header)
        else f"An empty cell still needs its {shown}.",
    )


def _bad_csv(file: DataFile, line: int, error: csv.Error, delimiter: str) -> DataError:
    said = str(error)
    if "limit" in said:
        return too_long(file, f"Line {line:,}")
    if "unexpected end" in said:
        said = "a quoted cell begins there and never ends"
    kind = "TSV" if delimiter == "\t" else "CSV"
    return DataError(
        f"Line {line:,} of {file.name} is not valid {kind}: {said}.",
        'A cell with a quote at its start needs quotes around it all, and "" for each within: """So,"" he said"',
    )


# ------------------------------------------------------------------------------------------------ Parquet


def _parquet(file: DataFile, tally: Tally, columns: Sequence[str] | None) -> Iterator[Record]:
    start, row = tally.done, 0
    with open_parquet(file) as table:
        total = table.metadata.num_rows or 1
        try:
            # Few rows at a time: a batch becomes Python objects.
            for batch in table.iter_batches(batch_size=256, columns=columns):
                for record in batch.to_pylist():
                    row += 1
                    yield f"row {row:,}", record
                tally.done = start + file.size * row // total
                if tally.limit is not None and tally.done - start > tally.limit:
                    return
        except OSError as error:  # pyarrow's errors of content are OSError or ValueError
            raise _bad_parquet(file, error) from error


def open_parquet(file: DataFile) -> Any:
    """The file as pyarrow.parquet.ParquetFile. Raises DataError when it is none."""
    import pyarrow as pa  # noqa: PLC0415 - 0.2 s, only for those who have such a file
    from pyarrow import parquet  # noqa: PLC0415

    try:
        return parquet.ParquetFile(file.path, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise _bad_parquet(file, error) from error


def _bad_parquet(file: DataFile, error: Exception) -> DataError:
    with file.path.open("rb") as stream:
        pointer = stream.read(30).startswith(b"version https://git-lfs")
    said = "it is a Git LFS pointer" if pointer else " ".join(str(error).split())[:120].rstrip(". ")
    return DataError(f"{file.name} is not a readable Parquet file: {said}.", "Fetch or write it again.")
