"""ftstudio disk, rm, prune, note: what runs hold, making room, and what one wants to remember of them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from ftstudio.cli import output
from ftstudio.cli.options import JSON
from ftstudio.errors import FtstudioError, InputError, UnknownNameError
from ftstudio.explain import explained
from ftstudio.files import cache_dir
from ftstudio.finding import FILE, default_root, holds, list_projects, project_folder
from ftstudio.runs import notes, trash
from ftstudio.runs.disk import TRASH, Meter, ProjectUse, RunUse, freed_by, in_trash, run_use, use_of
from ftstudio.runs.find import find_run, is_run, list_runs
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.housekeeping import Keep, Pruned, parse_keep, why_busy
from ftstudio.runs.housekeeping import prune as prune_run
from ftstudio.text import expanded, plural, quote, size_text


def _run_named(text: str) -> RunFolder | None:
    """The run that is meant when a single run is meant: a run folder or PROJECT:0001, not a project."""
    with explained(Path(text)):
        path = expanded(text)
        there = path.exists()
        single = is_run(path) if there else ":" in text
        return find_run(text, default_root()) if single else None


def _projects_in(text: str | None) -> list[Path]:
    """The projects that are meant: one by folder or name, those of a root, those of the default root."""
    if text is None:
        root = default_root()
        return [p.resolve() for p in list_projects(root)] if root.is_dir() else []
    with explained(Path(text)):
        folder = project_folder(text).resolve()
    found = [p.resolve() for p in list_projects(folder)]
    if not found:
        raise InputError(f"{quote(folder, 200)} is no project and holds none.", f"A project has a {FILE}.")
    return found


# --------------------------------------------------------------------------------------------------- disk


@click.command()
@click.argument("path", required=False, metavar="[PROJECT|RUN]")
@JSON
def disk(path: str | None, as_json: bool) -> None:
    """What projects and runs hold on the disk, the largest first. Hard links count once.

    The cache is what can be made again: it may be deleted while no run is live and no studio is open.
    """
    run = _run_named(path) if path is not None else None
    if run is not None:
        use = run_use(run)
        if as_json:
            output.as_json(use.as_json())
        else:
            _show_run(use)
        return
    found, cache = use_of(_projects_in(path)), cache_dir()
    kept = Meter().add(cache)
    if as_json:
        beside = {"path": str(cache), "bytes": kept}
        output.as_json(
            {"bytes": sum(p.bytes for p in found), "projects": [p.as_json() for p in found], "cache": beside}
        )
        return
    if found:
        _show_projects(found)
    else:
        output.say(f"No projects in {quote(default_root(), 200)}.")
    output.say(f"Beside these the cache, {cache}, holds {size_text(kept)}; it can be made again.")


def _show_run(use: RunUse) -> None:
    rows = []
    for held in use.held:
        name = held.what if held.step is None else f"checkpoint {held.step}"
        marks = [word for word, marked in (("best", held.best), ("last", held.last)) if marked]
        if held.optimizer_bytes:
            marks.append(f"{size_text(held.optimizer_bytes)} of it optimizer state")
        if held.bytes or held.step is not None:
            rows.append([name, size_text(held.bytes).rjust(8), ", ".join(marks)])
    output.table([*rows, ["total", size_text(use.bytes).rjust(8), ""]])


def _show_projects(found: list[ProjectUse]) -> None:
    head = ["", "total", "final", "checkpoints", "optimizer", "quarantine", "logs", "other"]
    rows = [head]
    for project in found:
        rows.append([project.project.name, size_text(project.bytes), *[""] * 6])
        rows += [_run_row(use) for use in project.runs]
        rows += [[f"  .trash/{name}", size_text(size), *[""] * 6] for name, size in project.trash]
        rows.append(["  data and settings", size_text(project.files_bytes), *[""] * 6])
    rows.append(["total", size_text(sum(p.bytes for p in found)), *[""] * 6])
    output.table(rows)


def _run_row(use: RunUse) -> list[str]:
    optimizer = sum(h.optimizer_bytes for h in use.held)
    checkpoints = use.of("checkpoint") - optimizer
    sizes = [
        use.of("final"),
        checkpoints,
        optimizer,
        use.of("quarantine"),
        use.of("logs"),
        use.of("origin") + use.of("other"),
    ]
    return [f"  {use.run.name}", size_text(use.bytes), *(size_text(size) if size else "" for size in sizes)]


# ----------------------------------------------------------------------------------------------------- rm


@click.command()
@click.argument("names", nargs=-1, metavar="[RUN]...")
@click.option("--restore", is_flag=True, help="Put a run back: PROJECT:0007, or its folder in .trash.")
@click.option("--purge", is_flag=True, help="Delete for good what is in .trash: of a project, or of all.")
@click.option("--yes", is_flag=True, help="With --purge: do not ask.")
@JSON
def rm(names: tuple[str, ...], restore: bool, purge: bool, yes: bool, as_json: bool) -> None:
    """Move runs into their project's .trash, from where they can be put back.

    A project is a folder: when no run of it is live, remove it with rm -r.
    """
    if restore and purge:
        raise InputError("--restore and --purge cannot be combined.", "Choose one.")
    if purge:
        _purge(names, yes=yes, as_json=as_json)
        return
    if not names:
        raise InputError("No run is named.", "Name a run folder or PROJECT:0001; --purge empties the trash.")
    if restore:
        _restore(names, as_json=as_json)
        return
    runs = list(dict.fromkeys(_run_to_remove(name) for name in names))
    moved = list(zip(runs, trash.remove_all(runs), strict=True))
    if as_json:
        output.as_json([{**_named(run), "path": str(removed.path), "bytes": removed.bytes} for run, removed in moved])
        return
    for run, removed in moved:
        output.say(f"{run.title}, {size_text(removed.bytes)}, is in the trash; nothing was freed yet.")
        output.say(f"  Get it back: ftstudio rm --restore {_argument(removed.path)}")
        output.say(f"  Delete it for good: ftstudio rm --purge {_argument(run.project)}")
        output.data(str(removed.path))


def _restore(names: tuple[str, ...], *, as_json: bool) -> None:
    back = []
    for place in [_removed_named(name) for name in names]:
        run = trash.restore(place)
        back.append({**_named(run), "path": str(run.path)})
        if not as_json:
            output.say(f"{run.title} is back.")
            output.data(str(run.path))
    if as_json:
        output.as_json(back)


def _named(run: RunFolder) -> dict[str, str]:
    return {"project": run.project.name, "run": run.name}


def _run_to_remove(text: str) -> RunFolder:
    """The run that is meant. Of a project without one it is said how that itself is removed."""
    try:
        return _any_run(text)
    except UnknownNameError as error:
        folder = _project_without_runs(text)
        if folder is None:
            raise
        raise UnknownNameError(
            f"{quote(text)} is a project and has no run.",
            f"To remove the project itself, delete its folder: rm -r {_argument(folder)}",
        ) from error


def _project_without_runs(text: str) -> Path | None:
    try:
        folder = project_folder(text).resolve()
    except FtstudioError:
        return None
    return folder if holds(folder, FILE) and not list_runs(folder) else None


def _any_run(text: str) -> RunFolder:
    with explained(Path(text)):
        return find_run(text, default_root())


def _argument(path: Path) -> str:
    return shlex.quote(str(path))


def _removed_named(text: str) -> Path:
    """A run in the trash: its folder, PROJECT:NAME, or a project with one removed run."""
    path = expanded(text)
    with explained(path):
        if path.parent.name == TRASH and path.is_dir():
            return path.parent.resolve() / path.name
        name, _, number = text.partition(":") if not path.exists() else (text, "", "")
        return trash.find_removed(project_folder(name).resolve(), number)


def _purge(names: tuple[str, ...], *, yes: bool, as_json: bool) -> None:
    """Say what and how much, ask, delete."""
    projects = [p for name in names or [None] for p in _projects_in(name)]
    projects = [p for p in dict.fromkeys(projects) if in_trash(p)]
    if not projects:
        output.say("The trash is empty.")
        if as_json:
            output.as_json({"deleted": [], "freed_bytes": 0})
        return
    doomed = [str(place) for project in projects for place in in_trash(project)]
    for project in [] if as_json else projects:
        output.table([[f"{project.name}/.trash/{p.name}", size_text(freed_by([p]))] for p in in_trash(project)])
    count, size = sum(len(in_trash(p)) for p in projects), freed_by(e for p in projects for e in in_trash(p))
    what = f"{plural(count, 'entry').replace('entrys', 'entries')}, {size_text(size)}"
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(f"Nothing was deleted: this would delete {what}, for good.", "Add --yes.")
        if not click.confirm(f"Delete {what}, for good?", err=True):
            output.say("Nothing was deleted.")
            return
    freed = sum(trash.purge(project) for project in projects)
    output.say(f"Deleted for good; {size_text(freed)} freed.")
    if as_json:
        output.as_json({"deleted": doomed, "freed_bytes": freed})


# -------------------------------------------------------------------------------------------------- prune


@click.command()
@click.argument("path", metavar="PROJECT|RUN")
@click.option("--keep", default="best,last", metavar="LIST", help="best, last, steps (400), or none: best,last.")
@click.option(
    "--drop-optimizer", is_flag=True, help="Delete no checkpoint, only the optimizer state of those not kept."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@JSON
def prune(path: str, keep: str, drop_optimizer: bool, dry_run: bool, as_json: bool) -> None:
    """Delete the checkpoints of a run, or of a project's runs, that are not to be kept."""
    wanted, single = parse_keep(keep), _run_named(path)
    runs = [single] if single else [run for project in _projects_in(path) for run in list_runs(project)]
    if wanted.steps and single is None:
        raise InputError("--keep with a step is for one run.", "Name a run folder or PROJECT:0001.")
    pruned = []
    for run in runs:
        busy = "" if single else why_busy(run)
        if busy:
            output.say(f"! {busy} It was left alone.")
            continue
        done = prune_run(run, wanted, drop_optimizer=drop_optimizer, dry_run=dry_run)
        pruned.append(done)
        if not as_json:
            _show_pruned(done, wanted, drop_optimizer=drop_optimizer, dry_run=dry_run)
    if as_json:
        output.as_json([_pruned_json(done) for done in pruned])
    elif single is None:
        freed = size_text(sum(done.freed for done in pruned))
        output.say(f"{'Would free' if dry_run else 'Freed'} {freed} in all.")


def _pruned_json(done: Pruned) -> dict[str, Any]:
    sizes = {"before_bytes": done.before, "after_bytes": done.after, "freed_bytes": done.freed}
    steps = {"kept": list(done.kept), "changed": list(done.changed)}
    return {**_named(done.run), "path": str(done.run.path), **steps, **sizes, "says": list(done.said)}


def _show_pruned(done: Pruned, keep: Keep, *, drop_optimizer: bool, dry_run: bool) -> None:
    for sentence in done.said:
        output.say(f"! {sentence}")
    if not done.changed and not done.freed:
        output.say(f"{done.run.title}: nothing to prune, {size_text(done.before)}.")
        return
    steps = ", ".join(map(str, done.changed)) or "left-overs only"
    verb = ("would be " if dry_run else "") + ("without their optimizer state" if drop_optimizer else "deleted")
    sizes = f"{size_text(done.before)} before, {size_text(done.after)} after, {size_text(done.freed)} freed"
    output.data(f"{done.run.title}: checkpoints {steps} {verb}; {sizes}.")
    output.say(f"  Kept as they are: {', '.join(map(str, done.kept)) or 'none'}.")
    if drop_optimizer:
        output.say("  Without optimizer state a checkpoint can be sampled from, and forked with --weights-only,")
        output.say("  but not resumed.")


# --------------------------------------------------------------------------------------------------- note


@click.command()
@click.argument("run")
@click.argument("text", nargs=-1)
@click.option("--pin/--unpin", default=None, help="Mark it as one to keep in sight, or no longer.")
@JSON
def note(run: str, text: tuple[str, ...], pin: bool | None, as_json: bool) -> None:
    """Write a note on a run, or show it. An empty TEXT takes it away."""
    folder = _any_run(run)
    if text or pin is not None:
        found = notes.write_note(folder, " ".join(text) if text else None, pinned=pin)
    else:
        found = notes.note_of(folder)
    if as_json:
        output.as_json({**_named(folder), "note": found.text, "pinned": found.pinned})
        return
    if found.pinned:
        output.say(f"{folder.title} is pinned.")
    if found.text:
        output.data(found.text)
    else:
        output.say(f"{folder.title} has no note.")
