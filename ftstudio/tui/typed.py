"""Values of options as text that a person can edit, and back.

    text_of(value) -> "5e-5"           what the field shows; everything that a terminal must not get is escaped
    value_of(field, "5e-5") -> 5e-05   the TOML value, checked by `options.convert`; None takes the key out

A text stands for itself. One that would not survive that (a newline, a control sign, blanks at its ends) is shown as
a TOML string in quotes, and what begins like a TOML string, list or table is read as one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from ftstudio.errors import OptionError
from ftstudio.options import Field, convert
from ftstudio.source import parse_value
from ftstudio.text import quote, safe_text

WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


# ---------------------------------------------------------------------------------------------- to text


def text_of(value: Any, *, ascii_only: bool = False) -> str:
    """A TOML value on one line, as a field shows it; "" for one that is not set."""
    if value is None:
        return ""
    if isinstance(value, str):
        plain = value and value == value.strip() and value[0] not in "\"'[{" and _shows(value, ascii_only)
        return value if plain else toml_string(value, ascii_only=ascii_only)
    if isinstance(value, (list, tuple)) and len(value) == 1 and isinstance(value[0], str):
        return text_of(value[0], ascii_only=ascii_only)
    return toml_of(value, ascii_only=ascii_only)


def toml_of(value: Any, *, ascii_only: bool = False) -> str:
    """A TOML value on one line, as it may stand in a file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, str):
        return toml_string(value, ascii_only=ascii_only)
    if isinstance(value, Mapping):
        pairs = (f"{_key(k, ascii_only)} = {toml_of(v, ascii_only=ascii_only)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_of(item, ascii_only=ascii_only) for item in value) + "]"
    return safe_text(value, one_line=True)


def toml_string(text: str, *, ascii_only: bool = False) -> str:
    """A TOML basic string without any sign that a terminal must not get."""
    return '"' + "".join(_escaped(sign, ascii_only) for sign in text) + '"'


def float_text(value: float) -> str:
    """A float in few characters that mean exactly it: "5e-5", "0.1", "3"."""
    short = f"{value:g}"
    exact = short if float(short) == value else repr(value)
    return exact.replace("e-0", "e-").replace("e+0", "e")


def _key(key: str, ascii_only: bool) -> str:
    bare = key and key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else toml_string(key, ascii_only=ascii_only)


def _shows(text: str, ascii_only: bool) -> bool:
    return safe_text(text, one_line=True) == text and (text.isascii() or not ascii_only)


def _escaped(sign: str, ascii_only: bool) -> str:
    if sign in '"\\':
        return "\\" + sign
    if _shows(sign, ascii_only):
        return sign
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return named.get(sign) or (f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else f"\\U{ord(sign):08x}")


# -------------------------------------------------------------------------------------------- from text


def value_of(field: Field, text: str) -> Any:
    """The TOML value that a person typed, None for nothing. Raises OptionError in the words of the parser."""
    if not text.strip():
        if field.required:
            raise OptionError(field.name, f"{field.name} must be given.", f"It is {field.type_words}.")
        return None
    return checked(field, _read(field, text))


def checked(field: Field, value: Any) -> Any:
    """The value itself. Raises OptionError when the field does not take it."""
    conversations = field.name == "prompts" and isinstance(value, list) and any(isinstance(v, list) for v in value)
    if not conversations:
        convert(field, value)
    return value


def _read(field: Field, text: str) -> Any:
    word = text.strip()
    if field.base == "bool":
        return WORDS.get(word.lower(), word)
    if field.base in {"int", "float"}:
        return _number(word)
    if field.base == "choice":
        return next((choice for choice in field.choices if str(choice) == word), word)
    if field.base == "dict":
        return parse_value(word)
    if field.base == "tuple":
        return _items(field, word)
    return _item(text)


def _items(field: Field, word: str) -> Any:
    if word.startswith("["):
        return parse_value(word)
    if field.item in {"int", "float", "bool"}:
        return [WORDS.get(part.strip().lower(), _number(part.strip())) for part in word.split(",")]
    return _item(word) if field.kind in {"path", "glob"} else [_item(word)]


def _item(text: str) -> Any:
    """A text, or the TOML string that it is written as."""
    word = text.strip()
    read = parse_value(word) if word[:1] in {'"', "'"} else word
    return read if isinstance(read, str) else word


def _number(word: str) -> Any:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(word)
    return word


# ------------------------------------------------------------------------------------ on several lines


def lines_of(field: Field, value: Any, *, ascii_only: bool = False) -> str:
    """A list, a table or a long text on lines of its own: an item a line."""
    if value is None:
        return ""
    if field.base == "dict":
        return "\n".join(f"{_key(str(k), ascii_only)} = {toml_of(v, ascii_only=ascii_only)}" for k, v in value.items())
    if field.base != "tuple":
        return "\n".join(_shown_line(line, ascii_only) for line in str(value).split("\n"))
    items = value if isinstance(value, (list, tuple)) else [value]
    return "\n".join(text_of(item, ascii_only=ascii_only) for item in items)


def _shown_line(line: str, ascii_only: bool) -> str:
    return line if _shows(line, ascii_only) else toml_string(line, ascii_only=ascii_only)


def value_of_lines(field: Field, text: str) -> Any:
    """The TOML value of what `lines_of` shows; lines without anything are left out of lists. Raises OptionError."""
    lines = text.split("\n")
    filled = [line for line in lines if line.strip()]
    if not filled:
        return value_of(field, "")
    if field.base == "dict":
        return checked(field, _table(field, filled))
    if field.base != "tuple":
        return checked(field, "\n".join(_item(line) if line[:1] == '"' else line for line in lines))
    return checked(field, [_entry(line) for line in filled])


def _entry(line: str) -> Any:
    """An item of a list: a conversation where it is written as one, else a text."""
    if line.strip().startswith("[{"):
        read = parse_value(line.strip())
        if isinstance(read, list):
            return read
    return _item(line)


def _table(field: Field, lines: Sequence[str]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals or not key.strip():
            raise OptionError(field.name, f"{quote(line.strip())} is not of the form key = value.")
        table[str(_item(key))] = parse_value(value.strip())
    return table
