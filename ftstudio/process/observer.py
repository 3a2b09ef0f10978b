"""One observer of a run: `python -m ftstudio.process.observer RUN NAME INDEX ATTEMPT [--from-start]`.

It tails events.jsonl, tells each event to the one plugin that it loads, and keeps a cursor. Whatever that plugin does,
hang, raise or exit, ends this process and nothing else. docs/runs.md says in which order things happen, and why.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
import tomllib
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from ftstudio.announced import announced
from ftstudio.api import Event, RunInfo
from ftstudio.errors import ComponentError, FtstudioError, InputError, PluginError
from ftstudio.files import bound_log, write_all
from ftstudio.locks import RecordLock
from ftstudio.options import RESERVED, parse
from ftstudio.plugins import Offer, Registry, discover, registry
from ftstudio.process.observing import FROM_START, ON_STDIN
from ftstudio.process.secrecy import redact, secrets_named
from ftstudio.runs.events import EventReader
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.observers import STARTED, Cursor, ObserverFiles, frozen_observers
from ftstudio.runs.record import read_record
from ftstudio.runs.state import LIVE, host_name, read_state
from ftstudio.settings import Settings, disabled_plugins, read_settings
from ftstudio.text import safe_text, words_of

POLL_SECONDS = 0.25
CURSOR_SECONDS = 1.0
PIECE = 1 << 20
LOG_BYTES = 8 << 20
LOG_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one process does: which observer of which run, for which attempt."""

    files: ObserverFiles
    table: Mapping[str, Any]
    attempt: int
    from_start: bool = False
    plugin: tuple[str, str] | None = None
    """Name and distribution of the plugin that the run was made with, where that is known."""
    options: str = ""
    """Of an observer that the run was not made with, as `Cursor` has them."""


class Stop:
    """SIGTERM: finish the call, close the observer, leave."""

    def __init__(self) -> None:
        self._asked = False
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _on_term(self, signum: int, frame: FrameType | None) -> None:
        self._asked = True

    def asked(self) -> bool:
        """Whether it came."""
        return self._asked


# ---------------------------------------------------------------------------------------------- the plugin


def offer_of(job: Job) -> Offer:
    """The component that a table names; of all plugins only the one that is meant is looked at, where that is known.

    Raises UnknownNameError or PluginError.
    """
    return _plugins(job.plugin).find("observer", str(job.table.get("use")))


def _plugins(plugin: tuple[str, str] | None) -> Registry:
    meant = [entry for entry in announced() if plugin is not None and (entry.name, entry.distribution) == plugin]
    return discover(meant, disabled_plugins()) if meant else registry()


def options_of(offer: Offer, table: Mapping[str, Any]) -> Any:
    """The options that a table gives. Raises InputError with all that is wrong, ComponentError for a missing secret."""
    options, problems = parse(
        offer.component.options, {k: v for k, v in table.items() if k not in RESERVED["observer"]}
    )
    if options is None:
        raise InputError(f"{offer.title}: " + " ".join(f"{p.message} {p.fix}".strip() for p in problems))
    for name in offer.component.secrets:
        if not os.environ.get(name):
            raise ComponentError(
                f"{offer.title} needs the environment variable {name}, which is not set.", f"Set it: export {name}=..."
            )
    return options


# --------------------------------------------------------------------------------------------- delivering


class Delivery:
    """Tells one observer the events of a run, in order, and keeps its cursor."""

    def __init__(self, job: Job, stop: Stop, log: int) -> None:
        self.job, self.stop, self.files = job, stop, job.files
        self.run = job.files.run
        before = Cursor(options=job.options) if job.from_start else self.files.told(job.options)
        self.cursor = replace(before, state="running", reason="", attempt=job.attempt)
        self.seconds = Settings.observer_seconds
        self.secrets: dict[str, str] = {}
        self.offer: Offer | None = None
        self._log = log
        self._reader = EventReader(self.run.events, self.cursor.offset, self.cursor.line)
        self._saved = 0.0
        self._unsaved = False

    def deliver(self) -> None:
        """Open the observer, tell it everything, close it. Raises nothing: the cursor says how that ended."""
        self._save(now=True)
        try:
            state = self._observe()
            reason = "It was ended by a signal." if state == "stopped" else ""
        except BaseException as error:  # noqa: BLE001 - SystemExit of a plugin too is its failure, and its last word
            state, reason = "failed", self._explain(error)
        self.cursor = replace(self.cursor, state=state, reason=reason)
        self._save(now=True)

    def _observe(self) -> str:
        self.seconds = read_settings().observer_seconds
        with self._limited():
            self.offer = offer = offer_of(self.job)
        with self._limited():
            self.secrets = secrets_named(offer.component.secrets)
            observer = offer.build(options_of(offer, self.job.table))
        known = read_state(self.run)
        info = RunInfo(self.run.project.name, self.run.name, self.job.attempt, known.host or host_name(), self.run.path)
        with self._limited(), offer.blamed("open"):
            observer.open(info, self.cursor.seq)
        try:
            state = self._tell(offer, observer)
        except BaseException:
            with self._limited(), contextlib.suppress(Exception):
                observer.close()
            raise
        with self._limited(), offer.blamed("close"):
            observer.close()
        return state

    def _tell(self, offer: Offer, observer: Any) -> str:
        """All events of the attempt and of those before it; returns what became of it."""
        idle = over = False
        while not self.stop.asked():
            if idle:
                self._save()
                if not over:
                    time.sleep(POLL_SECONDS)
                over = self._is_over()  # before the last look: what was written by then is found by it
            events = self._read()
            for event in events:
                if event.attempt > self.job.attempt:
                    return "done"
                if event.seq > self.cursor.seq:
                    with self._limited(), offer.blamed(f"on_event with event {event.seq} ({event.kind})"):
                        observer.on_event(event)
                    self.cursor = replace(self.cursor, seq=event.seq, t=event.t)
                    self._unsaved = True
                    self._save()
                if self.stop.asked():
                    return "stopped"
            if over and not events:
                return "done"
            idle = not events
        return "stopped"

    def _read(self) -> list[Event]:
        """The next events. The cursor's place is the beginning of this piece: where a process after us reads on."""
        offset, line = self._reader.offset, self._reader.seq
        events = self._reader.read(PIECE)
        if self._reader.offset < offset:  # the file is another one
            offset = line = 0
            self.cursor = replace(self.cursor, seq=0)
        self.cursor = replace(self.cursor, offset=offset, line=line)
        return events

    def _is_over(self) -> bool:
        known = read_state(self.run)
        return known.attempt > self.job.attempt or known.state not in LIVE or not self.run.path.exists()

    @contextlib.contextmanager
    def _limited(self) -> Iterator[None]:
        """A call into the plugin. The watchdog is a thread in C: it ends this process even where the GIL is held."""
        faulthandler.dump_traceback_later(self.seconds, exit=True, file=self._log)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _save(self, *, now: bool = False) -> None:
        """Write the cursor, at most once a second. A disk that takes none costs no event: they are told again."""
        if now or (self._unsaved and time.monotonic() - self._saved >= CURSOR_SECONDS):
            with contextlib.suppress(OSError):
                self.files.write(self.cursor)
            self._saved, self._unsaved = time.monotonic(), False

    def _explain(self, error: BaseException) -> str:
        """The sentence on what ended it; what is no expected failure leaves its traceback in the log."""
        if isinstance(error, PluginError) or not isinstance(error, FtstudioError):
            trace = "".join(traceback.format_exception(error))
            with contextlib.suppress(OSError):
                write_all(self._log, redact(self.secrets, trace).encode("utf-8", "backslashreplace"))
        if isinstance(error, FtstudioError):
            said = str(error)
        else:
            who = self.offer.title if self.offer else f"observer {self.files.name}"
            what = (
                f"sys.exit({error.code})"
                if isinstance(error, SystemExit)
                else f"{type(error).__name__}: {words_of(error)}"
            )
            said = f"{who} ended itself with {what}."
        return safe_text(redact(self.secrets, said), one_line=True)[:1000]


# ------------------------------------------------------------------------------------------------ the process


def observe(job: Job) -> int:
    """Wait for the lock, deliver, and return the exit code."""
    stop, lock = Stop(), RecordLock(job.files.lock)
    while not lock.acquire():
        if stop.asked():
            return 3
        time.sleep(POLL_SECONDS)
    log = os.dup(2)
    write_all(log, f"{STARTED}attempt {job.attempt}, process {os.getpid()}]\n".encode())
    with _bounded(job.files.log):
        delivery = Delivery(job, stop, log)
        delivery.deliver()
    lock.release()
    return {"failed": 1, "stopped": 3}.get(delivery.cursor.state, 0)


@contextlib.contextmanager
def _bounded(log: Path) -> Iterator[None]:
    """Keep the log small while a plugin prints, and what is left of it."""
    over = threading.Event()

    def look() -> None:
        while True:
            last = over.wait(LOG_SECONDS)
            with contextlib.suppress(OSError):
                bound_log(log, LOG_BYTES)
            if last:
                return

    looking = threading.Thread(target=look, name="log", daemon=True)
    looking.start()
    try:
        yield
    finally:
        sys.stdout.flush()
        over.set()
        looking.join()


def job_of(run: RunFolder, name: str, which: str, attempt: int, *, from_start: bool) -> Job:
    """What the arguments name: an observer of run.toml, or one whose table comes through stdin. Raises InputError."""
    files = ObserverFiles(run, name)
    if which == ON_STDIN:
        text = sys.stdin.buffer.read().decode()
        return Job(files=files, table=tomllib.loads(text), attempt=attempt, from_start=from_start, options=text)
    tables = list(frozen_observers(run).values())
    if int(which) >= len(tables):
        raise InputError(f"{run.title} has no observer {which}.")
    made_with = read_record(run).components.get(f"observers[{which}]", {})
    plugin = str(made_with.get("plugin")), str(made_with.get("distribution"))
    return Job(files=files, table=tables[int(which)], attempt=attempt, from_start=from_start, plugin=plugin)


def main() -> None:
    """Entry of the process. It leaves without waiting for threads that a plugin may have started."""
    path, name, which, attempt, *more = sys.argv[1:]
    code = 1
    try:
        code = observe(job_of(RunFolder(Path(path)), name, which, int(attempt), from_start=FROM_START in more))
    except (OSError, FtstudioError, ValueError) as error:
        print(safe_text(error), file=sys.stderr)  # noqa: T201 - into the log
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
