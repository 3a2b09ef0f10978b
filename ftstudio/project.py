"""A project: a folder with `project.toml`. Read, list, create, edit. What its tables mean stands in `tables.py`."""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ftstudio.errors import FtstudioError, InputError, UnknownNameError
from ftstudio.files import new_folder, toml_text, write_atomic
from ftstudio.finding import FILE, default_root, list_projects, way_back
from ftstudio.plugins import Registry, registry
from ftstudio.settings import default_observers
from ftstudio.source import Source, change, edit_source, parse_value, read_source, replace_source
from ftstudio.tables import FORMAT, REQUIRED, Part, Project, Selection, interpret
from ftstudio.text import check_name, expanded, is_safe_name, nearest, quote

__all__ = [
    "FILE",
    "FORMAT",
    "Part",
    "Project",
    "Selection",
    "create",
    "default_root",
    "each_in",
    "each_value",
    "edit",
    "example_files",
    "examples",
    "from_tables",
    "interpret",
    "list_projects",
    "load",
    "put_back",
    "with_changes",
]


def load(folder: Path, overrides: Sequence[str] = (), plugins: Registry | None = None) -> Project:
    """Read and interpret a project's folder.

    `overrides` are "table.key=VALUE" for this run only. Raises UnknownNameError when there is no project,
    ProblemsError when project.toml cannot be read as TOML; everything else is in `Project.problems`.
    """
    folder = expanded(folder)
    if not os.path.lexists(folder / FILE):  # a loop of links is there, and reading it says so
        raise UnknownNameError(f"{quote(folder, 200)} is no project: it has no {FILE}.", way_back(folder))
    source = read_source(folder / FILE)
    return _interpret(folder.resolve(), source, [override(o) for o in overrides], plugins)


def from_tables(folder: Path, file: Path, tables: Mapping[str, Any], plugins: Registry | None = None) -> Project:
    """Interpret the frozen settings of a run, whose file is `file`."""
    return interpret(folder, Source(file, "", tables), (), plugins or registry())


def _interpret(
    folder: Path, source: Source, overrides: Sequence[tuple[str, Any]] = (), plugins: Registry | None = None
) -> Project:
    """A project as it would run: with the observers of the user's settings."""
    return interpret(folder, source, overrides, plugins or registry(), default_observers())


def override(text: str) -> tuple[str, Any]:
    """Key and value of "key.key=VALUE", where VALUE is a TOML value, else a text. Raises InputError."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key or any(not part for part in key.split(".")):
        raise InputError(f"{quote(text)} is not of the form key.key=VALUE.", "For example: trainer.max_steps=10.")
    return key, parse_value(value.strip())


def each_value(texts: Sequence[str], beside: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """The overrides of each run that some "key.key=A,B,C" ask for: they multiply, the first one changes slowest.

    Without any that is one run without overrides. Commas inside of quotes, brackets or braces do not part values.
    Raises InputError for what is not of that form or holds fewer than two values, and for a key that is set twice, by
    these or by the overrides `beside` them.
    """
    named = [override(text)[0] for text in (*beside, *texts)]
    for text in texts:
        key = override(text)[0]
        if named.count(key) > 1:
            raise InputError(f"{quote(key)} is set twice.", f"Name it once, with all its values: --each {key}=A,B,C.")
    return list(itertools.product(*map(_one_a_value, texts)))


def each_in(line: str) -> list[str]:
    """The "key.key=A,B,C" of a line, parted by blanks; those of lists and tables part nothing."""
    return re.split(r"(?<![,{\[\s])\s+(?=[\w.-]+=)", line.strip()) if line.strip() else []


def _one_a_value(text: str) -> list[str]:
    key, values = override(text)
    if isinstance(values, str):  # A,B,C is no TOML value, but [A,B,C] may be one
        as_list = parse_value(f"[{values}]")
        values = as_list if isinstance(as_list, list) else [parse_value(p.strip()) for p in values.split(",")]
    if not isinstance(values, list) or len(values) < 2 or "" in values:
        raise InputError(
            f"{quote(text)} does not name two values or more.", "For example: trainer.learning_rate=1e-5,1e-4."
        )
    return [f"{key}={_toml_value(value)}" for value in values]


def _toml_value(value: Any) -> str:
    return toml_text({"value": value}).partition("=")[2].strip()


def create(root: Path, name: str, tables: Mapping[str, Any] | str, files: Mapping[str, Path] | None = None) -> Path:
    """Make a project folder whole or not at all, and return it.

    `tables` becomes project.toml (a text is written as it is); `files` are copied in beside it. Raises
    InputError for a name that is not usable or taken, or when the folder cannot be written.
    """
    check_name(name, "project")
    folder = root / name
    with new_folder(folder) as staging:
        for relative, origin in (files or {}).items():
            target = staging / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin, target)
        write_atomic(staging / FILE, tables if isinstance(tables, str) else toml_text(tables))
    return folder


def edit(project: Project, changes: Mapping[str, Any]) -> Project:
    """Write changed values ("table.key" -> value, None takes it out) and read the project again.

    Comments and order stay. Raises FileChangedError when somebody else changed the file since it was read.
    """
    return _interpret(project.folder, edit_source(project.source, changes))


def with_changes(project: Project, changes: Mapping[str, Any]) -> Project:
    """The project as `edit` would make it, with nothing written."""
    tables = copy.deepcopy(dict(project.source.table))
    for dotted, value in changes.items():
        change(tables, dotted, value)
    return _interpret(project.folder, replace(project.source, table=tables))


def put_back(project: Project, text: str) -> Project:
    """Write an earlier text of project.toml again. Raises FileChangedError when somebody else changed it since."""
    return _interpret(project.folder, replace_source(project.source, text))


def users(projects: Iterable[Path], found: Registry) -> dict[str, list[str]]:
    """`Record.key` of a plugin -> the names of the projects whose tables name a component of it."""
    names = {kind: found.names(kind) for kind in (*REQUIRED, "observer")}
    used: dict[str, list[str]] = {}
    for project in projects:
        with contextlib.suppress(FtstudioError):  # a file that cannot be read says so where it is opened
            table = read_source(project / FILE).table
            for record in {r for kind, use in _uses(table) for r in names[kind].get(use, [])}:
                used.setdefault(record.key, []).append(project.name)
    return used


def _uses(table: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Kind and component name of every table of a project."""
    observers = table.get("observers")
    tables = [(kind, table.get(kind)) for kind in REQUIRED]
    tables += [("observer", one) for one in (observers if isinstance(observers, list) else [])]
    return {(kind, str(one["use"])) for kind, one in tables if isinstance(one, Mapping) and "use" in one}


def examples() -> Path:
    """The folder with the example projects: in a checkout `projects/`, in an installation the wheel's copy."""
    package = Path(__file__).resolve().parent
    for place in (package / "examples", package.parent / "projects"):
        if place.is_dir():
            return place
    raise InputError("The example projects are not installed.", "Install ftstudio from its wheel.")


def example_files(name: str) -> tuple[str, dict[str, Path]]:
    """The project.toml and the other files of an example. Raises UnknownNameError."""
    root = examples()
    names = [p.name for p in list_projects(root)]
    if not is_safe_name(name) or name not in names:
        near = nearest(name, names)
        hint = f"Did you mean {near}?" if near else f"There are: {', '.join(names)}."
        raise UnknownNameError(f"There is no example {quote(name)}.", hint)
    folder = root / name
    skipped = {"runs", ".trash", FILE}
    files = {
        str(p.relative_to(folder)): p
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.relative_to(folder).parts[0] not in skipped
    }
    return (folder / FILE).read_text("utf-8"), files
