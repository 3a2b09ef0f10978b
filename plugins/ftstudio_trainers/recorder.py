"""What a run remembers while it trains: its state, its best, its checkpoints. Both trainers keep one of these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch

from ftstudio.api import Checkpoint, Run
from ftstudio_kit import state
from ftstudio_kit.loss import perplexity
from ftstudio_kit.training import load_weights, write_model
from ftstudio_trainers import common
from ftstudio_trainers.common import Setup
from ftstudio_trainers.options import CommonOptions
from ftstudio_trainers.timing import Timing


class Recorder:
    """`at` is what a checkpoint saves of a run besides weights and optimizer; `last` and `best` are committed."""

    def __init__(
        self, trainer: str, options: CommonOptions, setup: Setup, when: Timing, run: Run, file: str = state.STATE
    ) -> None:
        self.trainer, self.options, self.setup, self.run, self.file = trainer, options, setup, run, file
        about = state.about_machine(setup.device, setup.bf16)
        about |= {"seed": run.seed, "examples": len(setup.batches.bins), "steps_per_epoch": when.per_epoch}
        self.at = state.TrainerState(trainer, about=about)
        self.metrics: dict[str, float] = {}
        self.last: Checkpoint | None = None
        self.best: Checkpoint | None = None
        trainable = sum(p.numel() for p in setup.model.parameters() if p.requires_grad)
        everything = sum(p.numel() for p in setup.model.parameters())
        words = "bfloat16" if setup.bf16 else "float32"
        run.say(
            f"Training {trainable:,} of {everything:,} parameters on {setup.device} in {words}: "
            f"{when.total} steps, {when.per_epoch} an epoch."
        )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Put weights and state back; the optimizer and the random number generators are the trainer's to restore."""
        now = self.at.about
        self.at = state.load(checkpoint.path, self.trainer, self.file)
        changed = state.differences(self.at.about, now)
        if changed:
            self.run.warn(f"Resumed, but not to the same bits: {', '.join(changed)}.")
        self.at.about = now
        load_weights(self.setup.model, checkpoint)
        self.setup.way.refresh()
        self.metrics = dict(checkpoint.metrics)
        self.last = checkpoint
        self._find_best(checkpoint)
        self.run.say(f"Going on after step {self.at.step}.")

    def _find_best(self, resumed: Checkpoint) -> None:
        """The best so far, beside the checkpoint. A fork has left its parent's behind, and counts what it evaluates."""
        step = self.at.best_step
        if step is None:
            return
        folder = resumed.path.parent / f"{step:06d}"
        if folder.is_dir():
            value = {"eval_loss": cast("float", self.at.best_metric)}
            self.best = Checkpoint(folder, step, resumed.base, value, resumed.tokenizer, resumed.shape)
        else:
            self.at.best_metric = self.at.best_step = None
            self.run.say(f"The best checkpoint so far, of step {step}, is not here: what counts is what comes.")

    def evaluate(self) -> bool:
        """Log eval_loss; True when it is the lowest so far. Step 0 does not count: it has no checkpoint."""
        at = self.at
        loss = common.evaluate(self.setup, self.options.per_device_eval_batch_size)
        self.metrics["eval_loss"] = loss
        self.run.log(at.step, eval_loss=loss, perplexity=perplexity(loss))
        if at.step == 0:
            return False
        improved = at.best_metric is None or loss < at.best_metric
        at.evaluations_without_gain = 0 if improved else at.evaluations_without_gain + 1
        if improved:
            at.best_metric, at.best_step = loss, at.step
        return improved

    def patience_is_over(self) -> bool:
        """True when `early_stopping_patience` evaluations in a row brought nothing; says so."""
        patience = self.options.early_stopping_patience
        over = 0 < patience <= self.at.evaluations_without_gain
        if over:
            self.run.say(f"Stopped early at step {self.at.step}: no lower eval_loss in {patience} evaluations.")
        return over

    @property
    def keeps_the_best(self) -> bool:
        """Each improvement is worth a checkpoint only to someone who will take the best."""
        return self.options.load_best_model_at_end or self.options.early_stopping_patience > 0

    def save(self, optimizer: torch.optim.Optimizer, *, best: bool, more: Callable[[Path], None] | None = None) -> None:
        """Commit a checkpoint of this step; `more` may write further files into it."""
        with self.run.checkpoint(self.at.step, metrics=self.metrics, best=best) as draft:
            write_model(self.setup.model, draft.path)
            state.save(draft.path, self.at, optimizer, self.setup.model, self.file)
            if more is not None:
                more(draft.path)
        self.last = draft.checkpoint
        if best:
            self.best = draft.checkpoint

    def result(self) -> Checkpoint:
        """The last checkpoint, or the best with `load_best_model_at_end`."""
        assert self.last is not None, "every way out of a training loop commits"
        if not self.options.load_best_model_at_end or self.at.best_step is None:
            return self.last
        if self.best is None or self.best.step != self.at.best_step:
            self.run.warn(f"The best checkpoint, of step {self.at.best_step}, is gone; the result is the last one.")
            return self.last
        return self.best
