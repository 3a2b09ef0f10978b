"""The form as lines: a row an option, and below it, wrapped, what is wrong with it.

    * learning_rate               1e-3         default 5e-5
      ! The rate is high for this model.   f: learning_rate = 5e-5

A star and bold type mark what differs from the default; so do they without colour.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rich.text import Text

from ftstudio.api import Problem
from ftstudio.errors import FtstudioError, ProblemsError
from ftstudio.text import safe_text
from ftstudio.tui.form import Entry, Form, Section, can_fix
from ftstudio.tui.look import Look
from ftstudio.tui.typed import text_of, toml_of
from ftstudio.tui.widgets.lines import Row

VALUE_AT = 32
"""The column in which values begin."""
MARKS: Mapping[str, tuple[str, str]] = {"error": ("✗", "red"), "warning": ("!", "yellow"), "note": ("-", "dim")}


def rows_of(form: Form, look: Look, width: int, *, more: bool, rest: str, fix: str = "fix") -> list[Row]:
    """All rows of a form for a list of this width.

    `rest` is the key that shows the other options; `fix` stands before what mends a problem: the key that does it.
    """
    rows = [row for problem in form.rest for row in _problem_rows(problem, look, width, "fix")]
    for section in form.sections:
        if section.table or section.entries:
            rows += _section_rows(section, look, width, more=more, rest=rest, fix=fix)
    return rows


def _section_rows(section: Section, look: Look, width: int, *, more: bool, rest: str, fix: str) -> Iterator[Row]:
    shown = section.shown(more=more)
    yield Row(f"{section.table}.use" if section.table else None, _header(section, look, width))
    for problem in section.problems:
        yield from _problem_rows(problem, look, width, fix)
    for entry in shown:
        yield Row(entry.key, entry_text(entry, look, width))
        for problem in entry.problems:
            yield from _problem_rows(problem, look, width, fix)
    left = len(section.shown(more=True)) - len(shown)
    if left:
        yield Row(None, look.plain(f"   {rest} {left} more", "dim"))


def _header(section: Section, look: Look, width: int) -> Text:
    text = Text.assemble((f" {section.title:<10} ", "bold"), end="", no_wrap=True)
    if section.table:
        none = Text("add one", "dim") if section.kind == "observer" else Text("choose one", "bold")
        text.append_text(look.plain(section.use, "bold") if section.use else none)
        text.pad_right(max(0, VALUE_AT - 8 - text.cell_len))
        text.append_text(look.plain(f"  {section.summary}" if section.summary else "", "dim"))
    text.truncate(width - 1, overflow="crop" if look.ascii else "ellipsis")
    return text


def entry_text(entry: Entry, look: Look, width: int) -> Text:
    """An option as one line: its name, its value, its unit, and the default where the value is another."""
    f = entry.field
    mark = "*" if entry.differs and not entry.fixed else " "
    name = look.plain(f.label or f.name, "" if not entry.fixed else "dim")
    name.truncate(VALUE_AT - 4, pad=True)
    text = Text.assemble(f" {mark} ", name, " ", end="", no_wrap=True)
    aside = _aside(entry, look)
    value, room = _value(entry, look), max(4, width - VALUE_AT - aside.cell_len - 1)
    if f.kind in {"path", "glob"} or f.base == "path":
        _keep_end(value, room, "..." if look.ascii else "…")
    value.truncate(room, overflow="crop" if look.ascii else "ellipsis")
    return text.append_text(value).append_text(aside)


def _keep_end(text: Text, room: int, sign: str) -> None:
    """Shorten a path at its beginning: its end says which file it is."""
    if len(text) > room:
        text.plain = sign + text.plain[len(text) - room + len(sign) :]


def _value(entry: Entry, look: Look) -> Text:
    style = "bold" if entry.differs and not entry.fixed else ""
    if entry.value is None and entry.field.required:
        return Text("missing", "red")
    if entry.value is None and entry.field.default in (None, (), {}, ""):
        return Text("not set" if entry.field.default is None else "none", "dim")
    shown = entry.in_force
    if isinstance(shown, (list, tuple)) and len(shown) > 1:
        first = text_of(shown[0]) if isinstance(shown[0], str) else toml_of(shown[0])
        return look.plain(f"{len(shown)}: {first}", style)
    return look.plain(text_of(shown), style if entry.value is not None else "dim")


def _aside(entry: Entry, look: Look) -> Text:
    """Unit and default, dim."""
    f = entry.field
    known = entry.in_force is not None and entry.in_force != ()
    parts = [f.unit] if f.unit and known else []
    if entry.differs and not f.required and not entry.fixed:
        default = text_of(f.default) if f.default not in (None, (), {}, "") else ""
        parts.append(f"  default {default}" if 0 < len(default) < 20 else "")
    words = " ".join(filter(None, parts))
    return look.plain(f" {words}" if words else "", "dim")


def _problem_rows(problem: Problem, look: Look, width: int, fix: str) -> Iterator[Row]:
    mark, colour = MARKS[problem.level]
    words = safe_text(f"{problem.message} {problem.fix}".strip(), one_line=True)
    if problem.edit:
        words += f"  {fix if can_fix(problem) else 'fix'}: " + ", ".join(
            f"{key} = {toml_of(value)}" for key, value in problem.edit.items()
        )
    for index, line in enumerate(textwrap.wrap(words, max(20, width - 6))):
        lead = f"   {look.words(mark)} " if index == 0 else "     "
        yield Row(None, Text.assemble((lead, colour), look.plain(line, colour), end="", no_wrap=True))


# ------------------------------------------------------------------------------------ what cannot be read


def error_rows(error: FtstudioError, look: Look, width: int, way: str) -> list[Row]:
    """What is said in place of the form when project.toml cannot be read: file, line, column and the sentence.

    `way` is a last sentence, on what leads on.
    """
    lines: list[tuple[str, str]] = []
    if isinstance(error, ProblemsError):
        for problem in error.problems:
            lines += [(_place(problem), "bold"), (f"{problem.message} {problem.fix}".strip(), "red")]
    else:
        lines += [(error.message, "red"), (error.hint, "")]
    lines += [("", ""), (way, "dim")]
    return [Row(None, look.plain(f" {part}", style)) for text, style in lines for part in _wrapped(text, width - 2)]


def _place(problem: Problem) -> str:
    place = (problem.file or Path("project.toml")).name
    return ":".join([place, *(str(n) for n in (problem.line, problem.column) if n is not None)])


def _wrapped(text: str, width: int) -> Iterable[str]:
    return textwrap.wrap(safe_text(text, one_line=True), max(20, width)) or [""]
