"""The form of a project, as plain values: a section a table, an entry an option, each with its problems.

    sections(project, problems) -> Form(sections, rest)      made from `options.describe`, of any component
    as_frozen(form)             -> Form                      of a run, whose record holds every default too
    switching(project, kind, use) -> changes                 what choosing another component writes

A table whose plugin is missing, and a key that nothing reads, are entries that are shown as they stand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ftstudio.api import Problem
from ftstudio.errors import FtstudioError, OptionError
from ftstudio.options import RESERVED, Field, convert, describe
from ftstudio.plugins import Offer, registry
from ftstudio.project import load
from ftstudio.tables import REQUIRED, Head, Part, Project, Selection

FIRST = 6
"""Options of a component that are shown before `.` is pressed, in its own order."""
PROMPTS = Field(
    name="prompts", base="tuple", item="str", default=(), kind="text",
    help="What the model continues at the end of a run and in samples, one prompt a line.",
)  # fmt: skip
ENABLED = Field(
    name="enabled", base="bool", default=True,
    help="Whether it follows runs of this project; false also switches off the observer of your settings by this name.",
)  # fmt: skip
TITLES: Mapping[str, str] = {kind: kind.capitalize() for kind in REQUIRED}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An option of the form. `value` is what the file says, None where it says nothing."""

    table: str
    field: Field
    value: Any = None
    first: bool = True
    fixed: bool = False
    """Shown as it stands: its plugin is missing, nothing reads it, or it lies in another file."""
    problems: tuple[Problem, ...] = ()

    @property
    def key(self) -> str:
        """As `project.edit` names it: "trainer.max_steps", "seed"."""
        return f"{self.table}.{self.field.name}" if self.table else self.field.name

    @property
    def in_force(self) -> Any:
        """The value that holds: the file's, else the default."""
        return self.field.default if self.value is None else self.value

    @property
    def differs(self) -> bool:
        """Whether the file says something else than the default."""
        if self.value is None:
            return False
        try:
            return bool(convert(self.field, self.value) != self.field.default)
        except OptionError:
            return True


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table of the form: which component it names, and its options."""

    table: str
    title: str
    kind: str = ""
    """Which components it may name; "" where that is not chosen here."""
    use: str = ""
    summary: str = ""
    entries: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()

    def shown(self, *, more: bool) -> list[Entry]:
        """The entries to show: the first ones, those that are set or wrong, and with `more` all that apply."""
        values = {entry.field.name: entry.in_force for entry in self.entries}
        return [
            entry for entry in self.entries
            if entry.value is not None or entry.problems or entry.fixed
            or ((more or entry.first) and (not entry.field.shown_if or values.get(entry.field.shown_if)))
        ]  # fmt: skip


@dataclass(frozen=True)
class Form:
    """All sections; `rest` are the problems that belong to none of their entries."""

    sections: tuple[Section, ...] = ()
    rest: tuple[Problem, ...] = ()

    def entry(self, key: object) -> Entry | None:
        """The entry of a key."""
        return next((e for section in self.sections for e in section.entries if e.key == key), None)

    def section(self, key: object) -> Section | None:
        """The section whose component a key names: "trainer.use"."""
        return next((s for s in self.sections if s.table and f"{s.table}.use" == key), None)

    def named(self, text: str) -> list[str]:
        """The keys of the options and components whose names hold a text, also folded ones, in their order."""
        wanted, found = text.strip().lower(), list[str]()
        for section in self.sections:
            names = {f"{section.table}.use": section.title} if section.table else {}
            names |= {entry.key: entry.field.label for entry in section.shown(more=True)}
            found += [
                k for k, label in names.items() if wanted.replace(" ", "_") in k.lower() or wanted in label.lower()
            ]
        return found

    def problems_of(self, key: object) -> tuple[Problem, ...]:
        """What is wrong with an entry or with a section's component."""
        entry, section = self.entry(key), self.section(key)
        return entry.problems if entry else section.problems if section else ()

    def fixable(self) -> list[str]:
        """The keys of the entries and components with a problem whose fix can be written, in their order."""
        keys: list[str] = []
        for section in self.sections:
            keys += [f"{section.table}.use"] if section.table and any(map(can_fix, section.problems)) else []
            keys += [entry.key for entry in section.entries if any(map(can_fix, entry.problems))]
        return keys


def sections(project: Project, problems: Iterable[Problem]) -> Form:
    """The form of a project with these problems at their places."""
    left = list(problems)
    made = [_section(kind, TITLES[kind], project.parts.get(kind), left) for kind in REQUIRED]
    made += _observers(project, left)
    made.append(Section(table="", title="Project", entries=tuple(_head(project, left))))
    return Form(tuple(made), tuple(left))


def _section(kind: str, title: str, part: Part | None, left: list[Problem], label: str = "") -> Section:
    """The section of one table; the problems that it takes are taken out of `left`."""
    table = label or kind
    if part is None:
        missing = tuple(_take(left, lambda p: f"[{kind}] is missing" in p.message))
        return Section(table=table, title=title, kind=kind, problems=missing)
    fields = _fields(kind, part.offer) if part.offer is not None else ()
    entries = [
        Entry(table=table, field=f, value=part.table.get(f.name), first=first, problems=_of(left, table, f.name))
        for f, first in fields
    ]
    known = {entry.field.name for entry in entries} | {"use"}
    entries += [_as_it_stands(table, key, value, left) for key, value in part.table.items() if key not in known]
    own = tuple(_take(left, lambda p: p.table == table))
    summary = part.offer.component.summary if part.offer is not None else ""
    return Section(
        table=table, title=title, kind=kind, use=part.use, summary=summary, entries=tuple(entries), problems=own
    )


def _observers(project: Project, left: list[Problem]) -> Iterator[Section]:
    """The project's observers, those that are switched off too, then those of the settings."""
    parts, tables = {part.label: part for part in project.observers}, project.source.table.get("observers")
    for index, table in enumerate(tables if isinstance(tables, list) else ()):
        label = f"observers[{index}]"
        if label in parts:
            yield _section("observer", "Observer", parts[label], left, label)
        elif isinstance(table, Mapping):
            off = Entry(table=label, field=ENABLED, value=table.get("enabled"), problems=_of(left, label, "enabled"))
            use, own = str(table.get("use", "")), tuple(_take(left, lambda p, label=label: p.table == label))
            yield Section(table=label, title="Observer", kind="observer", use=use, entries=(off,), problems=own)
    for part in project.observers:
        if part.source is not None:
            yield _fixed_section(part.label, "Observer, of the settings", part, left)


def one_more(project: Project) -> Section:
    """The place behind the last observer."""
    tables = project.source.table.get("observers", [])
    count = len(tables) if isinstance(tables, list) else 0
    return Section(table=f"observers[{count}]", title="Observer", kind="observer", summary="follows every run")


def as_frozen(form: Form) -> Form:
    """The form of a run's record, where what equals the default counts as not set: a record holds all of them."""
    made = [
        replace(section, entries=tuple(e if e.differs or e.fixed else replace(e, value=None) for e in section.entries))
        for section in form.sections
    ]
    return Form(tuple(made), form.rest)


def _fixed_section(table: str, title: str, part: Part, left: list[Problem]) -> Section:
    """A section that is shown and not edited here."""
    entries = tuple(_as_it_stands(table, k, v, left) for k, v in part.table.items() if k != "use")
    own = tuple(_take(left, lambda p: p.table == table))
    return Section(table=table, title=title, use=part.use, entries=entries, problems=own)


def _as_it_stands(table: str, key: str, value: Any, left: list[Problem]) -> Entry:
    shown = Field(name=key, base="str", help="Nothing that is installed reads this key.")
    return Entry(table=table, field=shown, value=value, fixed=True, problems=_of(left, table, key))


def _head(project: Project, left: list[Problem]) -> Iterator[Entry]:
    """The keys above the first table, without the format."""
    for f in describe(Head):
        if f.name != "format":
            yield Entry(table="", field=f, value=project.source.table.get(f.name), problems=_of(left, "", f.name))


def _fields(kind: str, offer: Offer) -> list[tuple[Field, bool]]:
    """The fields of a table, each with whether it is one of the first: the core's own after the component's."""
    own = describe(offer.component.options)
    plain = [f.name for f in own if not f.advanced and not f.shown_if][:FIRST]
    fields = [(f, f.name in plain or f.required) for f in own]
    if kind == "generator":
        fields.insert(0, (PROMPTS, True))
    if kind == "dataset":
        fields += [(f, not f.advanced) for f in describe(Selection)]
    if kind == "observer":
        fields.append((ENABLED, True))
    return fields


def _of(left: list[Problem], table: str, name: str) -> tuple[Problem, ...]:
    return tuple(_take(left, lambda p: p.table == table and p.option == name))


def _take(left: list[Problem], belongs: Any) -> list[Problem]:
    """Take the problems that belong somewhere out of those that are left."""
    taken = [p for p in left if belongs(p)]
    left[:] = [p for p in left if not belongs(p)]
    return taken


def with_problems(form: Form, key: str, problems: tuple[Problem, ...]) -> Form:
    """The form with other problems at one entry."""
    made = [
        replace(section, entries=tuple(replace(e, problems=problems) if e.key == key else e for e in section.entries))
        for section in form.sections
    ]
    return Form(tuple(made), form.rest)


def field_of(project: Path, key: str) -> Field | None:
    """The option of a dotted key, by the components that a project names now; None when that cannot be said."""
    with contextlib.suppress(FtstudioError):
        entry = sections(load(project), ()).entry(key)
        return entry.field if entry is not None and not entry.fixed and "[" not in entry.table else None
    return None


# ------------------------------------------------------------------------------------------------ changes


def components(kind: str) -> dict[str, str]:
    """The names that `use` may have for a kind, with the summaries of what they mean."""
    names = registry().names(kind)
    found = {}
    for name, records in sorted(names.items()):
        bare = name.rpartition("/")[2]
        needed = name == bare or names[bare] != records  # a long name only where the bare one means another
        if needed and len(records) == 1:
            described = records[0].components
            found[name] = next((c.summary for c in described if c.kind == kind and c.name == bare), "")
    return found


def switching(project: Project, kind: str, use: str, label: str = "") -> dict[str, Any]:
    """The changes that choose another component: options that it does not have go out. Raises FtstudioError.

    `label` is the place of the table where it is not the kind's own: "observers[1]".
    """
    offer, table = registry().find(kind, use), label or kind
    known = {f.name for f in describe(offer.component.options)} | RESERVED.get(kind, frozenset()) | {"use"}
    parts = [*project.parts.values(), *project.observers]
    part = next((one for one in parts if one.label == table), None)
    gone = [key for key in part.table if key not in known] if part is not None else []
    return {f"{table}.use": use, **{f"{table}.{key}": None for key in gone}}


def can_fix(problem: Problem) -> bool:
    """Whether a problem's fix is more than a sentence, and of the project's own file."""
    return bool(problem.edit) and not problem.table.startswith("settings.")


def fix_of(project: Project, problem: Problem) -> dict[str, Any]:
    """The changes that a problem's fix writes; {} when none can be. Raises FtstudioError."""
    if not can_fix(problem):
        return {}
    kind = "observer" if "[" in problem.table else problem.table
    changes: dict[str, Any] = {}
    for option, value in problem.edit.items():
        if option == "use" and problem.table:
            changes |= switching(project, kind, str(value), problem.table)
        else:
            changes[f"{problem.table}.{option}" if problem.table else option] = value
    return changes
