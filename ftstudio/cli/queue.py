"""ftstudio queue: the runs that wait for a device, in the order in which they will get one."""

from __future__ import annotations

import click

from ftstudio.cli import output
from ftstudio.cli.group import Group
from ftstudio.cli.options import JSON
from ftstudio.cli.runs import ask_and_tell
from ftstudio.errors import InputError
from ftstudio.explain import explained
from ftstudio.files import state_dir
from ftstudio.finding import default_root
from ftstudio.runs.find import find_run
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.queue import Ticket, reasons, tickets
from ftstudio.runs.queue import move as move_ticket
from ftstudio.runs.status import read_state
from ftstudio.settings import read_settings
from ftstudio.text import quote


@click.group(cls=Group)
def queue() -> None:
    """List, move and withdraw the runs that wait."""


@queue.command("list")
@JSON
def list_(as_json: bool) -> None:
    """The runs that wait, the next one first."""
    with explained(state_dir()):
        _show(tickets(), as_json=as_json)


@queue.command()
@click.argument("run")
@click.argument("where", metavar="first|last|RUN")
@JSON
def move(run: str, where: str, as_json: bool) -> None:
    """Put a waiting run first, last, or before another waiting run."""
    folder = find_run(run, default_root())
    with explained(state_dir()):
        before: RunFolder | None
        if where == "last":
            before = None
        elif where == "first":
            before = next((t.run for t in tickets() if t.run.path != folder.path), None)
        else:
            before = find_run(where, default_root())
        _show(move_ticket(folder, before), as_json=as_json)


@queue.command()
@click.argument("run")
@JSON
def withdraw(run: str, as_json: bool) -> None:
    """Take a waiting run out of the queue; it can be resumed later."""
    folder = find_run(run, default_root())
    state = read_state(folder)
    if state.state != "queued":
        raise InputError(f"{quote(run)} does not wait: it is {state.state}.", "See 'ftstudio queue list'.")
    ask_and_tell(folder, "stop", as_json=as_json)


def _show(waiting: list[Ticket], *, as_json: bool) -> None:
    said = reasons(waiting, read_settings().slots)
    if as_json:
        output.as_json([
            {"run": t.run.title, "path": str(t.run.path), "places": list(t.places), "reason": reason}
            for t, reason in zip(waiting, said, strict=True)
        ])  # fmt: skip
    elif not waiting:
        output.say("Nothing waits.")
    else:
        output.table([
            [str(place), t.run.title, reason]
            for place, (t, reason) in enumerate(zip(waiting, said, strict=True), start=1)
        ])  # fmt: skip
