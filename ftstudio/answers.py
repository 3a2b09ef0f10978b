"""What light functions answer, held to its type: a stranger's mistake is a sentence, and ends no form and no command.

The types are those that `Facts`, `Plan` and `Problem` are annotated with. A list passes for a tuple, a set for a
frozenset: nobody could tell them apart later on.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Literal, Union, cast

from ftstudio.api import Facts, Plan, Problem
from ftstudio.errors import ContractError
from ftstudio.text import quote

MOST_PROBLEMS = 1000
"""Problems of one check function that are listened to; one that never ends would otherwise end us."""
Light = Literal["facts", "plan", "check", "sniff"]
SNIFFED: Mapping[str, Any] = {"use": str, "options": Mapping, "says": str, "rows": int, "shape": str, "prompt": str}


def taken(function: Callable[..., Any]) -> int | None:
    """How many positional arguments a function takes; None for any number."""
    kinds = [p.kind for p in inspect.signature(function).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return None
    return sum(kind in {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD} for kind in kinds)


def held(which: Light, answer: Any, title: str) -> Any:
    """The answer of a component's light function; of `check` a list. Raises ContractError for what is none."""
    said = f"{title}: its {which} function"
    if which == "check":
        return _problems(answer, said)
    if answer is None:
        return None
    if which == "sniff":
        return _sniffed(answer, said)
    expected: type = Facts if which == "facts" else Plan
    if not isinstance(answer, expected):
        raise ContractError(f"{said} returned {type(answer).__name__}; expected {expected.__name__}(...).")
    _check_fields(answer, f"{said} says")
    return answer


def _problems(answer: Any, said: str) -> list[Problem]:
    if not isinstance(answer, Iterable):
        raise ContractError(f"{said} returned {type(answer).__name__}; expected Problems, one after the other.")
    problems = list(islice(answer, MOST_PROBLEMS + 1))
    if len(problems) > MOST_PROBLEMS:
        raise ContractError(f"{said} gave more than {MOST_PROBLEMS:,} problems.", "Say what is wrong once.")
    for problem in problems:
        if not isinstance(problem, Problem):
            raise ContractError(f"{said} gave {type(problem).__name__}; expected Problem(level=..., message=...).")
        _check_fields(problem, f"{said} gave a Problem with")
        for key, value in problem.edit.items():
            if not _fits(value, str | int | float | list[str | int | float]) and not isinstance(value, bool):
                raise ContractError(
                    f"{said} gave a Problem with edit.{key} = {_shown(value)}; expected what TOML holds."
                )
    return problems


def _sniffed(answer: Any, said: str) -> Mapping[str, Any]:
    if not isinstance(answer, Mapping):
        raise ContractError(f"{said} returned {type(answer).__name__}; expected None, or use and options.")
    for name, kind in SNIFFED.items():
        if answer.get(name) is not None and not _fits(answer[name], kind):
            raise ContractError(f"{said} says {name} = {_shown(answer[name])}; expected {_words(kind)}.")
    return answer


def _check_fields(value: Any, said: str) -> None:
    hints = _hints(cast("Hashable", type(value)))
    for f in dataclasses.fields(value):
        found = getattr(value, f.name)
        if not _fits(found, hints[f.name]):
            raise ContractError(f"{said} {f.name} = {_shown(found)}; expected {_words(hints[f.name])}.")
        if isinstance(found, (int, float)) and found < 0:
            raise ContractError(f"{said} {f.name} = {found}; None means unknown.")


@lru_cache(maxsize=8)
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    """isinstance() for annotations. True is no number, and neither is what is not finite."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in {Union, types.UnionType}:
        return any(_fits(value, arm) for arm in args)
    if origin is Literal:
        return isinstance(value, str) and value in args
    if origin is tuple and args[-1] is not Ellipsis:
        return isinstance(value, Sequence) and len(value) == len(args) and all(map(_fits, value, args))
    if origin in {tuple, list}:
        return isinstance(value, (tuple, list)) and all(_fits(item, args[0]) for item in value)
    if origin is frozenset:
        return isinstance(value, (set, frozenset)) and all(_fits(item, args[0]) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(_fits(key, args[0]) for key in value)
    if hint in {int, float}:
        number = isinstance(value, int if hint is int else (int, float)) and not isinstance(value, bool)
        return number and math.isfinite(value)
    return isinstance(value, hint)


def _words(hint: Any) -> str:
    """An annotation as it is written."""
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")


def _shown(value: Any) -> str:
    """A value from outside in a sentence."""
    return quote(repr(value))[1:-1]
