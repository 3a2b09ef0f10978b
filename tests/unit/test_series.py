"""What counts after a resume: the compact series against the rule written out naively."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftstudio.api import Event
from ftstudio.runs.events import EventWriter, read_events
from ftstudio.runs.series import Series, number

NAMES = ("loss", "eval_loss", "norm")


def metrics(step, attempt, **values):
    return Event(0, 0.0, attempt, "metrics", step, {"metrics": values})


def resume(attempt, step):
    return Event(0, 0.0, attempt, "state", None, {"state": "running", "resumed_from": step})


def by_the_rule(events):
    """For each step the highest attempt wins, and one resumed from S hides older attempts' steps beyond S."""
    resumes = [(e.attempt, e.data["resumed_from"]) for e in events if e.kind == "state"]
    found = {}
    for event in events:
        if event.kind != "metrics" or any(event.attempt < a and event.step > s for a, s in resumes):
            continue
        for name, value in event.data["metrics"].items():
            points = found.setdefault(name, {})
            if event.step not in points or points[event.step][0] <= event.attempt:
                points[event.step] = (event.attempt, value)
    return {name: [(step, value) for step, (_, value) in sorted(points.items())] for name, points in found.items()}


STEPS, ATTEMPTS = st.integers(-2, 12), st.integers(1, 5)
ANY_EVENT = st.one_of(
    st.builds(metrics, STEPS, ATTEMPTS, loss=st.floats(), norm=st.floats()),
    st.builds(metrics, STEPS, ATTEMPTS, eval_loss=st.floats()),
    st.builds(resume, ATTEMPTS, STEPS),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(ANY_EVENT, max_size=40), st.integers(0, 40))
def test_a_series_is_what_the_rule_says_whatever_the_order_and_the_batches(events, cut):
    series = Series()
    series.add(events[:cut])
    series.add(events[cut:])
    expected = by_the_rule(events)
    assert repr({name: series.values(name) for name in series.names}) == repr(
        {name: expected[name] for name in series.names}
    )
    assert set(series.names) == set(expected)
    assert repr(series.last()) == repr({name: expected[name][-1][1] for name in series.names})


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), min_size=1, max_size=6))
def test_attempts_one_after_the_other_leave_one_line_without_a_gap(tmp_path_factory, lives):
    """Each attempt goes on from a step that was reached and logs some steps more."""
    path = tmp_path_factory.mktemp("run") / "events.jsonl"
    reached = 0
    for attempt, (steps, back) in enumerate(lives, start=1):
        writer = EventWriter(path, attempt)
        start = max(0, reached - back)
        if attempt > 1:
            writer.write("state", state="running", resumed_from=start)
        for step in range(start + 1, start + steps + 1):
            writer.write("metrics", step, metrics={"loss": float(attempt)})
        writer.close()
        reached = start + steps
    series = Series()
    series.add(read_events(path))
    points = series.values("loss")
    assert [step for step, _ in points] == list(range(1, reached + 1))
    assert [value for _, value in points] == sorted(value for _, value in points)


def test_what_is_not_finite_is_kept_as_it_is():
    series = Series()
    series.add(
        [metrics(1, 1, loss="nan", norm="-inf"), metrics(2, 1, loss=math.inf, norm=10**400, text="high", ok=True)]
    )
    assert math.isnan(series.values("loss")[0][1])
    assert series.values("norm") == [(1, -math.inf), (2, math.inf)]
    assert series.names == ["loss", "norm"]


@pytest.mark.parametrize("data", [{}, {"metrics": None}, {"metrics": [1]}, {"metrics": {"loss": {}}}])
def test_metrics_of_another_shape_are_no_points(data):
    series = Series()
    series.add([Event(0, 0.0, 1, "metrics", 1, data), Event(0, 0.0, 1, "state", None, {"resumed_from": "1"})])
    assert series.last() == {}


@pytest.mark.parametrize("value", [True, None, "1", "NaN", "infinity", [], {}])
def test_what_is_no_number_is_none(value):
    assert number(value) is None


def test_a_million_points_of_eight_metrics_stay_below_200_megabytes():
    series = Series()
    names = [f"m{i}" for i in range(8)]
    series.add(metrics(step, 1, **dict.fromkeys(names, 1.5)) for step in range(10_000))
    columns = [c for track in series.tracks.values() for c in (track.steps, track.values, track.attempts)]
    assert 100 * sum(c.buffer_info()[1] * c.itemsize for c in columns) <= 160e6
