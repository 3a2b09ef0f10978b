"""What the arguments of `option()` have to be: a mistake is said where the plugin is described, and not in a form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ftstudio.api import FORM_KINDS
from ftstudio.errors import ContractError


def check_declared(name: str, owner: str, meta: Mapping[str, Any]) -> None:
    """Raise ContractError for an argument of option() that is of another type than it has."""
    if not meta.get("help"):
        raise ContractError(
            f"Option {name} of {owner} has no help.", "Declare it with option(..., help='One sentence.')."
        )
    if meta.keys() != _DECLARED.keys():
        raise ContractError(f"Option {name} of {owner} is not declared with option().", "Write option(..., help=...).")
    for argument, (fits, words) in _DECLARED.items():
        if not fits(meta[argument]):
            raise ContractError(f"Option {name} of {owner}: {argument} is {meta[argument]!r:.60}; expected {words}.")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_bound(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value is None or (number and math.isfinite(value))


def _is_several(value: Any) -> bool:
    return isinstance(value, (tuple, list))


_DECLARED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("help", "label", "unit"), (_is_text, "a text")),
    **dict.fromkeys(("ge", "le", "gt", "lt"), (_is_bound, "a number")),
    **dict.fromkeys(("choices", "suggestions"), (_is_several, "a tuple of values")),
    "kind": (lambda value: value is None or value in FORM_KINDS, f"None or one of {', '.join(FORM_KINDS)}"),
    "advanced": (lambda value: isinstance(value, bool), "True or False"),
    "shown_if": (lambda value: value is None or isinstance(value, str), "the name of an option"),
}
"""What each argument of option() has to be."""
