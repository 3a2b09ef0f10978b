"""metrics.csv: what readers see of a run's metrics, so what a resume hides is not in it."""

from __future__ import annotations

from ftstudio.api import Event, RunInfo
from ftstudio_observers.metrics import metrics_of, resumed_from
from ftstudio_observers.options import CsvOptions
from ftstudio_observers.table import Table

NAME = "metrics.csv"


class Csv:
    """Writes metrics.csv into the run's folder: a row a step, a column a metric."""

    def __init__(self, options: CsvOptions) -> None:
        self._wanted = frozenset(options.metrics)

    def open(self, run: RunInfo, after_seq: int) -> None:
        """Go on with the table that is there, or begin a new one."""
        self._table = Table(run.dir / NAME, keep=after_seq > 0)

    def on_event(self, event: Event) -> None:
        """Metrics of a step, or a resume, which takes back what came beyond its step."""
        beyond = resumed_from(event)
        if beyond is not None:
            self._table.cut(beyond)
        elif event.kind == "metrics" and event.step is not None:
            values = {k: v for k, v in metrics_of(event).items() if not self._wanted or k in self._wanted}
            if values:
                self._table.put(event.step, values)

    def close(self) -> None:
        """Everything is written already."""
        self._table.close()
