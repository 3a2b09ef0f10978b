"""What events say of metrics: numbers as they were written, and which step an attempt went on from."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ftstudio.api import Event

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def metrics_of(event: Event) -> dict[str, float]:
    """The numbers of an event of metrics by name, NaN and infinities included; what is no number is left out."""
    metrics = event.data.get("metrics")
    found: dict[str, float] = {}
    for name, value in metrics.items() if isinstance(metrics, Mapping) else ():
        if value in ("nan", "inf", "-inf") or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            found[_CONTROL.sub(" ", str(name))] = _float(value)
    return found


def _float(value: str | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")  # type: ignore[operator]


def resumed_from(event: Event) -> int | None:
    """The step that an attempt goes on from, where the event says so: what came beyond it before is void."""
    step = event.data.get("resumed_from") if event.kind == "state" else None
    return step if type(step) is int else None
