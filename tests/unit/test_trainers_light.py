"""What a plan says is what the loop does; what would go wrong is said before."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_trainers_native import QUICK
from tiny_models import save_model, toy_data, toy_rows

from ftstudio.api import Facts, ProjectInfo
from ftstudio.options import describe, parse
from ftstudio.testing import FakeRun
from ftstudio_trainers import ftstudio_trainers
from ftstudio_trainers.light import check, plan
from ftstudio_trainers.native import Native
from ftstudio_trainers.options import CommonOptions, HfOptions, NativeOptions


def project(*, validation: bool = False) -> ProjectInfo:
    return ProjectInfo(folder=Path(), name="p", seed=1, uses={}, options={}, validation=validation)


def problems(facts: Facts | None = None, *, validation: bool = False, **options: Any) -> dict[str, Any]:
    found = check(NativeOptions(**options), project(validation=validation), facts or Facts(examples=100))
    return {problem.option: problem for problem in found}


@pytest.mark.parametrize(
    "options",
    [
        {"num_train_epochs": 2.5, "max_steps": -1},
        {"gradient_accumulation_steps": 2, "max_steps": -1, "num_train_epochs": 3.0, "save_strategy": "epoch"},
        {"max_steps": 7, "warmup_steps": 0.4, "lr_scheduler_type": "cosine", "save_steps": 3, "eval_steps": 2},
        {"max_steps": 5, "eval_strategy": "no", "save_strategy": "no"},
    ],
)
def test_a_plan_is_what_the_loop_does(tmp_path: Path, options: dict[str, Any]) -> None:
    rows, settings = 18, QUICK | {"logging_steps": 1} | options
    data, run = toy_data(tmp_path, rows, validation=3), FakeRun(tmp_path)
    tokens = sum(len(row["input_ids"]) for row in toy_rows(rows).rows)
    planned = plan(NativeOptions(**settings), Facts(examples=rows, tokens=tokens, validation_rows=3))
    Native(NativeOptions(**settings)).train(data, save_model(tmp_path / "m"), run)
    assert planned.total_steps == run.progressed[-1][0]
    assert planned.curve == tuple((step, m["learning_rate"]) for step, m in run.metrics if "loss" in m)
    assert planned.checkpoints == tuple(c.step for c in run.checkpoints)
    assert planned.evaluations == tuple(step for step, m in run.metrics if "eval_loss" in m)
    whole = planned.total_steps % planned.steps_per_epoch == 0
    assert planned.estimated == (frozenset() if whole else {"tokens"})
    if whole:
        assert planned.tokens == [m["tokens"] for _, m in run.metrics if "tokens" in m][-1]


def test_bytes_count_weights_moments_kept_checkpoints_and_the_final_model() -> None:
    facts = Facts(examples=100, parameters=1000)
    one, final = 12_000, 4_000
    few = plan(NativeOptions(save_steps=10, save_total_limit=2), facts)
    assert (few.kept_bytes, few.peak_bytes) == (2 * one + final, 3 * one + final)
    many = plan(NativeOptions(save_steps=10, save_total_limit=3), facts)
    assert many.kept_bytes == 3 * one + final
    assert "kept_bytes" in plan(NativeOptions(lora_rank=8), facts).estimated


def test_guesses_are_marked() -> None:
    assert plan(NativeOptions(), Facts()).total_steps is None
    assert "total_steps" in plan(NativeOptions(), Facts(rows=10)).estimated
    assert "total_steps" in plan(NativeOptions(), Facts(examples=10, estimated=frozenset({"examples"}))).estimated
    packed = plan(NativeOptions(packing=True), Facts(examples=1000, tokens=10_000, longest=100))
    assert packed.total_steps == 39  # 100 bins of 100 tokens are 13 batches of 8
    assert "total_steps" in packed.estimated
    assert plan(NativeOptions(max_steps=9), Facts()).total_steps == 9


def test_each_evaluation_may_be_worth_a_checkpoint_to_who_keeps_the_best() -> None:
    facts = Facts(examples=32, validation_rows=4, parameters=1000)
    for best in ({"load_best_model_at_end": True}, {"early_stopping_patience": 9}):
        planned = plan(NativeOptions(eval_steps=1, **best), facts)
        assert planned.checkpoints == tuple(range(1, 13))
        assert {"checkpoints", "kept_bytes"} <= planned.estimated
        assert planned.kept_bytes == 3 * 12_000 + 4_000
        none = plan(NativeOptions(eval_steps=1, max_steps=12, **best), Facts())
        assert (none.checkpoints, "checkpoints" in none.estimated) == ((12,), True)
    sure = plan(NativeOptions(save_strategy="epoch", load_best_model_at_end=True), facts)
    assert (sure.checkpoints, sure.estimated) == ((4, 8, 12), frozenset())


def test_packed_rows_are_as_long_as_the_longest_row_which_is_guessed_until_it_was_counted() -> None:
    known = Facts(examples=100, tokens=1000, characters=3000, longest_characters=57, context=256)
    for facts, rows in (
        (known, 50),  # 57 / 3 + 1 tokens
        (replace(known, longest=10), 100),
        (replace(known, max_length=16), 63),
        (replace(known, longest_characters=9000), 4),
        (replace(known, longest_characters=None), 4),
    ):
        planned = plan(NativeOptions(packing=True, per_device_train_batch_size=1, num_train_epochs=1), facts)
        assert planned.total_steps == rows
        assert "total_steps" in planned.estimated
    assert "warmup_steps" in problems(known, packing=True, warmup_steps=500)


def test_a_packing_length_that_rows_exceed_is_told_and_makes_no_more_packed_rows_than_rows() -> None:
    facts, options = Facts(examples=10, tokens=130, longest=13), {"packing": True, "packing_length": 4}
    assert plan(NativeOptions(**options, per_device_train_batch_size=1), facts).steps_per_epoch == 10
    told = problems(facts, **options)["packing_length"]
    assert told.level == "warning"
    assert "the longest row has 13 tokens" in told.message
    assert not problems(facts, packing=True, packing_length=13)


def test_adapters_over_no_weights_are_an_error() -> None:
    def found(model: str, rank: int) -> list[str]:
        info = replace(project(), uses={"model": model})
        return [p.message for p in check(NativeOptions(lora_rank=rank), info, Facts(examples=100))]

    assert found("scratch", 4) == [
        "A model from scratch has no weights yet, and LoRA adapters train on top of weights."
    ]
    assert found("scratch", 0) == found("starter", 4) == []


def test_a_plan_of_a_huge_run_takes_no_time() -> None:
    begun = time.process_time()
    planned = plan(NativeOptions(num_train_epochs=1000, save_steps=1), Facts(examples=10**9, parameters=10**9))
    assert time.process_time() - begun < 1  # a loop over 10^11 steps would not come back
    assert len(planned.curve) <= 200


def test_settings_that_are_fine_have_no_problems() -> None:
    assert not problems(save_steps=10)


def test_a_warm_up_as_long_as_the_run_is_a_warning_with_a_mend() -> None:
    problem = problems(Facts(examples=10), warmup_steps=500, per_device_train_batch_size=2, save_steps=5)[
        "warmup_steps"
    ]
    assert problem.level == "warning"
    assert problem.message == "The warm-up takes 500 of 15 steps, so the learning rate never reaches its peak."
    assert problem.edit == {"warmup_steps": 1}


def test_what_never_comes_is_a_warning() -> None:
    facts = Facts(examples=10)
    found = problems(facts, validation=True, eval_steps=50, save_steps=100, sample_prompts=("a",), sample_steps=99)
    assert set(found) == {"eval_steps", "save_steps", "sample_steps"}
    assert found["save_steps"].message.startswith("save_steps is 100 and the run has 6 steps, so it never comes")
    assert found["save_steps"].edit == {"save_steps": 1}
    assert all(problem.level == "warning" for problem in found.values())


@pytest.mark.parametrize(
    "options",
    [{"eval_strategy": "steps"}, {"eval_steps": 5}, {"load_best_model_at_end": True}, {"early_stopping_patience": 2}],
)
def test_evaluating_without_a_validation_split_is_an_error(options: dict[str, Any]) -> None:
    name = next(iter(options))
    problem = problems(save_steps=10, **options)[name]
    assert (problem.level, problem.message) == ("error", f"{name} needs a validation split, and there is none.")
    assert name not in problems(save_steps=10, validation=True, **options)


@pytest.mark.parametrize(
    ("options", "name", "level"),
    [
        ({"lora_alpha": 32.0}, "lora_alpha", "error"),
        ({"lora_dropout": 0.1}, "lora_dropout", "error"),
        ({"lora_target_modules": ("c_attn",)}, "lora_target_modules", "error"),
        ({"packing_length": 64}, "packing_length", "warning"),
        ({"packing": True, "packing_length": 2048}, "packing_length", "error"),
        ({"lr_scheduler_type": "constant", "warmup_steps": 2.0}, "warmup_steps", "warning"),
        ({"load_best_model_at_end": True, "eval_strategy": "no"}, "load_best_model_at_end", "error"),
    ],
)
def test_settings_without_sense_are_said(options: dict[str, Any], name: str, level: str) -> None:
    facts = Facts(examples=100, context=1024)
    assert problems(facts, validation=True, save_steps=10, **options)[name].level == level


@pytest.mark.parametrize("name", ["evaluation_strategy", "warmup_ratio", "no_cuda", "group_by_length", "logging_dir"])
def test_an_old_name_gives_the_new_one(name: str) -> None:
    for options in (NativeOptions, HfOptions):
        _, found = parse(options, {name: 1})
        assert found[0].message == f"{name} is not an option here."
        assert found[0].fix.startswith("Use ")


def test_every_option_can_be_described() -> None:
    for component in ftstudio_trainers():
        names = [field.name for field in describe(component.options)]
        assert len(names) >= 35
        assert len(describe(component.options)[0].help) > 10


def test_light_modules_load_no_torch() -> None:
    code = (
        "import sys, ftstudio_trainers, ftstudio_trainers.light, ftstudio_generators, ftstudio_generators.light\n"
        "list(ftstudio_trainers.ftstudio_trainers()), list(ftstudio_generators.ftstudio_generators())\n"
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'datasets', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("options", [NativeOptions, HfOptions])
def test_every_option_that_counts_something_says_what(options: type[CommonOptions]) -> None:
    without = {f.name for f in describe(options) if f.base == "int" and not f.unit}
    assert without == {"lora_rank"}
    words = {f.name: f.unit for f in describe(options)}
    assert (words["num_train_epochs"], words["warmup_steps"]) == ("epochs", "steps or share")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("max_steps", 2**63 - 1, "must be at most 1,000,000,000 steps, not 9,223,372,036,854,775,807."),
        ("max_steps", 10**22, "must be at most 1,000,000,000 steps, not a number of 23 digits."),
        ("num_train_epochs", 1e299, "must be at most 1,000,000 epochs, not 1e+299."),
        ("warmup_steps", 1e299, "must be at most 1,000,000,000 steps or share, not 1e+299."),
        ("lora_rank", 2**63 - 1, "must be at most 65,536, not 9,223,372,036,854,775,807."),
    ],
)
@pytest.mark.parametrize("options", [NativeOptions, HfOptions])
def test_what_no_run_can_be_is_refused_in_few_digits(
    options: type[CommonOptions], name: str, value: float, sentence: str
) -> None:
    assert [p.message for p in parse(options, {name: value})[1]] == [f"{name} {sentence}"]


@pytest.mark.parametrize("options", [NativeOptions, HfOptions])
def test_the_largest_settings_are_planned_at_once(options: type[CommonOptions]) -> None:
    largest = {f.name: f.le for f in describe(options) if f.le is not None}
    started = time.monotonic()
    planned = plan(parse(options, largest | {"save_steps": 1})[0], Facts(examples=10**9, parameters=10**12))
    assert planned.total_steps == largest["max_steps"]
    assert time.monotonic() - started < 5


# --------------------------------------------------------------------------------- what Trainer would refuse


@pytest.mark.parametrize(
    ("options", "option", "sentence"),
    [
        ({"optim": "adamw_troch"}, "optim", "TrainingArguments knows no optimizer 'adamw_troch'."),
        ({"training_arguments": {"foo": 1}}, "training_arguments", "TrainingArguments has no field 'foo'."),
        (
            {"training_arguments": {"dataloader_num_workers": "many"}},
            "training_arguments",
            "training_arguments.dataloader_num_workers must be a whole number, not 'many'.",
        ),
    ],
)
def test_what_trainer_would_refuse_is_an_error_of_the_check(
    options: dict[str, Any], option: str, sentence: str
) -> None:
    assert not list(check(HfOptions(), project(), Facts()))
    (found,) = check(HfOptions(**options), project(), Facts())
    assert (found.level, found.option, found.message) == ("error", option, sentence)


@pytest.mark.parametrize(
    ("architecture", "names", "refused"),
    [("gpt2", ("nope",), True), ("gpt2", ("c_attn", "h.0.mlp.c_fc"), False), ("new", ("nope",), False)],
)
def test_a_layer_that_an_architecture_is_known_not_to_have_is_an_error_of_the_check(
    architecture: str, names: tuple[str, ...], refused: bool
) -> None:
    found = problems(Facts(architecture=architecture), lora_rank=8, lora_target_modules=names)
    assert ("lora_target_modules" in found) == refused


def test_a_field_of_training_arguments_that_stands_beside_them_is_told_its_place() -> None:
    _, (found,) = parse(HfOptions, {"gradient_checkpointing_kwargs": "{}"})
    assert found.fix == "Use training_arguments = { gradient_checkpointing_kwargs = ... } instead."
