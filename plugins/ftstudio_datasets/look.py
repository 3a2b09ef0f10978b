"""A first look at files: exact where they are small, a sample where they are large, and never an exception.

A look reads with the same code as a load, so what it finds wrong is said in the same words, only earlier.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path

from ftstudio.api import Facts
from ftstudio_datasets.columns import Choice
from ftstudio_datasets.decode import LONGEST_ROW, Tally
from ftstudio_datasets.files import OPTION_OF, DataFile, find
from ftstudio_datasets.options import FileOptions, TableOptions, TextOptions
from ftstudio_datasets.records import format_of, open_parquet
from ftstudio_datasets.rows import (
    MEASURED_ON,
    Row,
    columns_of,
    first_texts,
    nothing_in,
    table_choice,
    table_rows,
    text_rows,
    texts_of,
    weight,
)
from ftstudio_datasets.words import DataError

READ_WHOLE = 2 * 2**20
"""Bytes of text up to which all of it is read: 60 ms for JSONL of short rows, the slowest to read."""
SAMPLE = 2**19
"""Bytes of which a larger amount is judged."""


@dataclass(frozen=True)
class Counted:
    """Rows and characters of some files; `sampled`: extrapolated from their beginning. `rows` 0 when none was met.

    `texts` are the first ones, where any was read; `foreign` the files that seem to be in another encoding.
    """

    rows: int = 0
    characters: int = 0
    longest: int = 0
    sampled: bool = False
    texts: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """What a look has found: facts, what is wrong, the reading of the columns, and files used for both purposes.

    `foreign` are files that seem to be in another encoding; `idle` an option that no file reads.
    """

    facts: Facts
    error: DataError | None = None
    choice: Choice | None = None
    shared: str = ""
    foreign: tuple[str, ...] = ()
    idle: str = ""


def look(options: FileOptions, folder: Path) -> Look:
    """Look at the files that the options name. Raises nothing that bad input can cause."""
    without = Facts(validation_rows=None if options.validation_path else 0)
    try:
        train = find(options.path, folder)
        validation = find(options.validation_path, folder, OPTION_OF["validation"]) if options.validation_path else []
        found = _look(options, tuple(train), tuple(validation))
        return replace(found, facts=without.over(found.facts))
    except DataError as error:
        return Look(Facts(), error)
    except OSError as error:
        return Look(Facts(), DataError(f"The data cannot be read: {error.strerror or error}.", "Check its path."))


@lru_cache(maxsize=32)  # a form asks at every key press; a changed file has another size or mtime
def _look(options: FileOptions, train: tuple[DataFile, ...], validation: tuple[DataFile, ...]) -> Look:
    facts, choice = Facts(), None
    both = {file.path.resolve() for file in train} & {file.path.resolve() for file in validation}
    shared = next((file.name for file in train if file.path.resolve() in both), "")
    foreign: tuple[str, ...] = ()
    try:
        idle = _idle(options, train)
        if isinstance(options, TableOptions):
            columns = columns_of(train[0], options)
            facts = Facts(columns=tuple(columns) or None)
            choice = table_choice(train, options)
        facts = Facts(shape=choice.shape if choice else "text", columns=facts.columns or ("text",))
        counted = _counted(options, train, choice)
        facts, foreign = _facts(facts, counted), counted.foreign
        if validation:
            apart = _counted(options, validation, choice, OPTION_OF["validation"])
            guess = frozenset({"validation_rows"}) if apart.sampled else frozenset[str]()
            facts = Facts(validation_rows=apart.rows or None, estimated=guess).over(facts)
            foreign += apart.foreign
    except DataError as error:
        return Look(facts, error, choice, shared)
    return Look(facts, None, choice, shared, foreign, idle)


def _idle(options: FileOptions, files: Sequence[DataFile]) -> str:
    """The option `delimiter` where it is set and no file has any."""
    if not isinstance(options, TableOptions) or options.delimiter is None:
        return ""
    return "" if {"csv", "tsv"} & {format_of(file, options) for file in files} else "delimiter"


def _facts(known: Facts, counted: Counted) -> Facts:
    figures = {"rows": counted.rows, "characters": counted.characters, "longest_characters": counted.longest}
    known_now = frozenset(name for name, figure in figures.items() if figure)
    return replace(
        known,
        rows=counted.rows or None,
        characters=counted.characters or None,
        longest_characters=counted.longest or None,
        sample=counted.texts or None,
        estimated=known_now if counted.sampled else frozenset(),
    )


# ------------------------------------------------------------------------------------------------ counting


def _counted(options: FileOptions, files: Sequence[DataFile], choice: Choice | None, option: str = "path") -> Counted:
    """Count all rows of a little data, or a sample's. Raises DataError for what a load would refuse, as far as seen."""
    packed = [f for f in files if isinstance(options, TableOptions) and format_of(f, options) == "parquet"]
    plain = [f for f in files if f not in packed]
    parts = [_parquet(options, packed, choice)] if packed and isinstance(options, TableOptions) and choice else []
    if plain:
        parts.append(_plain(options, plain, choice))
    counted = _together(parts)
    if not counted.rows and not counted.sampled:
        raise nothing_in(files, "record" if choice else "line", option)
    return counted


def _together(parts: Sequence[Counted]) -> Counted:
    """Of files of several formats: the longest row is known when it is of each."""
    return Counted(
        sum(part.rows for part in parts),
        sum(part.characters for part in parts),
        max(part.longest for part in parts) if all(part.longest or not part.rows for part in parts) else 0,
        any(part.sampled for part in parts),
        next((part.texts for part in parts if part.texts), ()),
        tuple(name for part in parts for name in part.foreign),
    )


def _plain(options: FileOptions, files: Sequence[DataFile], choice: Choice | None) -> Counted:
    total = sum(file.size for file in files)
    sampled = total > READ_WHOLE
    if sampled and isinstance(options, TextOptions) and options.split_by == "document":
        return _documents(options, files)
    tally = Tally(limit=SAMPLE if sampled else None)
    counted = _count(_rows(options, _first(files) if sampled else files, choice, tally))
    scale = total / max(1, tally.done) if sampled else 1.0
    return replace(
        counted,
        rows=round(counted.rows * scale),
        characters=round(counted.characters * scale),
        sampled=sampled,
        foreign=tuple(tally.foreign),
    )


def _first(files: Sequence[DataFile]) -> list[DataFile]:
    """As many of the files as make a sample."""
    chosen: list[DataFile] = []
    while len(chosen) < len(files) and sum(min(file.size, SAMPLE) for file in chosen) < SAMPLE:
        chosen.append(files[len(chosen)])
    return chosen


def _rows(options: FileOptions, files: Sequence[DataFile], choice: Choice | None, tally: Tally) -> Iterator[Row]:
    if isinstance(options, TableOptions) and choice:
        return table_rows(files, options, choice, tally)
    assert isinstance(options, TextOptions)
    return text_rows(files, options, tally)


def _count(rows: Iterator[Row]) -> Counted:
    count = characters = longest = 0
    first: list[Row] = []
    for row in rows:
        if characters < MEASURED_ON:
            first.append(row)
        size = weight(row)
        count, characters, longest = count + 1, characters + size, max(longest, size)
    return Counted(count, characters, longest, texts=first_texts(chain.from_iterable(map(texts_of, first))))


def _documents(options: TextOptions, files: Sequence[DataFile]) -> Counted:
    """Whole files as rows: their sizes say enough, once the first bytes were seen to be text."""
    texts = _count(text_rows(_first(files), options, Tally(limit=SAMPLE))).texts
    rows = sum(-(-file.size // LONGEST_ROW) for file in files)
    longest = min(max(file.size for file in files), LONGEST_ROW)
    return Counted(rows, sum(file.size for file in files), longest, sampled=True, texts=texts)


def _parquet(options: TableOptions, files: Sequence[DataFile], choice: Choice) -> Counted:
    """Rows are in the footer, and so are the bytes of each column before compression."""
    rows = size = 0
    for file in files:
        with open_parquet(file) as table:
            footer = table.metadata
            rows += footer.num_rows
            groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
            cells = (group.column(i) for group in groups for i in range(footer.num_columns))
            size += sum(
                cell.total_uncompressed_size for cell in cells if cell.path_in_schema.split(".")[0] in choice.read
            )
    if size > READ_WHOLE:
        return Counted(rows, size, 0, sampled=True)
    return _count(table_rows(files, options, choice, Tally()))
