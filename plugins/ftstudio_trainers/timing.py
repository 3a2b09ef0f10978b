"""When a run logs, evaluates, saves and samples: one answer for the plan that is drawn and the loop that runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ftstudio_kit.schedule import Schedule, steps_per_epoch, total_steps, warmup_count
from ftstudio_trainers.options import CommonOptions


@dataclass(frozen=True)
class Timing:
    """Optimizer steps count from 1; step 0 is before the first. An interval of 0 is never."""

    per_epoch: int
    total: int
    evaluate_every: int
    save_every: int
    log_every: int
    sample_every: int
    log_first: bool

    def logs(self, step: int) -> bool:
        """After this step the metrics since the last log are recorded."""
        return step == self.total or step % self.log_every == 0 or (step == 1 and self.log_first)

    def evaluates(self, step: int) -> bool:
        """Before the first step, at each interval and at the end."""
        return self.evaluate_every > 0 and (step == self.total or step % self.evaluate_every == 0)

    def saves(self, step: int) -> bool:
        """At each interval and at the end."""
        return step == self.total or (self.save_every > 0 and step % self.save_every == 0)

    def samples(self, step: int) -> bool:
        """At each interval, or where none is given at evaluations, and at the end."""
        if self.sample_every:
            return step == self.total or step % self.sample_every == 0
        return step == self.total or self.evaluates(step)

    def epochs(self, done: int) -> Iterator[tuple[int, int]]:
        """(epoch, its optimizer steps that are done) from where `done` steps lead, for ever."""
        epoch, skip = divmod(done, self.per_epoch)
        while True:
            yield epoch, skip
            epoch, skip = epoch + 1, 0


def timing(options: CommonOptions, examples: int, validation: bool) -> Timing:
    """The timing of a run over `examples` rows (bins, when packing)."""
    per_epoch = steps_per_epoch(examples, options.per_device_train_batch_size, options.gradient_accumulation_steps)
    evaluate_every = options.eval_steps or per_epoch
    if options.eval_strategy == "epoch":
        evaluate_every = per_epoch
    if options.eval_strategy == "no" or not validation:
        evaluate_every = 0
    return Timing(
        per_epoch=per_epoch,
        total=total_steps(per_epoch, options.num_train_epochs, options.max_steps),
        evaluate_every=evaluate_every,
        save_every={"no": 0, "epoch": per_epoch, "steps": options.save_steps}[options.save_strategy],
        log_every=options.logging_steps,
        sample_every=options.sample_steps or 0,
        log_first=options.logging_first_step,
    )


def schedule(options: CommonOptions, total: int) -> Schedule:
    """The learning rates of a run of `total` steps."""
    return Schedule(
        type=options.lr_scheduler_type,
        learning_rate=options.learning_rate,
        warmup_steps=warmup_count(options.warmup_steps, total),
        total_steps=total,
        kwargs=options.lr_scheduler_kwargs,
    )


def multiples(interval: int, total: int, most: int = 10_000) -> tuple[int, ...]:
    """The multiples of `interval` up to `total`, at most so many of them (a plan is drawn, not executed)."""
    return tuple(range(interval, total + 1, interval)[:most]) if interval > 0 else ()


def bins_of(tokens: int, capacity: int) -> int:
    """An estimate of how many packed rows hold `tokens`: best-fit leaves little free."""
    return max(1, math.ceil(tokens / capacity))
