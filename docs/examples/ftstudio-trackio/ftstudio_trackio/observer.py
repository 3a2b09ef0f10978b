"""Metrics of a run in Trackio's local database (`TRACKIO_DIR`, else its cache).

Each row holds the number of its event, `event`: what is told again is there already, and is left out.
"""

from __future__ import annotations

from typing import Any

import trackio
from trackio.sqlite_storage import SQLiteStorage

from ftstudio.api import Event, RunInfo
from ftstudio_trackio import Options

EVENT = "event"


class Trackio:
    """Logs into one run there, also over several attempts here."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def open(self, run: RunInfo, after_seq: int) -> None:
        """Begin the run, or go on with it, and see what it has."""
        project = self.options.project or run.project
        self.run: Any = trackio.init(
            project=project, name=run.run, resume="allow", embed=False, auto_log_gpu=False, auto_log_cpu=False
        )
        rows = SQLiteStorage.get_logs(project, run.run) or []
        self.had = {int(row[EVENT]) for row in rows if EVENT in row}

    def on_event(self, event: Event) -> None:
        """Metrics of a step."""
        if event.kind == "metrics" and event.step is not None and event.seq not in self.had:
            metrics = {name: float(value) for name, value in event.data["metrics"].items()}
            self.run.log({**metrics, EVENT: event.seq}, step=event.step)

    def close(self) -> None:
        """Wait until all of it is in the database."""
        self.run.finish()
