"""Starting observers, one process each. The supervisor loads this and has to stay small: no plugin, no options.

They get a session of their own, nothing of the terminal, and are waited for by nobody: `process/observer.py` is what
runs in them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from ftstudio.errors import InputError
from ftstudio.files import open_log, refuse_symlinks
from ftstudio.process.endings import RUN_VARIABLE
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.observers import ObserverFiles, frozen_observers

FROM_START = "--from-start"
ON_STDIN = "-"
"""In place of an index: the observer's table comes through stdin, for one that the run was not made with."""


def start_observer(
    run: RunFolder, name: str, index: int | None, attempt: int, *, table: str = "", from_start: bool = False
) -> subprocess.Popen[bytes]:
    """Start the observer that is at an index of run.toml, or that `table` (TOML) describes.

    Raises OSError, and InputError where that would write through a symbolic link.
    """
    refuse_symlinks(run.observers, run.project)
    run.observers.mkdir(exist_ok=True)
    log = open_log(ObserverFiles(run, name).log)
    which = ON_STDIN if index is None else str(index)
    more = [FROM_START] if from_start else []
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ftstudio.process.observer", str(run.path), name, which, str(attempt), *more],
            stdin=subprocess.PIPE if index is None else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",  # what lies in a project's folder is never imported
            env={**_environment(), "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"},
        )
    finally:
        os.close(log)
    if process.stdin is not None:
        with process.stdin as pipe, contextlib.suppress(BrokenPipeError):
            pipe.write(table.encode())
    return process


def _environment() -> dict[str, str]:
    """Ours, without the mark of what a worker started: that would end with the worker."""
    return {name: value for name, value in os.environ.items() if name != RUN_VARIABLE}


class Observers:
    """The observers that one process started of a run. None of them can hold it up: what cannot be started is not."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, attempt: int) -> None:
        """Start those that the run was made with, for an attempt; who reads the run sees which are not there."""
        for index, name in enumerate(frozen_observers(self._run)):
            with contextlib.suppress(OSError, InputError):
                self._started.append(start_observer(self._run, name, index, attempt))

    def reap(self) -> None:
        """Let those go that have ended."""
        self._started = [process for process in self._started if process.poll() is None]
