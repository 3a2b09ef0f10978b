"""The window of the data's list that is here, and how more of it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftstudio.errors import InputError

PAGE = 200
CELL_CHARACTERS = 1 << 16


@dataclass
class View:
    """What is looked at: which rows, in which order, and the window of them that is here.

    `mode` is "text" or "tokens", `order` "file" or "longest", `only` "all" or "cut"; `first` counts from 0, `total` is
    None where the data was not read to its end.
    """

    mode: str = "text"
    order: str = "file"
    only: str = "all"
    first: int = 0
    lines: list[Mapping[str, Any]] = field(default_factory=list)
    total: int | None = None

    @property
    def end(self) -> int:
        """The first row behind the window, from 0."""
        return self.first + len(self.lines)

    @property
    def goes_on(self) -> bool:
        """Whether there are rows behind the window, as far as is known."""
        return self.total is None or self.end < self.total

    def job(self, first: int, count: int = PAGE) -> dict[str, Any]:
        """What a workbench is asked for."""
        if self.mode == "tokens":
            return {"kind": "listing", "first": first, "count": count, "order": self.order, "only": self.only}
        return {"kind": "preview", "first": first, "count": count, "characters": CELL_CHARACTERS}

    def take(self, result: Mapping[str, Any], where: str) -> None:
        """Take lines in: "before" or "after" those that are here, or in their place."""
        came = list(result["lines"]) if self.mode == "tokens" else _text_lines(result)
        if where == "after":
            self.lines = self.lines + came
        else:
            self.lines = came + self.lines if where == "before" else came
            self.first = int(result["first"])
        self.total = result["shown"] if self.mode == "tokens" else result["total"]
        if self.total is None and where != "before" and not came:
            self.total = self.end


def _text_lines(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    numbered = enumerate(zip(result["rows"], result["cut"], strict=True), start=int(result["first"]) + 1)
    return [{"row": number, "value": value, "cut": cut} for number, (value, cut) in numbered]


def row_number(text: str) -> int:
    """Raises InputError for what is no number of a row."""
    digits = text.strip().replace(",", "")
    if not digits.isdigit() or not 0 < int(digits) < 1 << 53:
        raise InputError("A row's number is a whole number from 1.")
    return int(digits)


def any_changed(files: Iterable[tuple[str, int, int]]) -> bool:
    """Whether a file is no longer of the size and time (ns) that it had."""
    return any(_stamp(Path(path)) != (size, time) for path, size, time in files)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        info = path.stat()
    except OSError:
        return (0, 0)
    return (info.st_size, info.st_mtime_ns)
