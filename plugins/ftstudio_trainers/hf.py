"""The trainer `hf`: transformers.Trainer, fed with our rows and heard by our run.

It promises the same options, metrics, checkpoints and evaluation as `native`, and with the same order of rows, no
dropout and float32 the same loss at each step. Trainer writes nothing itself: it saves without a rename and loads
pickles, so checkpoints are committed through the run, and its state goes into safetensors.

A resume is best effort: weights, moments, schedule, generators and position in the data come back, but the logged
loss of the interval around a stop covers only the steps after it.
"""

from __future__ import annotations

import importlib
import math
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from ftstudio.api import Checkpoint, ComponentError, Encoded, ModelRef, Run
from ftstudio_kit import memory, rng, state, training
from ftstudio_kit.batching import Batches
from ftstudio_kit.schedule import Schedule
from ftstudio_trainers import common
from ftstudio_trainers.arguments import checked_arguments, checked_optimizer
from ftstudio_trainers.clock import Clock
from ftstudio_trainers.options import CommonOptions, HfOptions
from ftstudio_trainers.recorder import Recorder
from ftstudio_trainers.timing import Timing, schedule, timing

RUN_STATE = "run_state.json"  # ours; Trainer's own trainer_state.json lies beside it


class Hf:
    """Built once a run."""

    def __init__(self, options: HfOptions) -> None:
        self.options = options
        self.base: ModelRef | None = None

    def train(self, data: Encoded, model: ModelRef, run: Run) -> Checkpoint:
        """Train until done, stopped early, or asked to stop; a checkpoint is committed in each case.

        Raises ComponentError for data and options that do not fit, TrainingError when a loss is not finite or memory
        runs out.
        """
        self.base = model
        run.phase("loading the model")
        extra = checked_arguments(self.options)
        checked_optimizer(self.options.optim)
        setup = common.prepare(self.options, data, model, run)
        when = timing(self.options, len(setup.batches.bins), setup.validation is not None)
        record = Recorder("hf", self.options, setup, when, run, RUN_STATE)
        rates = schedule(self.options, when.total)
        arguments = _arguments(self.options, run, setup.bf16, extra)
        trainer = _built(arguments, setup, rates, self.options)
        if run.resume_from is not None:
            record.resume(run.resume_from)
            if record.owes_evaluation:
                _evaluate_late(trainer, record, data.shape, run, run.resume_from.path)
            if record.at.step >= when.total or record.patience_is_over():
                return record.result()
        trainer.add_callback(_Feed(trainer, record, when, data.shape, run))
        run.phase("training")
        sizes = self.options.per_device_train_batch_size, self.options.gradient_accumulation_steps
        with _one_handler(), training.trouble_explained(*sizes, setup.device, lambda: trainer.at_work):
            trainer.train(resume_from_checkpoint=str(run.resume_from.path) if run.resume_from else None)
        return record.result()

    def export(self, checkpoint: Checkpoint, folder: Path, run: Run) -> None:
        """Write the checkpoint's model, merged if it is an adapter; `from_pretrained(folder)` opens it alone."""
        run.phase("writing the model")
        training.export_model(checkpoint, self.base, folder)


def _evaluate_late(trainer: _Trainer, record: Recorder, shape: str, run: Run, resumed: Path) -> None:
    """Make the evaluation that a stop left out, and commit it with the state as it was."""
    optimizer, step = trainer.plain_optimizer(), record.at.step
    state.restore(resumed, optimizer, trainer.setup.model)
    improved = record.evaluate()
    if record.is_out_of_patience and not record.when.samples(step):  # the last step after all
        record.sample(shape)

    def trainers_own(folder: Path) -> None:
        shutil.copyfile(resumed / state.STATE, folder / state.STATE)

    record.save(optimizer, best=improved, more=trainers_own)


def _arguments(options: HfOptions, run: Run, bf16: bool, extra: Mapping[str, Any]) -> TrainingArguments:
    device = torch.device(run.devices[0])
    same = (
        "per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps learning_rate weight_decay "
        "adam_beta1 adam_beta2 adam_epsilon max_grad_norm train_sampling_strategy torch_compile optim "
        "label_smoothing_factor neftune_noise_alpha num_train_epochs logging_steps logging_first_step"
    )
    ours: dict[str, Any] = {
        **{name: getattr(options, name) for name in same.split()},
        "output_dir": str(run.dir / "trainer"),
        "max_steps": options.max_steps if options.max_steps > 0 else -1,
        "bf16": bf16,
        "dataloader_pin_memory": device.type == "cuda",  # elsewhere torch warns of it at each epoch
        "disable_tqdm": True,
        "eval_strategy": "no",  # evaluated by our callback, weighted by tokens
        "logging_nan_inf_filter": False,  # it would show the mean of earlier losses in place of a NaN
        "logging_strategy": "no",
        "remove_unused_columns": False,
        "report_to": "none",
        "save_strategy": "no",
        "seed": run.seed,
        "use_cpu": device.type == "cpu",
    }
    try:
        arguments = TrainingArguments(**(ours | dict(extra)))
    except (ValueError, TypeError, ImportError) as error:
        raise ComponentError(f"TrainingArguments refuses these settings: {str(error)[:200]}") from error
    arguments._n_gpu = min(1, arguments.n_gpu)  # one run, one device: no DataParallel over the others
    return arguments


def _built(arguments: TrainingArguments, setup: common.Setup, rates: Schedule, options: HfOptions) -> _Trainer:
    """Trainer with its optimizer. Raises ComponentError for settings that it, or a library that it lacks, refuses."""
    blamed = f"optim = {options.optim!r}", *(f"training_arguments.{name}" for name in options.training_arguments)
    try:
        if arguments.use_liger_kernel:
            importlib.import_module("liger_kernel")
        trainer = _Trainer(arguments, setup, rates, options)
        trainer.create_optimizer()
        trainer.get_train_dataloader()
    except (ImportError, ValueError, TypeError) as error:
        words = (str(error).strip().splitlines() or [type(error).__name__])[0]
        missing = isinstance(error, ImportError)
        raise ComponentError(
            f"Trainer refuses these settings ({', '.join(blamed)[:200]}): {words[:200].rstrip('.')}.",
            "Install what it needs, or choose another setting." if missing else "Mend that setting, or leave it out.",
        ) from error
    return trainer


@contextmanager
def _one_handler() -> Iterator[None]:
    """Give SIGCHLD back: a data loader with processes of its own takes it to hear of their deaths, and keeps it."""
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGCHLD) is not before and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, before)


class _Examples(torch.utils.data.Dataset[dict[str, Any]]):
    """Numbers of bins; `input_ids` is there for Trainer's length-grouped sampler, which measures it."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches.bins)

    def __getitem__(self, index: int) -> dict[str, Any]:
        length = int(self.batches.lengths[index])
        return {"bin": self.batches.bins[index], "input_ids": range(length)}


class _Trainer(Trainer):  # type: ignore[misc]
    """Trainer with our batches and schedule; it reads our state instead of pickles."""

    def __init__(
        self, arguments: TrainingArguments, setup: common.Setup, rates: Schedule, options: CommonOptions
    ) -> None:
        self.setup, self.rates, self.options = setup, rates, options
        self.tokens = torch.zeros((), dtype=torch.int64, device=setup.device)
        self.at_work = 0, 0, 0  # step, rows and tokens a row of the batch that came last
        super().__init__(
            model=setup.model,
            args=arguments,
            train_dataset=_Examples(setup.batches),
            data_collator=self._collate,
        )
        self.remove_callback(PrinterCallback)  # it prints each log to stdout

    def _collate(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        batches = self.setup.batches
        bins = [example["bin"] for example in examples]
        batch = batches.batch(bins)
        return {**batch.tensors(), "tokens": torch.tensor(batch.tokens)}

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """One batch; counts its tokens and notes what it is, should it be the last."""
        self.tokens += inputs.pop("tokens").to(self.tokens.device)
        rows, length = inputs["input_ids"].shape
        self.at_work = self.state.global_step + 1, rows, length
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        return loss

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        """The schedule that was drawn before the run."""
        self.lr_scheduler = LambdaLR(self.plain_optimizer(), self.rates.multiplier)
        return self.lr_scheduler

    def plain_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer without accelerate's wrapper."""
        wrapped: Any = self.optimizer
        return cast("torch.optim.Optimizer", getattr(wrapped, "optimizer", wrapped))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Nothing: the recorder has loaded the weights."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        step = self.state.global_step
        optimizer = self.plain_optimizer()
        state.load_optimizer(Path(checkpoint) / state.OPTIMIZER, optimizer, self.setup.model)
        self.lr_scheduler.last_epoch = step
        for group in optimizer.param_groups:
            group["lr"] = self.rates.at(step + 1)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            rng.restore(state.read_tensors(Path(checkpoint) / state.RNG))


class _Feed(TrainerCallback):  # type: ignore[misc]
    """Trainer's events -> the run; the run's requests -> Trainer's control."""

    def __init__(self, trainer: _Trainer, record: Recorder, when: Timing, shape: str, run: Run) -> None:
        self.trainer, self.record, self.when, self.shape, self.run = trainer, record, when, shape, run
        self.clock = Clock()
        self.counted = record.at.tokens
        self.ended = False
        self.pending: tuple[bool, bool] = (False, False)  # save, and as the best

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Evaluate what training starts from."""
        self.trainer.tokens.fill_(self.record.at.tokens)
        memory.reset_peak(self.trainer.setup.device)
        if state.global_step == 0 and self.when.evaluates(0):
            self.record.evaluate()
        self.trainer.model.train()
        self.clock = Clock()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Evaluate, sample and answer requests; saving waits until the step is logged."""
        record, run, step = self.record, self.run, state.global_step
        record.at.step = step
        run.progress(step, self.when.total, "step")
        stop, save = run.requests.stop, run.requests.checkpoint or self.when.saves(step)
        due = record.at.evaluation_due = self.when.evaluates(step) and stop and step < self.when.total
        with self.clock.paused():
            evaluate = self.when.evaluates(step) and not due
            improved = evaluate and record.evaluate()
            over = evaluate and record.patience_is_over()
            self.ended = stop or over or step == self.when.total
            if self.when.samples(step) or (self.ended and not stop):
                record.sample(self.shape)
        control.should_training_stop = control.should_training_stop or self.ended
        control.should_log = self.ended or self.when.logs(step)
        self.pending = (self.ended or save or (improved and record.keeps_the_best), improved)
        if self.pending[0] and not control.should_log:
            self._save()
        return control

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **kwargs: Any
    ) -> None:
        """Record what Trainer reports, by our names; a loss that is no number ends the run."""
        if not logs or "loss" not in logs:
            return
        loss, norm = float(logs["loss"]), float(logs.get("grad_norm", 0.0))
        with self.clock.paused():
            tokens = int(self.trainer.tokens.item())
            self.clock.tokens = tokens - self.counted
            self.counted = self.record.at.tokens = tokens
            self.record.metrics["loss"] = loss
            self.run.log(
                state.global_step,
                loss=loss,
                grad_norm=norm,
                learning_rate=float(logs["learning_rate"]),
                epoch=state.global_step / self.when.per_epoch,
                tokens=tokens,
                tokens_per_second=self.clock.rate(),
                peak_memory_bytes=memory.peak_bytes(self.trainer.setup.device),
            )
            if not math.isfinite(loss + norm):
                raise self.record.not_finite()
            if self.pending[0]:
                self._save()

    def _save(self) -> None:
        """Commit, with Trainer's own state."""
        self.record.at.tokens = int(self.trainer.tokens.item())

        def trainers_own(folder: Path) -> None:
            self.trainer.state.save_to_json(str(folder / state.STATE))

        self.record.save(self.trainer.plain_optimizer(), best=self.pending[1], more=trainers_own)
        self.pending = (False, False)
