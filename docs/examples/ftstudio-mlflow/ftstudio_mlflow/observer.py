"""Metrics of a run in an MLflow tracking store.

The store keeps a point once for the same name, step, time and value, so what is told again is there once.
"""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.entities import Metric

from ftstudio.api import Event, RunInfo
from ftstudio_mlflow import Options

TAG = "ftstudio.run"
ENDS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED", "interrupted": "KILLED"}


class MLflow:
    """Logs into one run there, also over several attempts here."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def open(self, run: RunInfo, after_seq: int) -> None:
        """Find the run by its tag, or make it."""
        self.client = MlflowClient(self.options.tracking_uri or f"sqlite:///{run.dir / 'mlflow.db'}")
        name, here = self.options.experiment or run.project, f"{run.host}/{run.project}:{run.run}"
        experiment = self.client.get_experiment_by_name(name)
        where = experiment.experiment_id if experiment else self.client.create_experiment(name)
        known = self.client.search_runs([where], f"tags.`{TAG}` = '{here}'", max_results=1)
        made = known[0] if known else self.client.create_run(where, run_name=run.run, tags={TAG: here})
        self.id = made.info.run_id

    def on_event(self, event: Event) -> None:
        """Metrics of a step, all in one request; and how it ends."""
        if event.kind == "metrics" and event.step is not None:
            t = round(event.t * 1000)
            points = [Metric(name, float(value), t, event.step) for name, value in event.data["metrics"].items()]
            self.client.log_batch(self.id, metrics=points)
        elif event.kind == "state" and event.data.get("state") in ENDS:
            self.client.set_terminated(self.id, ENDS[str(event.data["state"])])

    def close(self) -> None:
        """Everything is in the store already."""
