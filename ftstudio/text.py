"""Names and text: what may be a name, and what may reach a terminal.

Text from outside reaches a terminal only through `safe_text`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ftstudio.errors import InputError

# ------------------------------------------------------------------------------------------------- names

NAME_RULE = "a letter or digit, then letters, digits, '.', '_' or '-', 64 at most"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def is_safe_name(name: str) -> bool:
    """Whether a folder or component may be called so."""
    return _NAME.match(name) is not None


def check_name(name: str, what: str) -> str:
    """The name itself. Raises InputError when it is not one that we create."""
    if not is_safe_name(name):
        raise InputError(f"{quote(name)} is no {what} name.", f"A name is {NAME_RULE}.")
    return name


def expanded(path: str | Path) -> Path:
    """The path with a ~ or ~user in front replaced; "~nobody/x" stays as it is, and whoever looks finds no such file.

    Path.expanduser() raises RuntimeError for a user that is not there.
    """
    try:
        return Path(os.path.expanduser(path))  # noqa: PTH111
    except ValueError:  # a NUL in the user's name
        return Path(path)


def nearest(name: str, names: Iterable[str], alike: float = 0.6) -> str | None:
    """The name most like `name`, or None when none is as `alike` (0 to 1, difflib's ratio)."""
    found = difflib.get_close_matches(name[:100], list(names), n=1, cutoff=alike)
    return found[0] if found else None


# -------------------------------------------------------------------------------------------------- text

DANGEROUS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
"""Characters that act on a terminal, or on the order of a text, instead of being shown. Tab and newline are none."""


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def safe_text(text: object, *, one_line: bool = False) -> str:
    """Text that may be shown on a terminal: control characters, C1, bidi overrides and lone surrogates become
    visible escapes; tab and newline stay unless `one_line`, where they are escaped too.
    """
    shown = DANGEROUS.sub(_escape, str(text))
    if one_line:
        shown = shown.replace("\n", "\\n").replace("\t", "\\t")
    return shown


def prompt_text(prompt: object) -> str:
    """A prompt for showing: a text as it is, of a conversation what was said last; "" for what is neither.

    It may come from a file, so nothing is taken for granted, and it is not escaped yet.
    """
    if isinstance(prompt, (list, tuple)) and prompt and isinstance(prompt[-1], Mapping):
        return str(prompt[-1].get("content", ""))
    return prompt if isinstance(prompt, str) else ""


def quote(text: object, limit: int = 60) -> str:
    """Text from outside for use within a sentence: quoted, on one line, shortened."""
    shown = safe_text(text, one_line=True)
    return f"'{shown[: limit - 1]}…'" if len(shown) > limit else f"'{shown}'"


def sentence(text: str) -> str:
    """Text from outside as a whole sentence: on one line, with its full stop."""
    said = " ".join(text.split()).rstrip(" :")
    return said if not said or said[-1] in ".!?" else f"{said}."


def plural(count: int, noun: str) -> str:
    """Count and noun: "1 row", "4,812 rows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def number_text(value: object) -> str:
    """A number in few characters: "1,234,567", "0.0213"."""
    if not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 1000) or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def size_text(count: float) -> str:
    """Bytes for people, in powers of 1000: "512 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def words_of(error: BaseException) -> str:
    """What an error says; one of a stranger's class may fail even in that."""
    try:
        return str(error)
    except Exception as another:  # noqa: BLE001 - whatever it is, the first error is what counts
        return f"its words cannot be read, for its __str__ raises {type(another).__name__}"
