"""An event, apart from the rest of the API: `ftstudio status` reads thousands of them and needs nothing else of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """One line of a run's events.jsonl. `seq` is its line number from 1, `t` Unix seconds."""

    seq: int
    t: float
    attempt: int
    kind: str
    step: int | None
    data: Mapping[str, Any]
