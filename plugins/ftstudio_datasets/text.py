"""Plain text files, cut into rows at lines, blank lines, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

import datasets

from ftstudio.api import Run
from ftstudio_datasets.arrow import Opened, cached_tables
from ftstudio_datasets.decode import Tally
from ftstudio_datasets.files import DataFile, find_all, fingerprint
from ftstudio_datasets.options import TextOptions
from ftstudio_datasets.rows import Row, check_read, text_rows


class Text:
    """Rows of one column, text. A long document stays one row: tokenizers cut it into consecutive ones."""

    def __init__(self, options: TextOptions) -> None:
        self.options = options

    def load(self, run: Run) -> dict[str, datasets.Dataset]:
        """The files of `path` and of `validation_path`, memory-mapped from the cache."""
        found = find_all(self.options, run.project)
        key = fingerprint("text", self.options, found)
        return cached_tables(run, key, {name: partial(self._open, name, found[name]) for name in found})

    def preview(self, run: Run, rows: int) -> Iterator[Row]:
        """The first rows, reading no further than they are."""
        files = find_all(self.options, run.project)["train"]
        return islice(text_rows(files, self.options, Tally()), rows)

    def fingerprint(self, run: Run) -> str:
        """Of what the files hold and how they are cut."""
        return fingerprint("text", self.options, find_all(self.options, run.project))

    def _open(self, name: str, files: Sequence[DataFile]) -> Opened:
        tally = Tally()
        return Opened(
            columns=("text",),
            rows=text_rows(files, self.options, tally),
            tally=tally,
            total=sum(file.size for file in files),
            done=lambda count: check_read(count, name, files, "line"),
        )
