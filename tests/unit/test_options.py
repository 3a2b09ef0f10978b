"""Options: TOML values become typed values or sentences; descriptions serve forms and docs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from ftstudio.api import ContractError, OptionError, option
from ftstudio.options import check_reserved, describe, parse, to_table


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


def test_names_of_the_core_cannot_be_declared():
    @dataclass(frozen=True)
    class Taken:
        limit: int = option(3, help="x")

    with pytest.raises(ContractError, match="the core owns"):
        check_reserved("dataset", Taken)
    check_reserved("trainer", Taken)
