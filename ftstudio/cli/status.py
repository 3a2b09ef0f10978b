"""ftstudio status: imports no more than it shows, since it is what a person types most."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftstudio.cli import output
from ftstudio.cli.follow import metrics_text
from ftstudio.cli.options import JSON
from ftstudio.errors import FtstudioError
from ftstudio.finding import default_root, list_projects, project_folder
from ftstudio.runs.find import find_run, list_runs, names_run
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.observers import troubles
from ftstudio.runs.status import GLYPHS, LIVE, Status, StatusReader, age_text, ago
from ftstudio.text import safe_text

if TYPE_CHECKING:
    from ftstudio.runs.notes import Note

WATCH_SECONDS = 1.0
FEWEST = 8
"""Characters of a note that are worth a place."""
HOME_AND_CLEAR = "\x1b[H\x1b[J"


@click.command()
@click.argument("path", required=False, metavar="[PROJECT|RUN]")
@click.option("--watch", is_flag=True, help="Show it again every second until Ctrl+C.")
@JSON
def status(path: str | None, watch: bool, as_json: bool) -> None:
    """What runs, and how the newest runs ended: of all projects, of one, or of one run."""
    readers: dict[Path, StatusReader] = {}
    while True:
        found = [readers.setdefault(run.path, StatusReader(run)).read() for run in _runs(path)]
        found.sort(key=lambda s: (s.state not in LIVE, -(s.last_event_t or 0)))
        notes = _notes(found)
        if as_json:
            values = [_as_json(s, notes.get(s.path)) for s in found]
            output.as_json(values[0] if path is not None and names_run(path) else values)
        elif not found:
            output.say("No runs yet. Start one: ftstudio run PROJECT")
        else:
            output.table(_with_notes([_row(s) for s in found], [notes.get(s.path) for s in found]))
            if path is not None and names_run(path):
                for trouble in troubles(RunFolder(found[0].path)):
                    output.say(f"! {trouble}")
        if not watch:
            return
        time.sleep(WATCH_SECONDS)
        if sys.stdout.isatty():
            sys.stdout.write(HOME_AND_CLEAR)  # ours, and to a terminal: drawn again in place


def _runs(path: str | None) -> Iterator[RunFolder]:
    """One run, those of a project, or those of all projects in a folder."""
    if path is not None and names_run(path):
        yield find_run(path, default_root())
        return
    place = default_root() if path is None else project_folder(path).resolve()
    for folder in list_projects(place) if place.is_dir() else []:
        yield from list_runs(folder)


def _notes(found: Sequence[Status]) -> dict[Path, Note]:
    """The notes on runs that have one; none where they cannot be read, which is said where one is written."""
    notes: dict[Path, Note] = {}
    for project in {status.path.parent.parent for status in found}:
        if (project / "notes.toml").exists():
            from ftstudio.runs.notes import read_notes  # noqa: PLC0415 - 20 ms, only where there is one

            with contextlib.suppress(FtstudioError):
                notes |= {project / "runs" / name: note for name, note in read_notes(project).items()}
    return notes


def _as_json(status: Status, note: Note | None) -> dict[str, Any]:
    return {**status.as_json(), "note": note.text if note else "", "pinned": note is not None and note.pinned}


def _with_notes(rows: list[list[str]], notes: Sequence[Note | None]) -> list[list[str]]:
    """Rows with "pinned" and, where their line has room, the first words of a note behind the rest."""
    before = sum(max(len(row[i]) for row in rows) + 2 for i in range(len(rows[0]) - 1))
    for row, note in zip(rows, notes, strict=True):
        if note is None:
            continue
        row[-1] = " ".join(filter(None, [row[-1], "pinned" if note.pinned else ""]))
        room = output.width() - before - len(row[-1]) - len("  note: ")
        said = safe_text(note.text, one_line=True)
        if said and room >= FEWEST:
            said = said if len(said) <= room else said[: room - 3] + "..."
            row[-1] = "  ".join(filter(None, [row[-1], f"note: {said}"]))
    return rows


def _row(status: Status) -> list[str]:
    if status.state == "running" and status.step is None:
        what = status.phase
    elif status.step is not None:
        what = f"{status.step:,}/{status.total_steps:,}" if status.total_steps else f"{status.step:,}"
    else:
        what = ""
    figures = metrics_text({k: v for k, v in status.metrics.items() if k in {"loss", "eval_loss"}})
    if status.eta_s is not None:
        when = f"{age_text(status.eta_s)} left"
    elif status.waits_since is not None:
        when = ago(status.waits_since)
    else:
        when = ago(status.last_event_t)
    reason = " ".join(filter(None, [status.note, status.reason]))
    return [f"{GLYPHS[status.state]} {status.project}:{status.run}", status.state, what, figures, when, reason]
