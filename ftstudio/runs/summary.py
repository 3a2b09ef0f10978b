"""What came of a run, from its events: samples, losses, and an honest word on little data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ftstudio.event import Event
from ftstudio.files import plural, read_toml
from ftstudio.runs.events import Series
from ftstudio.runs.folder import RunFolder

FEW_ROWS = 200


def samples(events: Iterable[Event]) -> list[dict[str, Any]]:
    """All recorded samples: {"step", "prompt", "text", "model"}; model is "base", "final" or ""."""
    return [
        {
            "step": e.step,
            "prompt": e.data.get("prompt", ""),
            "text": str(e.data.get("text", "")),
            "model": e.data.get("model", ""),
        }
        for e in events
        if e.kind == "sample"
    ]


def losses(events: Iterable[Event]) -> tuple[str, float, float] | None:
    """The name of the loss, its first and its last value: eval_loss where there is one, else the training loss."""
    series = Series()
    series.add(events)
    for name in ("eval_loss", "loss"):
        values = series.values(name)
        if len(values) >= 2:
            return name, values[0][1], values[-1][1]
    return None


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
