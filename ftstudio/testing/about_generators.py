"""Checks of generators."""

from __future__ import annotations

import itertools
from typing import Any

from ftstudio.testing.fake_run import FakeRequests
from ftstudio.testing.hostile import HOSTILE
from ftstudio.testing.subject import CheckFailed, CheckSkipped, Subject, check, expected, named, place_of
from ftstudio.testing.working import texts_of

SOON = 20
"""Pieces within which a stop is heard."""


@check("It begins again after a sequence of prompts: one instance is kept warm", "generator")
def kept_warm(subject: Subject) -> None:
    """The studio asks one instance again and again; the texts of a seed stay the same."""
    checkpoint, prompts = subject.arguments()
    subject.result()
    generator = subject.built()
    try:
        first, second = (texts_of(generator.generate(checkpoint, prompts, subject.new_run())) for _ in range(2))
    except Exception as error:
        raise CheckFailed(f"Asked a second time it failed: {named(error)}{place_of(error)}") from error
    finally:
        generator.close()
    if subject.component.deterministic and first != second:
        raise CheckFailed("The same instance, prompt and seed gave another text the second time.")


@check("The text of a prompt does not depend on the other prompts", "generator", required=False)
def prompts_do_not_meet(subject: Subject) -> None:
    """So that a sample can be made again from its prompt and seed."""
    if not subject.component.deterministic:
        raise CheckSkipped("It says deterministic = False.")
    together = texts_of(subject.result())
    checkpoint, prompts = subject.arguments()
    subject.given = (checkpoint, prompts[-1:])
    try:
        outcome = subject.again("With one prompt alone")
    finally:
        subject.given = None
    alone = texts_of(outcome.result)
    mine = {(0, sequence): text for (index, sequence), text in together.items() if index == len(prompts) - 1}
    if alone != mine:
        raise CheckFailed("The last prompt got another text when it was asked alone: seed each prompt by itself.")


@check("A text does not begin with its prompt", "generator")
def prompt_is_left_out(subject: Subject) -> None:
    """A piece of text comes without the prompt, which is shown beside it."""
    texts = texts_of(subject.result())
    for index, prompt in enumerate(subject.arguments()[1]):
        text = texts.get((index, 0), "")
        if isinstance(prompt, str) and text.startswith(prompt):
            raise CheckFailed(f"The text of prompt {index} begins with the prompt itself: give what comes after it.")


@check(f"A stop is heard within {SOON} pieces", "generator")
def generator_hears_a_stop(subject: Subject) -> None:
    """run.requests.stop is set before the first piece is taken."""
    checkpoint, prompts = subject.arguments()
    subject.result()
    generator, run = subject.built(), subject.new_run(requests=FakeRequests(stop_at=1))
    run.requests.stop = True
    try:
        pieces = list(itertools.islice(generator.generate(checkpoint, prompts, run), SOON + 1))
    except Exception as error:
        raise CheckFailed(f"Stopped it failed: {named(error)}{place_of(error)}") from error
    finally:
        generator.close()
    if len(pieces) > SOON:
        raise CheckFailed(f"A stop was asked for and more than {SOON} pieces came: look at run.requests.stop at each.")


@check("It may be left in the middle of a text, and closed", "generator")
def left_in_the_middle(subject: Subject) -> None:
    """A person asks something else: the iterator is closed, then the generator."""
    checkpoint, prompts = subject.arguments()
    subject.result()
    generator = subject.built()
    try:
        pieces = iter(generator.generate(checkpoint, prompts, subject.new_run()))
        next(pieces, None)
        if hasattr(pieces, "close"):
            pieces.close()
        generator.close()
    except Exception as error:
        raise CheckFailed(f"Left in the middle of a text it failed: {named(error)}{place_of(error)}") from error


@check("change() goes on with other options", "generator", required=False)
def change_takes_options(subject: Subject) -> None:
    """So that another temperature does not load the model again."""
    generator = subject.built()
    if not hasattr(generator, "change"):
        raise CheckSkipped("It has no change(): another instance is built, which loads the model again.")
    checkpoint, prompts = subject.arguments()
    before = texts_of(subject.result())
    try:
        generator.change(subject.options)
        after = texts_of(generator.generate(checkpoint, prompts, subject.new_run()))
    except Exception as error:
        raise CheckFailed(f"After change() it failed: {named(error)}{place_of(error)}") from error
    finally:
        generator.close()
    if subject.component.deterministic and before != after:
        raise CheckFailed("After change() to the same options the same prompt got another text.")


@check("Hostile prompts are answered, or refused in a sentence", "generator")
def hostile_prompts_survive(subject: Subject) -> None:
    """Escapes, bidi marks, lone surrogates, markup, NUL, a megabyte, nothing at all; alone and in a conversation."""
    checkpoint, _ = subject.arguments()
    subject.result()
    generator = subject.built()
    try:
        for text in HOSTILE:
            for prompt in (text, ({"role": "user", "content": text},)):
                _ask(generator, checkpoint, prompt, subject)
    finally:
        generator.close()


def _ask(generator: Any, checkpoint: Any, prompt: Any, subject: Subject) -> None:
    try:
        for _ in generator.generate(checkpoint, [prompt], subject.new_run()):
            pass
    except Exception as error:
        if not expected(error):
            raise CheckFailed(f"The prompt {str(prompt)[:40]!r} broke it: {named(error)}{place_of(error)}") from error
