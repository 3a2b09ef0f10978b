"""Options: TOML values become typed values or sentences; descriptions serve forms and docs."""

from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import pytest

from ftstudio.api import Component, ContractError, OptionError, hookimpl, option
from ftstudio.options import check_reserved, describe, parse, to_table
from ftstudio.probe import NotUsableError, collect


@dataclass(frozen=True, kw_only=True)
class Options:
    path: Path = option(help="A file.", kind="path")
    rate: float = option(0.1, help="A rate.", gt=0, le=1)
    steps: int = option(10, help="Steps.", ge=1, unit="steps")
    mode: Literal["line", "document"] = option("line", help="A mode.")
    size: str = option("small", help="A size.", choices=("small", "large"))
    names: tuple[str, ...] = option((), help="Names.")
    limit: int | None = option(None, help="A limit.", ge=1)
    on: bool = option(False, help="A switch.")
    extra: dict[str, bool | int | float | str] = option({}, help="More.")

    renamed: ClassVar[dict[str, str]] = {"old_rate": "rate"}

    def __post_init__(self):
        if self.steps == 13:
            raise OptionError("steps", "steps must not be 13.", "Take 12.")


def test_values_are_converted_and_defaults_filled():
    options, problems = parse(Options, {"path": "a.txt", "rate": 1, "names": "one", "limit": 3})
    assert problems == []
    assert options == Options(path=Path("a.txt"), rate=1.0, names=("one",), limit=3)


def test_a_table_and_its_options_are_the_same_thing():
    options = Options(path=Path("a"), names=("x", "y"), on=True)
    assert parse(Options, to_table(options))[0] == options
    assert to_table(options, defaults=False) == {"path": "a", "names": ["x", "y"], "on": True}


def test_a_number_that_may_be_a_fraction_is_one_however_it_was_written():
    """What was measured is kept under a key of these tables: 1 and 1.0 have to find the same."""
    written = [to_table(Options(path=Path("a"), rate=rate))["rate"] for rate in (1, 1.0)]
    assert [repr(rate) for rate in written] == ["1.0", "1.0"]


@pytest.mark.parametrize(
    ("table", "sentences"),
    [
        ({}, ["path is missing. Give it a path. A file."]),
        ({"path": ""}, ["path must be a path, not ''."]),
        ({"path": "a\0b"}, ["path must be a path, not 'a\\x00b'."]),
        ({"path": "a", "rate": 0}, ["rate must be above 0, not 0."]),
        ({"path": "a", "rate": 1.5}, ["rate must be at most 1, not 1.5."]),
        ({"path": "a", "rate": float("nan")}, ["rate must be a number, not nan."]),
        ({"path": "a", "rate": float("inf")}, ["rate must be a number, not inf."]),
        ({"path": "a", "rate": True}, ["rate must be a number, not true."]),
        ({"path": "a", "steps": 1.0}, ["steps must be a whole number, not 1.0."]),
        ({"path": "a", "steps": True}, ["steps must be a whole number, not true."]),
        ({"path": "a", "steps": 0}, ["steps must be at least 1 steps, not 0."]),
        ({"path": "a", "steps": 10**30}, ["steps must be between -9,223,372,036,854,775,807 and 9,223,372,036,854,775,807, not a number of 31 digits."]),
        ({"path": "a", "steps": -(10**390)}, ["steps must be at least 1 steps, not a number of 391 digits."]),
        ({"path": "a", "steps": -(2**62)}, ["steps must be at least 1 steps, not -4,611,686,018,427,387,904."]),
        ({"path": "a", "rate": 1e299}, ["rate must be at most 1, not 1e+299."]),
        ({"path": "a", "rate": 10**310}, ["rate must be at most 1, not a number of 311 digits."]),
        ({"path": "a", "steps": 13}, ["steps must not be 13. Take 12."]),
        ({"path": "a", "mode": "lines"}, ["mode must be one of 'line', 'document', not 'lines'. Did you mean line?"]),
        ({"path": "a", "size": "medium"}, ["size must be one of 'small', 'large', not 'medium'."]),
        ({"path": "a", "names": ["x", 3]}, ["names[1] must be a text, not 3."]),
        ({"path": "a", "limit": 0}, ["limit must be at least 1, not 0."]),
        ({"path": "a", "on": "yes"}, ["on must be true or false, not 'yes'."]),
        ({"path": "a", "extra": 3}, ["extra must be a table, not 3."]),
        ({"path": "a", "extra": {"k": [1]}}, ["extra.k must be a text, a finite number, true or false, not a list."]),
        ({"path": "a", "old_rate": 1}, ["old_rate is not an option here. Use rate instead."]),
        ({"path": "a", "stepz": 1}, ["'stepz' is not an option. Did you mean steps?"]),
        ({"rate": 9, "stepz": 1}, ["rate must be at most 1, not 9.", "'stepz' is not an option. Did you mean steps?", "path is missing. Give it a path. A file."]),
    ],
)  # fmt: skip
def test_each_wrong_value_has_its_sentence_and_all_come_at_once(table, sentences):
    options, problems = parse(Options, table)
    assert options is None
    assert [f"{p.message} {p.fix}".strip() for p in problems] == sentences


def test_fields_are_described_for_forms():
    fields = {f.name: f for f in describe(Options)}
    assert fields["path"].required
    assert fields["path"].kind == "path"
    assert fields["mode"].choices == ("line", "document")
    assert fields["names"].base == "tuple"
    assert fields["names"].item == "str"
    assert fields["limit"].nullable
    assert fields["steps"].unit == "steps"
    assert fields["size"].type_words == "one of 'small', 'large'"


def test_options_that_no_form_could_show_are_refused():
    @dataclass(frozen=True)
    class Odd:
        thing: set[int] = option(None, help="?")

    @dataclass(frozen=True)
    class Anything:
        thing: dict[str, Any] = option({}, help="?")

    @dataclass(frozen=True)
    class Deep:
        thing: dict[str, list[int]] = option({}, help="?")

    @dataclass(frozen=True)
    class Silent:
        thing: int = 3

    @dataclass
    class Thawed:
        thing: int = option(3, help="x")

    for options, words in (
        (Odd, "a type that no form has"),
        (Anything, r"a type that no form has: dict\[str, typing\.Any\]"),
        (Deep, "a type that no form has"),
        (Silent, "has no help"),
        (Thawed, "is not frozen"),
        (int, "is not a dataclass"),
    ):
        with pytest.raises(ContractError, match=words):
            describe(options)


@pytest.mark.parametrize(
    ("type_", "default", "more", "sentence"),
    [
        (int, 1, {"ge": "a"}, "ge is 'a'; expected a number."),
        (int, 1, {"lt": True}, "lt is True; expected a number."),
        (int, 1, {"le": float("nan")}, "le is nan; expected a number."),
        (int, 1, {"help": 7}, "help is 7; expected a text."),
        (int, 1, {"unit": 3}, "unit is 3; expected a text."),
        (int, 1, {"label": b"x"}, "label is b'x'; expected a text."),
        (int, 1, {"advanced": "yes"}, "advanced is 'yes'; expected True or False."),
        (str, "a", {"kind": "weird"}, "kind is 'weird'; expected None or one of path, glob, text, column, model."),
        (str, "a", {"shown_if": "nothing"}, "is shown_if 'nothing', which is no other option of it."),
        (str, "a", {"shown_if": "thing"}, "is shown_if 'thing', which is no other option of it."),
        (str, "a", {"choices": "abc"}, "choices is 'abc'; expected a tuple of values."),
        (str, "a", {"suggestions": 7}, "suggestions is 7; expected a tuple of values."),
        (int, 1, {"choices": ("a", "b")}, "A choice of option thing of @ is refused: thing must be a whole number, not 'a'."),
        (int, 1, {"suggestions": (2, "a")}, "A suggestion of option thing of @ is refused: thing must be a whole number"),
        (int, 1, {"ge": 1, "suggestions": (0,)}, "A suggestion of option thing of @ is refused: thing must be at least 1"),
        (int, "x", {}, "The default of option thing of @ is refused: thing must be a whole number, not 'x'."),
        (int, 5, {"ge": 10}, "The default of option thing of @ is refused: thing must be at least 10, not 5."),
        (int, None, {}, "not 'None'. Write thing: ... | None for one that may be absent."),
        (str, "c", {"choices": ("a", "b")}, "The default of option thing of @ is refused: thing must be one of 'a', 'b'"),
        (Path, "x.txt", {}, "is 'x.txt', where TOML would give PosixPath('x.txt'). Write that."),
        (tuple[str, ...], ["a"], {}, "is ['a'], where TOML would give ('a',). Write that."),
        (Literal[True, False], True, {}, "a Literal of something else than texts and whole numbers"),
        (Literal[0.5, 1.0], 0.5, {}, "float with choices=(...) for fractions"),
        (Literal["a", None], None, {}, "Literal[...] | None for nothing."),  # noqa: PYI061 - an author wrote it so
    ],
)  # fmt: skip
def test_a_mistake_in_what_is_declared_is_said_when_it_is_described(type_, default, more, sentence):
    declared = option(default, **{"help": "A thing.", **more})
    odd = make_dataclass("Odd", [("thing", type_, declared)], frozen=True, kw_only=True)
    with pytest.raises(ContractError) as error:
        describe(odd)
    assert sentence.replace("@", f"{odd.__module__}.Odd") in str(error.value)
    assert "thing of" in str(error.value), "which option, and of which class"


def test_a_field_that_is_no_option_is_refused():
    odd = make_dataclass("Odd", [("thing", int, field(default=1, metadata={"help": "x"}))], frozen=True)
    with pytest.raises(ContractError, match=r"thing of .*Odd is not declared with option\(\)"):
        describe(odd)


def test_the_plugin_hears_which_component_declared_it():
    odd = make_dataclass("Odd", [("thing", int, option("x", help="A thing."))], frozen=True)
    plugin = SimpleNamespace()
    plugin.ftstudio_models = hookimpl(lambda: [Component(name="m", summary="m", target="a:b", options=odd)])
    with pytest.raises(NotUsableError, match="^Its model m: The default of option thing of .*Odd is refused"):
        collect(plugin, "odd")


def test_names_of_the_core_cannot_be_declared():
    @dataclass(frozen=True)
    class Taken:
        limit: int = option(3, help="x")

    with pytest.raises(ContractError, match="the core owns"):
        check_reserved("dataset", Taken)
    check_reserved("trainer", Taken)
