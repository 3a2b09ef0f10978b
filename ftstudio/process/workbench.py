"""The workbench: a helper process that a studio keeps for previews, token views and samples.

    python -m ftstudio.process.workbench REQUESTS ANSWERS SCRATCH      two descriptors, and a folder

    {"request": 7, "folder": ..., "settings": {...}, "job": {"kind": "sample", ...}, "device": "auto"}    -> a job
    {"cancel": 7}                                                                                         -> end it
    {"t": ..., "attempt": 7, "kind": "chunk", ...}                                                        <- events

A request is a job as errands do it (`jobs.py`), one at a time, in order. What comes back are events, whose attempt is
the number of the request; the last of them is a `result`, or a `state` with the reason why there is none. Models and
tokenised data are kept warm between requests.

It lives no longer than it is wanted: it ends at once when the studio does, which closes REQUESTS; after some minutes
without a request; and when it holds a GPU that a run computes on or waits for. What plugins print goes into
SCRATCH/console.log.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import selectors
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ftstudio.errors import FtstudioError
from ftstudio.files import bound_log, write_all
from ftstudio.leaving import leave_after
from ftstudio.locks import RecordLock
from ftstudio.process.free import free_device, wanted_by_runs
from ftstudio.process.jobs import JOBS
from ftstudio.process.secrecy import redact, secrets_of
from ftstudio.process.warm import Warm
from ftstudio.process.worker import explained_end
from ftstudio.process.worker_run import WorkerRun
from ftstudio.project import FILE, Project, from_tables
from ftstudio.runs.events import EventWriter
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.status import EXIT_CODES

LOOK_SECONDS = 2.0
LOG_LIMIT = 16 << 20
CONSOLE = "console.log"
COMPUTING = frozenset({"sample", "deep"})
"""Jobs that compute with a model; the others only read and tokenise, on the CPU."""


class Pipe:
    """Lines into a pipe, whole ones from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def append(self, line: str) -> None:
        """Write one line. Raises BrokenPipeError when nobody reads any more."""
        with self._lock:
            write_all(self._descriptor, line.encode("utf-8", "backslashreplace") + b"\n")

    def close(self) -> None:
        """Nothing: the pipe is for all requests."""


class BenchRun(WorkerRun):
    """The `Run` that components see: its events go to the studio."""

    def __init__(self, folder: RunFolder, project: Project, request: int, answers: Pipe) -> None:
        self.request, self.answers = request, answers
        super().__init__(
            folder, project.folder, attempt=1, seed=project.head.seed, devices=("cpu",), secrets=secrets_of(project)
        )

    def _open_events(self) -> EventWriter:
        return EventWriter(self.answers, self.request, partial(redact, self._secrets))

    def result(self, value: Mapping[str, Any]) -> None:
        """The last word of a request that was met."""
        self._events.write("result", None, value=value)


class Workbench:
    """Does what is asked for until nobody wants it any more."""

    def __init__(self, requests: int, answers: int, scratch: Path, idle_seconds: float) -> None:
        self.scratch, self.idle_seconds = scratch, idle_seconds
        self.warm = Warm()
        self._requests, self._answers = requests, Pipe(answers)
        self._waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._now: BenchRun | None = None

    def serve(self) -> None:
        """Answer requests; returns when it is idle for too long, or in the way of a run."""
        threading.Thread(target=self._listen, name="requests", daemon=True).start()
        idle_since = time.monotonic()
        while (left := idle_since + self.idle_seconds - time.monotonic()) > 0:
            try:
                request = self._waiting.get(timeout=min(LOOK_SECONDS, left))
            except queue.Empty:
                if self._is_in_the_way():
                    return
            else:
                self._answer(request)
                idle_since = time.monotonic()

    def _is_in_the_way(self) -> bool:
        with contextlib.suppress(FtstudioError, OSError):
            return bool(self.warm.devices) and wanted_by_runs(self.warm.devices)
        return False

    # ----------------------------------------------------------------------------------------- listening

    def _listen(self) -> None:
        """In a thread of its own, so that a cancel is heard in the middle of a job."""
        for line in self._lines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                message = json.loads(line)
                if "cancel" in message:
                    self._cancel(int(message["cancel"]))
                else:
                    self._waiting.put({**message, "request": int(message["request"])})
        self._vanish()

    def _lines(self) -> Iterator[bytes]:
        """What comes from the studio, until it is gone; meanwhile the log is kept from filling the disk."""
        held = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._requests, selectors.EVENT_READ)
            while True:
                if not selector.select(LOOK_SECONDS):
                    with contextlib.suppress(OSError):
                        bound_log(self.scratch / CONSOLE, LOG_LIMIT)
                    continue
                data = os.read(self._requests, 1 << 16)
                if not data:
                    return
                *lines, held = (held + data).split(b"\n")
                yield from lines

    def _cancel(self, request: int) -> None:
        self._cancelled.add(request)
        run = self._now
        if run is not None and run.request == request:
            run.requests.notice("asked")

    def _vanish(self) -> None:
        """The studio is gone: nobody wants what is being done, nor the processes that plugins started."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(0)

    # ------------------------------------------------------------------------------------------ answering

    def _answer(self, request: dict[str, Any]) -> None:
        """Do a job; whatever comes of it, its last word is said."""
        number = request["request"]
        try:
            folder = Path(request["folder"])
            project = from_tables(folder, folder / FILE, request["settings"])
            run = self._now = BenchRun(self._place(request), project, number, self._answers)
        except FtstudioError as error:
            EventWriter(self._answers, number).write(
                "state", None, state="failed", reason=str(error), exit_code=error.exit_code
            )
            return
        with contextlib.closing(run), explained_end(run) as code:
            if number in self._cancelled:
                run.requests.notice("asked")
            project.require()
            run.devices = (self._device(run, request),)
            run.result(JOBS[request["job"]["kind"]](project, run, request["job"], self.warm))
        self._now = None
        if code[0] not in {0, EXIT_CODES["stopped"]}:
            self.warm.close()  # what failed may have been memory: the next one begins with all of it

    def _device(self, run: BenchRun, request: Mapping[str, Any]) -> str:
        """Where to compute, said together with the reason when it is not the best place."""
        name, why = "cpu", ""
        if request["job"]["kind"] in COMPUTING:
            device, why = free_device(request.get("device", "auto"), self.warm.devices)
            name = device.name
        run.state("running", why, devices=[name])
        return name

    def _place(self, request: Mapping[str, Any]) -> RunFolder:
        """A folder for these settings: components find there what they wrote for the same ones."""
        key = json.dumps([request["folder"], request["settings"]], sort_keys=True)
        folder = self.scratch / hashlib.sha256(key.encode()).hexdigest()[:16]
        folder.mkdir(exist_ok=True)
        return RunFolder(folder)


def main() -> None:
    """Entry of the workbench's process."""
    leave_after(_serve)


def _serve() -> int:
    requests, answers, scratch, idle = sys.argv[1:]
    lock = RecordLock(Path(scratch) / "lock")
    if not lock.acquire():
        sys.exit(f"{scratch} belongs to another workbench.")
    bench = Workbench(int(requests), int(answers), Path(scratch), float(idle))
    with contextlib.closing(bench.warm):
        bench.serve()
    shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    main()
