"""What a run remembers while it trains: its state, its best, its checkpoints. Both trainers keep one of these."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch

from ftstudio.api import Checkpoint, Run, TrainingError
from ftstudio_kit import state
from ftstudio_kit.loading import is_finite
from ftstudio_kit.loss import IGNORE, perplexity
from ftstudio_kit.training import load_weights, not_finite, write_model
from ftstudio_trainers import common
from ftstudio_trainers.common import Setup
from ftstudio_trainers.options import CommonOptions
from ftstudio_trainers.timing import Timing


class Recorder:
    """`at` is what a checkpoint saves of a run besides weights and optimizer; `last` is committed.

    `evaluated` are the committed checkpoints whose step was evaluated, by step, as far as they are still there.
    """

    def __init__(
        self, trainer: str, options: CommonOptions, setup: Setup, when: Timing, run: Run, file: str = state.STATE
    ) -> None:
        self.trainer, self.options, self.setup, self.run, self.file = trainer, options, setup, run, file
        about = state.about_machine(setup.device, setup.bf16)
        about |= {"seed": run.seed, "examples": len(setup.batches.bins), "steps_per_epoch": when.per_epoch}
        self.at = state.TrainerState(trainer, about=about)
        self.metrics: dict[str, float] = {}
        self.last: Checkpoint | None = None
        self.evaluated: dict[int, Checkpoint] = {}
        self.judged = 0  # the step that was evaluated last
        self.when = when
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
        self.judged = self.at.step if str(self.at.step) in self.at.evaluated else 0
        load_weights(self.setup.model, checkpoint)
        self.setup.way.refresh()
        self.metrics = dict(checkpoint.metrics)
        self.last = checkpoint
        for step, loss in ((int(step), loss) for step, loss in self.at.evaluated.items()):
            beside = checkpoint.path.parent / f"{step:06d}"
            self.evaluated[step] = replace(checkpoint, path=beside, step=step, metrics={"eval_loss": loss})
        if checkpoint.path.name != f"{checkpoint.step:06d}" and self.at.best_step is not None:
            self.run.say(f"The best so far, of step {self.at.best_step}, is not here: what counts is what comes.")
            self.at.best_metric = self.at.best_step = None
        self.run.say(f"Going on after step {self.at.step}.")

    @property
    def best(self) -> Checkpoint | None:
        """The committed checkpoint of the lowest eval_loss; one that was set aside as damaged is none any more."""
        self.evaluated = {step: c for step, c in self.evaluated.items() if c.path.is_dir()}
        return min(self.evaluated.values(), key=lambda c: c.metrics["eval_loss"], default=None)

    @property
    def owes_evaluation(self) -> bool:
        """Whether the step that the run goes on after is still to be evaluated: a stop does not wait for that."""
        return self.at.evaluation_due and self.when.evaluates(self.at.step)

    def evaluate(self) -> bool:
        """Log eval_loss; True when no committed checkpoint has so low a one. Step 0 has none and does not count.

        Raises TrainingError for one that is no number: nothing is lower than that, and nothing would be the best again.
        """
        at, best = self.at, self.best
        loss = common.evaluate(self.setup, self.options.per_device_eval_batch_size)
        self.metrics["eval_loss"] = loss
        self.run.log(at.step, eval_loss=loss, perplexity=perplexity(loss))
        if not math.isfinite(loss):
            raise self.not_finite("The eval_loss")
        self.judged = at.step
        if at.step == 0:
            return False
        at.evaluation_due = False
        gained = at.best_metric is None or loss < at.best_metric
        at.evaluations_without_gain = 0 if gained else at.evaluations_without_gain + 1
        if gained:
            at.best_metric, at.best_step = loss, at.step
        return best is None or loss < best.metrics["eval_loss"]

    @property
    def is_out_of_patience(self) -> bool:
        """Whether `early_stopping_patience` evaluations in a row brought nothing."""
        return 0 < self.options.early_stopping_patience <= self.at.evaluations_without_gain

    def patience_is_over(self) -> bool:
        """`is_out_of_patience`, said."""
        if self.is_out_of_patience:
            patience = self.options.early_stopping_patience
            self.run.say(f"Stopped early at step {self.at.step}: no lower eval_loss in {patience} evaluations.")
        return self.is_out_of_patience

    @property
    def keeps_the_best(self) -> bool:
        """Each improvement is worth a checkpoint only to someone who will take the best."""
        return self.options.load_best_model_at_end or self.options.early_stopping_patience > 0

    def sample(self, shape: str) -> None:
        """Continue the prompts. Raises TrainingError where the model does not compute with numbers any more."""
        if self.options.sample_prompts:
            self._check_answers()
            common.sample(self.setup, self.options, shape, self.at.step, self.run)

    def not_finite(self, what: str = "The loss or its gradient") -> TrainingError:
        """The error of `what` is no number in the step that was made last."""
        return not_finite(self.at.step, self.last.step if self.last else None, what)

    def _check_answers(self) -> None:
        """Raise TrainingError where the weights, or the loss of a row with them, are no number.

        The loss of a step speaks of the weights before it. Those after it may be finite, and too large to compute with.
        """
        setup = self.setup
        model, batches = setup.model, replace(setup.batches, packed=False)
        training = model.training
        model.eval()
        loss = setup.way.judge(batches.batch([(self._trained_row,)]).to(setup.device))
        model.train(training)
        if not (is_finite(loss) and all(is_finite(p) for p in model.parameters() if p.requires_grad)):
            raise self.not_finite("What the model answers")

    @cached_property
    def _trained_row(self) -> int:
        """The first row that has a loss; 0 where none has."""
        rows = self.setup.batches.rows
        return next((at for at in range(len(rows)) if (rows.row(at)[1][1:] != IGNORE).any()), 0)

    def save(self, optimizer: torch.optim.Optimizer, *, best: bool, more: Callable[[Path], None] | None = None) -> None:
        """Commit a checkpoint of this step; `more` may write further files into it.

        Raises TrainingError instead, where the model does not compute with numbers any more.
        """
        self._check_answers()
        at, metrics = self.at, dict(self.metrics)
        losses = {step: c.metrics["eval_loss"] for step, c in self.evaluated.items() if c.path.is_dir()}
        if self.judged == at.step:
            losses[at.step] = metrics["eval_loss"]
        else:
            metrics.pop("eval_loss", None)  # that of an earlier step says nothing of this checkpoint
        at.evaluated = {str(step): loss for step, loss in losses.items()}
        with self.run.checkpoint(at.step, metrics=metrics, best=best) as draft:
            write_model(self.setup.model, draft.path)
            state.save(draft.path, at, optimizer, self.setup.model, self.file)
            if more is not None:
                more(draft.path)
        self.last = draft.checkpoint
        if self.judged == at.step:
            self.evaluated[at.step] = self.last

    def result(self) -> Checkpoint:
        """The last checkpoint, or the best with `load_best_model_at_end`."""
        assert self.last is not None, "every way out of a training loop commits"
        if not self.options.load_best_model_at_end or self.at.best_step is None:
            return self.last
        result = self.best or self.last
        if result.step != self.at.best_step:
            self.run.warn(
                f"The best checkpoint, of step {self.at.best_step}, is gone; the result is that of {result.step}."
            )
        return result
