"""What is said of a run at its end holds also where there is little to say it of."""

import pytest

from ftstudio.event import Event
from ftstudio.runs.summary import OTHER_ROWS, Outcome


def outcome(**points):
    found = Outcome()
    for name, values in points.items():
        found.series.add(Event(0, 0.0, 1, "metrics", step, {"metrics": {name: value}}) for step, value in values)
    return found


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ({}, None),
        ({"loss": [(1, 3.0)]}, ("loss", "3 at step 1")),
        ({"loss": [(1, 3.0), (3, 3.2)]}, ("loss", f"3 at step 1, 3.2 at step 3, {OTHER_ROWS}")),
        ({"loss": [(1, 3.0), (9, 1.0)], "eval_loss": [(0, 3.5), (9, 2.5)]}, ("eval_loss", "3.5 before, 2.5 after 9 steps")),
        ({"eval_loss": [(0, 3.5), (1, 2.5)]}, ("eval_loss", "3.5 before, 2.5 after 1 step")),
        ({"loss": [(1, 3.0)], "eval_loss": [(4, 3.5), (8, 2.5)]}, ("eval_loss", "3.5 at step 4, 2.5 at step 8")),
        ({"loss": [(1, 3.0)], "eval_loss": [(2000, 3.5)]}, ("eval_loss", "3.5 at step 2,000")),
    ],
)  # fmt: skip
def test_losses_are_said_with_what_they_are_of(points, said):
    assert outcome(**points).loss() == said


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (27, ("eval_loss", "3 before, 2.742 after 27 steps")),
        (24, ("eval_loss", "3 before, 2.728 after 24 steps")),
        (25, ("eval_loss", "3 before, 2.728 after 24 steps")),
    ],
)
def test_the_loss_of_a_model_is_that_of_its_step(step, said):
    assert outcome(loss=[(9, 1.0)], eval_loss=[(0, 3.0), (24, 2.728), (27, 2.742)]).loss(step) == said
