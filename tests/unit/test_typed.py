"""What a field shows can be typed, and means the value that it shows."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftstudio.api import option
from ftstudio.errors import OptionError
from ftstudio.options import describe
from ftstudio.text import safe_text
from ftstudio.tui.form import PROMPTS
from ftstudio.tui.typed import lines_of, text_of, toml_of, value_of, value_of_lines


@dataclass(frozen=True, kw_only=True)
class Options:
    whole: int = option(1, help="A count.", ge=0)
    rate: float = option(0.1, help="A rate.", gt=0)
    switch: bool = option(False, help="On or off.")
    maybe: bool | None = option(None, help="On, off or not set.")
    word: str = option("x", help="A word.")
    kind: Literal["a", "b"] = option("a", help="A choice.")
    file: Path | None = option(None, help="A file.", kind="path")
    files: tuple[str, ...] = option((), help="Files.", kind="glob")
    words: tuple[str, ...] = option((), help="Words.")
    numbers: tuple[float, ...] = option((), help="Numbers.")
    table: dict[str, float] = option({}, help="A table.")
    needed: str = option(help="Must be there.")


F = {f.name: f for f in describe(Options)}
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
SCALARS = st.one_of(st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("whole", "12", 12), ("rate", "5e-5", 5e-5), ("rate", "3", 3), ("switch", "off", False), ("maybe", "yes", True),
        ("word", " two words ", "two words"), ("word", '" kept "', " kept "), ("kind", "b", "b"), ("file", "a.txt", "a.txt"),
        ("files", "a b.txt", "a b.txt"), ("files", '["a", "b"]', ["a", "b"]), ("words", "one, two", ["one, two"]),
        ("numbers", "1, 2.5", [1, 2.5]), ("table", "{a = 1.5}", {"a": 1.5}), ("whole", "", None), ("word", "  ", None),
    ],
)  # fmt: skip
def test_what_is_typed_means(name, text, value):
    assert value_of(F[name], text) == value


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("whole", "ten", "must be a whole number, not 'ten'"),
        ("whole", "1.5", "must be a whole number, not 1.5"),
        ("whole", "-1", "must be at least 0"),
        ("rate", "nan", "must be a number"),
        ("rate", "1e999", "must be a number"),
        ("switch", "perhaps", "must be true or false"),
        ("kind", "c", "must be one of 'a', 'b'"),
        ("table", "nothing", "must be a table"),
        ("needed", "", "must be given"),
    ],
)
def test_what_is_no_value_is_said_in_the_parsers_words(name, text, said):
    with pytest.raises(OptionError, match=said):
        value_of(F[name], text)


@given(TEXTS.filter(bool))
def test_any_text_comes_back_and_never_reaches_the_terminal_raw(text):
    for ascii_only in (False, True):
        shown = text_of(text, ascii_only=ascii_only)
        assert safe_text(shown, one_line=True) == shown
        assert shown.isascii() or not ascii_only
        assert value_of(F["word"], shown) == text


@given(st.lists(TEXTS.filter(bool), min_size=1, max_size=4))
def test_any_list_of_texts_comes_back_from_its_lines(items):
    lines = lines_of(F["words"], items)
    assert safe_text(lines) == lines
    assert value_of_lines(F["words"], lines) == items


@given(TEXTS)
def test_any_long_text_comes_back_from_its_lines(text):
    if text.strip():
        assert value_of_lines(F["word"], lines_of(F["word"], text)) == text


@given(st.dictionaries(TEXTS, st.one_of(SCALARS, TEXTS), max_size=4))
def test_values_are_written_as_toml_that_means_them(table):
    assert tomllib.loads(f"value = {toml_of(table)}")["value"] == table


def test_prompts_may_be_conversations():
    talk = [{"role": "user", "content": "Why?"}]
    lines = lines_of(PROMPTS, ["Hello", talk])
    assert lines == 'Hello\n[{role = "user", content = "Why?"}]'
    assert value_of_lines(PROMPTS, lines) == ["Hello", talk]


def test_a_table_is_edited_as_lines_of_key_and_value():
    assert lines_of(F["table"], {"a": 1.5, "b c": 2}) == 'a = 1.5\n"b c" = 2'
    assert value_of_lines(F["table"], 'a = 1.5\n\n"b c" = 2') == {"a": 1.5, "b c": 2}
    with pytest.raises(OptionError, match="not of the form key = value"):
        value_of_lines(F["table"], "nothing")
