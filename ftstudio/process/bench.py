"""The studio's side of a workbench: starts it when something is wanted, asks, hears, cancels, starts it again.

    bench.ask(project, {"kind": "sample", ...}, on_event) -> the result, as `run_errand` gives it

`ask` blocks and is called from threads; of several threads one is answered after the other. A workbench that is gone
(idle, killed, ended by a plugin) is no state that anybody has to know of: the next request starts another.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ftstudio.api import Event
from ftstudio.errors import InputError, InterruptedRunError, PluginError
from ftstudio.explain import explained
from ftstudio.files import cache_dir, open_log, tail_bytes, write_all
from ftstudio.locks import lock_holder
from ftstudio.process import heavy
from ftstudio.process.errand import failure
from ftstudio.project import Project
from ftstudio.runs.events import parse_event

IDLE_SECONDS = 300.0
CANCEL_SECONDS = 2.0
"""How long a cancel may go unanswered (a plugin that computes without looking) before the process is killed."""
POLL_SECONDS = 0.05
STALE_SECONDS = 60.0


class _GoneError(Exception):
    """The process ended without a word on the request."""


class Bench:
    """One workbench process at a time. Nothing of it outlives `close`, or this process."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._turn = threading.Lock()
        self._process: _Process | None = None
        self._number = 0
        self._closed = False

    def ask(
        self,
        project: Project,
        job: Mapping[str, Any],
        on_event: Callable[[Event], None],
        *,
        device: str = "auto",
        cancelled: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """Have a job done, and return its result. Asks `cancelled` twenty times a second.

        Raises InterruptedRunError when it was cancelled, and InputError, PluginError or FtstudioError with the sentence
        that it failed with.
        """
        request = {"folder": str(project.folder), "settings": project.resolved(), "job": dict(job), "device": device}
        while not self._turn.acquire(timeout=POLL_SECONDS):
            if cancelled():
                raise InterruptedRunError("Cancelled.")
        try:
            with contextlib.suppress(_GoneError):  # it may have ended of itself this very moment: once more
                return self._exchange(request, on_event, cancelled)
            return self._exchange(request, on_event, cancelled)
        except _GoneError:
            raise PluginError("The workbench ended before it was asked.", "Try again.") from None
        finally:
            self._turn.release()

    def close(self) -> None:
        """End the process now, in the middle of whatever it does. Safe to call twice."""
        self._closed = True
        if self._process is not None:
            self._process.kill()

    def _exchange(
        self, request: Mapping[str, Any], on_event: Callable[[Event], None], cancelled: Callable[[], bool]
    ) -> dict[str, Any]:
        if cancelled() or self._closed:
            raise InterruptedRunError("Cancelled.")
        if self._process is None or not self._process.lives:
            self._drop()
            self._process = _Process(self._idle_seconds)
        self._number += 1
        asked = _Asked(self._process, self._number, on_event, cancelled)
        try:
            return asked.result(request)
        finally:
            if not self._process.lives:
                self._drop()

    def _drop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None


class _Asked:
    """One request and what is heard of it."""

    def __init__(
        self, process: _Process, number: int, on_event: Callable[[Event], None], cancelled: Callable[[], bool]
    ) -> None:
        self.process, self.number, self.on_event, self.cancelled = process, number, on_event, cancelled
        self.give_up: float | None = None
        self.heard = False

    def result(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self.process.send({"request": self.number, **request})
        for line in self.process.lines():
            event = None if line is None else parse_event(line, 0)
            if event is not None and event.attempt == self.number:
                self.heard = True
                if event.kind == "result":
                    return dict(event.data["value"])
                self._raise_if_ended(event)
                self.on_event(event)
            self._cancel_if_wanted()
        raise self._gone()

    def _raise_if_ended(self, event: Event) -> None:
        if event.kind != "state" or event.data.get("state") == "running":
            return
        if event.data.get("state") == "stopped":
            raise InterruptedRunError("Cancelled.")
        error = failure(str(event.data.get("reason", "")), int(event.data.get("exit_code", 1)))
        if not isinstance(error, InputError):
            error.hint = f"What it printed is in {self.process.console}."
        raise error

    def _cancel_if_wanted(self) -> None:
        if self.give_up is None:
            if self.cancelled():
                self.give_up = time.monotonic() + CANCEL_SECONDS
                self.process.send({"cancel": self.number})
        elif time.monotonic() > self.give_up:
            self.process.kill()
            raise InterruptedRunError("Cancelled.")

    def _gone(self) -> Exception:
        if self.give_up is not None:
            return InterruptedRunError("Cancelled.")
        code = self.process.end()
        if not self.heard and code == 0:
            return _GoneError()
        said = tail_bytes(self.process.console, 4096).decode("utf-8", "replace").strip()
        last = said.splitlines()[-1] if said else "It printed nothing."
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        return PluginError(f"The workbench ended with {how} before it was done.", last[:300])


class _Process:
    """The process, the two pipes to it, and its folder."""

    def __init__(self, idle_seconds: float) -> None:
        self.scratch = _new_folder()
        self.console = self.scratch / "console.log"
        with explained(self.scratch):
            theirs_in, self._requests = os.pipe()
            self._answers, theirs_out = os.pipe()
            log = open_log(self.console)
        command = [sys.executable, "-P", "-m", "ftstudio.process.workbench", str(theirs_in), str(theirs_out)]
        try:
            self._child = subprocess.Popen(
                [*command, str(self.scratch), str(idle_seconds)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(theirs_in, theirs_out),
                start_new_session=True, env=heavy.environment(),
            )  # fmt: skip
        finally:
            for descriptor in (theirs_in, theirs_out, log):
                os.close(descriptor)
        self._held = b""
        self._ending = threading.Lock()
        self._open = True

    @property
    def lives(self) -> bool:
        """Whether it can be asked, as far as is known."""
        return self._open

    def send(self, message: Mapping[str, Any]) -> None:
        """One line to it. What it cannot hear any more is said by `lines`, which end."""
        line = json.dumps(message, default=str).encode() + b"\n"
        with self._ending, contextlib.suppress(BrokenPipeError):
            if self._open:
                write_all(self._requests, line)

    def lines(self) -> Iterator[bytes | None]:
        """Its lines as they come, None whenever none came for a moment; ends when it does."""
        with selectors.DefaultSelector() as selector:
            if not self._open:
                return
            selector.register(self._answers, selectors.EVENT_READ)
            while self._open:
                if not selector.select(POLL_SECONDS):
                    yield None
                    continue
                data = self._read()
                if not data:
                    return
                *lines, self._held = (self._held + data).split(b"\n")
                yield from lines

    def _read(self) -> bytes:
        with self._ending:
            return os.read(self._answers, 1 << 16) if self._open else b""

    def end(self) -> int:
        """End it and all that it started, and return its exit code. From any thread, any number of times.

        Its group is signalled before it is waited for: until then nobody else can have its number.
        """
        with self._ending:
            if self._open:
                self._open = False
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._child.pid, signal.SIGKILL)
                self._child.wait()
                os.close(self._requests)
                os.close(self._answers)
        return self._child.returncode

    def kill(self) -> None:
        """End it, and take its folder away."""
        self.end()
        shutil.rmtree(self.scratch, ignore_errors=True)


def _new_folder() -> Path:
    """A scratch folder, and those of workbenches that were killed together with their studio taken away."""
    root = cache_dir() / "workbench"
    with explained(root):
        root.mkdir(parents=True, exist_ok=True)
        for old in root.iterdir():
            with contextlib.suppress(OSError):
                if time.time() - old.stat().st_mtime > STALE_SECONDS and lock_holder(old / "lock") is None:
                    shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=root))
