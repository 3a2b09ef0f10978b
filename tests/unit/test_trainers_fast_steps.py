"""What the native trainer's fast steps promise: small gradients stay small, and all tricks together resume exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from option_effects import weights_hash
from test_trainers_native import PromptedRun, last, steady, train
from tiny_models import save_model, toy_data

from ftstudio.testing import FakeRun
from ftstudio_kit.lean import Lean, way_through
from ftstudio_trainers import native

ALL_ON: dict[str, Any] = {
    "bf16": True, "packing": True, "packing_length": 48, "per_device_train_batch_size": 1, "max_steps": 8,
    "gradient_accumulation_steps": 2, "dropout": 0.1, "weight_decay": 0.1, "eval_steps": 3,
}  # fmt: skip


def test_a_gradient_within_max_grad_norm_is_taken_as_it_is(tmp_path: Path) -> None:
    """With so large an epsilon, a gradient that is scaled up moves the weights further."""
    model, data = save_model(tmp_path / "m"), toy_data(tmp_path)
    hashes, norms = [], []
    for most in (0.0, 1e3, 1e-2):
        run = FakeRun(tmp_path / str(most))
        options = {"adam_epsilon": 1e-2, "max_steps": 2, "logging_steps": 1, "max_grad_norm": most}
        hashes.append(weights_hash(train(run, model, data, **options)))
        norms.append(last(run, "grad_norm"))
    assert 1e-2 < max(norms) < 1e3
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(("family", "stop_at"), [("gpt2", 4), ("qwen2", 2)])
def test_a_full_fine_tuning_with_all_on_ends_with_the_bits_of_one_that_never_stopped(
    tmp_path: Path, family: str, stop_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways: list[Any] = []

    def choose(*arguments: Any, **named: Any) -> Any:
        ways.append(way_through(*arguments, **named))
        return ways[-1]

    monkeypatch.setattr(native, "way_through", choose)
    model, data = save_model(tmp_path / "model", family, dropout=0.0), toy_data(tmp_path, 18, validation=4)
    straight = FakeRun(tmp_path / "straight")
    expected = train(straight, model, data, **ALL_ON)
    first = PromptedRun(tmp_path / "first", stop_at=stop_at)
    stopped = train(first, model, data, **ALL_ON)
    about = json.loads((stopped.path / "trainer_state.json").read_text())["about"]
    assert stopped.step == stop_at
    assert stop_at % about["steps_per_epoch"], "it stops in mid-epoch"
    assert about["steps_per_epoch"] < 8, "and more than one epoch is drawn"
    torch.rand(5)  # what happened in between does not matter
    second = FakeRun(tmp_path / "second", resume_from=stopped)
    result = train(second, model, data, **ALL_ON)
    assert result.step == expected.step == 8
    assert weights_hash(result) == weights_hash(expected)
    assert {p.name: p.read_bytes() for p in result.path.glob("*.safetensors")} == {
        p.name: p.read_bytes() for p in expected.path.glob("*.safetensors")
    }, "also the moments, and the random numbers that would come next"
    extra = None if any(step == stop_at for step, _ in straight.metrics) else stop_at
    assert steady(first, extra) + steady(second) == steady(straight)
    assert not second.warnings
    assert [(type(way), way.bf16) for way in ways] == [(Lean, True)] * 3
