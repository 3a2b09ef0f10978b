"""What the observers of a run leave in its folder, and what a reader makes of it. The supervisor loads this.

    observers/NAME.toml   the cursor: how far it is, and what became of it; written by the observer alone
    observers/NAME.lock   held by the observer while it lives
    observers/NAME.log    what it printed

A cursor that says `running` beside a free lock is that of a process that died without a word.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ftstudio.files import read_toml, tail_bytes, write_toml
from ftstudio.locks import lock_holder
from ftstudio.runs.events import newest_first
from ftstudio.runs.find import address
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.state import LIVE, is_elsewhere, read_state
from ftstudio.runs.status import age_text

BEHIND_SECONDS = 10.0
"""An observer whose last event is so much older than the run's is said to be behind."""
TAIL = 64 << 10
STARTED = "[observer started: "
"""How the first line begins that each process of an observer writes into the log."""
_CUT_OFF = re.compile(r"^Timeout \((\d+):(\d\d):(\d\d)(?:\.\d+)?\)!$", re.MULTILINE)
"""What faulthandler writes when a call takes too long."""


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """How far an observer is. `seq` and `t` are of the last event that was delivered.

    Reading goes on at byte `offset`, where `line` lines lie behind it. `state` is running, done (all of its attempt was
    delivered), stopped (by a signal) or failed, for the `reason`. `options` is the table (TOML) of an observer that the
    run was not made with, which may be told with others the next time; "" for one of run.toml, which never changes.
    """

    state: str = "running"
    reason: str = ""
    attempt: int = 1
    seq: int = 0
    t: float = 0.0
    offset: int = 0
    line: int = 0
    options: str = ""


@dataclass(frozen=True)
class ObserverFiles:
    """The files of one observer of a run."""

    run: RunFolder
    name: str

    def _path(self, suffix: str) -> Path:
        return self.run.observers / f"{self.name}{suffix}"

    @property
    def lock(self) -> Path:
        """Held by the observer while it lives."""
        return self._path(".lock")

    @property
    def log(self) -> Path:
        """What it printed."""
        return self._path(".log")

    def read(self) -> Cursor | None:
        """The cursor; None when there is none that can be read, which means: from the beginning."""
        try:
            raw = read_toml(self._path(".toml"))
        except (OSError, ValueError, RecursionError):
            return None
        known = {f.name: raw[f.name] for f in fields(Cursor) if type(raw.get(f.name)) is type(f.default)}
        cursor = Cursor(**known)
        return cursor if min(cursor.seq, cursor.offset, cursor.line) >= 0 else None

    def told(self, options: str) -> Cursor:
        """How far an observer with these options (see `Cursor`) is: at the beginning, when it was told with others."""
        cursor = self.read()
        return cursor if cursor is not None and cursor.options == options else Cursor(options=options)

    def write(self, cursor: Cursor) -> None:
        """Write the cursor. Raises OSError."""
        write_toml(self._path(".toml"), asdict(cursor))

    def trouble(self) -> Trouble | None:
        """What is wrong with the observer, or None while all is well."""
        cursor, known, newest = self.read(), read_state(self.run), _newest_event_time(self.run)
        if cursor is None:
            missing = known.state not in LIVE and newest is not None
            return Trouble(self, "was not started", ".") if missing else None
        if cursor.state == "failed":
            return Trouble(self, "failed", f": {cursor.reason}")
        alive = lock_holder(self.lock) is not None
        if cursor.state == "running" and not alive and not is_elsewhere(known):
            return Trouble(self, *_death(self))
        behind = newest - cursor.t if newest is not None and cursor.t else 0.0
        if cursor.state == "stopped" and behind > 0:
            return Trouble(self, "was ended by a signal", ".")
        return Trouble(self, f"is {age_text(behind)} behind", ".") if alive and behind > BEHIND_SECONDS else None


@dataclass(frozen=True)
class Trouble:
    """What is wrong with an observer: "failed", and the rest of the sentence."""

    files: ObserverFiles
    what: str
    more: str

    @property
    def step(self) -> str:
        """What to type: it tells the observer what it has not got yet."""
        return shlex.join(["ftstudio", "replay", address(self.files.run), "--to", self.files.name])

    @property
    def words(self) -> str:
        """The sentence without the next step."""
        return f"Observer {self.files.name} {self.what}{self.more}"

    def __str__(self) -> str:
        return f"{self.words} It gets the rest by: {self.step}"


def frozen_observers(run: RunFolder) -> dict[str, Mapping[str, Any]]:
    """The observers that a run was made with, by name; none when run.toml cannot be read, which others say."""
    try:
        tables = read_toml(run.record)["settings"]["observers"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}
    tables = [table for table in tables if isinstance(table, Mapping)] if isinstance(tables, list) else []
    return dict(zip(names_of(str(table.get("use")) for table in tables), tables, strict=True))


def names_of(uses: Iterable[str]) -> Iterator[str]:
    """The names of observers, for files: the component's, with a number for the second of a kind and those after it."""
    taken: set[str] = set()
    for use in uses:
        bare = name = re.sub(r"[^A-Za-z0-9._-]", ".", use)
        number = 1
        while name in taken:
            number += 1
            name = f"{bare}-{number}"
        taken.add(name)
        yield name


def troubles(run: RunFolder) -> list[Trouble]:
    """What is wrong with the observers of a run: those that failed, died or are behind."""
    found = (ObserverFiles(run, name).trouble() for name in frozen_observers(run))
    return [trouble for trouble in found if trouble is not None]


def _death(files: ObserverFiles) -> tuple[str, str]:
    """How an observer died that left no word."""
    text = tail_bytes(files.log, TAIL).decode("utf-8", "replace").rpartition(STARTED)[2]
    cut = list(_CUT_OFF.finditer(text))
    if not cut:
        return "ended without a word", f"; see {_relative(files)}."
    hours, minutes, seconds = map(int, cut[-1].groups())
    taken = max(1, 3600 * hours + 60 * minutes + seconds)
    return "was cut off", f": it did not come back from a call within {taken} s; see {_relative(files)}."


def _relative(files: ObserverFiles) -> str:
    return str(files.log.relative_to(files.run.path))


def _newest_event_time(run: RunFolder) -> float | None:
    return next((event.t for event in newest_first(run.events)), None)
