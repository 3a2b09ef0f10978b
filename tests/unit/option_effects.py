"""What each option of the trainers changes in a run: one table and one way to look, for `native` and `hf` alike."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from tiny_models import ListTable, save_model, toy_data
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP

from ftstudio.api import Checkpoint, Encoded, Facts, ModelRef
from ftstudio.testing import FakeRun
from ftstudio_kit.batching import Batch
from ftstudio_kit.lean import Lean, Plain
from ftstudio_trainers.light import plan
from ftstudio_trainers.options import CommonOptions

START: Mapping[str, Any] = {
    "max_steps": 6, "per_device_train_batch_size": 4, "learning_rate": 3e-2, "logging_steps": 2, "bf16": False,
}  # fmt: skip


class Effect(NamedTuple):
    """With `others` set, the option at `value` gives another `look` (a key of LOOKS) than at its default."""

    value: Any
    look: str
    others: Mapping[str, Any] = {}


EFFECTS: Mapping[str, Effect] = {
    "num_train_epochs": Effect(1.0, "last step", {"max_steps": -1}),
    "per_device_train_batch_size": Effect(3, "weights"),
    "gradient_accumulation_steps": Effect(2, "weights"),
    "learning_rate": Effect(1e-4, "rates"),
    "warmup_steps": Effect(3.0, "rates"),
    "lora_rank": Effect(4, "files"),
    "max_steps": Effect(4, "last step"),
    "lr_scheduler_type": Effect("cosine", "rates"),
    "lr_scheduler_kwargs": Effect({"power": 2.0}, "rates", {"lr_scheduler_type": "polynomial"}),
    "weight_decay": Effect(0.5, "weights"),
    "adam_beta1": Effect(0.5, "weights"),
    "adam_beta2": Effect(0.5, "weights"),
    "adam_epsilon": Effect(1e-2, "weights"),
    "max_grad_norm": Effect(0.01, "weights", {"adam_epsilon": 1e-2}),
    "bf16": Effect(True, "weights"),
    "gradient_checkpointing": Effect(True, "forward passes"),
    "torch_compile": Effect(True, "compiled"),
    "packing": Effect(True, "weights"),
    "packing_length": Effect(60, "weights", {"packing": True}),
    "train_sampling_strategy": Effect("sequential", "weights"),
    "dropout": Effect(0.0, "weights"),
    "freeze": Effect(("*wte*",), "weights"),
    "lora_alpha": Effect(64.0, "weights", {"lora_rank": 4}),
    "lora_dropout": Effect(0.5, "weights", {"lora_rank": 4}),
    "lora_target_modules": Effect(("c_attn",), "weights", {"lora_rank": 4}),
    "logging_steps": Effect(3, "logged"),
    "logging_first_step": Effect(False, "logged"),
    "per_device_eval_batch_size": Effect(1, "evaluated batches"),
    "eval_strategy": Effect("no", "evaluated"),
    "eval_steps": Effect(1, "evaluated"),
    "load_best_model_at_end": Effect(True, "result", {"eval_steps": 1}),
    "early_stopping_patience": Effect(1, "last step", {"eval_steps": 1}),
    "save_strategy": Effect("epoch", "saved"),
    "save_steps": Effect(2, "saved"),
    "save_total_limit": Effect(4, "planned bytes", {"save_steps": 1}),  # who takes away what is over is the core
    "sample_prompts": Effect(("ab",), "samples"),
    "sample_steps": Effect(1, "sampled", {"sample_prompts": ("ab",)}),
    "sample_max_new_tokens": Effect(3, "samples", {"sample_prompts": ("ab",)}),
    "optim": Effect("adafactor", "weights"),
    "label_smoothing_factor": Effect(0.3, "weights"),
    "neftune_noise_alpha": Effect(5.0, "weights"),
    "training_arguments": Effect({"include_num_input_tokens_seen": "all"}, "counted by Trainer"),
}


@dataclasses.dataclass
class Seen:
    """What was observed of one run."""

    options: CommonOptions
    run: FakeRun
    result: Checkpoint
    forward_passes: int = 0
    compiled: int = 0
    evaluated_batches: frozenset[int] = frozenset()

    def steps_with(self, metric: str) -> list[int]:
        return [step for step, metrics in self.run.metrics if metric in metrics]


def weights_hash(checkpoint: Checkpoint) -> str:
    files = sorted(checkpoint.path.glob("*model.safetensors"))
    assert files
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()


def _trainers_count(seen: Seen) -> object:
    return json.loads((seen.result.path / "trainer_state.json").read_text()).get("num_input_tokens_seen")


LOOKS: Mapping[str, Callable[[Seen], object]] = {
    "compiled": lambda seen: seen.compiled,
    "counted by Trainer": _trainers_count,
    "evaluated": lambda seen: seen.steps_with("eval_loss"),
    "evaluated batches": lambda seen: seen.evaluated_batches,
    "files": lambda seen: sorted(path.name for path in seen.result.path.iterdir()),
    "forward passes": lambda seen: seen.forward_passes,
    "last step": lambda seen: seen.run.progressed[-1][0],
    "logged": lambda seen: seen.steps_with("loss"),
    "planned bytes": lambda seen: plan(seen.options, Facts(examples=12, parameters=1000)).kept_bytes,
    "rates": lambda seen: [m["learning_rate"] for _, m in seen.run.metrics if "learning_rate" in m],
    "result": lambda seen: seen.result.step,
    "sampled": lambda seen: [step for step, _, _ in seen.run.samples],
    "samples": lambda seen: seen.run.samples,
    "saved": lambda seen: [checkpoint.step for checkpoint in seen.run.checkpoints],
    "weights": lambda seen: weights_hash(seen.result),
}


def data_that_gets_worse(folder: Path) -> Encoded:
    """Rows to learn, and rows for evaluation that are like none of them: the best step is not the last."""
    noise = [{"input_ids": [3, 200, 9, 77, 140], "labels": [3, 200, 9, 77, 140]}] * 4
    return dataclasses.replace(toy_data(folder, 12), validation=ListTable(noise))


def observed(
    trainer: Callable[[Any], Any],
    options: CommonOptions,
    folder: Path,
    data: Encoded,
    model: ModelRef,
) -> Seen:
    """Train in a run of its own under `folder`, and look at what happens on the way."""
    forward, compile_ = GPT2MLP.forward, torch.compile
    forwards: list[None] = []
    compiled: list[Any] = []
    sizes: list[int] = []

    def counted(*arguments: Any) -> Any:
        forwards.append(None)
        return forward(*arguments)

    def noting(judge: Callable[[Any, Batch], Any]) -> Callable[[Any, Batch], Any]:
        def noted(way: Any, batch: Batch) -> Any:
            sizes.append(batch.shape[0])
            return judge(way, batch)

        return noted

    def same(net: Any, **_: Any) -> Any:
        compiled.append(net)
        return net

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GPT2MLP, "forward", counted)
        for way in (Lean, Plain):
            patch.setattr(way, "judge", noting(way.judge))
        patch.setattr(torch, "compile", same)
        run = FakeRun(folder)
        result = trainer(options).train(data, model, run)
    assert (forward, compile_) == (GPT2MLP.forward, torch.compile)
    return Seen(options, run, result, len(forwards), len(compiled), frozenset(sizes))


def assert_it_is_read(trainer: Callable[[Any], Any], options: type[CommonOptions], name: str, folder: Path) -> None:
    """Run without and with the option and look where it must show."""
    effect = EFFECTS[name]
    model, data = save_model(folder / "model"), data_that_gets_worse(folder)
    settings = {**START, **effect.others}
    without = observed(trainer, options(**settings), folder / "without", data, model)
    with_it = observed(trainer, options(**(settings | {name: effect.value})), folder / "with", data, model)
    look = LOOKS[effect.look]
    assert look(without) != look(with_it), effect.look


def assert_that_without_a_change_all_looks_the_same(
    trainer: Callable[[Any], Any], options: type[CommonOptions], folder: Path
) -> None:
    """What always differed would show every option as read."""
    model, data = save_model(folder / "model"), data_that_gets_worse(folder)
    settings = {**START, "sample_prompts": ("ab",), "eval_steps": 1, "lora_rank": 4, "lora_dropout": 0.1}
    one, other = (observed(trainer, options(**settings), folder / name, data, model) for name in ("one", "other"))
    for name, look in LOOKS.items():
        assert look(one) == look(other), name
