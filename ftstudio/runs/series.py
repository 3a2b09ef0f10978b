"""Metrics by step, compactly: 20 bytes a point, so 160 MB for 10^6 points of 8 metrics.

The rule of resumes: for each step the highest attempt wins (of one attempt, what it said last), and an attempt that
went on from step S hides what older attempts logged beyond S. Values are as they were written, NaN and infinities
included.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ftstudio.event import Event


def number(value: Any) -> float | None:
    """A metric's value as it was written, NaN and infinities included; None when it is no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return float(value) if value in ("nan", "inf", "-inf") else None


def resumed_from(event: Event) -> int | None:
    """The step that an attempt says it goes on from, when the event is that word."""
    step = event.data.get("resumed_from") if event.kind == "state" else None
    return step if type(step) is int else None


@dataclass
class Track:
    """One metric's points, by step: `steps[i]` has `values[i]`, of attempt `attempts[i]`."""

    steps: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    attempts: array[int] = field(default_factory=lambda: array("I"))

    def put(self, step: int, attempt: int, value: float) -> None:
        """Take in a point; at a step that there is already, it replaces one of no later attempt."""
        at = len(self.steps)
        if at and step <= self.steps[-1]:
            at = bisect_left(self.steps, step)
            if self.steps[at] == step:
                if self.attempts[at] <= attempt:
                    self.values[at], self.attempts[at] = value, attempt
                return
        self.steps.insert(at, step)
        self.values.insert(at, value)
        self.attempts.insert(at, attempt)

    def hide(self, beyond: int, attempt: int) -> None:
        """Take away what attempts before this one logged beyond a step."""
        at = bisect_right(self.steps, beyond)
        kept = [i for i in range(at, len(self.steps)) if self.attempts[i] >= attempt]
        self.steps[at:] = array("q", [self.steps[i] for i in kept])
        self.values[at:] = array("d", [self.values[i] for i in kept])
        self.attempts[at:] = array("I", [self.attempts[i] for i in kept])


@dataclass
class Series:
    """The metrics of a run. Events may be added in batches."""

    tracks: dict[str, Track] = field(default_factory=dict)
    _resumes: dict[int, int] = field(default_factory=dict)
    """Attempt -> the step that it went on from."""
    _newest: int = 0
    """The highest of these attempts."""

    def add(self, events: Iterable[Event]) -> None:
        """Take in more events."""
        for event in events:
            if event.kind == "metrics" and event.step is not None:
                if event.attempt >= self._newest or not self._is_hidden(event.step, event.attempt):
                    self._put(event.step, event.attempt, event.data.get("metrics"))
            elif (step := resumed_from(event)) is not None:
                self._resume(event.attempt, step)

    def _put(self, step: int, attempt: int, metrics: object) -> None:
        for name, raw in metrics.items() if isinstance(metrics, Mapping) else ():
            value = raw if type(raw) is float else number(raw)
            if value is not None:
                track = self.tracks.get(name)
                if track is None:
                    track = self.tracks[name] = Track()
                track.put(step, attempt, value)

    def _is_hidden(self, step: int, attempt: int) -> bool:
        return any(attempt < later and step > beyond for later, beyond in self._resumes.items())

    def _resume(self, attempt: int, step: int) -> None:
        self._resumes[attempt] = min(step, self._resumes.get(attempt, step))
        self._newest = max(self._newest, attempt)
        for track in self.tracks.values():
            track.hide(step, attempt)

    @property
    def names(self) -> list[str]:
        """The metrics that have a point, in the order in which they first came."""
        return [name for name, track in self.tracks.items() if track.steps]

    def last(self) -> dict[str, float]:
        """The value of each metric at its highest step."""
        return {name: self.tracks[name].values[-1] for name in self.names}

    def values(self, name: str) -> list[tuple[int, float]]:
        """(step, value) of one metric, by step."""
        track = self.tracks.get(name, Track())
        return list(zip(track.steps, track.values, strict=True))
