"""transformers.Trainer behind our contract: the same losses, metrics, checkpoints and requests."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
import torch
from option_effects import assert_it_is_read, assert_that_without_a_change_all_looks_the_same, weights_hash
from test_trainers_native import QUICK, PromptedRun, last, scores_of, steady
from tiny_models import save_model, toy_data
from transformers import AutoModelForCausalLM, TrainingArguments
from transformers.training_args import OptimizerNames

from ftstudio.api import Checkpoint, ComponentError, Encoded, ModelRef, TrainingError
from ftstudio.process.manners import left_as_found
from ftstudio.testing import FakeRun
from ftstudio_trainers import arguments, hf
from ftstudio_trainers.arguments import checked_arguments
from ftstudio_trainers.hf import Hf
from ftstudio_trainers.native import Native
from ftstudio_trainers.options import HfOptions, NativeOptions

UNIONS = {Union, UnionType}


@pytest.fixture
def gpt2(tmp_path: Path) -> ModelRef:
    return save_model(tmp_path / "gpt2")


def train(run: FakeRun, model: ModelRef, data: Encoded, **options: Any) -> Checkpoint:
    return Hf(HfOptions(**(QUICK | options))).train(data, model, run)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("gpt2", {}),
        ("gpt2", {"gradient_accumulation_steps": 2, "weight_decay": 0.1, "warmup_steps": 0.5}),
        ("gpt2", {"packing": True, "packing_length": 48, "lr_scheduler_type": "cosine_with_min_lr"}),
        ("llama", {"lr_scheduler_type": "inverse_sqrt", "max_grad_norm": 0.1, "eval_steps": 2}),
        ("qwen2", {"lora_rank": 4, "weight_decay": 0.1}),
    ],
)
def test_it_has_the_losses_of_the_native_loop(tmp_path: Path, family: str, options: dict[str, Any]) -> None:
    model, data = save_model(tmp_path / "m", family, dropout=0.0), toy_data(tmp_path, 14, validation=4, masked=1)
    same = QUICK | {"logging_steps": 1, "train_sampling_strategy": "sequential"} | options
    ours, theirs = FakeRun(tmp_path / "ours"), FakeRun(tmp_path / "theirs")
    Native(NativeOptions(**same)).train(data, model, ours)
    Hf(HfOptions(**same)).train(data, model, theirs)
    assert [step for step, _ in steady(ours)] == [step for step, _ in steady(theirs)]
    for (step, one), (_, other) in zip(steady(ours), steady(theirs), strict=True):
        assert one == pytest.approx(other, abs=1e-3), step


@pytest.mark.parametrize("options", [{}, {"lora_rank": 4}, {"gradient_accumulation_steps": 2, "logging_steps": 1}])
def test_a_resumed_run_ends_with_the_weights_of_one_that_never_stopped(
    tmp_path: Path, gpt2: ModelRef, options: dict[str, Any]
) -> None:
    data = toy_data(tmp_path, 18)
    straight = FakeRun(tmp_path / "straight")
    expected = train(straight, gpt2, data, **options)
    stopped = train(PromptedRun(tmp_path / "first", stop_at=3), gpt2, data, **options)
    assert stopped.step == 3
    second = FakeRun(tmp_path / "second", resume_from=stopped)
    result = train(second, gpt2, data, **options)
    assert weights_hash(result) == weights_hash(expected)
    assert last(second, "tokens") == last(straight, "tokens")
    assert train(FakeRun(tmp_path / "third", resume_from=result), gpt2, data, **options) == result


def test_requests_best_and_early_stopping_work_as_in_native(tmp_path: Path) -> None:
    model, data = save_model(tmp_path / "m", dropout=0.0), toy_data(tmp_path, 8, validation=4)
    asked = PromptedRun(tmp_path / "asked", checkpoint_at=3)
    train(asked, model, data)
    assert [c.step for c in asked.checkpoints] == [3, 6]
    early = FakeRun(tmp_path / "early")
    options = {"max_steps": 40, "eval_steps": 1, "early_stopping_patience": 2, "learning_rate": 1e-30}
    result = train(early, model, data, **options)
    assert result.step < 40
    assert any(message.startswith("Stopped early") for message in early.messages)
    best = FakeRun(tmp_path / "best")
    result = train(best, model, data, eval_steps=1, load_best_model_at_end=True)
    assert result == best.best


@pytest.mark.parametrize("patience", [0, 1])
def test_a_stop_before_an_evaluation_loses_nothing_of_it(tmp_path: Path, patience: int) -> None:
    model, data = save_model(tmp_path / "m", dropout=0.0), toy_data(tmp_path, 8, validation=4)
    options: dict[str, Any] = {"eval_steps": 2, "load_best_model_at_end": True, "early_stopping_patience": patience}
    options |= {"learning_rate": 1e-30} if patience else {}
    straight = FakeRun(tmp_path / "straight")
    expected = train(straight, model, data, **options)
    for stop_at in range(2, max(scores_of(straight)) + 1, 2)[:2]:
        first = PromptedRun(tmp_path / str(stop_at), stop_at=stop_at)
        train(first, model, data, **options)
        assert stop_at not in scores_of(first)
        second = FakeRun(tmp_path / str(stop_at), resume_from=first.checkpoints[-1])
        result = train(second, model, data, **options)
        assert scores_of(first, second) == scores_of(straight)
        assert (result.step, weights_hash(result)) == (expected.step, weights_hash(expected))


def test_nothing_of_trainers_own_is_written_or_printed(
    tmp_path: Path, gpt2: ModelRef, capsys: pytest.CaptureFixture[str]
) -> None:
    run = FakeRun(tmp_path)
    result = train(run, gpt2, toy_data(tmp_path), lora_rank=0)
    assert {p.name for p in result.path.iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors", "optimizer.safetensors", "rng.safetensors",
        "trainer_state.json", "run_state.json",
    }  # fmt: skip
    assert not [*run.dir.rglob("*.pt"), *run.dir.rglob("*.bin"), *run.dir.rglob("checkpoint-*")]
    assert capsys.readouterr().out == ""


def test_an_exported_adapter_is_merged(tmp_path: Path, gpt2: ModelRef) -> None:
    trainer, run = Hf(HfOptions(**QUICK, lora_rank=4)), FakeRun(tmp_path)
    trainer.export(trainer.train(toy_data(tmp_path), gpt2, run), tmp_path / "final", run)
    AutoModelForCausalLM.from_pretrained(tmp_path / "final")
    assert not (tmp_path / "final" / "adapter_config.json").exists()


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path, gpt2: ModelRef) -> None:
    run = FakeRun(tmp_path)
    with pytest.raises(TrainingError, match=r"not finite in step \d+"):
        train(run, gpt2, toy_data(tmp_path), learning_rate=1e18, save_steps=1, max_grad_norm=0.0, max_steps=50)
    for checkpoint in run.checkpoints:
        good = AutoModelForCausalLM.from_pretrained(checkpoint.path)
        assert all(torch.isfinite(p).all() for p in good.parameters())


@pytest.mark.parametrize(
    ("options", "what"),
    [({}, "What the model answers"), ({"eval_steps": 1, "load_best_model_at_end": True}, "The eval_loss")],
)
def test_a_model_whose_last_step_left_no_number_is_not_saved(
    tmp_path: Path, gpt2: ModelRef, options: dict[str, Any], what: str
) -> None:
    run = FakeRun(tmp_path)
    with pytest.raises(TrainingError, match=f"^{what} was not finite in step 1"):
        train(run, gpt2, toy_data(tmp_path, validation=4 if options else 0), learning_rate=1e30, max_steps=1, **options)
    assert not run.checkpoints


def test_a_model_that_is_no_number_any_more_is_not_sampled_from(tmp_path: Path, gpt2: ModelRef) -> None:
    with pytest.raises(TrainingError, match=r"not finite in step \d+"):
        train(FakeRun(tmp_path), gpt2, toy_data(tmp_path), learning_rate=1e299, max_steps=2, sample_prompts=("ab",))


def test_memory_that_runs_out_is_explained(tmp_path: Path, gpt2: ModelRef, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(hf.Trainer, "training_step", full)
    with pytest.raises(TrainingError, match=r"Memory ran out in step 1, on a batch of 4 rows"):
        train(FakeRun(tmp_path), gpt2, toy_data(tmp_path))


# ------------------------------------------------------------------------------------ training_arguments


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("evaluation_strategy", "evaluation_strategy is not an option here. Use eval_strategy instead."),
        ("warmup_ratio", "warmup_ratio is not an option here. Use warmup_steps"),
        ("no_cuda", "no_cuda is not an option here."),
        ("group_by_length", 'Use train_sampling_strategy = "group_by_length" instead.'),
        ("output_dir", "training_arguments.output_dir is decided by the studio."),
        ("push_to_hub", "training_arguments.push_to_hub is decided by the studio."),
        ("learning_rate", "training_arguments.learning_rate is an option of its own. Write learning_rate in"),
        ("dataloader_num_worker", "The nearest is dataloader_num_workers."),
    ],
)
def test_a_training_argument_that_cannot_be_passed_on_says_why(name: str, message: str) -> None:
    with pytest.raises(ComponentError) as caught:
        checked_arguments(HfOptions(training_arguments={name: 1}))
    assert message in str(caught.value)


def test_what_is_read_of_training_arguments_without_importing_it_is_what_it_has() -> None:
    hints = get_type_hints(TrainingArguments)
    plain = {bool: "bool", int: "int", float: "float", str: "str"}
    read = {name: set(types) & set(plain.values()) for name, types in arguments.fields().items()}
    names = [field.name for field in dataclasses.fields(TrainingArguments)]
    there = {n: get_args(hints[n]) if get_origin(hints[n]) in UNIONS else (hints[n],) for n in names}
    assert read == {name: {plain[one] for one in types if one in plain} for name, types in there.items()}
    assert set(arguments.optimizers()) == {one.value for one in OptimizerNames}


def test_a_training_argument_reaches_trainer(tmp_path: Path, gpt2: ModelRef) -> None:
    data = toy_data(tmp_path)
    options = HfOptions(training_arguments={"dataloader_num_workers": 1})
    assert hf._arguments(options, FakeRun(tmp_path), False, checked_arguments(options)).dataloader_num_workers == 1
    with pytest.raises(ComponentError, match="TrainingArguments refuses these settings"):
        train(FakeRun(tmp_path / "c"), gpt2, data, training_arguments={"bf16_full_eval": True, "fp16_full_eval": True})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"optim": "adamw_bnb_8bit"}, "Trainer refuses these settings (optim = 'adamw_bnb_8bit'): You need to install"),
        ({"optim": "lion_8bit"}, "Trainer refuses these settings (optim = 'lion_8bit'): You need to install"),
        ({"optim": "galore_adamw"}, "Trainer refuses these settings (optim = 'galore_adamw'): "),
        ({"optim": "schedule_free_adamw"}, "Trainer refuses these settings (optim = 'schedule_free_adamw'): "),
        ({"optim": "nonsense"}, "TrainingArguments knows no optimizer 'nonsense'. It knows adamw_torch,"),
        ({"training_arguments": {"use_liger_kernel": True}}, "training_arguments.use_liger_kernel): No module named"),
        (
            {"training_arguments": {"torch_compile_backend": "nope"}},
            "training_arguments.torch_compile_backend): 'NOPE'",
        ),
        (
            {"training_arguments": {"dataloader_num_workers": -1}},
            "training_arguments.dataloader_num_workers): num_work",
        ),
        ({"training_arguments": {"dataloader_num_workers": "many"}}, "must be a whole number, not 'many'."),
        ({"training_arguments": {"dataloader_num_workers": True}}, "must be a whole number, not 'True'."),
        ({"training_arguments": {"include_num_input_tokens_seen": 3}}, "must be a text or true or false, not '3'."),
        ({"training_arguments": {"liger_kernel_config": "x"}}, "must be something that no table holds, not 'x'."),
    ],
)
def test_settings_that_trainer_refuses_are_an_error_of_the_input(
    tmp_path: Path, gpt2: ModelRef, options: dict[str, Any], sentence: str
) -> None:
    run = FakeRun(tmp_path)
    with pytest.raises(ComponentError) as caught:
        train(run, gpt2, toy_data(tmp_path), **options)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "training" not in run.phases


def test_a_data_loader_with_processes_leaves_the_handlers_as_they_were(tmp_path: Path, gpt2: ModelRef) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    warned: list[str] = []
    with left_as_found("hf", warned.append):
        result = train(
            FakeRun(tmp_path), gpt2, toy_data(tmp_path), max_steps=1, training_arguments={"dataloader_num_workers": 1}
        )
    assert result.step == 1
    assert warned == []
    assert signal.getsignal(signal.SIGCHLD) is before


# ------------------------------------------------------------------------------------ each option is read


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(HfOptions)])
def test_every_option_is_read(field: str, tmp_path: Path) -> None:
    assert_it_is_read(Hf, HfOptions, field, tmp_path)


def test_two_runs_of_the_same_settings_look_the_same(tmp_path: Path) -> None:
    assert_that_without_a_change_all_looks_the_same(Hf, HfOptions, tmp_path)
