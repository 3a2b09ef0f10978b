"""Which run a person means, and which runs there are: by the names of folders alone."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from pathlib import Path

from ftstudio.errors import FtstudioError, UnknownNameError
from ftstudio.finding import FILE, default_root, holds, list_projects, refuse_hidden
from ftstudio.runs.folder import RunFolder
from ftstudio.text import expanded, nearest, quote

NUMBER = re.compile(r"[0-9]{4,}\Z")
"""What run folders are called."""
_FILES = ("run.toml", "state.toml", "events.jsonl", "lock")
"""What tells a run: run.toml, and where that was lost, what its supervisor and its worker write."""


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's: also one without run.toml once it was started, but none that is being made."""
    if holds(folder, "run.toml"):
        return True
    return any(holds(folder, name) for name in _FILES) and bool(NUMBER.match(folder.resolve().name))


def list_runs(project: Path) -> list[RunFolder]:
    """The runs of a project, oldest first."""
    runs = project / "runs"
    try:
        names = [n for n in os.listdir(runs) if NUMBER.match(n) and _has_any_file(f"{runs}/{n}")]  # noqa: PTH208 - a third of the time
    except OSError:
        return []
    return [RunFolder(runs / name) for name in sorted(names, key=int)]


def _has_any_file(folder: str) -> bool:
    return any(os.path.isfile(f"{folder}/{name}") for name in _FILES)  # noqa: PTH113 - a third of the time


def names_run(text: str) -> bool:
    """Whether a word names one run, PROJECT:0001 or a run folder's path, rather than a project."""
    return is_run(expanded(text)) or (":" in text and not holds(expanded(text), FILE))


def find_run(text: str, root: Path, within: Path | None = None) -> RunFolder:
    """The run that a person means: a run folder's path, PROJECT:0001, or a project (its newest run).

    Where a project is named already, `within`, the run's number alone does. An existing path wins over a name. Raises
    UnknownNameError with the nearest name, InputError for what may not be looked at.
    """
    path = expanded(text)
    if is_run(path):
        return RunFolder(path.resolve())
    if holds(path, FILE):
        return _newest(path.resolve())
    if within is not None and text.isdigit():
        name, number, folder = within.name, text, within
    else:
        name, _, number = text.partition(":")
        folder = _project_named(name, root)
    if not number:
        return _newest(folder)
    run = RunFolder(folder / "runs" / (number.zfill(4) if number.isdigit() else number))
    if NUMBER.match(run.name):
        if is_run(run.path):
            return run
        refuse_hidden(run.record)
    have = [r.name for r in list_runs(folder)]
    raise UnknownNameError(
        f"{quote(name)} has no run {quote(number)}.", f"It has: {', '.join(have[-8:])}." if have else "It has none yet."
    )


def address(run: RunFolder) -> str:
    """What can be typed for a run from here: PROJECT:0001 where that is this very run, else its folder's path."""
    path = run.path.resolve()
    with contextlib.suppress(FtstudioError, OSError):
        if find_run(run.title, default_root()).path == path:
            return run.title
    return str(path)


def _project_named(name: str, root: Path) -> Path:
    folders = {p.name: p for p in (list_projects(root) if root.is_dir() else [])}
    path = expanded(name)
    if holds(path, FILE):
        return path.resolve()
    if name in folders:
        return folders[name].resolve()
    for hidden in (path / "run.toml", path / FILE, root / name / FILE):
        refuse_hidden(hidden)
    near = nearest(name, folders)
    raise UnknownNameError(
        f"There is no run or project {quote(name)} here or in {quote(root, 200)}.",
        f"Did you mean {near}?" if near else "Name a run folder, PROJECT:0001 or a project.",
    )


def _newest(project: Path) -> RunFolder:
    runs = list_runs(project)
    if not runs:
        raise UnknownNameError(
            f"{quote(project.name)} has no run yet.", f"Start one: ftstudio run {shlex.quote(str(project))}"
        )
    return runs[-1]
