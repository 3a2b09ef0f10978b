"""Metrics of a run in Weights & Biases.

Its own step is the event's number, which only grows: what is told again has a number that was there already, and is
dropped. Charts go by the metric `step`, which is the trainer's.
"""

from __future__ import annotations

import wandb

from ftstudio.api import Event, RunInfo
from ftstudio_wandb import Options


class WandB:
    """Logs into one run there, also over several attempts here."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.failed = True

    def open(self, run: RunInfo, after_seq: int) -> None:
        """Begin the run, or go on with it."""
        self.told = after_seq
        quiet = wandb.Settings(console="off", silent=True, disable_git=True, save_code=False)
        self.run = wandb.init(
            project=self.options.project or run.project, name=run.run, id=f"{run.project}-{run.run}", resume="allow",
            dir=run.dir, mode=self.options.mode, settings=quiet,
        )  # fmt: skip
        self.run.define_metric("*", step_metric="step")

    def on_event(self, event: Event) -> None:
        """Metrics of a step, and how it ends."""
        if event.kind == "metrics" and event.step is not None:
            metrics = {name: float(value) for name, value in event.data["metrics"].items()}
            self.run.log({**metrics, "step": event.step}, step=event.seq, commit=True)
        elif event.kind == "state":
            self.failed = event.data.get("state") != "finished"

    def close(self) -> None:
        """End it there, so that all of it is in its file or sent."""
        self.run.finish(exit_code=int(self.failed))
