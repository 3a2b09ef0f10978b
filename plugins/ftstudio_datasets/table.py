"""JSONL, JSON, CSV, TSV and Parquet files, with columns under any name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

import datasets

from ftstudio.api import Run
from ftstudio_datasets.arrow import Opened, cached_tables
from ftstudio_datasets.columns import Choice
from ftstudio_datasets.decode import Tally
from ftstudio_datasets.files import DataFile, find_all, fingerprint
from ftstudio_datasets.options import TableOptions
from ftstudio_datasets.rows import Row, check_read, table_choice, table_rows


class Table:
    """Rows with the standard columns of the shape that the files' columns make."""

    def __init__(self, options: TableOptions) -> None:
        self.options = options

    def load(self, run: Run) -> dict[str, datasets.Dataset]:
        """The files of `path` and of `validation_path`, memory-mapped from the cache. Says how columns were read."""
        found = find_all(self.options, run.project)
        choice = table_choice(found["train"], self.options)
        key = fingerprint("table", self.options, found)
        return cached_tables(run, key, {name: partial(self._open, name, found, choice) for name in found})

    def preview(self, run: Run, rows: int) -> Iterator[Row]:
        """The first rows, reading no further than they are."""
        files = find_all(self.options, run.project)["train"]
        return islice(table_rows(files, self.options, table_choice(files, self.options), Tally()), rows)

    def fingerprint(self, run: Run) -> str:
        """Of what the files hold and how it is read."""
        return fingerprint("table", self.options, find_all(self.options, run.project))

    def _open(self, name: str, found: Mapping[str, Sequence[DataFile]], choice: Choice) -> Opened:
        tally, files = Tally(), found[name]
        if choice.guessed and name == "train":
            tally.said.append(f"C{choice.says()[1:]}.")
        return Opened(
            columns=tuple(choice.columns),
            rows=table_rows(files, self.options, choice, tally),
            tally=tally,
            total=sum(file.size for file in files),
            done=lambda count: check_read(count, name, files, "record"),
        )
