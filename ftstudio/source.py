"""A person's TOML file: read safely, located by line, edited with comments and order kept.

tomllib gives no line numbers, raises RecursionError at 5,000 nested arrays and needs seconds for some 40 KiB of
dotted keys. One scan over the tokens, before tomllib sees the text, gives the line of each key and refuses what
would hurt. Edits compare the file with what was read and are refused when somebody else was faster.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftstudio.api import Problem
from ftstudio.errors import FileChangedError, InputError, ProblemsError
from ftstudio.explain import explain, explained
from ftstudio.files import write_atomic
from ftstudio.locks import exclusive
from ftstudio.text import quote, safe_text, size_text

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_KEY_PARTS = 16
MAX_DIGITS = 400


@dataclass(frozen=True)
class Source:
    """A TOML file as it was read. `lines` maps "table.key", "table" and "observers[0].use" to line numbers from 1."""

    path: Path
    text: str
    table: Mapping[str, Any]
    lines: Mapping[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Identity of the content, to notice that somebody else changed the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def line_of(self, table: str, key: str = "") -> int | None:
        """The line of a key, else that of its table, else None."""
        dotted = f"{table}.{key}" if table and key else table or key
        return self.lines.get(dotted) or self.lines.get(table) or self.lines.get(f"{table or key}[0]")


class _NotReadableError(Exception):
    """Why a text is refused, with line and column."""

    def __init__(self, message: str, fix: str = "", line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.message, self.fix, self.line, self.column = message, fix, line, column


def read_source(path: Path) -> Source:
    """Read and parse a TOML file.

    Raises ProblemsError with one located problem when the content is not usable, InputError when the file cannot
    be read at all. Never takes longer than the size limit allows (256 KiB).
    """
    try:
        with open(path, "rb", opener=_opened) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise explain(error, path) from error
    try:
        text = _decode(data)
        lines = _scan(text)
        return Source(path, text, _parse(text), lines)
    except _NotReadableError as error:
        problem = Problem(
            level="error", message=error.message, fix=error.fix, file=path, line=error.line, column=error.column
        )
        raise ProblemsError(f"{quote(path, 200)} cannot be read.", [problem]) from None


def _opened(path: str, flags: int) -> int:
    """Open a regular file; a named pipe would wait for its writer for ever."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{quote(path, 200)} is a named pipe, not a file.", "Put a file in its place.")
    return descriptor


def parse_value(text: str) -> Any:
    """A TOML value as it stands behind `=` on the command line; what is no TOML value is a string."""
    try:
        _scan(f"value = {text}")
        return _parse(f"value = {text}\n")["value"]
    except (_NotReadableError, KeyError):
        return text


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _NotReadableError(
            f"The file is larger than {size_text(MAX_BYTES)}.", "Settings are small; keep data in files of its own."
        )
    if data.startswith(b"\xef\xbb\xbf"):
        raise _NotReadableError("The file starts with a byte order mark.", "Save it as UTF-8 without BOM.", 1, 1)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _NotReadableError("The file is UTF-16, not UTF-8.", "Save it as UTF-8.", 1, 1)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _position(data[: error.start].decode("utf-8", "replace"))
        raise _NotReadableError(
            f"Byte 0x{data[error.start]:02x} is not UTF-8.", "Save the file as UTF-8.", line, column
        ) from None
    if "\0" in text:
        raise _NotReadableError(
            "The file holds a NUL byte.", "Restore it or delete the byte.", *_position(text[: text.index("\0")])
        )
    return text


def _position(before: str) -> tuple[int, int]:
    """Line and column, from 1, of what follows this text."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


_PLAINER = {
    r"^Cannot overwrite a value$": "the key stands twice",
    r"^Cannot declare \(.*\) twice$": "the table stands twice",
}
"""What tomllib says -> what that means to a person."""


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        place = _AT.search(said)
        line, column = (int(place[1]), int(place[2])) if place and place[1] else _position(text)
        words = said[: place.start()] if place else said
        for theirs, ours in _PLAINER.items():
            words = re.sub(theirs, ours, words)
        raise _NotReadableError(f"It is not TOML: {safe_text(words)[:160]}.", "Mend that line.", line, column) from None
    except RecursionError:
        raise _NotReadableError("It is nested too deeply.", f"{MAX_DEPTH} levels are allowed.") from None
    except ValueError as error:  # a number with more digits than Python converts, a date that does not exist
        raise _NotReadableError(f"It holds a value that cannot be read: {safe_text(error)[:120]}.") from None


# --------------------------------------------------------------------------------------------------- scan

_TOKEN = re.compile(
    r"(?P<bare>[A-Za-z0-9_+-]+)|(?P<newline>\n)|(?P<dot>\.)|(?P<open>[\[{])|(?P<close>[\]}])|(?P<equals>=)"
    r"|(?P<comment>#[^\n]*)|(?P<other>[^\n\[\]{}=.#\"'A-Za-z0-9_+-]+)"
)
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'')
_LONG = {
    '"""': re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}', re.DOTALL),
    "'''": re.compile(r"'''(?:[^']|'(?!''))*'{3,5}", re.DOTALL),
}


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Kind, text and position of each token; ends early at a string that is not closed (tomllib then says so)."""
    at = 0
    while at < len(text):
        if text[at] in "\"'":
            pattern = _LONG.get(text[at : at + 3], _STRING)
            match = pattern.match(text, at)
            kind = "string"
        else:
            match = _TOKEN.match(text, at)
            kind = match.lastgroup or "other" if match else "other"
        if match is None:
            return
        yield kind, match.group(), at
        at = match.end()


class _Scanner:
    """Walks the tokens once: finds the line of each key, and refuses depth, digits and dots beyond the limits."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines: dict[str, int] = {}
        self.line, self.depth = 1, 0
        self.parts: list[str] = []  # of the key or header being read
        self.dotted = False  # the last token was a dot
        self.prefix = ""
        self.in_value = self.in_header = False
        self.arrays: dict[str, int] = {}

    def run(self) -> dict[str, int]:
        handlers = {
            "newline": self.on_newline,
            "bare": self.on_bare,
            "string": self.on_string,
            "dot": self.on_dot,
            "open": self.on_open,
            "close": self.on_close,
            "equals": self.on_equals,
        }
        for kind, token, at in _tokens(self.text):
            handler = handlers.get(kind)
            if handler is not None:
                handler(token, at)
        return self.lines

    def on_newline(self, token: str, at: int) -> None:
        if self.in_header:
            self._header(at)
        if self.depth == 0:
            self.in_value = False
        self.parts, self.dotted = [], False
        self.line += 1

    def on_bare(self, token: str, at: int) -> None:
        if len(token) > MAX_DIGITS and token.strip("+-_0123456789") == "":
            raise _NotReadableError(f"A number has more than {MAX_DIGITS} digits.", "", *_position(self.text[:at]))
        self._part(token, at)

    def on_string(self, token: str, at: int) -> None:
        self._part(token[1:-1] if len(token) < 200 else "", at)
        if token.startswith(('"""', "'''")):
            self.line += token.count("\n")

    def _part(self, token: str, at: int) -> None:
        if not self.dotted:
            self.parts = [token]
            return
        self.parts.append(token)
        self.dotted = False
        if len(self.parts) > MAX_KEY_PARTS:
            raise _NotReadableError(
                f"A key has more than {MAX_KEY_PARTS} dotted parts.", "", *_position(self.text[:at])
            )

    def on_dot(self, token: str, at: int) -> None:
        self.dotted = True

    def on_open(self, token: str, at: int) -> None:
        if token == "[" and not self.in_value:  # noqa: S105 - a bracket, no password
            self.in_header = True
            return
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _NotReadableError(
                f"It is nested more than {MAX_DEPTH} deep.", "Settings are flat.", *_position(self.text[:at])
            )

    def on_close(self, token: str, at: int) -> None:
        if not self.in_header:
            self.depth = max(0, self.depth - 1)

    def on_equals(self, token: str, at: int) -> None:
        if not self.in_value:
            name = ".".join(self.parts)
            self.lines.setdefault(f"{self.prefix}{name}", self.line)
            for end in range(1, len(self.parts)):
                self.lines.setdefault(self.prefix + ".".join(self.parts[:end]), self.line)
            self.in_value = True
        self.parts, self.dotted = [], False

    def _header(self, at: int) -> None:
        name = ".".join(self.parts)
        start = self.text.rfind("\n", 0, at) + 1
        if self.text[start:at].lstrip().startswith("[["):
            index = self.arrays.get(name, 0)
            self.arrays[name] = index + 1
            name = f"{name}[{index}]"
        self.lines.setdefault(name, self.line)
        self.prefix = f"{name}."
        self.in_header = False


def _scan(text: str) -> dict[str, int]:
    return _Scanner(text + "\n").run()


# --------------------------------------------------------------------------------------------------- edit


def edit_source(seen: Source, changes: Mapping[str, Any] | Mapping[tuple[str, ...], Any]) -> Source:
    """Write changed values into the file that `seen` was read from, keeping the person's comments and order.

    `changes` maps "table.key" (or a top-level key) to a TOML value, or None to take the key out; a key that holds dots
    itself is written as its parts, ("keymap", "run.start"); "observers[1].use" is in a list of tables (`change`).
    Raises FileChangedError with the difference when the file is no longer what was seen; the file is then untouched.
    """
    import tomlkit  # noqa: PLC0415 - 40 ms that only an edit needs
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415

    path = seen.path
    try:
        document = tomlkit.parse(seen.text)
        for dotted, value in changes.items():
            change(document, dotted, value)
        text = tomlkit.dumps(document)
        tomllib.loads(text)
    except (TOMLKitError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise InputError(
            f"{quote(path, 200)} cannot be edited: {safe_text(error)[:160]}.", "Edit it by hand."
        ) from error
    return replace_source(seen, text)


def replace_source(seen: Source, text: str) -> Source:
    """Write a whole text in place of what was seen, also where that is gone.

    Raises FileChangedError, and leaves the file, as edits do.
    """
    path = seen.path
    if path.is_symlink():
        raise InputError(
            f"{quote(path, 200)} is a symbolic link; ftstudio does not write through one.", "Edit its target."
        )
    with explained(path), exclusive(path.parent):
        current = path.read_bytes() if os.path.lexists(path) else seen.text.encode()
        if current != seen.text.encode():
            raise FileChangedError(
                f"{quote(path, 200)} was changed by someone else since it was read; nothing was overwritten.",
                "Read it again and repeat the change.",
                difference=_difference(seen.text, current.decode("utf-8", "replace")),
            )
        write_atomic(path, text)
    return read_source(path)


_INDEXED = re.compile(r"(.+)\[(\d{1,4})\]")


def change(tables: Any, where: str | Sequence[str], value: Any) -> None:
    """Put a value into tables, or with None take out what is there; tables on the way are made.

    "observers[1]" is the second of a list of tables: one right behind the last is put there, and a list that becomes
    empty goes. Raises IndexError for one beyond that.
    """
    steps: Sequence[str | int] = _steps(where) if isinstance(where, str) else where
    *way, last = steps
    places = [tables]
    for at, step in enumerate(way):
        if not _holds(places[-1], step):
            if value is not None:
                _put(places[-1], step, _nested([*way[at + 1 :], last], value))
            return
        places.append(places[-1][step])
    if value is not None:
        _put(places[-1], last, value)
    elif _holds(places[-1], last):
        del places[-1][last]
        if isinstance(last, int) and not len(places[-1]):
            del places[-2][way[-1]]


def _steps(dotted: str) -> list[str | int]:
    """The steps of "observers[1].use": "observers", 1, "use"."""
    steps: list[str | int] = []
    for part in dotted.split("."):
        indexed = _INDEXED.fullmatch(part)
        steps += [indexed[1], int(indexed[2])] if indexed else [part]
    return steps


def _holds(place: Any, step: str | int) -> bool:
    return step < len(place) if isinstance(step, int) else step in place


def _put(place: Any, step: str | int, value: Any) -> None:
    if isinstance(step, int) and step == len(place):
        place.append(value)
    else:
        place[step] = value


def _nested(steps: Sequence[str | int], value: Any) -> Any:
    """The value within new tables and lists, the outermost first."""
    for step in reversed(steps):
        value = [value] if isinstance(step, int) else {step: value}
    return value


def _difference(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "as you read it", "as it is now", lineterm="")
    return safe_text("\n".join(lines))
