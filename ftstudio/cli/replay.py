"""ftstudio replay: the events of a run, past or going on, to an observer."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from ftstudio.cli import output
from ftstudio.cli.ending import LEFT_RUNNING
from ftstudio.errors import FtstudioError, InputError
from ftstudio.explain import explained
from ftstudio.files import toml_text
from ftstudio.finding import default_root
from ftstudio.locks import lock_holder
from ftstudio.options import to_table
from ftstudio.plugins import registry
from ftstudio.process.observing import start_observer
from ftstudio.runs.find import find_run
from ftstudio.runs.observers import Cursor, ObserverFiles, frozen_observers, names_of
from ftstudio.runs.state import LIVE, read_state
from ftstudio.source import parse_value
from ftstudio.text import plural, quote

POLL_SECONDS = 0.1
REDRAW_SECONDS = 1.0


@click.command()
@click.argument("run")
@click.option("--to", "name", required=True, metavar="OBSERVER", help="One of the run's observers, or any other.")
@click.option("--from-start", is_flag=True, help="All events again, not only those that it has not got yet.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="An option, for one that the run has not.")
def replay(run: str, name: str, from_start: bool, overrides: tuple[str, ...]) -> int:
    """Tell an observer the events of a run: those that it has not got yet, or all. Ctrl+C leaves."""
    folder = find_run(run, default_root())
    known = read_state(folder)
    names, own = list(frozen_observers(folder)), next(names_of([name]))
    index = names.index(own) if own in names else None
    if index is not None and overrides:
        raise InputError(
            f"{folder.title} has the observer {quote(name)} with the options of its run.toml.", "Leave --set out."
        )
    table = "" if index is not None else _table(name, overrides)
    files = ObserverFiles(folder, own)
    _say_what_comes(files, table, live=known.state in LIVE, from_start=from_start)
    with explained(folder.observers):
        process = start_observer(folder, files.name, index, known.attempt, table=table, from_start=from_start)
    return _followed(files, process)


def _table(use: str, overrides: Sequence[str]) -> str:
    """The table of an observer that the run was not made with. Raises UnknownNameError, InputError."""
    offer = registry().find("observer", use)
    options: dict[str, Any] = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise InputError(f"{quote(override)} is not of the form KEY=VALUE.")
        options[key.strip()] = parse_value(value.strip())
    parsed, problems = offer.parse(options)
    if problems:
        raise InputError(f"{offer.title}: " + " ".join(f"{p.message} {p.fix}".strip() for p in problems))
    return toml_text({"use": use, **to_table(parsed)})


def _say_what_comes(files: ObserverFiles, table: str, *, live: bool, from_start: bool) -> None:
    begin = 1 if from_start else files.told(table).seq + 1
    before = files.read() or Cursor(options=table)
    if not from_start and before.options != table:
        output.say(f"  {files.name} had other options before. With these it begins anew.")
    until = "until it ends; Ctrl+C leaves" if live else "to the end"
    output.say(f"▸ {files.name} gets the events of {files.run.title} from event {begin:,} {until}.")
    holder = lock_holder(files.lock)
    if holder is not None:
        output.say(f"  Process {holder} tells it the events now. This waits until that one is done.")


def _followed(files: ObserverFiles, process: subprocess.Popen[bytes]) -> int:
    """Wait for the process and say how far it is. Returns the exit code; raises FtstudioError when it failed."""
    drawn = time.monotonic()
    try:
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
            if sys.stderr.isatty() and time.monotonic() - drawn >= REDRAW_SECONDS:
                drawn = time.monotonic()
                sys.stderr.write(f"\r  event {(files.read() or Cursor()).seq:,} ")
                sys.stderr.flush()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait()
        output.say("")
        output.say(f"  Left after event {(files.read() or Cursor()).seq:,}. The same command goes on from there.")
        return LEFT_RUNNING
    return _ending(files, process.returncode)


def _ending(files: ObserverFiles, code: int) -> int:
    cursor = files.read() or Cursor()
    if cursor.state == "done" and code == 0:
        output.say(f"✓ {files.name} has all {plural(cursor.seq, 'event')}.")
        return 0
    trouble = files.trouble()
    raise FtstudioError(trouble.words if trouble else f"{files.name} ended with exit code {code}; see {files.log}.")
