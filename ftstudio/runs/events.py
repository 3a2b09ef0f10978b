"""The event stream of a run: one writer format, one reader, and the rule for what counts after a resume."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftstudio.api import Event
from ftstudio.files import LineAppender

KINDS = ("phase", "progress", "metrics", "message", "sample", "checkpoint", "warning", "state")


class EventWriter:
    """Appends events to events.jsonl. One at a time writes: the worker, and the supervisor once it is gone."""

    def __init__(self, path: Path, attempt: int, redact: Callable[[str], str] = lambda text: text) -> None:
        self.attempt = attempt
        self._lines = LineAppender(path)
        self._redact = redact

    def write(self, kind: str, step: int | None = None, **data: Any) -> None:
        """Append one event. Raises OSError when it cannot be written."""
        record = {"t": round(time.time(), 3), "attempt": self.attempt, "kind": kind, "step": step, **data}
        self._lines.append(self._redact(json.dumps(_plain(record), ensure_ascii=False, separators=(",", ":"))))

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def _plain(value: Any) -> Any:
    """JSON has no NaN: numbers that are not finite are written as the strings "nan", "inf" and "-inf"."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (str, int, bool)) or value is None:
        return value
    return _plain(float(value)) if hasattr(value, "__float__") else str(value)


def number(value: Any) -> float | None:
    """A metric's value as it was written, NaN and infinities included; None when it is no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    return float(value) if value in ("nan", "inf", "-inf") else None


@dataclass
class EventReader:
    """Reads whole lines as they come; a line still being written is left for the next call.

    `skipped` counts lines that are no event. `seq` is the number of the last line seen, from 1.
    """

    path: Path
    offset: int = 0
    seq: int = 0
    skipped: int = 0

    def read(self, limit_bytes: int = 8 << 20) -> list[Event]:
        """The events that came since the last call, from at most `limit_bytes` of the file."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(limit_bytes)
        except OSError:
            return []
        end = data.rfind(b"\n") + 1
        self.offset += end
        events = []
        for line in data[:end].split(b"\n")[:-1]:
            self.seq += 1
            event = parse_event(line, self.seq)
            if event is None:
                self.skipped += bool(line.strip())
            else:
                events.append(event)
        return events


def parse_event(line: bytes, seq: int) -> Event | None:
    """One line as an event, or None when it is none."""
    try:
        raw = json.loads(line)
        step = raw["step"]
        if not isinstance(raw["kind"], str) or not (step is None or isinstance(step, int)):
            return None
        data = {k: v for k, v in raw.items() if k not in {"t", "attempt", "kind", "step"}}
        return Event(seq, float(raw["t"]), int(raw["attempt"]), raw["kind"], step, data)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def read_events(path: Path) -> list[Event]:
    """All events of a run, in order."""
    reader, events = EventReader(path), list[Event]()
    while batch := reader.read():
        events += batch
    return events


@dataclass
class Series:
    """Metrics by step after the rule of resumes: for each step the highest attempt wins, and an attempt that
    went on from step S hides what older attempts logged beyond S.
    """

    points: dict[str, dict[int, tuple[int, float]]] = field(default_factory=dict)

    def add(self, events: Iterable[Event]) -> None:
        """Take in more events, in order."""
        for event in events:
            if event.kind == "state" and isinstance(event.data.get("resumed_from"), int):
                self._hide(event.data["resumed_from"], event.attempt)
            elif event.kind == "metrics" and event.step is not None:
                metrics = event.data.get("metrics")
                for name, value in metrics.items() if isinstance(metrics, Mapping) else ():
                    self._put(str(name), event.step, event.attempt, number(value))

    def _put(self, name: str, step: int, attempt: int, value: float | None) -> None:
        if value is None:
            return
        points = self.points.setdefault(name, {})
        if step not in points or points[step][0] <= attempt:
            points[step] = (attempt, value)

    def _hide(self, beyond: int, attempt: int) -> None:
        for points in self.points.values():
            for step in [s for s, (a, _) in points.items() if s > beyond and a < attempt]:
                del points[step]

    def last(self) -> dict[str, float]:
        """The newest value of each metric."""
        return {name: points[max(points)][1] for name, points in self.points.items() if points}

    def values(self, name: str) -> list[tuple[int, float]]:
        """(step, value) of one metric, by step."""
        return [(step, value) for step, (_, value) in sorted(self.points.get(name, {}).items())]
