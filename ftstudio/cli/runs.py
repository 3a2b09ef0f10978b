"""ftstudio attach, logs, stop, kill, checkpoint: watching runs, and asking something of them."""

from __future__ import annotations

import contextlib
import os
import time

import click

from ftstudio.cli import output
from ftstudio.cli.ending import LEFT_RUNNING, end
from ftstudio.cli.follow import follow
from ftstudio.cli.group import OR_LIVE
from ftstudio.cli.options import JSON
from ftstudio.errors import InputError
from ftstudio.explain import explained
from ftstudio.files import plain_file, read_tail
from ftstudio.finding import default_root
from ftstudio.process.asking import request
from ftstudio.runs.control import Request
from ftstudio.runs.find import address, find_run, list_runs, names_run
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.status import GLYPHS, LIVE, read_state
from ftstudio.text import quote

LOG_BYTES = 1 << 20
POLL_SECONDS = 0.2


def _live(text: str) -> RunFolder:
    """The live run that is meant: by name, or a project's only live one. Raises InputError."""
    run = find_run(text, default_root())
    candidates = [run] if names_run(text) else list_runs(run.project)
    live = [r for r in candidates if read_state(r).state in LIVE]
    if len(live) == 1:
        return live[0]
    if not live:
        raise InputError(f"{quote(text)} is not running.", f"It is {read_state(run).state}; see ftstudio status.")
    raise InputError(f"{quote(text)} has {len(live)} live runs.", f"Name one: {', '.join(map(address, live))}.")


def _request(text: str, what: Request, *, as_json: bool) -> None:
    ask_and_tell(_live(text), what, as_json=as_json)


def ask_and_tell(run: RunFolder, what: Request, *, as_json: bool) -> None:
    """Ask something of a run, and say what comes of it."""
    said = request(run, what)
    if as_json:
        known = read_state(run)
        output.as_json({"run": str(run.path), "state": known.state, "reason": known.reason, "says": said})
    else:
        output.say(f"{run.title}: {said}")


@click.command(epilog=OR_LIVE)
@click.argument("run")
@JSON
def stop(run: str, as_json: bool) -> None:
    """Finish the step, commit a checkpoint, end the run."""
    _request(run, "stop", as_json=as_json)


@click.command(epilog=OR_LIVE)
@click.argument("run")
@JSON
def kill(run: str, as_json: bool) -> None:
    """End the run at once; what came after its last checkpoint is lost."""
    _request(run, "kill", as_json=as_json)


@click.command(epilog=OR_LIVE)
@click.argument("run")
@JSON
def checkpoint(run: str, as_json: bool) -> None:
    """Commit a checkpoint now and go on."""
    _request(run, "checkpoint", as_json=as_json)


@click.command()
@click.argument("run")
@JSON
def attach(run: str, as_json: bool) -> int:
    """Follow a run. Ctrl+C only leaves."""
    folder = find_run(run, default_root())
    state = read_state(folder)
    if state.state in LIVE:
        left = follow(folder, state.attempt, stoppable=False)
        if left is None:
            output.say(f"  {folder.title} goes on.")
            return LEFT_RUNNING
        state = left
    return end(folder, None, state, as_json=as_json)


@click.command()
@click.argument("run")
@click.option("-f", "follow_it", is_flag=True, help="Go on as lines come; Ctrl+C leaves.")
@click.option("-n", "count", default=200, help="How many of the last lines.")
def logs(run: str, follow_it: bool, count: int) -> None:
    """The worker's raw output."""
    folder = find_run(run, default_root())
    offset, text = 0, ""
    with explained(folder.console), contextlib.suppress(FileNotFoundError):  # an inline run has none
        offset = folder.console.stat().st_size
        text = read_tail(folder.console, LOG_BYTES).decode("utf-8", "replace")
    for line in text.splitlines()[-count:]:
        output.data(line)
    if follow_it:
        _follow_log(folder, offset)
    elif not text:
        _say_why_empty(folder)


def _say_why_empty(folder: RunFolder) -> None:
    """That its worker printed nothing, how it is or why it ended, and where the rest stands."""
    known = read_state(folder)
    output.say(f"Nothing was printed into {folder.console}{' yet' if known.state in LIVE else ''}.")
    output.say(f"{GLYPHS[known.state]} {folder.title} {known.state}" + (f": {known.reason}" if known.reason else ""))
    if folder.events.exists():
        output.say(f"  What it told stands in {folder.events}.")


def _follow_log(folder: RunFolder, offset: int) -> None:
    """Whole lines as they come, until the run is over. The log may be cut meanwhile: then from its new end."""
    live = True
    while live:
        live = read_state(folder).state in LIVE
        if not folder.console.exists():  # of a run that was made with --inline
            return
        with explained(folder.console), plain_file(folder.console) as file:
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
