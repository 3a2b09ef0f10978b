"""The trainer `dpo`: one loop, top to bottom, on ftstudio_kit.

It promises what the built-in `native` does: the same seed gives the same run; a run that was stopped and resumed on a
CPU with the same number of threads ends with the same bits; a loss that is no number ends the run, and nothing is saved
after it. It uses one device.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ftstudio.api import Checkpoint, ComponentError, Encoded, ModelRef, Run
from ftstudio_dpo import reference
from ftstudio_dpo.loss import NAMES, Judged, answer_logps, judge
from ftstudio_dpo.options import DpoOptions
from ftstudio_dpo.pairs import PairTable
from ftstudio_dpo.speed import Clock
from ftstudio_dpo.timing import Timing
from ftstudio_kit import memory, rng, state
from ftstudio_kit.batching import Batch
from ftstudio_kit.loading import context_of, recompute_activations, to_device
from ftstudio_kit.lora import LoraSettings
from ftstudio_kit.precision import autocast, use_bf16
from ftstudio_kit.token_rows import Ints
from ftstudio_kit.training import (
    export_model,
    load_weights,
    not_finite,
    open_for_training,
    trouble_explained,
    write_model,
)


class Dpo:
    """Built once a run. What a checkpoint has to remember of the loop is `self.at`."""

    def __init__(self, options: DpoOptions) -> None:
        self.options = options
        self.base: ModelRef | None = None
        self.last: Checkpoint | None = None
        self.at_work = 0, 0, 0  # step, rows and tokens a row of the batch that came last

    def train(self, data: Encoded, model: ModelRef, run: Run) -> Checkpoint:
        """Train until done or asked to stop; a checkpoint is committed in both cases.

        Raises ComponentError for data and options that do not fit the model, TrainingError when a loss is not finite,
        memory runs out or the GPU is lost.
        """
        o = self.options
        self._open(data, model, run)
        with trouble_explained(
            o.per_device_train_batch_size, o.gradient_accumulation_steps, self.device, lambda: self.at_work
        ):
            self._refer(run)
            self._resume(run)
            return self._loop(run)

    def export(self, checkpoint: Checkpoint, folder: Path, run: Run) -> None:
        """Write the checkpoint's model, merged if it is an adapter; `from_pretrained(folder)` opens it."""
        run.phase("writing the model")
        export_model(checkpoint, self.base, folder)

    def _loop(self, run: Run) -> Checkpoint:
        o, at, when, table = self.options, self.at, self.when, self.tables["train"]
        rates = when.schedule()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        sums = torch.tensor([at.sums.get(name, 0.0) for name in NAMES], device=self.device)  # since the last log
        clock = Clock()

        run.phase("training")
        if when.evaluates(at.step) and (at.step == 0 or at.evaluation_due):
            self._evaluate(run)
        self.model.train()
        for batches in self._steps(run.seed):
            step = at.step + 1
            for group in self.optimizer.param_groups:
                group["lr"] = rates.at(step)
            count = sum(map(len, batches))  # each pair of the step weighs the same
            for pairs in batches:
                judged = self._judge("train", pairs, step)
                (judged.loss.sum() / count).backward()  # type: ignore[no-untyped-call]
                sums += judged.sums()
            norm = torch.nn.utils.clip_grad_norm_(parameters, o.max_grad_norm or float("inf"))
            if not torch.isfinite(norm + sums[0]):
                raise not_finite(step, self.last.step if self.last else None)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

            at.step = step
            tokens = int(sum(table.lengths[pairs].sum() for pairs in batches))
            at.tokens += tokens
            at.sums["pairs"] = at.sums.get("pairs", 0) + count
            clock.count(tokens)
            run.progress(step, when.total, "step")

            stop, save = run.requests.stop, run.requests.checkpoint or when.saves(step)
            with clock.paused():
                if when.logs(step):  # a stop in between keeps the sums: the resumed run logs the whole interval
                    self._log(sums, norm, rates.at(step), clock, run)
                    sums.zero_()
                at.evaluation_due = when.evaluates(step) and stop and step < when.total  # made first at the resume
                if when.evaluates(step) and not at.evaluation_due:
                    self._evaluate(run)
                if stop or save:
                    at.sums |= dict(zip(NAMES, sums.tolist(), strict=True))
                    self._save(run)
            if stop or step == when.total:
                break
        assert self.last is not None, "every way out of the loop commits"
        return self.last

    def _steps(self, seed: int) -> Iterator[list[Ints]]:
        """The pairs of each batch of each optimizer step that is left."""
        o = self.options
        for epoch, skip in self.when.epochs(self.at.step):
            yield from self.tables["train"].epoch(
                seed, epoch, o.per_device_train_batch_size, o.gradient_accumulation_steps, skip
            )

    # ------------------------------------------------------------------------------------ before the loop

    def _open(self, data: Encoded, model: ModelRef, run: Run) -> None:
        o = self.options
        run.phase("loading the model")
        self.base, self.device = model, run.devices[0]
        self.bf16 = use_bf16(o.bf16, self.device)
        self.tables = {"train": PairTable.of(data.train, data.pad_token_id)}
        if data.validation is not None and len(data.validation):
            self.tables["validation"] = PairTable.of(data.validation, data.pad_token_id)
        self.when = Timing(o, len(self.tables["train"]), "validation" in self.tables)
        if o.eval_steps is not None and "validation" not in self.tables:
            raise ComponentError(
                "eval_steps needs validation rows, and there are none.", "Set validation_fraction = 0.1."
            )
        rng.seed_all(run.seed)
        settings = LoraSettings(o.lora_rank, o.lora_alpha, o.lora_dropout, o.lora_target_modules)
        net, self.tokenizer = open_for_training(
            model, data, run, dropout=o.dropout, settings=settings if o.lora_rank else None
        )
        longest, context = max(table.rows.longest for table in self.tables.values()), context_of(net)
        if context is not None and longest > context:
            raise ComponentError(
                f"An answer has {longest} tokens with its prompt, but {model.name} has {context} positions.",
                f"Set max_length = {context} or less in [tokenizer].",
            )
        if o.gradient_checkpointing:
            recompute_activations(net)
        self.model = to_device(net, self.device)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        fused = torch.device(self.device).type in {"cpu", "cuda", "mps"}
        self.optimizer = torch.optim.AdamW(trained, lr=o.learning_rate, weight_decay=0.0, fused=fused)
        about = state.about_machine(self.device, self.bf16) | {"seed": run.seed, "pairs": len(self.tables["train"])}
        self.at = state.TrainerState("dpo", about=about)
        self.metrics: dict[str, float] = {}
        memory.reset_peak(self.device)
        run.say(
            f"Training {sum(p.numel() for p in trained):,} parameters on {self.device} in "
            f"{'bfloat16' if self.bf16 else 'float32'}: {self.when.total} steps, {self.when.per_epoch} an epoch."
        )

    def _refer(self, run: Run) -> None:
        """Ask the model as it is now, before a step or a checkpoint changes it; adapters begin as nothing."""
        resumed = run.resume_from
        self.reference = {} if resumed is None else reference.load(resumed.path, self.tables)
        self.model.eval()
        for name, table in self.tables.items():
            if name in self.reference:
                continue
            run.phase("asking the base model")
            size, total = self.options.per_device_eval_batch_size, len(table)
            self.reference[name] = reference.ask(
                table, size, self._logps, partial(run.progress, total=total, unit="pair")
            )

    def _resume(self, run: Run) -> None:
        checkpoint = run.resume_from
        if checkpoint is None:
            return
        now = self.at.about
        self.at = state.load(checkpoint.path, "dpo")
        changed = state.differences(self.at.about, now)
        if changed:
            run.warn(f"Resumed, but not to the same bits: {', '.join(changed)}.")
        self.at.about = now
        load_weights(self.model, checkpoint)
        state.restore(checkpoint.path, self.optimizer, self.model)
        self.metrics, self.last = dict(checkpoint.metrics), checkpoint
        run.say(f"Going on after step {self.at.step}.")

    # ------------------------------------------------------------------------------------------ one batch

    def _logps(self, batch: Batch) -> Tensor:
        """(2B,) log-probabilities of the answers."""
        moved = batch.to(self.device)
        model: Any = self.model
        with autocast(self.device, self.bf16):
            logits = model(**moved.inputs(), use_cache=False).logits  # (2B, T, V)
        return answer_logps(logits, moved.labels)

    def _judge(self, name: str, pairs: Ints, step: int) -> Judged:
        batch = self.tables[name].batch(pairs)
        self.at_work = step, *batch.input_ids.shape
        theirs = reference.of(torch.from_numpy(pairs), self.reference[name]).to(self.device)
        return judge(self._logps(batch), theirs, self.options.beta, self.options.label_smoothing)

    @torch.no_grad()
    def _evaluate(self, run: Run) -> None:
        """Log means over the validation pairs; no random number generator moves."""
        table, was_training = self.tables["validation"], self.model.training
        self.model.eval()
        sums = torch.zeros(len(NAMES), device=self.device)
        with rng.preserved():
            for pairs in table.by_length(self.options.per_device_eval_batch_size):
                sums += self._judge("validation", pairs, self.at.step).sums()
        self.model.train(was_training)
        means = {f"eval_{name}": value / len(table) for name, value in zip(NAMES, sums.tolist(), strict=True)}
        self.metrics |= means
        run.log(self.at.step, **means)

    # ------------------------------------------------------------------------------- what is recorded

    def _log(self, sums: Tensor, norm: Tensor, rate: float, clock: Clock, run: Run) -> None:
        at = self.at
        count = at.sums.pop("pairs")
        self.metrics |= {name: value / count for name, value in zip(NAMES, sums.tolist(), strict=True)}
        training = {name: self.metrics[name] for name in NAMES}
        run.log(
            at.step,
            **training,
            grad_norm=norm.item(),
            learning_rate=rate,
            epoch=at.step / self.when.per_epoch,
            tokens=at.tokens,
            tokens_per_second=clock.rate(),
            peak_memory_bytes=memory.peak_bytes(self.device),
        )

    def _save(self, run: Run) -> None:
        with run.checkpoint(self.at.step, metrics=self.metrics) as draft:
            write_model(self.model, draft.path)
            state.save(draft.path, self.at, self.optimizer, self.model)
            reference.save(draft.path, self.tables, self.reference)
        self.last = draft.checkpoint
