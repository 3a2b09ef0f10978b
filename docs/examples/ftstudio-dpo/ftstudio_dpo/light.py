"""What the settings imply and what would go wrong, without torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ftstudio.api import Facts, Plan, Problem, ProjectInfo
from ftstudio_dpo.options import DpoOptions, PairsOptions
from ftstudio_dpo.timing import Timing, schedule

WEIGHT_BYTES = 4  # float32
MOMENT_BYTES = 8  # AdamW's two moments
MOST = 10_000
"""Checkpoints and evaluations that a plan lists."""


def facts(options: PairsOptions, project_folder: Path) -> Facts:
    """The length that answers are cut at, when it was set."""
    del project_folder
    return Facts(max_length=options.max_length)


def plan(options: DpoOptions, facts: Facts) -> Plan:
    """Steps, learning rates, checkpoints and disk. A row of the data is a pair, so `examples` counts pairs."""
    pairs = facts.examples or facts.rows
    if not pairs and options.max_steps is None:
        return Plan()
    when = Timing(options, pairs or 1, validation=facts.validation_rows != 0)
    total = when.total
    steps = range(total + 1) if total <= MOST else range(0)
    saves = tuple(s for s in steps if s and when.saves(s))
    kept, peak = _bytes(options, facts, len(saves) or options.save_total_limit)
    guessed = {"total_steps", "curve", "checkpoints", "evaluations"} if "examples" in facts.estimated else set()
    return Plan(
        total_steps=total,
        steps_per_epoch=when.per_epoch if pairs else None,
        epochs=total / when.per_epoch if pairs else None,
        curve=schedule(options, total).curve(),
        checkpoints=saves,
        evaluations=tuple(s for s in steps if when.evaluates(s)),
        tokens=round(facts.tokens * total / when.per_epoch) if facts.tokens and pairs else None,
        kept_bytes=kept,
        peak_bytes=peak,
        estimated=frozenset(
            guessed | ({"tokens"} & facts.estimated) | ({"kept_bytes", "peak_bytes"} if options.lora_rank else set())
        ),
    )


def _bytes(options: DpoOptions, facts: Facts, saves: int) -> tuple[int | None, int | None]:
    """Disk held at the end, and the most at one time. With LoRA only the merged model counts: adapters are small."""
    if facts.parameters is None:
        return None, None
    final = facts.parameters * WEIGHT_BYTES
    one = 0 if options.lora_rank else facts.parameters * (WEIGHT_BYTES + MOMENT_BYTES)
    count = min(saves, options.save_total_limit)
    return count * one + final, (count + 1) * one + final


def check(options: DpoOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """What would go wrong or never happen."""
    if options.eval_steps is not None and not project.validation:
        yield Problem(
            level="error", option="eval_steps",
            message="eval_steps needs validation rows, and there are none.",
            fix="Set validation_fraction = 0.1 in [dataset], or leave eval_steps out.",
        )  # fmt: skip
    for name, is_set in {
        "lora_target_modules": bool(options.lora_target_modules),
        "lora_dropout": options.lora_dropout > 0,
    }.items():
        if is_set and not options.lora_rank:
            yield Problem(
                level="error", option=name, message=f"{name} is set, but lora_rank is 0, so there are no adapters.",
                fix="Set lora_rank = 8, or leave this option out.", edit={"lora_rank": 8},
            )  # fmt: skip
    total = plan(options, facts).total_steps
    if total is not None and schedule(options, total).warmup_steps >= total:
        better = max(1, total // 20) if total > 1 else 0
        yield Problem(
            level="warning", option="warmup_steps",
            message=f"The warm-up is as long as the run ({total} steps): the rate never reaches its peak.",
            fix=f"Set warmup_steps = {better}.", edit={"warmup_steps": better},
        )  # fmt: skip


def check_pairs(options: PairsOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """A length that the model cannot take; a model that brings no tokenizer along."""
    if options.max_length and facts.context and options.max_length > facts.context:
        yield Problem(
            level="error", option="max_length",
            message=f"max_length is {options.max_length}, but the model has {facts.context} positions.",
            fix=f"Set max_length = {facts.context} or less.", edit={"max_length": facts.context},
        )  # fmt: skip
    if project.uses.get("model") == "scratch":
        yield Problem(
            level="error", option="use", message="A model from scratch brings no tokenizer along.",
            fix="Train it on text first, then start from that model.",
        )  # fmt: skip
