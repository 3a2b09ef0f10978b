"""Options dataclass <-> TOML table: parse, validate, describe.

A component's options are a frozen dataclass of `api.option()` fields. This module is the only place that reads
their types: the parser, the forms, the help and the docs all come from `describe`. Problems are collected, not
raised, so that a person hears all of them at once.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

from ftstudio.api import Problem
from ftstudio.declared import check_declared
from ftstudio.errors import ContractError, OptionError
from ftstudio.text import nearest, quote

Base = Literal["bool", "int", "float", "str", "path", "choice", "tuple", "dict"]

RESERVED: Mapping[str, frozenset[str]] = {
    "generator": frozenset({"use", "prompts"}),
    "dataset": frozenset({"use", "validation_fraction", "validation_count", "limit", "shuffle_seed", "dedupe"}),
    "observer": frozenset({"use", "enabled"}),
}
"""Names that the core owns in a kind's table; a component may not declare them. `use` is owned everywhere."""

_MAX_INT = 2**63 - 1
_SCALARS = (bool, int, float, str)
_UNIONS = (typing.Union, types.UnionType)
_WORDS: Mapping[str, str] = {
    "bool": "true or false", "int": "a whole number", "float": "a number", "str": "a text",
    "path": "a path", "tuple": "a list", "dict": "a table",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Field:
    """One option as a form, a help page or a parser sees it."""

    name: str
    base: Base
    item: Base | None = None
    """What a tuple holds, or a dict of one type."""
    nullable: bool = False
    required: bool = False
    default: Any = None
    choices: tuple[Any, ...] = ()
    suggestions: tuple[Any, ...] = ()
    help: str = ""
    label: str = ""
    unit: str = ""
    ge: float | None = None
    le: float | None = None
    gt: float | None = None
    lt: float | None = None
    kind: str | None = None
    advanced: bool = False
    shown_if: str | None = None

    @property
    def type_words(self) -> str:
        """The type for people: "a whole number", "one of 'line', 'document'", "a list of texts"."""
        if self.choices:
            return "one of " + ", ".join(quote(c) for c in self.choices)
        if self.base == "tuple":
            return f"a list, each item {_WORDS[self.item or 'str']}"
        return _WORDS[self.base]

    @property
    def default_words(self) -> str:
        """The default as TOML would have it; "(required)" or "(absent)" where there is none."""
        if self.required:
            return "(required)"
        if self.default is None:
            return "(absent)"
        if isinstance(self.default, bool):
            return str(self.default).lower()
        if isinstance(self.default, tuple):
            return str(list(self.default))
        return f'"{self.default}"' if isinstance(self.default, str) else str(self.default)

    @property
    def about(self) -> str:
        """Type, bounds and unit for people: "a number, above 0, in s"."""
        bounds = [
            f"{word} {_figure(bound)}"
            for word, bound in (("at least", self.ge), ("at most", self.le), ("above", self.gt), ("below", self.lt))
            if bound is not None
        ]
        unit = [f"in {self.unit}"] if self.unit else []
        return ", ".join([self.type_words, *bounds, *unit])


# ----------------------------------------------------------------------------------------------- describe


def describe(options: type) -> tuple[Field, ...]:
    """The fields of an options class, in order. Raises ContractError when one has a type that no form has."""
    return _describe(cast("Hashable", options))


@lru_cache(maxsize=512)
def _describe(options: Any) -> tuple[Field, ...]:
    if not dataclasses.is_dataclass(options):
        raise ContractError(
            f"{_name(options)} is not a dataclass.", "Options are a frozen dataclass of option() fields."
        )
    params = getattr(options, "__dataclass_params__", None)
    if params is not None and not params.frozen:
        raise ContractError(f"{_name(options)} is not frozen.", "Write @dataclass(frozen=True, kw_only=True).")
    try:
        hints = typing.get_type_hints(options)
    except Exception as error:
        raise ContractError(f"The types of {_name(options)} cannot be read: {error}.") from error
    owner: Any = options
    found = tuple(_field(owner, f, hints[f.name]) for f in dataclasses.fields(owner))
    for one in found:
        if one.shown_if is not None and one.shown_if not in {f.name for f in found} - {one.name}:
            raise ContractError(
                f"Option {one.name} of {_name(owner)} is shown_if {one.shown_if!r:.60}, which is no other option of it."
            )
    return found


def _field(owner: type, f: dataclasses.Field[Any], hint: Any) -> Field:
    meta = f.metadata
    check_declared(f.name, _name(owner), meta)
    base, item, nullable, literal = _type(owner, f.name, hint)
    default = f.default
    if f.default_factory is not dataclasses.MISSING:
        default = f.default_factory()
    required = default is dataclasses.MISSING
    field = Field(
        name=f.name,
        base=base,
        item=item,
        nullable=nullable,
        required=required,
        default=None if required else default,
        choices=tuple(meta["choices"]) or literal,
        **{k: v for k, v in meta.items() if k != "choices"},
    )
    _check_offered(field, _name(owner))
    return field


def _check_offered(f: Field, owner: str) -> None:
    """Raise ContractError for a default, choice or suggestion that a person's value could not be."""
    any_value = dataclasses.replace(f, choices=())
    offered = [("A choice", any_value, value) for value in f.choices]
    offered += [("A suggestion", f, value) for value in f.suggestions]
    offered += [] if f.required else [("The default", f, f.default)]
    for what, field, value in offered:
        is_item = f.base == "tuple" and what != "The default"
        try:
            taken = convert(field, [value] if is_item else _toml_value(value))
        except OptionError as error:
            raise ContractError(
                f"{what} of option {f.name} of {owner} is refused: {error.message}",
                f"Write {f.name}: ... | None for one that may be absent." if value is None else "",
            ) from error
        if what == "The default" and (taken != value or isinstance(taken, Path) is not isinstance(value, Path)):
            raise ContractError(
                f"The default of option {f.name} of {owner} is {value!r:.60}, where TOML would give {taken!r:.60}.",
                "Write that.",
            )


def _type(owner: type, name: str, hint: Any) -> tuple[Base, Base | None, bool, tuple[Any, ...]]:
    """Base, item, nullable and Literal choices of an annotation."""
    nullable = False
    if typing.get_origin(hint) in _UNIONS:
        arms = [a for a in typing.get_args(hint) if a is not type(None)]
        nullable = len(arms) < len(typing.get_args(hint))
        if len(arms) == 1:
            hint = arms[0]
    simple: Mapping[Any, Base] = {bool: "bool", int: "int", float: "float", str: "str", Path: "path"}
    if isinstance(hint, type) and hint in simple:
        return simple[hint], None, nullable, ()
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal and all(isinstance(a, (str, int)) and not isinstance(a, bool) for a in args):
        return "choice", None, nullable, args
    if origin is Literal:
        raise ContractError(
            f"Option {name} of {_name(owner)} has a Literal of something else than texts and whole numbers: {hint}.",
            "Use bool for true and false, float with choices=(...) for fractions, Literal[...] | None for nothing.",
        )
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis and args[0] in simple:
        return "tuple", simple[args[0]], nullable, ()
    if origin is dict and args[0] is str:
        held = typing.get_args(args[1]) if typing.get_origin(args[1]) in _UNIONS else (args[1],)
        if all(arm in _SCALARS for arm in held):
            return "dict", simple[held[0]] if len(held) == 1 else None, nullable, ()
    raise ContractError(
        f"Option {name} of {_name(owner)} has a type that no form has: {hint}.",
        "Use bool, int, float, str, Path, Literal, X | None, tuple[X, ...] or dict[str, scalar].",
    )


def _name(options: Any) -> str:
    return f"{getattr(options, '__module__', '?')}.{getattr(options, '__qualname__', options)}"


def check_reserved(kind: str, options: type) -> None:
    """Raise ContractError when a component of this kind declares an option that the core owns."""
    owned = RESERVED.get(kind, frozenset()) | {"use"}
    taken = [f.name for f in describe(options) if f.name in owned]
    if taken:
        raise ContractError(
            f"{_name(options)} declares {taken[0]!r}, a name that the core owns in [{kind}].", "Rename it."
        )


# -------------------------------------------------------------------------------------------------- parse


def parse(options: type, table: Mapping[str, Any]) -> tuple[Any | None, list[Problem]]:
    """Build the options from a TOML table: the instance, or None and every problem that was found."""
    known = {f.name: f for f in describe(options)}
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            problems.append(unknown_key(key, known, getattr(options, "renamed", {})))
            continue
        try:
            values[key] = convert(known[key], value)
        except OptionError as error:
            problems.append(_problem(error))
    problems += [
        Problem(level="error", option=f.name, message=f"{f.name} is missing.", fix=f"Give it {f.type_words}. {f.help}")
        for f in known.values()
        if f.required and f.name not in table
    ]
    if problems:
        return None, problems
    try:
        return options(**values), []
    except OptionError as error:
        return None, [_problem(error)]


def _problem(error: OptionError) -> Problem:
    return Problem(level="error", option=str(error.field), message=str(error.message), fix=str(error.hint))


def unknown_key(key: str, known: Iterable[str], renamed: Mapping[str, str] | None = None) -> Problem:
    """The problem of a key that nothing reads."""
    if renamed and key in renamed:
        return Problem(
            level="error", option=key, message=f"{key} is not an option here.", fix=f"Use {renamed[key]} instead."
        )
    names = list(known)
    near = nearest(key, names)
    fix = f"Did you mean {near}?" if near else f"Known here: {', '.join(names)}." if names else "Nothing is known here."
    return Problem(level="error", option=key, message=f"{quote(key)} is not an option.", fix=fix)


def convert(f: Field, value: Any) -> Any:
    """One TOML value as the field's Python value. Raises OptionError, naming what was expected."""
    if value is None and f.nullable:
        return None
    if f.base == "tuple":
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(_scalar(f, f.item or "str", item, f"{f.name}[{i}]") for i, item in enumerate(items))
    if f.base == "dict":
        return _dict(f, value)
    return _scalar(f, f.base, value, f.name)


def _dict(f: Field, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise OptionError(f.name, f"{f.name} must be a table, not {_shown(value)}.")
    for key, item in value.items():
        if f.item is not None and _CONVERTERS[f.item](item) is None:
            raise OptionError(f.name, f"{f.name}.{key} must be {_WORDS[f.item]}, not {_shown(item)}.")
        if not isinstance(item, _SCALARS) or (isinstance(item, float) and not math.isfinite(item)):
            raise OptionError(
                f.name, f"{f.name}.{key} must be a text, a finite number, true or false, not {_shown(item)}."
            )
    return dict(value)


def _scalar(f: Field, base: Base, value: Any, name: str) -> Any:
    converted = _CONVERTERS[base](value)
    if converted is None and base in {"int", "float"} and _is_too_large(base, value):
        _check_range(f, value, name)
        bound = f"between -{_figure(_MAX_INT)} and {_figure(_MAX_INT)}" if base == "int" else "between -1e300 and 1e300"
        raise OptionError(f.name, f"{name} must be {bound}, not {_figure(value)}.")
    if converted is None:
        raise OptionError(f.name, f"{name} must be {_words(f, base)}, not {_shown(value)}.")
    if f.choices and converted not in f.choices:
        near = nearest(str(converted), [str(c) for c in f.choices])
        raise OptionError(
            f.name, f"{name} must be {f.type_words}, not {_shown(value)}.", f"Did you mean {near}?" if near else ""
        )
    if isinstance(converted, (int, float)) and not isinstance(converted, bool):
        _check_range(f, converted, name)
    return converted


def _words(f: Field, base: Base) -> str:
    return f.type_words if f.choices else _WORDS[base]


def _figure(value: float) -> str:
    """A number in a sentence: 1,000,000 and 0.25, and 1e+299 rather than 300 digits."""
    if isinstance(value, int) and abs(value) > _MAX_INT:
        return f"a number of {len(str(abs(value)))} digits"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) < 1e15 and value == int(value) else f"{value:g}"


def _is_too_large(base: Base, value: Any) -> bool:
    """Whether it would be of the right type if it were smaller."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, int) or (base == "float" and math.isfinite(value))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, Mapping):
        return "a table"
    return "a list" if isinstance(value, (list, tuple)) else quote(value)


def _to_int(value: Any) -> int | None:
    ok = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_INT
    return value if ok else None


def _to_float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e300 or not math.isfinite(value):
        return None
    return float(value)


def _to_str(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _to_path(value: Any) -> Path | None:
    if isinstance(value, Path):
        return value
    return Path(value) if isinstance(value, str) and value and "\0" not in value else None


_CONVERTERS: Mapping[Base, Callable[[Any], Any]] = {
    "bool": lambda value: value if isinstance(value, bool) else None,
    "int": _to_int,
    "float": _to_float,
    "str": _to_str,
    "path": _to_path,
    "choice": lambda value: value if isinstance(value, (str, int)) and not isinstance(value, bool) else None,
}


def _check_range(f: Field, value: float, name: str) -> None:
    bounds = (
        (f.ge, f.ge is not None and value < f.ge, "at least"),
        (f.le, f.le is not None and value > f.le, "at most"),
        (f.gt, f.gt is not None and value <= f.gt, "above"),
        (f.lt, f.lt is not None and value >= f.lt, "below"),
    )
    for bound, broken, words in bounds:
        if bound is not None and broken:
            unit = f" {f.unit}" if f.unit else ""
            raise OptionError(f.name, f"{name} must be {words} {_figure(bound)}{unit}, not {_figure(value)}.")


# --------------------------------------------------------------------------------------------------- dump


def to_table(options: object, *, defaults: bool = True) -> dict[str, Any]:
    """The TOML table of options; without `defaults` only what differs from them. None is left out."""
    table: dict[str, Any] = {}
    for f in describe(type(options)):
        value = getattr(options, f.name)
        if value is None or (not defaults and not f.required and value == f.default):
            continue
        table[f.name] = _toml_value(value, f.base, f.item)
    return table


def _toml_value(value: Any, base: Base | None = None, item: Base | None = None) -> Any:
    """The same value for the same setting, whether `1` or `1.0` was written: keys of caches are made from it."""
    if base == "float":
        return float(value)
    if isinstance(value, Path):
        return str(value)
    return [_toml_value(v, item) for v in value] if isinstance(value, tuple) else value
