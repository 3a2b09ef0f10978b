"""ftstudio status, attach, logs, stop, kill, checkpoint: watching runs, and asking something of them."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import click

from ftstudio.cli import output
from ftstudio.cli.ending import LEFT_RUNNING, end
from ftstudio.cli.follow import follow, metrics_text
from ftstudio.cli.projects import JSON, project_folder
from ftstudio.errors import InputError
from ftstudio.files import quote, tail_bytes
from ftstudio.project import FILE, default_root, list_projects
from ftstudio.runs.control import Request, ask
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.record import find_run, list_runs
from ftstudio.runs.status import GLYPHS, LIVE, StateFile, Status, age_text, ago, read_state, read_status

LOG_BYTES = 1 << 20
POLL_SECONDS = 0.2
HOME_AND_CLEAR = "\x1b[H\x1b[J"


@click.command()
@click.argument("path", required=False)
@click.option("--watch", is_flag=True, help="Show it again every second until Ctrl+C.")
@JSON
def status(path: str | None, watch: bool, as_json: bool) -> None:
    """What runs, and how the newest runs ended: of all projects, of one, or of one run."""
    while True:
        found = _statuses(path)
        if as_json:
            single = path is not None and not _is_project(path)
            output.as_json(found[0].as_json() if single else [s.as_json() for s in found])
        elif not found:
            output.say("No runs yet. Start one: ftstudio run PROJECT")
        else:
            output.table([_row(s) for s in found])
        if not watch:
            return
        time.sleep(1)
        if sys.stdout.isatty():
            sys.stdout.write(HOME_AND_CLEAR)  # ours, and to a terminal: drawn again in place


def _is_project(path: str) -> bool:
    return (
        path.endswith("/")
        or (Path(path) / FILE).is_file()
        or (":" not in path and not (Path(path) / "run.toml").is_file())
    )


def _statuses(path: str | None) -> list[Status]:
    if path is not None and not _is_project(path):
        return [read_status(find_run(path, default_root()))]
    if path is None or (Path(path).is_dir() and not (Path(path) / FILE).is_file()):
        root = Path(path) if path else default_root()
        folders = list_projects(root) if root.is_dir() else []
    else:
        folders = [project_folder(path).resolve()]
    found = [read_status(r) for folder in folders for r in list_runs(folder)]
    return sorted(found, key=lambda s: (s.state not in LIVE, -(s.last_event_t or 0)))


def _row(status: Status) -> list[str]:
    if status.state == "running" and status.step is None:
        what = status.phase
    elif status.step is not None:
        what = f"{status.step:,}/{status.total_steps:,}" if status.total_steps else f"{status.step:,}"
    else:
        what = ""
    figures = metrics_text({k: v for k, v in status.metrics.items() if k in {"loss", "eval_loss"}})
    eta = f"{age_text(status.eta_s)} left" if status.eta_s is not None else ago(status.last_event_t)
    elsewhere = status.state in LIVE and status.host not in {"", socket.gethostname()}
    state = f"{status.state} on {status.host}" if elsewhere else status.state
    return [f"{GLYPHS[status.state]} {status.project}:{status.run}", state, what, figures, eta, status.reason]


def _live(text: str) -> tuple[RunFolder, StateFile]:
    """The live run that is meant: by name, or a project's only live one. Raises InputError."""
    run = find_run(text, default_root())
    live = [(r, s) for r in list_runs(run.project) if (s := read_state(r)).state in LIVE]
    if ":" in text or (Path(text) / "run.toml").is_file():
        live = [(r, s) for r, s in live if r.path == run.path]
    if len(live) == 1:
        return live[0]
    if not live:
        raise InputError(f"{quote(text)} is not running.", f"It {read_state(run).state}; see ftstudio status.")
    raise InputError(f"{quote(text)} has {len(live)} live runs.", f"Name one: {', '.join(r.title for r, _ in live)}.")


def _request(text: str, request: Request, said: str) -> None:
    run, state = _live(text)
    ask(run, request, state.attempt)
    output.say(f"{run.title}: {said}")


@click.command()
@click.argument("run")
def stop(run: str) -> None:
    """Finish the step, commit a checkpoint, end the run."""
    _request(run, "stop", "it will finish its step, commit a checkpoint and stop.")


@click.command()
@click.argument("run")
def kill(run: str) -> None:
    """End the run at once; what came after its last checkpoint is lost."""
    _request(run, "kill", "it is being killed; its last checkpoint stays.")


@click.command()
@click.argument("run")
def checkpoint(run: str) -> None:
    """Commit a checkpoint now and go on."""
    _request(run, "checkpoint", "it will commit a checkpoint after its step.")


@click.command()
@click.argument("run")
def attach(run: str) -> int:
    """Follow a run. Ctrl+C only leaves."""
    folder = find_run(run, default_root())
    state = read_state(folder)
    if state.state in LIVE:
        left = follow(folder, state.attempt, stoppable=False)
        if left is None:
            output.say(f"  {folder.title} goes on.")
            return LEFT_RUNNING
        state = left
    return end(folder, None, state, as_json=False)


@click.command()
@click.argument("run")
@click.option("-f", "follow_it", is_flag=True, help="Go on as lines come; Ctrl+C leaves.")
@click.option("-n", "count", default=200, help="How many of the last lines.")
def logs(run: str, follow_it: bool, count: int) -> None:
    """The worker's raw output."""
    folder = find_run(run, default_root())
    offset = folder.console.stat().st_size if folder.console.exists() else 0
    text = tail_bytes(folder.console, LOG_BYTES).decode("utf-8", "replace")
    for line in text.splitlines()[-count:]:
        output.data(line)
    if follow_it:
        _follow_log(folder, offset)


def _follow_log(folder: RunFolder, offset: int) -> None:
    """Whole lines as they come, until the run is over. The log may be cut meanwhile: then from its new end."""
    live = True
    while live:
        live = read_state(folder).state in LIVE
        with folder.console.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            offset = min(offset, size)
            file.seek(offset)
            new = file.read(LOG_BYTES)
        whole = new[: new.rfind(b"\n") + 1] if live else new
        offset += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            output.data(line)
        if not whole:
            time.sleep(POLL_SECONDS)
