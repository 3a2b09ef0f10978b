"""Checks of every kind on what is described: names, options, light functions. Nothing of `target` runs here but once.

This module and its neighbours `about_*` hold nothing but checks; each registers itself under the sentence above it.
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftstudio.api import Facts, ProjectInfo
from ftstudio.describing import run_probe
from ftstudio.errors import PluginError
from ftstudio.files import toml_text
from ftstudio.hushed import hushed
from ftstudio.options import Field, describe, parse, to_table
from ftstudio.testing.apart import call_apart
from ftstudio.testing.subject import CheckFailed, CheckSkipped, Subject, check, joined, named, place_of
from ftstudio.text import quote

PROBE_SECONDS = 30.0
MOST_HEARD = 1000
ODD_VALUES: tuple[Any, ...] = (
    "",
    " ",
    "\0",
    "\x1b[31m",
    "\u202e",
    "\ud800",
    "[/",
    "x" * 5000,
    0,
    -1,
    2**62,
    1e300,
    True,
)
"""What a person may write into a field by mistake."""


# -------------------------------------------------------------------------------------------- description


@check("Describing it imports nothing heavy")
def describing_is_light(subject: Subject) -> None:
    """In a process of its own: what the probe finds when the plugin is discovered."""
    value = subject.offer.record.value
    if not value:
        raise CheckSkipped("It is not described by an entry point here.")
    answer = run_probe(value, PROBE_SECONDS, [p for p in sys.path if p])
    if answer["reason"]:
        raise CheckFailed(f"The plugin cannot be described: {answer['reason']}")
    if answer["heavy"]:
        raise CheckFailed(
            f"Describing it imports {', '.join(answer['heavy'])}, which makes every start of ftstudio slow. Import "
            "such only in the module that `target` names."
        )


@check("Its name, its summary and every option's help can be read by a person")
def described(subject: Subject) -> None:
    """`describe` has held the options to what they may be; this is about what it does not know."""
    component = subject.component
    if not component.summary.strip() or "\n" in component.summary:
        raise CheckFailed("Its summary must be one line; the picker shows it beside the name.")
    for f in _fields(subject):
        if len(f.help.split()) < 1 or "\n" in f.help:
            raise CheckFailed(f"The help of option {f.name} must be one sentence on one line.")


@check("Its options survive the way into TOML and back")
def options_round_trip(subject: Subject) -> None:
    """What a run is frozen with must mean the same when it is read again."""
    options = subject.options
    table = tomllib.loads(toml_text(to_table(options)))
    back, problems = parse(subject.component.options, table)
    if problems:
        raise CheckFailed(f"Written to TOML and read again its options are refused: {problems[0].message}")
    if back != options:
        changed = [f.name for f in _fields(subject) if getattr(back, f.name) != getattr(options, f.name)]
        raise CheckFailed(f"Written to TOML and read again, option {joined(changed)} is another value.")


@check("A wrong value of an option is refused in a sentence")
def odd_values_are_refused(subject: Subject) -> None:
    """Odd values one at a time, which `__post_init__` may meet: it may refuse them by OptionError, nothing else."""
    known = {f.name for f in _fields(subject)}
    _ = subject.options
    for f in _fields(subject):
        for value in ODD_VALUES:
            given = [value] if f.base == "tuple" else {"odd": value} if f.base == "dict" else value
            shown = f"{f.name} = {quote(repr(given), 40)}"
            try:
                _, problems = parse(subject.component.options, {**subject.table, f.name: given})
            except Exception as error:
                raise CheckFailed(
                    f"{shown} raised {named(error)}{place_of(error)}. A value that is not usable is refused by "
                    "OptionError(field, message) in __post_init__."
                ) from error
            for problem in problems:
                if problem.option not in known:
                    raise CheckFailed(
                        f"{shown} raised an OptionError of {quote(problem.option)}, which is no option of it: the form "
                        "would not know where to say it."
                    )


@check("Its target can be imported and built, or says what to install")
def target_resolves(subject: Subject) -> None:
    """Where it lacks something, `install_hint` is the sentence that a person gets."""
    options = subject.options
    try:
        subject.offer.build(options)
    except PluginError as error:
        missing = isinstance(error.__cause__, ImportError)
        if missing and not subject.component.install_hint:
            raise CheckFailed(
                f"{error.message} Mend the import, or say in install_hint what to install: 'pip install ...'."
            ) from error
        if not missing:
            raise CheckFailed(f"{error}{place_of(error.__cause__ or error)}") from error


def _fields(subject: Subject) -> tuple[Field, ...]:
    return describe(subject.component.options)


# ------------------------------------------------------------------------------------------ light functions


def light_answers(subject: Subject, which: str) -> Any:
    """What a light function answers, called in a process that shows what it imported."""
    if not getattr(subject.component, which):
        raise CheckSkipped(f"It has no {which} function.")
    if which == "sniff":
        arguments: tuple[Any, ...] = ()
    else:
        run = subject.new_run()
        arguments = {
            "facts": (subject.options, run.project, Facts()),
            "plan": (subject.options, some_facts(subject)),
            "check": (subject.options, project_info(subject, run.project), some_facts(subject)),
        }[which]
    (answer, printed), heavy = call_apart(heard, subject.offer.light, which, *arguments)
    if printed:
        raise CheckFailed(
            f"Its {which} function prints {quote(printed)}, which nobody sees. Leave it out, or say it in the run."
        )
    if heavy:
        raise CheckFailed(
            f"Its {which} function imports {', '.join(heavy)}. It is called while a person types: read files yourself, "
            "or leave what you cannot know as None."
        )
    return answer


def heard(function: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    """What it answers, and what it printed meanwhile."""
    with tempfile.TemporaryFile() as printed:
        with hushed(printed.fileno()):
            answer = function(*arguments)
        printed.seek(0)
        return answer, printed.read(MOST_HEARD).decode("utf-8", "replace")


def project_info(subject: Subject, folder: Path) -> ProjectInfo:
    """The project that a check function sees: this component alone in it."""
    return ProjectInfo(
        folder=folder,
        name="kit",
        seed=42,
        uses={subject.kind: subject.component.name},
        options={subject.kind: subject.options},
        prompts=("The river",),
        validation=subject.encoded().validation is not None,
    )


def some_facts(subject: Subject) -> Facts:
    """The facts of the rows and the model that trainers are tested with."""
    encoded = subject.encoded()
    lengths = [len(row["input_ids"]) for row in encoded.train if "input_ids" in row]
    validation = encoded.validation
    return Facts(
        shape=encoded.shape, rows=len(encoded.train), examples=len(encoded.train), tokens=sum(lengths) or None,
        longest=max(lengths, default=None), validation_rows=0 if validation is None else len(validation), context=64,
        parameters=3_000, vocab_size=encoded.vocab_size, weights_bytes=12_000, max_length=48,
    )  # fmt: skip


@check("Its facts are light, and Facts", required=False)
def facts_are_facts(subject: Subject) -> None:
    """They are asked for at every keystroke in the form."""
    answer = light_answers(subject, "facts")
    if not isinstance(answer, Facts):
        raise CheckFailed(f"Its facts function returned {type(answer).__name__}; expected Facts(...).")


@check("Its checks are light, and problems that name an option of it", required=False)
def checks_are_problems(subject: Subject) -> None:
    """A problem without a level, or about an option that is not there, would stand nowhere in the form."""
    answer = light_answers(subject, "check")
    for problem in answer:
        if not problem.message.strip():
            raise CheckFailed("Its check function gave a problem without a message.")
        known = {f.name for f in _fields(subject)} | {"", "use"}
        if problem.option not in known and not problem.table:
            raise CheckFailed(
                f"Its check function gave a problem of option {quote(problem.option)}, which is none of its own."
            )
    wrong = [p for p in answer if p.level == "error"]
    if wrong:
        subject.built()  # where a package is missing that install_hint names, it may refuse
        raise CheckFailed(f"Its check function refuses the example options: {wrong[0].message} {wrong[0].fix}")
