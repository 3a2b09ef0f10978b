"""From events to series: the same points as the reader of runs keeps, however the events are cut into batches."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftstudio.api import Event
from ftstudio.runs.events import Series as ByStep
from ftstudio.tui.feed import Feed


def metrics(step, attempt=1, t=None, **values):
    return Event(0, float(step) if t is None else t, attempt, "metrics", step, {"metrics": values})


def resumed(step, attempt, t=0.0):
    return Event(0, t, attempt, "state", None, {"state": "running", "resumed_from": step})


@st.composite
def histories(draw):
    """Attempts, each going on from a step that an earlier one reached."""
    events, reached = [], 0
    for attempt in range(1, draw(st.integers(1, 4)) + 1):
        start = draw(st.integers(0, reached))
        if attempt > 1:
            events.append(resumed(start, attempt))
        reached = start + draw(st.integers(0, 12))
        for step in range(start + 1, reached + 1):
            events.append(metrics(step, attempt, loss=attempt * 1000.0 + step))
            if step % 3 == 0:
                events.append(metrics(step, attempt, eval_loss=float(step), loss="nan"))
    return events


@settings(max_examples=100, deadline=None)
@given(histories(), st.integers(1, 9))
def test_it_keeps_what_the_reader_of_runs_keeps(events, size):
    by_step, feed = ByStep(), Feed("0001")
    by_step.add(events)
    for at in range(0, len(events), size):
        feed.add(events[at : at + size])
    for name, series in feed.series.items():
        got = [(s, repr(v)) for s, v in zip(series.steps, series.raw.values, strict=True)]
        assert got == [(s, repr(v)) for s, v in by_step.values(name)]


def test_tokens_evaluations_checkpoints_and_resumes_find_their_places():
    feed = Feed("0001")
    feed.add([resumed(0, 1, 10.0)])  # what a worker writes at its first start
    feed.add([metrics(10, loss=3.0, tokens=1000), metrics(20, loss=2.0, tokens=2000), metrics(20, eval_loss=2.5)])
    feed.add([Event(0, 21.0, 1, "checkpoint", 20, {}), metrics(30, loss=9.0), resumed(20, 2, 9e9)])
    timeline = feed.timeline
    assert timeline.tokens.at(15) == 1500
    assert timeline.marks == {"resume": [20], "checkpoint": [20], "eval": [20]}
    assert list(feed.series["loss"].steps) == [10, 20]


def test_the_time_between_two_attempts_does_not_count():
    feed = Feed("0001")
    feed.add([metrics(1, t=100.0, loss=1.0), metrics(2, t=110.0, loss=1.0), metrics(3, t=120.0, loss=1.0)])
    feed.add([resumed(2, 2, t=50_000.0), metrics(3, 2, t=50_005.0, loss=1.0)])
    assert list(feed.timeline.time.values) == [0.0, 10.0, 15.0]


@pytest.mark.parametrize("bad", [{"loss": "much"}, {"loss": None}, {"loss": True}, {"loss": [1]}])
def test_what_is_no_number_is_no_point(bad):
    feed = Feed("0001")
    feed.add([metrics(1, **bad), Event(0, 1.0, 1, "metrics", 2, {"metrics": "x"}), metrics(10**400, t=1.0, loss=1.0)])
    assert feed.series == {}
