"""When a run logs, evaluates and saves: one answer for the plan that is drawn and the loop that runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ftstudio_dpo.options import DpoOptions
from ftstudio_kit.schedule import Schedule, steps_per_epoch, total_steps, warmup_count


@dataclass(frozen=True)
class Timing:
    """Optimizer steps count from 1; step 0 is before the first."""

    options: DpoOptions
    pairs: int
    validation: bool

    @property
    def per_epoch(self) -> int:
        """Optimizer steps of one pass over the pairs."""
        o = self.options
        return steps_per_epoch(self.pairs, o.per_device_train_batch_size, o.gradient_accumulation_steps)

    @property
    def total(self) -> int:
        """Optimizer steps of the run."""
        return total_steps(self.per_epoch, self.options.num_train_epochs, self.options.max_steps or -1)

    def logs(self, step: int) -> bool:
        """After the first step, at each interval and at the end."""
        return step in {1, self.total} or step % self.options.logging_steps == 0

    def evaluates(self, step: int) -> bool:
        """Before the first step, at each interval and at the end."""
        every = self.options.eval_steps
        return self.validation and (step in {0, self.total} or (every is not None and step % every == 0))

    def saves(self, step: int) -> bool:
        """At each interval and at the end."""
        return step == self.total or step % self.options.save_steps == 0

    def epochs(self, done: int) -> Iterator[tuple[int, int]]:
        """(epoch, its optimizer steps that are done) from where `done` steps lead, to the last epoch."""
        while done < self.total:
            epoch, skip = divmod(done, self.per_epoch)
            yield epoch, skip
            done = (epoch + 1) * self.per_epoch

    def schedule(self) -> Schedule:
        """The learning rates."""
        return schedule(self.options, self.total)


def schedule(options: DpoOptions, total: int) -> Schedule:
    """The learning rates of a run of `total` steps."""
    warmup = warmup_count(options.warmup_steps, total)
    return Schedule(options.lr_scheduler_type, options.learning_rate, warmup, total)
