"""How this package speaks of data: quoted, shortened, counted; and the error that names the option to mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ftstudio.api import ComponentError


class DataError(ComponentError):
    """Data that cannot be used; `option` is the setting to blame, `edit` what would mend it.

    Loading raises it; the light checks raise the same and show it where that setting stands.
    """

    def __init__(
        self, message: str, hint: str = "", option: str = "path", edit: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, hint)
        self.option = option
        self.edit = dict(edit or {})

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.hint, self.option, self.edit)


def quote(text: object, limit: int = 60) -> str:
    """Text from outside within a sentence: quoted, on one line, at most `limit` characters."""
    shown = " ".join(str(text)[: 4 * limit].split())
    return f"'{shown[: limit - 1]}…'" if len(shown) > limit else f"'{shown}'"


def name_of(path: Path) -> str:
    """A path within a sentence; the end tells more than the start when it is long."""
    shown = str(path)
    return f"'…{shown[-159:]}'" if len(shown) > 160 else f"'{shown}'"


def plural(count: int, noun: str) -> str:
    """Count and noun: "1 row", "4,812 rows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def size_text(count: float) -> str:
    """Bytes in powers of 1000: "64 MB"."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Names in a sentence, the first `limit` of them."""
    every = [quote(name, 40) for name in names]
    more = f" and {len(every) - limit:,} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more if every else "none"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The question after the nearest of `names`, or an empty text when none is near."""
    found = nearest(name, names)
    return f"Did you mean {quote(found)}?" if found else ""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name most like `name`, or None when none is near."""
    return next(iter(difflib.get_close_matches(name[:100], list(names), n=1, cutoff=0.6)), None)
