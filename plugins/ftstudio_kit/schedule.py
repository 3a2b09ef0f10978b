"""Learning-rate schedules and step arithmetic, without torch.

The plan, the drawn curve and the native loop all count with these functions, so what is shown is what happens.
The formulas are those of `transformers.optimization` (5.x), which a test compares them with, and the counting is that
of `transformers.Trainer`: the last, smaller group of batches of an epoch is an optimizer step of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

SchedulerType = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "cosine_with_min_lr",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
]
SCHEDULER_TYPES: tuple[str, ...] = get_args(SchedulerType)

SCHEDULER_KWARGS: Mapping[str, Mapping[str, float]] = {
    "cosine": {"num_cycles": 0.5},
    "cosine_with_restarts": {"num_cycles": 1},
    "cosine_with_min_lr": {"num_cycles": 0.5, "min_lr_rate": 0.1},
    "polynomial": {"lr_end": 1e-7, "power": 1.0},
    "inverse_sqrt": {"timescale": 0},
}
"""What `lr_scheduler_kwargs` may hold for each type, and what holds when it is not said.

`min_lr_rate` 0.1 is ours (transformers has no default); `timescale` 0 means the warm-up, or 10,000 without one.
"""


@dataclass(frozen=True)
class Schedule:
    """The learning rate of every optimizer step of a run. Steps count from 1."""

    type: str
    learning_rate: float
    warmup_steps: int
    total_steps: int
    kwargs: Mapping[str, float] = field(default_factory=dict)

    def at(self, step: int) -> float:
        """Learning rate that optimizer step `step` (from 1) uses: the first one uses the formula at 0."""
        return self.learning_rate * self.multiplier(step - 1)

    def multiplier(self, done: int) -> float:
        """Share of the peak after `done` finished steps, as the lambdas of transformers give it."""
        if self.type == "constant":
            return 1.0
        if done < self.warmup_steps:
            return done / max(1, self.warmup_steps)
        return _DECAYS[self.type](self, done)

    def curve(self, points: int = 200) -> tuple[tuple[int, float], ...]:
        """At most `points` exact (step, learning rate), the first, the peak and the last among them."""
        if self.total_steps < 1:
            return ()
        if self.total_steps <= points:
            steps = set(range(1, self.total_steps + 1))
        else:
            spread = points - 3
            steps = {1 + round(i * (self.total_steps - 1) / (spread - 1)) for i in range(spread)}
            steps |= {min(self.total_steps, self.warmup_steps + n) for n in (1, 2)}
        return tuple((step, self.at(step)) for step in sorted(steps))

    def value(self, name: str) -> float:
        """A parameter of the type, from `kwargs` or its default."""
        return self.kwargs.get(name, SCHEDULER_KWARGS[self.type][name])

    def progress(self, done: int) -> float:
        """Share of the steps after the warm-up that is done."""
        return (done - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)


def _linear(s: Schedule, done: int) -> float:
    return max(0.0, (s.total_steps - done) / max(1, s.total_steps - s.warmup_steps))


def _cosine(s: Schedule, done: int) -> float:
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * s.value("num_cycles") * 2.0 * s.progress(done))))


def _restarts(s: Schedule, done: int) -> float:
    progress = s.progress(done)
    if progress >= 1.0:
        return 0.0
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * ((s.value("num_cycles") * progress) % 1.0))))


def _min_lr(s: Schedule, done: int) -> float:
    floor = s.value("min_lr_rate")
    return max(0.0, _cosine(s, done) * (1 - floor) + floor)


def _polynomial(s: Schedule, done: int) -> float:
    end = s.value("lr_end") / s.learning_rate
    if done >= s.total_steps:
        return end
    return float((1.0 - end) * (1 - s.progress(done)) ** s.value("power") + end)


def _inverse_sqrt(s: Schedule, done: int) -> float:
    timescale = s.value("timescale") or s.warmup_steps or 10_000
    return 1.0 / math.sqrt((done + timescale - s.warmup_steps) / timescale)


_DECAYS: Mapping[str, Callable[[Schedule, int], float]] = {
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _restarts,
    "cosine_with_min_lr": _min_lr,
    "polynomial": _polynomial,
    "constant_with_warmup": lambda _s, _done: 1.0,
    "inverse_sqrt": _inverse_sqrt,
}


def steps_per_epoch(examples: int, batch_size: int, accumulation: int) -> int:
    """Optimizer steps of one pass over `examples` rows; at least 1."""
    batches = math.ceil(examples / batch_size)
    return max(1, math.ceil(batches / accumulation))


def total_steps(per_epoch: int, epochs: float, max_steps: int) -> int:
    """Optimizer steps of a run: `max_steps` when it is positive, else that of the (fractional) epochs."""
    return max_steps if max_steps > 0 else max(1, math.ceil(epochs * per_epoch))


def warmup_count(warmup_steps: float, total: int) -> int:
    """Steps of warm-up: a number of steps, or below 1 a share of the total, rounded up."""
    return int(warmup_steps) if warmup_steps >= 1 else math.ceil(total * warmup_steps)
