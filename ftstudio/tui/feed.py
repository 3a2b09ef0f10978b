"""From a run's events to the series that charts draw, a batch at a time.

Only what came is worked on. An attempt that goes on from step S hides what was logged beyond S, as everywhere else;
seconds count while the run runs, so that a night between two attempts is no gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ftstudio.api import Event
from ftstudio.runs.events import number
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.history import History
from ftstudio.tui.series import Series, Timeline

TOKENS = "tokens"
EVALUATED = "eval_"  # metrics with this prefix come from an evaluation
MOST = 1 << 53  # steps above it are no longer told apart as floats


class Feed:
    """The series of one run, by metric: `series["loss"]`."""

    def __init__(self, run_label: str) -> None:
        self.timeline = Timeline(run_label)
        self.series: dict[str, Series] = {}
        self._attempt, self._started, self._before = 0, 0.0, 0.0

    def add(self, events: Iterable[Event]) -> None:
        """Take in more events, in order. What belongs to an attempt older than the newest is left out."""
        batch: dict[str, tuple[list[float], list[float]]] = {}
        for event in events:
            if event.attempt < self._attempt or not -MOST < (event.step or 0) < MOST:
                continue
            if event.attempt > self._attempt:
                self._begin(event)
            resumed_from = event.data.get("resumed_from")
            if event.kind == "state" and isinstance(resumed_from, int):
                self._put(batch)
                batch = {}
                self._resume(min(resumed_from, MOST))
            elif event.step is not None:
                self._take(event, event.step, batch)
        self._put(batch)

    def _begin(self, event: Event) -> None:
        self._attempt, self._started = event.attempt, event.t
        self._before = self.timeline.time.values[-1] if self.timeline.time.values else 0.0

    def _resume(self, step: int) -> None:
        for series in self.series.values():
            series.cut(step)
        self.timeline.cut(step)
        if step > 0:  # 0 is a start, not a resume
            self.timeline.mark("resume", step)
        self._before = self.timeline.time.at(step) if self.timeline.time.values else 0.0

    def _take(self, event: Event, step: int, batch: dict[str, tuple[list[float], list[float]]]) -> None:
        self.timeline.time.extend((step,), (self._before + event.t - self._started,))
        if event.kind == "checkpoint":
            self.timeline.mark("checkpoint", step)
        metrics = event.data.get("metrics") if event.kind == "metrics" else None
        for name, raw in metrics.items() if isinstance(metrics, Mapping) else ():
            value = number(raw)
            if value is None:
                continue
            steps, values = batch.setdefault(str(name), ([], []))
            steps.append(step)
            values.append(value)
            if name == TOKENS:
                self.timeline.tokens.extend((step,), (value,))
            elif str(name).startswith(EVALUATED):
                self.timeline.mark("eval", step)

    def _put(self, batch: Mapping[str, tuple[list[float], list[float]]]) -> None:
        for name, (steps, values) in batch.items():
            if name not in self.series:
                self.series[name] = Series(name, self.timeline.run_label, self.timeline)
            self.series[name].extend(steps, values)


class Feeds:
    """What was read of the runs that a project's charts show, for as long as each is the same run."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self._kept: dict[Path, tuple[tuple[int, int], History[Feed]]] = {}

    def history(self, path: Path) -> History[Feed]:
        """The reader of one run, begun with a sketch."""
        if path not in self._kept:
            run = RunFolder(path)
            label = run.name if run.project == self.project else run.title
            history = History(run.events, lambda: Feed(label))
            self._kept[path] = (run.made, history)
            history.sketch()
        return self._kept[path][1]

    def best(self, paths: Iterable[Path]) -> list[Feed]:
        """The series of those runs of which anything was read."""
        return [self._kept[path][1].best for path in paths if path in self._kept]

    def forget_others(self) -> set[Path]:
        """Forget, and return, runs that are gone, also where another one has their number by now."""
        others = {path for path, (made, _) in self._kept.items() if RunFolder(path).made != made}
        for path in others:
            del self._kept[path]
        return others
