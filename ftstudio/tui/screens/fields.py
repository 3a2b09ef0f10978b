"""The small screens that a field opens which is no line of text: choices, components, lists, tables, long texts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from rich.text import Text
from textual.app import App

from ftstudio.errors import InputError
from ftstudio.tui.form import Entry, components
from ftstudio.tui.look import Look
from ftstudio.tui.screens.asking import Picking
from ftstudio.tui.screens.listing import Listing
from ftstudio.tui.typed import lines_of, text_of, value_of_lines
from ftstudio.tui.widgets.lines import Row

Write = Callable[[Mapping[str, Any]], bool]
"""Writes changed values; False when that was refused, and said."""
UNSET = "unset"


def on_lines(entry: Entry) -> bool:
    """Whether a value needs several lines: tables, lists of texts, long texts, but no paths."""
    f = entry.field
    if f.base == "dict" or (f.base == "tuple" and f.item == "str" and f.kind not in {"path", "glob"}):
        return True
    return f.base == "str" and f.kind == "text"


def ask_value(app: App[Any], look: Look, entry: Entry, write: Write) -> None:
    """Pick one of a field's choices, or none where it may be absent."""
    f = entry.field
    values = list(f.choices) or [True, False]
    rows = [Row(i, look.plain(f" {text_of(v)}{'  (default)' if v == f.default else ''}")) for i, v in enumerate(values)]
    if f.nullable:
        rows.append(Row(UNSET, look.plain(" not set")))
    at: Hashable = values.index(entry.in_force) if entry.in_force in values else UNSET

    def picked(index: Hashable) -> None:
        if index is not None:
            write({entry.key: values[index] if isinstance(index, int) else None})

    app.push_screen(Picking(entry.key, rows, at), picked)


def ask_component(app: App[Any], look: Look, kind: str, use: str, take: Callable[[str], None]) -> None:
    """Pick one of the installed components of a kind, by name and summary."""
    found = components(kind)
    width = max(map(len, found), default=0)
    rows = [
        Row(name, Text.assemble(" ", look.plain(f"{name:<{width}}"), look.plain(f"  {summary}", "dim"), end=""))
        for name, summary in found.items()
    ]
    if not rows:
        raise InputError(f"No {kind} is installed.", "'ftstudio plugins list' says why.")

    def picked(name: Hashable) -> None:
        if isinstance(name, str) and name != use:
            take(name)

    app.push_screen(Picking(f"{kind}.use", rows, use), picked)


def ask_lines(app: App[Any], look: Look, entry: Entry, write: Write) -> None:
    """Edit a list, a table or a long text on lines of its own; one that is not set begins as its default."""
    f = entry.field
    value = lines_of(f, entry.in_force, ascii_only=look.ascii)
    hint = {"tuple": "one item a line", "dict": "key = value, one a line"}.get(f.base, "a text")
    if f.choices:
        hint += f", each of them {', '.join(text_of(choice, ascii_only=look.ascii) for choice in f.choices)}"

    def check(text: str) -> object:
        return value_of_lines(f, text)

    def keep(text: str) -> bool:
        return text == value or write({entry.key: value_of_lines(f, text)})

    app.push_screen(Listing(look.plain(entry.key, "bold"), value, hint, check, keep))
