"""What came of a run, from its events: samples, losses, and an honest word on little data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftstudio.files import read_toml
from ftstudio.runs.events import Series, iter_events
from ftstudio.runs.folder import RunFolder
from ftstudio.text import number_text, plural

FEW_ROWS = 200
OTHER_ROWS = "each of other rows: without validation rows they can hardly be compared"


@dataclass
class Outcome:
    """What came of a run so far.

    `samples` are all recorded ones: {"step", "prompt", "text", "model"}; model is "base", "final" or "".
    """

    series: Series = field(default_factory=Series)
    samples: list[dict[str, Any]] = field(default_factory=list)
    checkpoint: Path | None = None
    """The last one that was committed."""
    model_step: int | None = None
    """The step of the finished model, which is not the last where an earlier one was better."""

    def loss(self, step: int | None = None) -> tuple[str, str] | None:
        """The name of the loss and what can be said of it: eval_loss where there is one, else the training loss.

        With a step it is that of the model as it was there.

        Only validation rows are the same each time. Training losses are of the rows since the one before, which may
        be a single batch, so a higher one need not mean that the model became worse.
        """
        for name in ("eval_loss", "loss"):
            values = [point for point in self.series.values(name) if step is None or point[0] <= step]
            if values:
                (first, before), (last, after) = values[0], values[-1]
                if first == last:
                    return name, f"{number_text(after)} at step {last:,}"
                if name == "eval_loss" and first == 0:
                    return name, f"{number_text(before)} before, {number_text(after)} after {plural(last, 'step')}"
                said = f"{number_text(before)} at step {first:,}, {number_text(after)} at step {last:,}"
                return name, said if name == "eval_loss" else f"{said}, {OTHER_ROWS}"
        return None


def outcome(run: RunFolder) -> Outcome:
    """What came of a run, from all its events, of which only what is told is held."""
    found = Outcome()
    for event in iter_events(run.events):
        found.series.add((event,))
        if event.kind == "sample":
            found.samples.append({
                "step": event.step,
                "prompt": event.data.get("prompt", ""),
                "text": str(event.data.get("text", "")),
                "model": event.data.get("model", ""),
            })  # fmt: skip
        elif event.kind == "checkpoint":
            found.checkpoint = run.checkpoints / str(event.data.get("path"))
        elif event.kind == "state" and event.data.get("state") == "finished":
            name = str(event.data.get("checkpoint"))
            found.model_step = int(name) if name.isdecimal() else None
    return found


def few_rows_sentence(run: RunFolder) -> str:
    """What can honestly be expected of so few rows, or "" when they are not few."""
    try:
        rows = read_toml(run.inputs)["data"]["rows"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if not isinstance(rows, int) or rows >= FEW_ROWS:
        return ""
    return (
        f"{plural(rows, 'row')} can shift a model's tone towards their wording; they cannot teach it anything new, "
        "and a lower loss on them is mostly memory."
    )
