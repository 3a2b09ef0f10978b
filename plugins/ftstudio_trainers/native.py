"""The trainer `native`: one loop, top to bottom.

It promises: the same seed gives the same run; a run that was stopped and resumed on a CPU with the same number of
threads ends with the same bits as one that was not; the loss is a mean over trained tokens however they fell into
batches; a loss that is no number ends the run, and nothing is saved after it, nor a model that answers with none. It
uses one device.

Weights are float32; with bf16 the matrix products run in bfloat16. ftstudio_kit.lean says how a batch becomes a loss
and its gradient. What is drawn at random comes from `run.seed` alone; evaluation and sampling put every generator back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ftstudio.api import Checkpoint, Encoded, ModelRef, Run
from ftstudio_kit import memory, state, training
from ftstudio_kit.batching import Batch, ahead
from ftstudio_kit.lean import way_through
from ftstudio_kit.matrices import gradient_norm
from ftstudio_trainers import common
from ftstudio_trainers.clock import Clock
from ftstudio_trainers.options import NativeOptions
from ftstudio_trainers.recorder import Recorder
from ftstudio_trainers.timing import schedule, timing


class Native:
    """Built once a run. What a checkpoint has to remember of the loop is `self.record.at`."""

    def __init__(self, options: NativeOptions) -> None:
        self.options = options
        self.base: ModelRef | None = None
        self.at_work = 0, 0, 0  # step, rows and tokens a row of the batch that came last

    def train(self, data: Encoded, model: ModelRef, run: Run) -> Checkpoint:
        """Train until done, stopped early, or asked to stop; a checkpoint is committed in each case.

        Raises ComponentError for data and options that do not fit the model, TrainingError when a loss or
        what the model answers is not finite, memory runs out or the GPU is lost.
        """
        self._begin(data, model, run)
        with training.trouble_explained(
            self.options.per_device_train_batch_size,
            self.options.gradient_accumulation_steps,
            self.setup.device,
            lambda: self.at_work,
        ):
            return self._loop(data.shape)

    def _loop(self, shape: str) -> Checkpoint:  # noqa: PLR0915
        o, run = self.options, self.run
        when, net, device = self.when, self.setup.model, self.setup.device
        record, at = self.record, self.record.at
        rates = schedule(o, when.total)
        way = self.setup.way
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        loss_sum = torch.tensor(at.loss_sum, device=device)  # over the trained tokens since the last log
        bad_step = torch.tensor(when.total + 1, device=device)  # the first step that was not finite
        clock = Clock()

        run.phase("training")
        if at.step == 0 and when.evaluates(0):
            record.evaluate()
        net.train()
        if record.owes_evaluation:
            self._evaluate_late(rates.at(at.step), clock, shape)
        ended = at.step >= when.total or record.patience_is_over()
        for epoch, skip in when.epochs(at.step):
            if ended:
                break
            for batches in self._steps(epoch, skip):
                step = at.step + 1
                for group in self.optimizer.param_groups:
                    group["lr"] = rates.at(step)

                trained = sum(batch.trained for batch in batches)  # each token of the step weighs the same
                for batch in batches:
                    self.at_work = step, *batch.shape
                    loss_sum += way.learn(batch, 1 / max(1, trained))
                norm = self._clip(parameters)
                bad_step = torch.where(torch.isfinite(norm + loss_sum), bad_step, bad_step.clamp(max=step))
                self.optimizer.step()
                way.clear(parameters)
                way.refresh()

                at.step = step
                at.loss_tokens += trained
                at.tokens += sum(batch.tokens for batch in batches)
                clock.tokens += sum(batch.tokens for batch in batches)
                run.progress(step, when.total, "step")

                stop, save = run.requests.stop, run.requests.checkpoint or when.saves(step)
                at.evaluation_due = when.evaluates(step) and stop and step < when.total  # it waits for none
                evaluate = when.evaluates(step) and not at.evaluation_due
                # .item() waits for a GPU, so that one is asked only where a figure is needed anyway
                if device == "cpu" or stop or save or evaluate or when.logs(step):
                    self._check_finite(int(bad_step.item()), loss_sum, norm)
                with clock.paused():
                    improved = evaluate and record.evaluate()
                    done = step == when.total or (evaluate and record.patience_is_over())
                    ended = stop or done
                    if when.samples(step) or done:
                        record.sample(shape)
                    if ended or when.logs(step):
                        at.loss_sum = loss_sum.item()
                        record.metrics["loss"] = at.loss_sum / max(1, at.loss_tokens)
                    if when.logs(step) or done:  # a stop adds no point that a resumed run lacks
                        self._log(norm.item(), rates.at(step), clock)
                    if when.logs(step):  # a stop in between keeps the sums: the resumed run logs the whole interval
                        at.loss_sum, at.loss_tokens = 0.0, 0
                        loss_sum.zero_()
                    if ended or save or (improved and record.keeps_the_best):
                        at.loss_sum = loss_sum.item()
                        at.sums = {"grad_norm": norm.item()} if at.evaluation_due else {}
                        record.save(self.optimizer, best=improved)
                if ended:
                    break
        return record.result()

    def export(self, checkpoint: Checkpoint, folder: Path, run: Run) -> None:
        """Write the checkpoint's model, merged if it is an adapter; `from_pretrained(folder)` opens it."""
        run.phase("writing the model")
        training.export_model(checkpoint, self.base, folder)

    # ------------------------------------------------------------------------------------ before the loop

    def _begin(self, data: Encoded, model: ModelRef, run: Run) -> None:
        o = self.options
        self.run, self.base = run, model
        run.phase("loading the model")
        self.setup = setup = common.prepare(o, data, model, run, way_through)
        if setup.device == "cpu" and not setup.way.flat and not o.torch_compile:
            run.say(
                f"{type(setup.model).__name__} computes otherwise than the fast way does: it goes its own, slower one."
            )
        self.when = timing(o, len(setup.batches.bins), setup.validation is not None)
        self.record = Recorder("native", o, setup, self.when, run)
        self.fused = torch.device(setup.device).type in {"cpu", "cuda", "mps"}
        self.optimizer = torch.optim.AdamW(
            common.decay_groups(setup.model, o.weight_decay),
            lr=o.learning_rate,
            betas=(o.adam_beta1, o.adam_beta2),
            eps=o.adam_epsilon,
            fused=self.fused,
        )
        memory.reset_peak(setup.device)
        if run.resume_from is not None:
            self.record.resume(run.resume_from)
            state.restore(run.resume_from.path, self.optimizer, setup.model)

    # ---------------------------------------------------------------------------------------- one step

    def _steps(self, epoch: int, skip: int) -> Iterator[list[Batch]]:
        """The batches of each step on their device; for a GPU they are made and copied while it is busy."""
        device = self.setup.device
        steps = self.setup.batches.epoch(epoch, skip)
        if device == "cpu":
            return steps
        return ahead([batch.to(device) for batch in step] for step in steps)

    def _clip(self, parameters: Sequence[torch.nn.Parameter]) -> Tensor:
        """The norm of all gradients together, before they are clipped to `max_grad_norm`."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        most = self.options.max_grad_norm
        norm = gradient_norm(gradients)
        if most and self.fused:  # it divides as it goes, where clipping alone reads and writes every gradient once more
            self.optimizer.grad_scale = (norm / most).clamp(min=1.0)  # type: ignore[attr-defined]
        elif most:
            torch.nn.utils.clip_grads_with_norm_(parameters, most, norm)
        return norm

    def _check_finite(self, bad_step: int, loss_sum: Tensor, norm: Tensor) -> None:
        at = self.record.at
        if bad_step <= at.step:
            loss = loss_sum.item() / max(1, at.loss_tokens)
            self.run.log(at.step, loss=loss, grad_norm=norm.item())
            raise training.not_finite(bad_step, self.record.last.step if self.record.last else None)

    # ------------------------------------------------------------------------------- what is recorded

    def _evaluate_late(self, rate: float, clock: Clock, shape: str) -> None:
        """Make the evaluation that a stop left out, with all that would have followed from it, and commit it."""
        record, at = self.record, self.record.at
        improved = record.evaluate()
        if record.is_out_of_patience:  # the last step after all
            if not self.when.samples(at.step):
                record.sample(shape)
            if not self.when.logs(at.step):
                self._log(at.sums["grad_norm"], rate, clock)
        at.sums = {}
        record.save(self.optimizer, best=improved)

    def _log(self, norm: float, rate: float, clock: Clock) -> None:
        at = self.record.at
        self.run.log(
            at.step,
            loss=self.record.metrics["loss"],
            grad_norm=norm,
            learning_rate=rate,
            epoch=at.step / self.when.per_epoch,
            tokens=at.tokens,
            tokens_per_second=clock.rate(),
            peak_memory_bytes=memory.peak_bytes(self.setup.device),
        )
