"""Texts that stand in project.toml itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import datasets

from ftstudio.api import Run
from ftstudio_datasets.options import InlineOptions
from ftstudio_datasets.words import plural


class Inline:
    """The texts of [dataset], one a row, without those that are blank."""

    def __init__(self, options: InlineOptions) -> None:
        self.options = options

    def load(self, run: Run) -> dict[str, datasets.Dataset]:
        """The one table; the blank texts that were left out are counted."""
        kept = self._kept()
        blank = len(self.options.texts) - len(kept)
        if blank:
            run.say(f"{plural(blank, 'blank text')} left out, {len(kept):,} kept.")
        return {"train": datasets.Dataset.from_dict({"text": kept})}

    def preview(self, run: Run, rows: int) -> Iterator[dict[str, str]]:
        """The first rows."""
        del run
        return ({"text": text} for text in self._kept()[:rows])

    def fingerprint(self, run: Run) -> str:
        """The hash of the texts."""
        del run
        return hashlib.sha256(json.dumps(self._kept()).encode()).hexdigest()[:32]

    def _kept(self) -> list[str]:
        return [text for text in self.options.texts if text.strip()]
