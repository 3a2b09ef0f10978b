"""The dataset source `markdown`. Loads no torch: rows are kept in a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from ftstudio.api import ComponentError, Run
from ftstudio_markdown import files
from ftstudio_markdown.documents import counted, read, rows
from ftstudio_markdown.files import Found
from ftstudio_markdown.options import MarkdownOptions

Row = dict[str, str]


@dataclass(frozen=True)
class Texts:
    """A table of one column."""

    rows: Sequence[Row]
    column_names: Sequence[str] = ("text",)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]


class Markdown:
    """Rows of one column, text."""

    def __init__(self, options: MarkdownOptions) -> None:
        self.options = options

    def load(self, run: Run) -> Mapping[str, Texts]:
        """All rows. Raises ComponentError, naming file and line, for what cannot be read, and when nothing is left."""
        tables = {"train": self._table("train", self.options.path, run)}
        if self.options.validation_path:
            tables["validation"] = self._table("validation", self.options.validation_path, run)
        return tables

    def preview(self, run: Run, count: int) -> Iterator[Row]:
        """The first rows, reading no further than they are."""
        return islice(self._rows(files.find(self.options.path, run.project)), count)

    def fingerprint(self, run: Run) -> str:
        """Of what the documents hold and how they are cut."""
        return files.fingerprint(self.options, run.project)

    def _table(self, name: str, patterns: Sequence[str], run: Run) -> Texts:
        found = files.find(patterns, run.project)
        every: list[Row] = []
        left_out = 0
        for done, file in enumerate(found, start=1):
            some = list(self._rows([file]))
            left_out += not some
            every += some
            run.progress(done, len(found), "file")
        if not every:
            wanted = "where chooses none of them" if self.options.where else "they hold no text"
            raise ComponentError(f"No row is left of {counted(len(found))}: {wanted}.", "Check path and where.")
        if left_out:
            run.say(f"{left_out:,} of {counted(len(found))} of {name} gave no row: empty, or not chosen by where.")
        return Texts(every)

    def _rows(self, found: Sequence[Found]) -> Iterator[Row]:
        for file in found:
            yield from ({"text": text} for text in rows(read(file.path, file.name), self.options.how))
