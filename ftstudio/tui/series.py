"""One metric of one run, fed in batches as events are read, and what the run's steps mean on other axes.

A `Series` is kept by step. What a step means in tokens or seconds is the same for all metrics of a run, so it is kept
once, in the run's `Timeline`, together with the steps of its checkpoints, evaluations and resumes. All of it lies in
`array('d')`: 8 bytes a number.
"""

from __future__ import annotations

import math
import operator
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from itertools import islice

from ftstudio.tui.curve import LEAST_POSITIVE, LIMIT, Curve, Derived

AXES = ("step", "tokens", "time")
MARKS = ("resume", "checkpoint", "eval")  # where two meet, the first is shown
KEPT_CURVES = 4  # derived curves a series keeps: a few charts may show it with different smoothing


class Track:
    """A quantity that grows with the steps of a run. One that falls back (a clock set back) is held instead."""

    def __init__(self) -> None:
        self.steps, self.values = array("d"), array("d")

    def extend(self, steps: Iterable[float], values: Iterable[float]) -> None:
        """Append pairs in order of steps; of two at one step the later counts; pairs that are not finite do not."""
        for step, value in zip(steps, values, strict=True):
            if not (math.isfinite(step) and math.isfinite(value)):
                continue
            if self.steps and step <= self.steps[-1]:
                self.cut(math.nextafter(step, -math.inf))
            self.steps.append(step)
            self.values.append(max(value, self.values[-1]) if self.values else value)

    def cut(self, beyond: float) -> None:
        """Forget what lies beyond a step."""
        keep = bisect_right(self.steps, beyond)
        del self.steps[keep:], self.values[keep:]

    def at(self, step: float) -> float:
        """The quantity at a step, between two known ones by a straight line; beyond the ends, the end's."""
        return _between(self.steps, self.values, step)

    def step_at(self, value: float) -> float:
        """The first step at which the quantity reaches `value`: -inf before the first, inf after the last."""
        if not self.values or value > self.values[-1]:
            return math.inf
        return -math.inf if value <= self.values[0] else _between(self.values, self.steps, value)


def _between(xs: array[float], ys: array[float], x: float) -> float:
    i = bisect_left(xs, x)
    if i == 0 or i == len(xs):
        return ys[i] if i == 0 else ys[-1]
    share = (x - xs[i - 1]) / (xs[i] - xs[i - 1])
    return ys[i - 1] + share * (ys[i] - ys[i - 1])


class Timeline:
    """What the steps of one run mean in tokens seen and in seconds since it began, and what happened at which."""

    def __init__(self, run_label: str) -> None:
        self.run_label = run_label
        self.tokens, self.time = Track(), Track()
        self.marks: dict[str, list[float]] = {kind: [] for kind in MARKS}

    def mark(self, kind: str, step: float) -> None:
        """Note an event of a kind in MARKS; a KeyError names any other."""
        steps = self.marks[kind]
        if not steps or step > steps[-1]:
            steps.append(step)
        elif steps[bisect_left(steps, step)] != step:
            insort(steps, step)

    def cut(self, beyond: float) -> None:
        """Forget what lies beyond a step: a later attempt went on from there."""
        self.tokens.cut(beyond)
        self.time.cut(beyond)
        for steps in self.marks.values():
            del steps[bisect_right(steps, beyond) :]

    def track(self, axis: str) -> Track | None:
        """The track of an axis; None for the steps themselves."""
        return None if axis == "step" else self.time if axis == "time" else self.tokens


class Series:
    """One metric of one run: a value a step, in order of steps."""

    def __init__(self, name: str, run_label: str, timeline: Timeline | None = None) -> None:
        self.name, self.run_label = name, run_label
        self.timeline = timeline or Timeline(run_label)
        self.steps, self.raw = array("d"), Curve()
        self.version = 0  # grows with every change, so that a chart knows whether it has to look
        self._derived: dict[tuple[float, bool], Derived] = {}

    def __len__(self) -> int:
        return len(self.steps)

    def extend(self, xs: Iterable[float], ys: Iterable[float]) -> None:
        """Append values `ys` at steps `xs`. Steps that go back are put in their place; of two at one step the later
        counts. Raises ValueError for a step that is not finite or lists of different lengths.
        """
        steps, values = array("d", xs), array("d", ys)
        if len(steps) != len(values):
            raise ValueError(f"{len(steps)} steps but {len(values)} values")
        if not steps:
            return
        self.version += 1
        grows = all(map(operator.lt, steps, islice(steps, 1, None)))
        if not (grows and math.isfinite(steps[0]) and math.isfinite(steps[-1])):
            if not all(map(math.isfinite, steps)):
                raise ValueError("a step must be finite")
            grows = False
        if not grows or (self.steps and steps[0] <= self.steps[-1]):
            steps, values = self._merged(steps, values)
        self.steps.extend(steps)
        self.raw.extend(values)

    def cut(self, beyond: float) -> None:
        """Forget what lies beyond a step: a later attempt went on from there."""
        self._keep(bisect_right(self.steps, beyond))

    def x(self, index: int, axis: str) -> float:
        """Where the value at `index` lies on an axis."""
        track = self.timeline.track(axis)
        return track.at(self.steps[index]) if track else self.steps[index]

    def has(self, axis: str) -> bool:
        """Whether there is anything to draw over this axis."""
        track = self.timeline.track(axis)
        return bool(self.steps) and (track is None or bool(track.steps))

    def cuts(self, edges: Iterable[float], axis: str) -> list[int]:
        """For each edge on an axis, in growing order, how many values lie before it."""
        track, at, found = self.timeline.track(axis), 0, []
        for edge in edges:
            at = bisect_left(self.steps, track.step_at(edge) if track else edge, at)
            found.append(at)
        return found

    def derived(self, smoothing: float, positive: bool) -> Derived:
        """The curve smoothed by a weight in [0, 1), or only what is above zero, or both; it lags until caught up."""
        found = self._derived.pop((smoothing, positive), None) or Derived(
            self.raw, smoothing, LEAST_POSITIVE if positive else -LIMIT
        )
        self._derived[smoothing, positive] = found
        while len(self._derived) > KEPT_CURVES:
            del self._derived[next(iter(self._derived))]
        return found

    def _merged(self, steps: array[float], values: array[float]) -> tuple[array[float], array[float]]:
        """The new values among those they belong between; what is kept before them stays as it is."""
        keep = bisect_left(self.steps, min(steps))
        points = dict(zip(self.steps[keep:], self.raw.values[keep:], strict=True))
        points.update(zip(steps, values, strict=True))
        self._keep(keep)
        order = sorted(points)
        return array("d", order), array("d", map(points.__getitem__, order))

    def _keep(self, count: int) -> None:
        if count == len(self.steps):
            return
        self.version += 1
        del self.steps[count:]
        self.raw.cut(count)
        self._derived.clear()  # the state of an average at an earlier point is not kept
