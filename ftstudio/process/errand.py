"""Errands: short jobs (`jobs.py`) that need torch but make no run: a deep check, the token view, a sample.

    run_errand ──> `python -m ftstudio.process.errand SCRATCH` ──> scratch/events.jsonl, scratch/result.json

The scratch folder looks like a run folder, so components see the same `Run` and readers read the same events. It
lies in the cache and is deleted afterwards.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ftstudio.api import Event
from ftstudio.errors import FtstudioError, InputError, InterruptedRunError, PluginError
from ftstudio.explain import explained
from ftstudio.files import cache_dir, write_atomic
from ftstudio.leaving import leave_after
from ftstudio.process import heavy
from ftstudio.process.devices import candidates, devices_of
from ftstudio.process.jobs import JOBS
from ftstudio.process.secrecy import secrets_of
from ftstudio.process.warm import Warm
from ftstudio.process.worker import explained_end
from ftstudio.process.worker_run import WorkerRun
from ftstudio.project import Project, from_tables
from ftstudio.runs.events import EventReader
from ftstudio.runs.folder import RunFolder

POLL_SECONDS = 0.05
END_SECONDS = 5.0


def run_errand(
    project: Project,
    job: Mapping[str, Any],
    on_event: Callable[[Event], None],
    *,
    device: str = "auto",
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Do a job in a process of its own and return its result. `cancelled` is asked twenty times a second.

    Raises InputError for a device that is not here; InputError, PluginError or FtstudioError with the sentence that the
    process ended with; InterruptedRunError when it was cancelled.
    """
    candidates(device)
    root = cache_dir() / "errands"
    with explained(root):
        root.mkdir(parents=True, exist_ok=True)
        scratch = RunFolder(Path(tempfile.mkdtemp(dir=root)))
    try:
        spec = {"folder": str(project.folder), "settings": project.resolved(), "job": dict(job), "device": device}
        with explained(scratch.path):
            write_atomic(scratch.path / "job.json", json.dumps(spec, default=str))
        return _follow(scratch, on_event, cancelled)
    finally:
        shutil.rmtree(scratch.path, ignore_errors=True)


def _follow(scratch: RunFolder, on_event: Callable[[Event], None], cancelled: Callable[[], bool]) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", "ftstudio.process.errand", str(scratch.path)]
    reader = EventReader(scratch.events)
    last: Event | None = None
    with scratch.console.open("wb") as console:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=heavy.environment()
        )
        try:
            alive = True
            while alive:
                alive = child.poll() is None
                if alive and cancelled():
                    raise InterruptedRunError("It was cancelled.")
                for event in reader.read():
                    last = event if event.kind == "state" else last
                    on_event(event)
                time.sleep(POLL_SECONDS if alive else 0)
        except BaseException:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(END_SECONDS)
            child.kill()
            child.wait()
            raise
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads((scratch.path / "result.json").read_text("utf-8")))
    raise _failure(scratch, last, child.returncode)


def _failure(scratch: RunFolder, last: Event | None, code: int) -> FtstudioError:
    console = scratch.console.read_text("utf-8", "replace").strip()
    if last is None or last.data.get("state") == "running":
        said = console.splitlines()[-1] if console else "It said nothing."
        return PluginError(f"The process ended with exit code {code} before it was done. {said[:300]}")
    error = failure(str(last.data.get("reason", "")), code)
    error.hint = f"\n{console}" if "Traceback" in console else ""
    return error


def failure(reason: str, code: int) -> FtstudioError:
    """The error for what a process said last, and its exit code."""
    return InputError(reason) if code == InputError.exit_code else FtstudioError(reason)


def main() -> None:
    """Entry of the errand's process."""
    leave_after(lambda: _do(RunFolder(Path(sys.argv[1]))))


def _do(scratch: RunFolder) -> int:
    """Read job.json, do it, write result.json. Returns the exit code."""
    spec = json.loads((scratch.path / "job.json").read_text("utf-8"))
    folder = Path(spec["folder"])
    project = from_tables(folder, folder / "project.toml", spec["settings"])
    run = WorkerRun(
        scratch,
        folder,
        attempt=1,
        seed=project.head.seed,
        devices=(devices_of(spec["device"])[0].name,),
        secrets=secrets_of(project),
    )
    with contextlib.closing(run), contextlib.closing(Warm()) as warm, explained_end(run) as code:
        project.require()
        result = JOBS[spec["job"]["kind"]](project, run, spec["job"], warm)
        write_atomic(scratch.path / "result.json", json.dumps(result))
    return code[0]


if __name__ == "__main__":
    main()
