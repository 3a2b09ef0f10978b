"""What a person types as an expression is one, or a sentence says why not."""

import pytest

from ftstudio.errors import InputError
from ftstudio.tui.expressions import expression, names_found


@pytest.mark.parametrize(
    "text", ["(?L)(?a)x", "(?u)(?a)x", "(?L)x", "tok(", "[z-a]", "a{99999999999999999999}", "(" * 5000, "\ud800"]
)
def test_what_is_no_expression_is_an_error_with_the_next_step_whatever_the_engine_raises(text):
    with pytest.raises(InputError, match=r"is no expression: .+\."):
        expression(text)
    found, wrong = names_found(text, frozenset({"loss"}))
    assert (found, wrong.hint) == (frozenset(), "Mend it, or write \\ before signs.")


def test_an_expression_finds_capitals_and_small_letters():
    assert names_found("LOSS$", frozenset({"loss", "eval_loss", "lr"})) == ({"loss", "eval_loss"}, None)
