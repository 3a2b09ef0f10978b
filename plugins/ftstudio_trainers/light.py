"""What the trainers' settings imply and what would go wrong, without torch. Shared by `native` and `hf`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from ftstudio.api import ComponentError, Facts, Plan, Problem, ProjectInfo
from ftstudio_trainers.arguments import checked_arguments, checked_optimizer
from ftstudio_trainers.options import CommonOptions, HfOptions
from ftstudio_trainers.timing import Timing, bins_of, multiples, schedule, timing

WEIGHT_BYTES = 4  # float32 masters
MOMENT_BYTES = 8  # AdamW's two moments, float32


def plan(options: CommonOptions, facts: Facts) -> Plan:
    """Steps, learning rates, checkpoints and disk. Exact where the facts are, and marked where they are guesses."""
    examples, guessed = _examples(options, facts)
    if not examples:
        return _without_rows(options, facts)
    when = timing(options, examples, validation=facts.validation_rows != 0)
    estimated = (
        {"total_steps", "steps_per_epoch", "curve", "checkpoints", "evaluations", "tokens"} if guessed else set()
    )
    kept, peak, guessed_bytes = _bytes(options, facts, when)
    saves, sure = _saves(options, when)
    if not sure:
        estimated.add("checkpoints")
    if guessed or guessed_bytes or not sure:
        estimated |= {"kept_bytes", "peak_bytes"}
    if "tokens" in facts.estimated or when.total % when.per_epoch:  # who knows which rows a part of an epoch has
        estimated.add("tokens")
    return Plan(
        total_steps=when.total,
        steps_per_epoch=when.per_epoch,
        epochs=when.total / when.per_epoch,
        curve=schedule(options, when.total).curve(),
        checkpoints=saves,
        evaluations=_evaluations(when),
        tokens=_tokens(facts, when),
        kept_bytes=kept,
        peak_bytes=peak,
        estimated=frozenset(estimated),
    )


def _examples(options: CommonOptions, facts: Facts) -> tuple[int | None, bool]:
    """Rows (or packed rows) of an epoch, and whether that is a guess."""
    examples = facts.rows if facts.examples is None else facts.examples
    if options.packing:
        capacity = _capacity(options, facts)
        bins = bins_of(facts.tokens, capacity) if facts.tokens and capacity else None
        return (bins if bins is None or examples is None else min(bins, examples)), True
    return examples, facts.examples is None or "examples" in facts.estimated


def _capacity(options: CommonOptions, facts: Facts) -> int | None:
    """Tokens of a packed row: as asked for, else of the longest row, which is guessed until it was counted."""
    if options.packing_length or facts.longest:
        return options.packing_length or facts.longest
    most = facts.max_length or facts.context
    if not (facts.longest_characters and facts.characters and facts.tokens):
        return most
    longest = math.ceil(facts.longest_characters / (facts.characters_per_token or facts.characters / facts.tokens)) + 1
    return min(longest, most or longest)


def _without_rows(options: CommonOptions, facts: Facts) -> Plan:
    """With max_steps the number of steps and the curve are known even when the rows are not."""
    if options.max_steps < 1:
        return Plan()
    total = options.max_steps
    saves = (*multiples(options.save_steps, total - 1), total) if options.save_strategy == "steps" else (total,)
    guessed = options.save_strategy == "epoch" or options.load_best_model_at_end or options.early_stopping_patience
    return Plan(
        total_steps=total,
        curve=schedule(options, total).curve(),
        checkpoints=saves,
        estimated=frozenset({"checkpoints"} if guessed else ()),
    )


def _saves(options: CommonOptions, when: Timing) -> tuple[tuple[int, ...], bool]:
    """Steps, and whether each is sure: where the best is kept, every evaluation but the first may be worth one."""
    sure = (*multiples(when.save_every, when.total - 1), when.total)
    saves = tuple(sorted({*sure, *_evaluations(when)[1:]})) if _keeps_the_best(options, when) else sure
    return saves, saves == sure


def _keeps_the_best(options: CommonOptions, when: Timing) -> bool:
    return bool(when.evaluate_every and (options.load_best_model_at_end or options.early_stopping_patience))


def _evaluations(when: Timing) -> tuple[int, ...]:
    return (0, *multiples(when.evaluate_every, when.total - 1), when.total) if when.evaluate_every else ()


def _tokens(facts: Facts, when: Timing) -> int | None:
    return None if facts.tokens is None else round(facts.tokens * when.total / when.per_epoch)


def _bytes(options: CommonOptions, facts: Facts, when: Timing) -> tuple[int | None, int | None, bool]:
    """Disk held at the end, the most held at one time, and whether a part of it is unknown.

    A checkpoint holds weights and moments. An adapter's own size depends on shapes that are not known here, so with
    LoRA only the merged model counts; with `freeze` the moments are fewer than counted.
    """
    if facts.parameters is None:
        return None, None, False
    guessed = bool(options.lora_rank or options.freeze or "parameters" in facts.estimated)
    final = facts.parameters * WEIGHT_BYTES
    one = 0 if options.lora_rank else facts.parameters * (WEIGHT_BYTES + MOMENT_BYTES)
    saves, _ = _saves(options, when)
    count = min(len(saves), options.save_total_limit + _keeps_the_best(options, when))
    return count * one + final, (count + 1) * one + final, guessed


# --------------------------------------------------------------------------------------------------- check


def check(options: CommonOptions, project: ProjectInfo, facts: Facts) -> Iterable[Problem]:
    """What would go wrong or never happen."""
    yield from _check_validation(options, project)
    yield from _check_lora(options, project)
    yield from _check_targets(options, facts)
    if isinstance(options, HfOptions):
        yield from _check_arguments(options)
    yield from _check_packing(options, facts)
    planned = plan(options, facts)
    if planned.total_steps is not None:
        about = "about " if "total_steps" in planned.estimated else ""
        yield from _check_steps(options, planned.total_steps, about)


def _check_validation(options: CommonOptions, project: ProjectInfo) -> Iterator[Problem]:
    if project.validation:
        return
    asked = {
        "eval_strategy": options.eval_strategy not in {None, "no"},
        "eval_steps": options.eval_steps is not None and options.eval_strategy != "no",
        "load_best_model_at_end": options.load_best_model_at_end,
        "early_stopping_patience": options.early_stopping_patience > 0,
    }
    for name, wanted in asked.items():
        if wanted:
            yield Problem(
                level="error",
                option=name,
                message=f"{name} needs a validation split, and there is none.",
                fix="Set validation_fraction = 0.1 in [dataset], or leave this option out.",
            )


def _check_lora(options: CommonOptions, project: ProjectInfo) -> Iterator[Problem]:
    if options.lora_rank and project.uses.get("model") == "scratch":
        yield Problem(
            level="error",
            option="lora_rank",
            message="A model from scratch has no weights yet, and LoRA adapters train on top of weights.",
            fix="Set lora_rank = 0, or choose another model.",
            edit={"lora_rank": 0},
        )
    if options.lora_rank:
        return
    for name, is_set in {
        "lora_target_modules": bool(options.lora_target_modules),
        "lora_dropout": options.lora_dropout > 0,
        "lora_alpha": options.lora_alpha != 16,
    }.items():
        if is_set:
            yield Problem(
                level="error",
                option=name,
                message=f"{name} is set, but lora_rank is 0, so there are no adapters.",
                fix="Set lora_rank = 8, or leave this option out.",
                edit={"lora_rank": 8},
            )


def _check_targets(options: CommonOptions, facts: Facts) -> Iterator[Problem]:
    """Layers that an architecture is known not to have; of others the trainer tells."""
    known = _LAYERS.get(facts.architecture or "", ())
    for name in options.lora_target_modules if known and options.lora_rank else ():
        if name.rpartition(".")[2] not in known:
            yield Problem(
                level="error",
                option="lora_target_modules",
                message=f"lora_target_modules names {name[:60]!r}: {facts.architecture} has no such layer to adapt.",
                fix=f"It has {', '.join(known)}; leave the option empty to adapt all of them.",
            )


_LLAMA = ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")
_LAYERS = {
    "gpt2": ("c_attn", "c_fc", "c_proj"),
    **dict.fromkeys(("gemma", "gemma2", "llama", "mistral", "qwen2", "qwen3", "smollm3"), _LLAMA),
}
"""Architecture -> the layers that may have an adapter, by the last part of their names."""


def _check_arguments(options: HfOptions) -> Iterator[Problem]:
    """What TrainingArguments would refuse."""
    for option, check_it in (
        ("training_arguments", lambda: checked_arguments(options)),
        ("optim", lambda: checked_optimizer(options.optim)),
    ):
        try:
            check_it()
        except ComponentError as error:
            yield Problem(level="error", option=option, message=error.message, fix=error.hint)


def _check_packing(options: CommonOptions, facts: Facts) -> Iterator[Problem]:
    if options.packing_length and not options.packing:
        yield Problem(
            level="warning",
            option="packing_length",
            message="packing_length is set, but packing is off.",
            fix="Set packing = true.",
            edit={"packing": True},
        )
    if options.packing and options.packing_length and facts.context and options.packing_length > facts.context:
        yield Problem(
            level="error",
            option="packing_length",
            message=f"packing_length is {options.packing_length}, but the model has {facts.context} positions.",
            fix=f"Set packing_length = {facts.context} or less.",
            edit={"packing_length": facts.context},
        )
    elif options.packing and options.packing_length and facts.longest and options.packing_length < facts.longest:
        yield Problem(
            level="warning",
            option="packing_length",
            message=f"packing_length is {options.packing_length}, but the longest row has {facts.longest} tokens: "
            "a row beyond packing_length is not cut, it is a packed row of its own.",
            fix=f"Set packing_length = {facts.longest} or more, or max_length in [tokenizer].",
            edit={"packing_length": facts.longest},
        )
    if options.eval_strategy != "no" and (options.load_best_model_at_end or options.early_stopping_patience):
        return
    if options.load_best_model_at_end or options.early_stopping_patience:
        name = "load_best_model_at_end" if options.load_best_model_at_end else "early_stopping_patience"
        yield Problem(
            level="error",
            option=name,
            message=f'{name} needs evaluations, and eval_strategy is "no".',
            fix='Set eval_strategy = "epoch".',
            edit={"eval_strategy": "epoch"},
        )


def _check_steps(options: CommonOptions, total: int, about: str) -> Iterator[Problem]:
    """`about` stands before the number of steps where that is an estimate."""
    warmup = schedule(options, total).warmup_steps
    if warmup >= total and options.lr_scheduler_type != "constant":
        better = math.ceil(total * 0.05) if total > 1 else 0
        yield Problem(
            level="warning",
            option="warmup_steps",
            message=f"The warm-up takes {warmup} of {about}{total} steps, so the learning rate never reaches its peak.",
            fix=f"Set warmup_steps = {better}, 5 % of the steps.",
            edit={"warmup_steps": better},
        )
    if options.lr_scheduler_type == "constant" and options.warmup_steps:
        yield Problem(
            level="warning",
            option="warmup_steps",
            message='The schedule "constant" has no warm-up: warmup_steps does nothing.',
            fix='Set lr_scheduler_type = "constant_with_warmup".',
            edit={"lr_scheduler_type": "constant_with_warmup"},
        )
    default = CommonOptions.__dataclass_fields__["save_steps"].default  # which is nobody's wish, so nobody is warned
    if options.save_strategy == "steps" and options.save_steps > total and options.save_steps != default:
        yield _never("save_steps", options.save_steps, total, about, "the only checkpoint is the one at the end")
    if options.eval_steps is not None and options.eval_strategy in {None, "steps"} and options.eval_steps > total:
        yield _never(
            "eval_steps", options.eval_steps, total, about, "there is an evaluation before the run and one at the end"
        )
    if options.sample_steps is not None and options.sample_prompts and options.sample_steps > total:
        yield _never("sample_steps", options.sample_steps, total, about, "prompts are continued only at the end")


def _never(option: str, value: int, total: int, about: str, so: str) -> Problem:
    better = max(1, total // 4)
    return Problem(
        level="warning",
        option=option,
        message=f"{option} is {value} and the run has {about}{total} steps, so it never comes: {so}.",
        fix=f"Set {option} = {better}.",
        edit={option: better},
    )
