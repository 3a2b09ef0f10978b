"""What would surprise about the generator's settings, without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ftstudio.api import Facts, Problem, ProjectInfo
from ftstudio_generators.options import DEFAULT_NEW_TOKENS, SampleOptions

DRAWING = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": None, "typical_p": 1.0}
BEAMING = {"length_penalty": 1.0, "early_stopping": False}


def check(options: SampleOptions, project: ProjectInfo, facts: Facts) -> Iterable[Problem]:
    """Settings that do nothing, lengths that do not fit."""
    yield from _without_effect(options)
    yield from _lengths(options, facts)
    yield from _prompts(options, project)


def _without_effect(options: SampleOptions) -> Iterator[Problem]:
    for name, default in DRAWING.items():
        if not options.do_sample and getattr(options, name) != default:
            yield Problem(
                level="warning",
                option=name,
                message=f"{name} is set, but do_sample is off, so it does nothing.",
                fix="Set do_sample = true.",
                edit={"do_sample": True},
            )
    for name, beamless in BEAMING.items():
        if options.num_beams == 1 and getattr(options, name) != beamless:
            yield Problem(
                level="warning",
                option=name,
                message=f"{name} is set, but num_beams is 1, so it does nothing.",
                fix="Set num_beams = 4.",
                edit={"num_beams": 4},
            )
    if options.num_beams > 1:
        yield Problem(
            level="note", option="num_beams", message="With beams a text appears at its end, not while it is written."
        )


def _lengths(options: SampleOptions, facts: Facts) -> Iterator[Problem]:
    if facts.context is None:
        return
    name = "max_length" if options.max_length is not None else "max_new_tokens"
    value = getattr(options, name)
    if value is not None and value > facts.context:
        yield Problem(
            level="error",
            option=name,
            message=f"{name} is {value}, but the model has {facts.context} positions.",
            fix=f"Set {name} = {facts.context} or less.",
            edit={name: facts.context},
        )
    elif value is None and facts.context <= DEFAULT_NEW_TOKENS:
        yield Problem(
            level="note",
            option="max_new_tokens",
            message=f"The model has {facts.context} positions: a text ends there.",
        )


def _prompts(options: SampleOptions, project: ProjectInfo) -> Iterator[Problem]:
    """A word is a token at least in every tokenizer that splits at spaces, so this warns only where it is certain."""
    if options.max_length is None:
        return
    for number, prompt in enumerate(project.prompts, 1):
        text = prompt if isinstance(prompt, str) else " ".join(turn["content"] for turn in prompt)
        words = len(text.split())
        if words >= options.max_length:
            yield Problem(
                level="warning",
                option="max_length",
                message=f"Prompt {number} has {words} words and max_length, which counts them too, is "
                f"{options.max_length} tokens: nothing would be written.",
                fix=f"Set max_length = {words * 3}, or use max_new_tokens.",
                edit={"max_length": words * 3},
            )
