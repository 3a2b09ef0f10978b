"""Removing runs: into the project's .trash/ by one rename, back again, and at last for good.

    .trash/0007       the removed run, whole
    .trash/0007.2     another run of that number, removed later
    .trash/.*.purged  being deleted for good; the next purge finishes what was interrupted
    runs/.0007        empty: a run of that number was purged, and no other gets it

Nothing is moved or deleted through a symbolic link, and nothing that is in use.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import shlex
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ftstudio.errors import InputError, UnknownNameError
from ftstudio.explain import explained
from ftstudio.files import fsync_folder, refuse_symlinks
from ftstudio.finding import FILE
from ftstudio.locks import exclusive
from ftstudio.runs import notes
from ftstudio.runs.disk import TRASH, Meter, freed_by, in_trash
from ftstudio.runs.find import address, list_runs
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.housekeeping import at_rest, why_busy
from ftstudio.text import quote

_REMOVED = re.compile(r"([0-9]{4,})(\.[0-9]+)?\Z")


@dataclass(frozen=True)
class Removed:
    """A run in the trash, and its size in bytes."""

    path: Path
    bytes: int


def remove(run: RunFolder) -> Removed:
    """Move a run into its project's trash. Raises InputError when it is not at rest or in no project."""
    return remove_all([run])[0]


def remove_all(runs: Iterable[RunFolder]) -> list[Removed]:
    """Move runs into their projects' trash: none, with InputError, when one is not at rest or in no project."""
    with contextlib.ExitStack() as held:
        taken = []
        for run in runs:
            _refuse_homeless(run)
            held.enter_context(at_rest(run))
            taken.append(run)
        return [_into_trash(run) for run in taken]


def _refuse_homeless(run: RunFolder) -> None:
    if run.path.parent.name != "runs" or not (run.project / FILE).is_file():
        where = "lies in .trash already" if run.path.parent.name == TRASH else "is in no project, so it has no .trash"
        raise InputError(f"{quote(run.path, 200)} {where}.", "Nothing was moved.")
    refuse_symlinks(run.path, run.project)


def _into_trash(run: RunFolder) -> Removed:
    trash = run.project / TRASH
    with _alone(run.project):
        trash.mkdir(exist_ok=True)
        names = itertools.chain([run.name], (f"{run.name}.{i}" for i in itertools.count(2)))
        place = next(trash / name for name in names if not os.path.lexists(trash / name))
        size = Meter().add(run.path)
        _move(run.path, place)
    return Removed(place, size)


def removed_runs(project: Path) -> list[Path]:
    """The runs in a project's trash, by name."""
    return [p for p in in_trash(project) if _REMOVED.match(p.name) and p.is_dir()]


def find_removed(project: Path, name: str = "") -> Path:
    """A run in the trash, by its name there; without one, the only one there is. Raises UnknownNameError."""
    there = {p.name: p for p in removed_runs(project)}
    if not name and len(there) == 1:
        return next(iter(there.values()))
    number, dot, more = name.partition(".")
    name = (number.zfill(4) if number.isdigit() else number) + dot + more
    if name in there:
        return there[name]
    hint = f"It has: {', '.join(list(there)[-8:])}." if there else "It is empty."
    what = f"no run {quote(name)}" if name else f"{len(there)} runs"
    raise UnknownNameError(f"The trash of {quote(project.name)} has {what}.", hint)


def restore(place: Path) -> RunFolder:
    """Put a removed run back under its number. Raises InputError when that is taken: nothing is overwritten."""
    project, number = place.parent.parent, _REMOVED.match(place.name)
    if number is None or place.parent.name != TRASH or not (project / FILE).is_file():
        raise InputError(f"{quote(place, 200)} is no run in the trash of a project.")
    run = RunFolder(project / "runs" / number[1])
    refuse_symlinks(place, project)
    refuse_symlinks(run.path, project)
    with at_rest(RunFolder(place)), _alone(project):
        run.path.parent.mkdir(exist_ok=True)
        if os.path.lexists(run.path):
            raise InputError(
                f"{run.title} exists; nothing was overwritten.",
                f"Move that one away first: ftstudio rm {shlex.quote(address(run))}",
            )
        _move(place, run.path)
    return run


def purge(project: Path) -> int:
    """Delete for good what lies in a project's trash, and the notes on it; the bytes that this freed.

    Raises InputError, before anything is deleted, for a run there that is in use, or a symbolic link.
    """
    refuse_symlinks(project / TRASH, project)
    for place in in_trash(project):
        refuse_symlinks(place, project)
        busy = why_busy(RunFolder(place)) if place.is_dir() else ""
        if busy:
            raise InputError(busy, "Nothing was deleted.")
    with _alone(project):
        doomed = in_trash(project)
        freed = freed_by(doomed)
        _keep_number(project, doomed)
        for place in doomed:
            _delete(place)
    alive = {run.name for run in list_runs(project)}
    gone = {number[1] for place in doomed if (number := _REMOVED.match(place.name))}
    notes.forget(project, gone - alive)
    return freed


def _keep_number(project: Path, doomed: Iterable[Path]) -> None:
    """Leave an empty file, runs/.0007, for the highest number among these: the next run shall not have it again.

    Without a byte of content it finds room on a full disk too; where it does not, the purge matters more.
    """
    numbers = [number[1] for place in doomed if (number := _REMOVED.match(place.name))]
    runs = project / "runs"
    if numbers and not runs.is_symlink():
        with contextlib.suppress(OSError):
            runs.mkdir(exist_ok=True)
            (runs / f".{max(numbers, key=int)}").touch()
            fsync_folder(runs)


def _delete(place: Path) -> None:
    """Rename first: a half-deleted run must never be restored."""
    gone = place
    if not place.name.endswith(".purged"):
        gone = place.with_name(f".{place.name[:80]}.{secrets.token_hex(3)}.purged")
        place.rename(gone)
        fsync_folder(gone.parent)
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()


def _move(origin: Path, target: Path) -> None:
    origin.rename(target)
    for folder in (target.parent, origin.parent):
        fsync_folder(folder)


@contextlib.contextmanager
def _alone(project: Path) -> Iterator[None]:
    """One at a time chooses names in a project's trash and runs."""
    with explained(project), exclusive(project):
        yield
