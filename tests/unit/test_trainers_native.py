"""The native trainer: exact resume, every option read, every failure one sentence."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from option_effects import assert_it_is_read, assert_that_without_a_change_all_looks_the_same, weights_hash
from tiny_models import CONTEXT, VOCAB, ListTable, save_model, toy_data, toy_rows
from transformers import AutoModelForCausalLM, BertConfig, MambaConfig

from ftstudio.api import Checkpoint, ComponentError, Encoded, ModelRef, OptionError, TrainingError
from ftstudio.testing import FakeRun
from ftstudio_kit import lora
from ftstudio_kit.batching import Batch
from ftstudio_kit.lean import Lean, Plain
from ftstudio_trainers import native
from ftstudio_trainers.native import Native
from ftstudio_trainers.options import NativeOptions

QUICK: dict[str, Any] = {
    "max_steps": 6, "per_device_train_batch_size": 4, "learning_rate": 1e-2, "logging_steps": 2, "bf16": False,
}  # fmt: skip
VOLATILE = {"tokens_per_second", "peak_memory_bytes"}


@dataclass
class PromptedRun(FakeRun):
    """A run of which something is asked at certain steps."""

    stop_at: int = 0
    checkpoint_at: int = 0

    def progress(self, done: int, total: int | None = None, unit: str = "step") -> None:
        super().progress(done, total, unit)
        self.requests.stop |= done == self.stop_at
        self.requests.checkpoint |= done == self.checkpoint_at


@pytest.fixture
def gpt2(tmp_path: Path) -> ModelRef:
    return save_model(tmp_path / "gpt2")


def train(run: FakeRun, model: ModelRef, data: Encoded, **options: Any) -> Checkpoint:
    return Native(NativeOptions(**(QUICK | options))).train(data, model, run)


def steady(run: FakeRun, without_step: int | None = None) -> list[tuple[int, dict[str, float]]]:
    """Logged metrics without timing, and without what a stop logged in between."""
    kept = [(step, {k: v for k, v in m.items() if k not in VOLATILE}) for step, m in run.metrics]
    return [(step, m) for step, m in kept if step != without_step]


def last(run: FakeRun, name: str) -> float:
    return [m[name] for _, m in run.metrics if name in m][-1]


# ------------------------------------------------------------------------------------------ exact resume


@pytest.mark.parametrize(
    ("family", "options", "stop_at"),
    [
        ("gpt2", {}, 3),
        ("gpt2", {"gradient_accumulation_steps": 2, "max_steps": 8}, 5),
        ("gpt2", {"bf16": True}, 3),
        ("gpt2", {"packing": True, "packing_length": 48}, 3),
        ("gpt2", {"lora_rank": 4, "lora_dropout": 0.1}, 3),
        ("gpt2", {"train_sampling_strategy": "group_by_length", "weight_decay": 0.1, "eval_steps": 2}, 3),
        ("gpt2", {"gradient_checkpointing": True, "sample_prompts": ("ab",), "sample_steps": 2}, 3),
        ("llama", {"lora_rank": 4, "packing": True, "gradient_accumulation_steps": 2, "bf16": True}, 5),
        ("qwen2", {"freeze": ("*embed_tokens*",), "lr_scheduler_type": "cosine", "warmup_steps": 0.5}, 4),
    ],
)
def test_a_resumed_run_ends_with_the_bits_of_one_that_never_stopped(
    tmp_path: Path, family: str, options: dict[str, Any], stop_at: int
) -> None:
    model, data = save_model(tmp_path / "model", family), toy_data(tmp_path, 18, validation=4)
    straight = FakeRun(tmp_path / "straight")
    expected = train(straight, model, data, **options)

    first = PromptedRun(tmp_path / "first", stop_at=stop_at)
    stopped = train(first, model, data, **options)
    assert stopped.step == stop_at
    torch.rand(5)  # what happened in between does not matter
    second = FakeRun(tmp_path / "second", resume_from=stopped)
    result = train(second, model, data, **options)

    assert result.step == expected.step
    assert weights_hash(result) == weights_hash(expected)
    extra = None if any(step == stop_at for step, _ in straight.metrics) else stop_at
    assert steady(first, extra) + steady(second) == steady(straight)
    assert not second.warnings


def scores_of(*runs: FakeRun) -> dict[int, float]:
    return {step: m["eval_loss"] for run in runs for step, m in run.metrics if "eval_loss" in m}


def hopeless(folder: Path) -> Encoded:
    """Rows to evaluate on that have nothing to do with those to learn from: what is learnt makes it worse at last."""
    noise = [{"input_ids": [3, 200, 9, 77, 140], "labels": [3, 200, 9, 77, 140]}] * 6
    return dataclasses.replace(toy_data(folder, 6, validation=6), validation=ListTable(noise))


WORSE = {"max_steps": 12, "learning_rate": 3e-2, "eval_steps": 2, "logging_steps": 4}


@pytest.mark.parametrize("patience", [0, 2])
@pytest.mark.parametrize("load_best", [True, False])
def test_a_stop_before_an_evaluation_leaves_the_best_and_the_patience_as_they_would_have_been(
    tmp_path: Path, patience: int, load_best: bool
) -> None:
    """Stopped at every step that is evaluated: also the best one, and the one at which patience ends."""
    model, data = save_model(tmp_path / "m", dropout=0.0), hopeless(tmp_path)
    options: dict[str, Any] = WORSE | {"early_stopping_patience": patience, "load_best_model_at_end": load_best}
    straight = FakeRun(tmp_path / "straight")
    expected = train(straight, model, data, **options)
    scores = scores_of(straight)
    best, last_step = min(scores, key=lambda step: scores[step]), max(scores)
    assert 2 <= best < last_step
    assert (last_step < 12) == bool(patience)
    assert last_step % 4 or not patience  # the last point of the curve is one that patience adds
    for stop_at in range(2, min(last_step, 10) + 1, 2):
        first = PromptedRun(tmp_path / str(stop_at), stop_at=stop_at)
        train(first, model, data, **options)
        assert stop_at not in scores_of(first)  # a stop waits for no evaluation
        second = FakeRun(tmp_path / str(stop_at), resume_from=first.checkpoints[-1])
        result = train(second, model, data, **options)
        assert scores_of(first, second) == scores
        assert sorted(steady(first) + steady(second), key=str) == sorted(steady(straight), key=str)
        assert (result.step, weights_hash(result)) == (expected.step, weights_hash(expected))
        marked, expected_mark = second.best or first.best, straight.best
        assert marked is not None
        assert expected_mark is not None
        if load_best or patience:  # else a stop commits what nobody else would have, and that may be the best
            assert marked.step == expected_mark.step
        assert [m for m in first.messages + second.messages if "early" in m] == [
            m for m in straight.messages if "early" in m
        ]


def test_a_resume_remembers_the_best_metric_though_its_step_was_not_committed(tmp_path: Path) -> None:
    model, data = save_model(tmp_path / "m", dropout=0.0), hopeless(tmp_path)
    options: dict[str, Any] = WORSE | {"eval_steps": 1}
    straight = FakeRun(tmp_path / "straight")
    train(straight, model, data, **options)
    scores = scores_of(straight)
    best = min((step for step in scores if step), key=lambda step: scores[step])
    first = PromptedRun(tmp_path / "first", stop_at=best + 1)
    train(first, model, data, **options)
    second = FakeRun(tmp_path / "first", resume_from=first.checkpoints[-1])
    train(second, model, data, **options)
    states = [json.loads((run.checkpoints[-1].path / "trainer_state.json").read_text()) for run in (straight, second)]
    assert states[0]["best_step"] == best
    for name in ("best_step", "best_metric", "evaluations_without_gain"):
        assert states[0][name] == states[1][name]
    assert not [m for m in second.messages if "is not here" in m]


def test_what_is_marked_as_the_best_is_the_lowest_of_the_committed_ones(tmp_path: Path) -> None:
    model, data = save_model(tmp_path / "m", dropout=0.0), hopeless(tmp_path)
    seen = FakeRun(tmp_path / "seen")
    train(seen, model, data, **WORSE | {"eval_steps": 1})
    scores = scores_of(seen)
    best = min((step for step in scores if step), key=lambda step: scores[step])
    assert best > 1
    run = PromptedRun(tmp_path / "run", checkpoint_at=best + 1)
    train(run, model, data, **WORSE | {"eval_steps": 1})
    assert [c.step for c in run.checkpoints] == [best + 1, 12]
    assert run.best is not None
    assert run.best.step == best + 1  # not the best that ever was, which nobody kept
    assert run.best.metrics["eval_loss"] == scores[best + 1]


def test_a_checkpoint_tells_the_evaluation_of_no_other_step(tmp_path: Path, gpt2: ModelRef) -> None:
    run = PromptedRun(tmp_path, checkpoint_at=3)
    train(run, gpt2, toy_data(tmp_path, validation=4), eval_steps=2)
    assert [(c.step, "eval_loss" in c.metrics) for c in run.checkpoints] == [(3, False), (6, True)]


def test_resuming_a_finished_run_gives_its_checkpoint_back(tmp_path: Path, gpt2: ModelRef) -> None:
    data = toy_data(tmp_path)
    done = train(FakeRun(tmp_path / "a"), gpt2, data)
    again = FakeRun(tmp_path / "b", resume_from=done)
    assert train(again, gpt2, data) == done
    assert not again.metrics


def test_the_same_seed_gives_the_same_run_and_another_does_not(tmp_path: Path, gpt2: ModelRef) -> None:
    data = toy_data(tmp_path)
    hashes = [weights_hash(train(FakeRun(tmp_path / str(n), seed=s), gpt2, data)) for n, s in enumerate((1, 1, 2))]
    assert hashes[0] == hashes[1] != hashes[2]


def test_evaluation_and_sampling_change_nothing_of_the_training(tmp_path: Path, gpt2: ModelRef) -> None:
    plain = train(FakeRun(tmp_path / "a"), gpt2, toy_data(tmp_path))
    watched = train(
        FakeRun(tmp_path / "b"),
        gpt2,
        toy_data(tmp_path, validation=5),
        eval_steps=1,
        sample_prompts=("ab",),
        sample_steps=1,
    )
    assert weights_hash(plain) == weights_hash(watched)


def test_an_empty_sample_prompt_is_continued(tmp_path: Path, gpt2: ModelRef) -> None:
    run = FakeRun(tmp_path / "a")
    result = train(run, gpt2, toy_data(tmp_path), max_steps=1, sample_prompts=("", "ab"))
    assert [(step, prompt) for step, prompt, _ in run.samples] == [(1, ""), (1, "ab")]
    assert run.checkpoints == [result]


def test_a_sample_prompt_that_nothing_can_follow_is_refused_before_the_first_step(
    tmp_path: Path, gpt2: ModelRef
) -> None:
    run = FakeRun(tmp_path / "a")
    with pytest.raises(ComponentError, match="half a character"):
        train(run, gpt2, toy_data(tmp_path), sample_prompts=("ab", "a\ud800"))
    assert not run.progressed


def test_rows_beyond_packing_length_are_told(tmp_path: Path, gpt2: ModelRef) -> None:
    run, data = FakeRun(tmp_path / "a"), toy_data(tmp_path)
    longer = sum(len(row["input_ids"]) > 8 for row in data.train)
    train(run, gpt2, data, max_steps=1, packing=True, packing_length=8)
    told = f"{longer} of 20 rows are longer than packing_length: each is a packed row of its own."
    assert told in run.warnings


@pytest.mark.parametrize("name", ["optimizer.safetensors", "rng.safetensors", "trainer_state.json"])
def test_a_missing_state_file_is_named(tmp_path: Path, gpt2: ModelRef, name: str) -> None:
    data = toy_data(tmp_path)
    stopped = train(PromptedRun(tmp_path / "a", stop_at=2), gpt2, data)
    (stopped.path / name).unlink()
    with pytest.raises(ComponentError, match=f"Checkpoint 000002 has no {name}, so the run cannot go on as it was."):
        train(FakeRun(tmp_path / "b", resume_from=stopped), gpt2, data)


def test_a_state_of_another_trainer_is_refused(tmp_path: Path, gpt2: ModelRef) -> None:
    data = toy_data(tmp_path)
    stopped = train(PromptedRun(tmp_path / "a", stop_at=2), gpt2, data)
    (stopped.path / "trainer_state.json").write_text('{"format": 1, "trainer": "other"}')
    with pytest.raises(ComponentError, match="written by trainer 'other', not by 'native'"):
        train(FakeRun(tmp_path / "b", resume_from=stopped), gpt2, data)


def test_a_resume_with_other_adapters_is_refused(tmp_path: Path, gpt2: ModelRef) -> None:
    data = toy_data(tmp_path)
    stopped = train(PromptedRun(tmp_path / "a", stop_at=2), gpt2, data, lora_rank=4)
    with pytest.raises(ComponentError, match="does not fit the lora options"):
        train(FakeRun(tmp_path / "b", resume_from=stopped), gpt2, data, lora_rank=8)
    with pytest.raises(ComponentError, match="holds an adapter: lora_rank = 0 does not fit"):
        train(FakeRun(tmp_path / "c", resume_from=stopped), gpt2, data)


def test_a_resume_on_another_number_of_threads_says_so(tmp_path: Path, gpt2: ModelRef) -> None:
    data = toy_data(tmp_path)
    stopped = train(PromptedRun(tmp_path / "a", stop_at=2), gpt2, data)
    file = stopped.path / "trainer_state.json"
    table = json.loads(file.read_text())
    table["about"]["threads"] = 99
    file.write_text(json.dumps(table))
    run = FakeRun(tmp_path / "b", resume_from=stopped)
    train(run, gpt2, data)
    assert run.warnings == ["Resumed, but not to the same bits: threads 99 -> 1."]


# ---------------------------------------------------------------------------------------------- the loop


def test_it_logs_the_standard_metrics(tmp_path: Path, gpt2: ModelRef) -> None:
    run = FakeRun(tmp_path)
    result = train(run, gpt2, toy_data(tmp_path, 20, validation=4), eval_steps=3, max_steps=-1, num_train_epochs=1.0)
    assert [step for step, m in run.metrics if "eval_loss" in m] == [0, 3, 5]
    assert [step for step, m in run.metrics if "loss" in m] == [1, 2, 4, 5]
    final = run.metrics[-1][1]
    assert set(final) == {
        "loss", "grad_norm", "learning_rate", "epoch", "tokens", "tokens_per_second", "peak_memory_bytes",
    }  # fmt: skip
    assert final["epoch"] == 1
    assert final["tokens"] == sum(len(row["input_ids"]) for row in toy_rows(20).rows)
    assert final["peak_memory_bytes"] > 1e6
    assert last(run, "perplexity") == pytest.approx(math.exp(last(run, "eval_loss")))
    assert run.progressed[-1] == (5, 5, "step")
    assert set(result.metrics) == {"loss", "eval_loss"}


def test_the_loss_is_a_mean_over_trained_tokens_however_they_are_batched(tmp_path: Path) -> None:
    model, data = save_model(tmp_path / "m", dropout=0.0), toy_data(tmp_path, 16, masked=2)
    losses = []
    for n, (rows, accumulation) in enumerate([(8, 1), (2, 4), (3, 3)]):
        run = FakeRun(tmp_path / str(n))
        train(
            run, model, data, max_steps=2, train_sampling_strategy="sequential",
            per_device_train_batch_size=rows, gradient_accumulation_steps=accumulation, logging_steps=1,
        )  # fmt: skip
        losses.append([m["loss"] for _, m in run.metrics])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert losses[0] != pytest.approx(losses[2], abs=1e-5)  # nine rows a step are other rows


def test_a_stop_is_answered_after_the_step_with_a_checkpoint(tmp_path: Path, gpt2: ModelRef) -> None:
    run = PromptedRun(tmp_path, stop_at=3)
    result = train(run, gpt2, toy_data(tmp_path, validation=3))
    assert (result.step, result) == (3, run.checkpoints[-1])
    assert "loss" in result.metrics


def test_a_stop_adds_no_point_that_an_undisturbed_run_would_not_have(tmp_path: Path, gpt2: ModelRef) -> None:
    run, undisturbed = PromptedRun(tmp_path / "a", stop_at=3), FakeRun(tmp_path / "b")
    train(run, gpt2, toy_data(tmp_path), logging_steps=2)
    train(undisturbed, gpt2, toy_data(tmp_path), logging_steps=2)
    steps = [step for step, _ in undisturbed.metrics]
    assert [step for step, _ in run.metrics] == [step for step in steps if step <= 3]
    assert 3 not in steps


def test_a_request_for_a_checkpoint_commits_and_goes_on(tmp_path: Path, gpt2: ModelRef) -> None:
    run = PromptedRun(tmp_path, checkpoint_at=2)
    train(run, gpt2, toy_data(tmp_path))
    assert [c.step for c in run.checkpoints] == [2, 6]


def test_a_checkpoint_holds_all_that_is_promised(tmp_path: Path, gpt2: ModelRef) -> None:
    whole = train(FakeRun(tmp_path / "a"), gpt2, toy_data(tmp_path))
    adapter = train(FakeRun(tmp_path / "b"), gpt2, toy_data(tmp_path), lora_rank=2)
    state = {"optimizer.safetensors", "rng.safetensors", "trainer_state.json"}
    model = {"config.json", "generation_config.json", "model.safetensors"}
    assert {p.name for p in whole.path.iterdir()} == state | model
    assert {p.name for p in adapter.path.iterdir()} == state | {"adapter_config.json", "adapter_model.safetensors"}


def test_the_best_checkpoint_is_the_result_when_asked_for(tmp_path: Path) -> None:
    model = save_model(tmp_path / "m", dropout=0.0)
    data = toy_data(tmp_path, 6, validation=6)
    noise = [{"input_ids": [3, 200, 9, 77, 140], "labels": [3, 200, 9, 77, 140]}] * 6
    data = dataclasses.replace(data, validation=ListTable(noise))  # what is learnt makes this worse at last
    run = FakeRun(tmp_path / "r")
    options = {"eval_steps": 1, "max_steps": 12, "learning_rate": 3e-2, "load_best_model_at_end": True}
    result = train(run, model, data, **options)
    scores = {step: m["eval_loss"] for step, m in run.metrics if "eval_loss" in m and step}
    assert result.step == min(scores, key=lambda step: scores[step]) < 12
    assert result == run.best

    stopped = train(PromptedRun(tmp_path / "s", stop_at=result.step + 1), model, data, **options)
    resumed = FakeRun(tmp_path / "s", resume_from=run.checkpoints[-1])
    assert train(resumed, model, data, **options).step == result.step
    assert stopped.step == result.step  # the best of those before the stop


def test_early_stopping_ends_the_run_and_says_so(tmp_path: Path) -> None:
    model = save_model(tmp_path / "m", dropout=0.0)
    data = toy_data(tmp_path, 6, validation=4)
    run = FakeRun(tmp_path / "r")
    result = train(
        run, model, data, max_steps=50, eval_steps=1, early_stopping_patience=2, learning_rate=1e-30, logging_steps=100
    )
    assert result.step < 50
    assert f"Stopped early at step {result.step}: no lower eval_loss in 2 evaluations." in run.messages
    assert run.metrics[-1][0] == result.step
    assert run.checkpoints[-1].step == result.step


@pytest.mark.parametrize("what", ["loss", "grad_norm"])
def test_a_loss_or_a_gradient_that_is_not_finite_ends_the_run_and_nothing_is_saved_after_it(
    tmp_path: Path, gpt2: ModelRef, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Either may be so alone: a share of 0 has an infinite loss and a plain gradient, squares of a gradient overflow."""
    steps, chosen, norm_of = itertools.count(1), native.way_through, native.gradient_norm

    def spoilt(value: torch.Tensor) -> torch.Tensor:
        return value * (torch.inf if next(steps) == 4 else 1)

    def choose(*arguments: Any, **named: Any) -> Any:
        way = chosen(*arguments, **named)
        learn = way.learn
        way.learn = lambda *batch: spoilt(learn(*batch))
        return way

    if what == "loss":
        monkeypatch.setattr(native, "way_through", choose)
    else:
        monkeypatch.setattr(native, "gradient_norm", lambda gradients: spoilt(norm_of(gradients)))
    run = FakeRun(tmp_path)
    with pytest.raises(
        TrainingError, match=r"gradient was not finite in step 4\. The checkpoint of step 3 is the last good one\."
    ):
        train(run, gpt2, toy_data(tmp_path), save_steps=1, logging_steps=10)
    step, metrics = run.metrics[-1]
    assert (step, [name for name, value in metrics.items() if not math.isfinite(value)]) == (4, [what])
    assert [c.step for c in run.checkpoints] == [1, 2, 3]


@pytest.mark.parametrize("saved", [1, 100])
@pytest.mark.parametrize("adapted", [0, 2])
def test_a_model_that_answers_with_no_number_is_not_saved(
    tmp_path: Path, gpt2: ModelRef, saved: int, adapted: int
) -> None:
    """The loss of the last step is that of the weights before it."""
    run = FakeRun(tmp_path)
    more = {"sample_prompts": ("ab",)} if saved == 1 else {}
    data = toy_data(tmp_path)
    unlearnt = {"input_ids": [97, 98], "labels": [97, -100]}  # it has no loss, so it says nothing of the model
    data = dataclasses.replace(data, train=ListTable([unlearnt, *data.train]))
    with pytest.raises(TrainingError, match=r"^What the model answers was not finite in step 2\.") as caught:
        train(
            run, gpt2, data, learning_rate=1e30, warmup_steps=1, max_steps=2, save_steps=saved,
            lora_rank=adapted, **more,
        )  # fmt: skip
    assert [c.step for c in run.checkpoints] == [1] * (saved == 1)
    assert ("The checkpoint of step 1 is the last good one" in caught.value.message) == (saved == 1)
    assert not run.samples


def test_a_weight_that_no_row_has_a_use_for_is_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, chosen = save_model(tmp_path / "m", "llama"), native.way_through

    def choose(learner: Any, *arguments: Any, **named: Any) -> Any:
        way = chosen(learner, *arguments, **named)
        way.refresh = lambda: learner.get_input_embeddings().weight.data[3].fill_(torch.nan)
        return way

    data = toy_data(tmp_path)
    monkeypatch.setattr(native, "way_through", choose)
    run = FakeRun(tmp_path)
    with pytest.raises(TrainingError, match=r"^What the model answers was not finite in step 1\."):
        train(run, model, data, save_steps=1)
    assert not run.checkpoints
    train(FakeRun(tmp_path / "frozen"), model, data, save_steps=1, freeze=("*embed_tokens*",))


def test_an_evaluation_that_is_no_number_ends_the_run_and_is_never_the_best(tmp_path: Path, gpt2: ModelRef) -> None:
    run = FakeRun(tmp_path)
    with pytest.raises(TrainingError, match=r"^The eval_loss was not finite in step 1\. No checkpoint was kept yet\."):
        train(
            run, gpt2, toy_data(tmp_path, validation=4), learning_rate=1e30, max_steps=1, eval_steps=1,
            load_best_model_at_end=True,
        )  # fmt: skip
    step, metrics = run.metrics[-1]
    assert (step, list(metrics)) == (1, ["eval_loss", "perplexity"])
    assert all(math.isnan(value) for value in metrics.values())
    assert not run.checkpoints
    assert run.best is None


def test_a_model_that_has_no_eval_loss_before_the_first_step_is_not_trained(tmp_path: Path, gpt2: ModelRef) -> None:
    huge = AutoModelForCausalLM.from_pretrained(gpt2.path)
    huge.get_input_embeddings().weight.data.mul_(1e30)
    huge.save_pretrained(gpt2.path)
    with pytest.raises(TrainingError, match=r"^The eval_loss was not finite before the first step\."):
        train(FakeRun(tmp_path), gpt2, toy_data(tmp_path, validation=4), eval_steps=1)


def fail_while_learning(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Raise what torch raises in a step; what is asked of a model before the first one stays as it is."""
    learn, chosen = Lean.learn, native.way_through

    def failing(*_: Any) -> Any:
        raise RuntimeError(words)

    def choose(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(Lean, "learn", learn)
        way = chosen(*arguments, **named)
        monkeypatch.setattr(Lean, "learn", failing)
        return way

    monkeypatch.setattr(native, "way_through", choose)


def test_memory_that_runs_out_names_the_batch_and_proposes_a_smaller_one(
    tmp_path: Path, gpt2: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_while_learning(monkeypatch, "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")
    with pytest.raises(TrainingError, match=r"Memory ran out in step 1, on a batch of 4 rows of \d+ tokens") as caught:
        train(FakeRun(tmp_path), gpt2, toy_data(tmp_path), gradient_accumulation_steps=2)
    assert "per_device_train_batch_size = 2 and gradient_accumulation_steps = 4" in caught.value.hint


def test_memory_that_runs_out_in_the_optimizers_first_step_is_explained_too(
    tmp_path: Path, gpt2: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 148.00 MiB.")

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    with pytest.raises(TrainingError, match=r"Memory ran out in step 1, on a batch of 4 rows of \d+ tokens"):
        train(FakeRun(tmp_path), gpt2, toy_data(tmp_path))


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later",
        "CUDA error: uncorrectable ECC error encountered",
        "NVML: GPU is lost (CUDA error)",
    ],
)
def test_a_gpu_that_is_lost_is_named_with_the_batch(
    tmp_path: Path, gpt2: ModelRef, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    fail_while_learning(monkeypatch, words)
    with pytest.raises(TrainingError, match=r"^cpu was lost in step 1, on a batch of 4 rows of \d+ tokens: ") as caught:
        train(FakeRun(tmp_path), gpt2, toy_data(tmp_path))
    assert words.splitlines()[0] in caught.value.message
    assert "nvidia-smi" in caught.value.hint


def test_another_runtime_error_stays_what_it_is(
    tmp_path: Path, gpt2: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_while_learning(monkeypatch, "a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        train(FakeRun(tmp_path), gpt2, toy_data(tmp_path))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="There is no GPU here.")
@pytest.mark.parametrize("compiled", [False, True])
def test_a_gpu_learns_in_bfloat16_what_a_cpu_learns(tmp_path: Path, compiled: bool) -> None:
    model, data = save_model(tmp_path / "model", dropout=0.0), toy_data(tmp_path, 12)
    losses = []
    for device in ("cpu", "cuda:0"):
        run = FakeRun(tmp_path / device, devices=(device,))
        train(run, model, data, max_steps=10, bf16=True, torch_compile=compiled and device != "cpu", logging_steps=1)
        losses.append([metrics["loss"] for _, metrics in run.metrics if "loss" in metrics])
    assert losses[1] == pytest.approx(losses[0], rel=2e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="There is no GPU here.")
def test_packed_rows_reach_a_gpu_from_pinned_memory_and_an_adapter_is_resumed_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[tuple[str, bool]] = []
    learnt_on: set[str] = set()
    to, learn = torch.Tensor.to, Plain.learn

    def copying(tensor: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
        if named.get("non_blocking") and tensor.dtype == torch.int64:
            copied.append((threading.current_thread().name, tensor.is_pinned()))
        return to(tensor, *arguments, **named)

    def learning(way: Plain, batch: Batch, weight: float) -> torch.Tensor:
        learnt_on.update(value.device.type for value in batch.tensors().values())
        return learn(way, batch, weight)

    monkeypatch.setattr(torch.Tensor, "to", copying)
    monkeypatch.setattr(Plain, "learn", learning)
    model, data = save_model(tmp_path / "model"), toy_data(tmp_path, 18)
    options: dict[str, Any] = {"lora_rank": 4, "lora_dropout": 0.1, "packing": True, "packing_length": 48}
    gpu = ("cuda:0",)
    straight = FakeRun(tmp_path / "straight", devices=gpu)
    train(straight, model, data, **options)
    first = PromptedRun(tmp_path / "first", devices=gpu, stop_at=3)
    stopped = train(first, model, data, **options)
    torch.rand(5, device="cuda")  # what happened in between does not matter
    second = FakeRun(tmp_path / "second", devices=gpu, resume_from=stopped)
    train(second, model, data, **options)

    assert learnt_on == {"cuda"}
    assert all(pinned for _, pinned in copied)
    assert any(thread.startswith("batches") for thread, _ in copied), "while a step is learnt from"
    assert not second.warnings
    for (step, one), (same, other) in zip(steady(first, 3) + steady(second), steady(straight), strict=True):
        assert step == same
        assert one == pytest.approx(other, rel=1e-3)


def test_a_run_from_scratch_takes_the_tokenizers_vocabulary(tmp_path: Path, gpt2: ModelRef) -> None:
    data = dataclasses.replace(toy_data(tmp_path), vocab_size=300)
    result = train(FakeRun(tmp_path), ModelRef(gpt2.path, weights=False, name="scratch"), data)
    assert json.loads((result.path / "config.json").read_text())["vocab_size"] == 300


def test_embeddings_are_never_added_silently(tmp_path: Path, gpt2: ModelRef) -> None:
    run = FakeRun(tmp_path)
    train(run, gpt2, dataclasses.replace(toy_data(tmp_path), vocab_size=300))
    assert run.warnings == [
        f"The tokenizer has 300 tokens and tiny-gpt2 only {VOCAB}: 43 embeddings were added and start at random."
    ]


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize(
    ("given", "lost", "kept"),
    [
        ({"temperature": 0.9, "top_p": 0.6}, "temperature, top_p", {}),
        ({"temperature": -5}, "temperature", {}),
        (
            {"temperature": 0.9, "do_sample": True, "length_penalty": 2.0},
            "length_penalty",
            {"temperature": 0.9, "do_sample": True},
        ),
    ],
)
def test_a_generation_config_that_contradicts_itself_is_mended_before_the_first_step(
    tmp_path: Path, gpt2: ModelRef, given: dict[str, Any], lost: str, kept: dict[str, Any], rank: int
) -> None:
    file = gpt2.path / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | given))
    trainer, run = Native(NativeOptions(**(QUICK | {"max_steps": 1}), lora_rank=rank)), FakeRun(tmp_path / "r")
    trainer.export(trainer.train(toy_data(tmp_path), gpt2, run), tmp_path / "final", run)
    assert run.warnings == [
        f"The generation_config.json of tiny-gpt2 contradicts itself, so it goes on without {lost}."
    ]
    saved = json.loads((tmp_path / "final" / "generation_config.json").read_text())
    assert {name: saved[name] for name in given if name in saved} == kept
    assert saved["eos_token_id"] == 256


def test_a_float16_model_is_trained_in_float32(tmp_path: Path) -> None:
    model = save_model(tmp_path / "half", dtype=torch.float16)
    result = train(FakeRun(tmp_path / "r"), model, toy_data(tmp_path))
    assert AutoModelForCausalLM.from_pretrained(result.path).dtype == torch.float32


# --------------------------------------------------------------------------------------------- exporting


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2"])
@pytest.mark.parametrize("rank", [0, 4])
def test_an_exported_model_opens_alone_and_computes_the_same(tmp_path: Path, family: str, rank: int) -> None:
    model, data, run = save_model(tmp_path / "m", family), toy_data(tmp_path), FakeRun(tmp_path / "r")
    trainer = Native(NativeOptions(**QUICK, lora_rank=rank))
    checkpoint = trainer.train(data, model, run)
    trainer.export(checkpoint, tmp_path / "final", run)
    assert {p.name for p in (tmp_path / "final").iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
    }
    opened = AutoModelForCausalLM.from_pretrained(tmp_path / "final").eval()
    trained = trainer.setup.model.eval()
    ids = torch.tensor([[97, 98, 99, 100]])
    with torch.no_grad():
        assert torch.allclose(opened(ids).logits, trained(ids).logits, atol=1e-4)
        start = AutoModelForCausalLM.from_pretrained(model.path).eval()
        assert not torch.allclose(opened(ids).logits, start(ids).logits, atol=1e-2)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21's call
def test_an_adapter_opens_with_peft_itself(tmp_path: Path, gpt2: ModelRef) -> None:
    from peft import PeftModel

    checkpoint = train(FakeRun(tmp_path), gpt2, toy_data(tmp_path), lora_rank=4)
    base = AutoModelForCausalLM.from_pretrained(gpt2.path)
    theirs = PeftModel.from_pretrained(base, checkpoint.path).eval()
    ours = lora.open_adapter(AutoModelForCausalLM.from_pretrained(gpt2.path), checkpoint.path)
    ids = torch.tensor([[97, 98, 99]])
    with torch.no_grad():
        assert torch.equal(theirs(ids).logits, ours(ids).logits)


# -------------------------------------------------------------------------------------------- bad inputs


def refused(tmp_path: Path, message: str, model: ModelRef, data: Encoded, **options: Any) -> None:
    with pytest.raises(ComponentError, match=message):
        train(FakeRun(tmp_path / "r"), model, data, **options)


def test_inputs_that_cannot_be_trained_on_are_refused(tmp_path: Path, gpt2: ModelRef) -> None:
    data = toy_data(tmp_path)
    refused(tmp_path, "There are no rows to train on", gpt2, dataclasses.replace(data, train=ListTable([])))
    long = dataclasses.replace(data, train=toy_rows(30, longest=200))
    refused(tmp_path, rf"A row has \d+ tokens, but tiny-gpt2 has {CONTEXT} positions", gpt2, long)
    refused(tmp_path, "A row has 99 tokens", gpt2, data, packing=True, packing_length=99)
    refused(tmp_path, "freeze names 'nothing', which is no parameter", gpt2, data, freeze=("nothing",))
    refused(tmp_path, "freeze leaves no parameter to train", gpt2, data, freeze=("*",))
    refused(
        tmp_path, "lora_target_modules names 'q_proj', but GPT2LMHeadModel has no", gpt2, data,
        lora_rank=2, lora_target_modules=("q_proj",),
    )  # fmt: skip
    refused(tmp_path, "has no weights yet", ModelRef(gpt2.path, False, "scratch"), data, lora_rank=2)
    for option in ({"eval_steps": 2}, {"load_best_model_at_end": True}, {"early_stopping_patience": 1}):
        refused(tmp_path, f"{next(iter(option))} needs validation rows", gpt2, data, **option)
    untrained = dataclasses.replace(data, validation=toy_rows(3, longest=5, masked=5))
    refused(tmp_path, "No token of the validation rows is trained on", gpt2, untrained)


@pytest.mark.parametrize("is_decoder", [False, True])
def test_a_model_that_sees_what_it_should_foretell_is_refused(tmp_path: Path, is_decoder: bool) -> None:
    small = BertConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=CONTEXT, is_decoder=is_decoder,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(small).save_pretrained(tmp_path / "bert")
    model = ModelRef(tmp_path / "bert", weights=True, name="tiny-bert")
    if is_decoder:
        assert train(FakeRun(tmp_path), model, toy_data(tmp_path), max_steps=1).step == 1
    else:
        refused(
            tmp_path, "BertLMHeadModel of tiny-bert sees the tokens that it should foretell", model, toy_data(tmp_path)
        )


def test_a_model_that_carries_a_state_from_row_to_row_is_not_packed(tmp_path: Path) -> None:
    AutoModelForCausalLM.from_config(
        MambaConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=1)
    ).save_pretrained(tmp_path / "mamba")
    model = ModelRef(tmp_path / "mamba", weights=True, name="tiny-mamba")
    refused(tmp_path, "MambaForCausalLM lets packed rows see each other", model, toy_data(tmp_path), packing=True)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_steps": 0}, "max_steps"),
        ({"lr_scheduler_kwargs": {"power": 2}}, "lr_scheduler_kwargs"),
        ({"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": "much"}}, "lr_scheduler_kwargs"),
        ({"lora_rank": 4, "freeze": ("*",)}, "freeze"),
    ],
)
def test_options_that_contradict_themselves_are_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(OptionError) as caught:
        NativeOptions(**options)
    assert caught.value.field == field


# ------------------------------------------------------------------------------- each option is read


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(NativeOptions)])
def test_every_option_is_read(field: str, tmp_path: Path) -> None:
    assert_it_is_read(Native, NativeOptions, field, tmp_path)


def test_two_runs_of_the_same_settings_look_the_same(tmp_path: Path) -> None:
    assert_that_without_a_change_all_looks_the_same(Native, NativeOptions, tmp_path)


def test_recomputed_activations_change_no_weight(tmp_path: Path, gpt2: ModelRef) -> None:
    plain, recomputed = (
        train(FakeRun(tmp_path / str(on)), gpt2, toy_data(tmp_path), gradient_checkpointing=on) for on in (False, True)
    )
    assert weights_hash(recomputed) == weights_hash(plain)
