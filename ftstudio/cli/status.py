"""ftstudio status: imports no more than it shows, since it is what a person types most."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from ftstudio.cli import output
from ftstudio.cli.follow import metrics_text
from ftstudio.cli.options import JSON
from ftstudio.finding import default_root, list_projects, project_folder
from ftstudio.runs.find import find_run, list_runs, names_run
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.observers import troubles
from ftstudio.runs.status import GLYPHS, LIVE, Status, StatusReader, age_text, ago

WATCH_SECONDS = 1.0
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
        if as_json:
            output.as_json(found[0].as_json() if path is not None and names_run(path) else [s.as_json() for s in found])
        elif not found:
            output.say("No runs yet. Start one: ftstudio run PROJECT")
        else:
            output.table([_row(s) for s in found])
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
