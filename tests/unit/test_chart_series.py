"""Series: the pyramid tells the same as looking at every value, however values came."""

import math
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftstudio.tui.curve import FANOUT, LIMIT, Curve, Derived
from ftstudio.tui.series import Series, Timeline, Track

odd = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0, 1e305, 5e-324])
value = st.one_of(st.floats(-1e6, 1e6), odd)


def by_looking(values, floor):
    drawn = [v for v in values if floor < v < LIMIT]
    return (min(drawn), max(drawn)) if drawn else None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(value, max_size=90), max_size=4),
    st.integers(1, 40),
    st.sampled_from([-LIMIT, 0.0]),
    st.data(),
)
def test_a_span_is_what_looking_at_every_value_gives(batches, repeated, floor, data):
    curve, values = Curve(floor), []
    for batch in batches:
        curve.extend(batch * repeated)
        values += batch * repeated
    for _ in range(8):
        start = data.draw(st.integers(0, len(values)))
        end = data.draw(st.integers(start, len(values)))
        assert curve.span(start, end) == by_looking(values[start:end], floor)
        assert curve.bad_count(start, end) == sum(not floor < v < LIMIT for v in values[start:end])
    keep = data.draw(st.integers(0, len(values)))
    curve.cut(keep)
    curve.extend([7.0] * FANOUT)
    assert curve.span(0, len(curve)) == by_looking([*values[:keep], 7.0], floor)


def test_a_nan_between_ordinary_values_is_found():
    curve = Curve()
    curve.extend([1.0, math.nan, 2.0])
    assert list(curve.bad(0, 3)) == [1]
    assert not curve.can_draw(1)


def test_appending_one_by_one_gives_the_same_pyramid_as_all_at_once():
    values = [math.sin(i) * i for i in range(3000)]
    together, single = Curve(), Curve()
    together.extend(values)
    for one in values:
        single.extend((one,))
    assert single._levels == together._levels
    assert len(single._levels) == 2


def smoothed_by_the_book(values, weight):
    total, count, out = 0.0, 0, []
    for v in values:
        if math.isfinite(v):
            total, count = weight * total + (1 - weight) * v, count + 1
        out.append(total / (1 - weight**count) if math.isfinite(v) else v)
    return out


@pytest.mark.parametrize("weight", [0.6, 0.9, 0.99])
@pytest.mark.parametrize("limit", [1, 7, 100_000])
def test_smoothing_is_the_average_with_its_bias_removed_in_pieces_of_any_size(weight, limit):
    values = [math.cos(i / 9) + (i % 5) for i in range(5000)]
    values[3], values[40], values[4100] = math.nan, math.inf, math.nan
    source = Curve()
    source.extend(values[:4500])
    derived = Derived(source, weight)
    while derived.catch_up(limit):
        pass
    source.extend(values[4500:])
    while derived.catch_up(limit):
        pass
    assert list(derived.curve.values) == pytest.approx(smoothed_by_the_book(values, weight), nan_ok=True)


def test_the_first_smoothed_value_is_the_first_value():
    source = Curve()
    source.extend([5.0, 1.0])
    derived = Derived(source, 0.9)
    derived.catch_up(10)
    assert derived.curve.values[0] == pytest.approx(5.0)
    assert 2.5 < derived.curve.values[1] < 3.0


def test_catching_up_takes_no_more_than_it_may_and_says_what_is_missing():
    series = Series("loss", "0001")
    series.extend(range(1000), [1.0] * 1000)
    derived = series.derived(0.9, False)
    assert derived.catch_up(300) == 700
    assert len(derived.curve) == 300


def test_steps_that_go_back_are_put_in_their_place_and_the_later_value_counts():
    series = Series("loss", "0001")
    series.extend([1, 2, 3], [1.0, 2.0, 3.0])
    series.extend([5, 2, 4, 5], [5.0, 2.5, 4.0, 5.5])
    assert list(series.steps) == [1, 2, 3, 4, 5]
    assert list(series.raw.values) == [1.0, 2.5, 3.0, 4.0, 5.5]


def test_a_resume_hides_what_came_after_the_checkpoint_and_smoothing_follows():
    series = Series("loss", "0001")
    series.extend(range(100), range(100))
    series.derived(0.9, False).catch_up(100)
    series.cut(beyond=49)
    series.extend(range(50, 60), [1.0] * 10)
    assert series.steps[-1] == 59
    derived = series.derived(0.9, False)
    derived.catch_up(100)
    expected = smoothed_by_the_book([*range(50), *[1.0] * 10], 0.9)
    assert list(derived.curve.values) == pytest.approx(expected)


def test_what_cannot_be_a_step_is_refused():
    series = Series("loss", "0001")
    for steps in ([math.nan], [1, math.inf], [-math.inf, 2]):
        with pytest.raises(ValueError, match="finite"):
            series.extend(steps, [1.0] * len(steps))
    with pytest.raises(ValueError, match="2 steps but 1 values"):
        series.extend([1, 2], [1.0])
    assert len(series) == 0


def test_numbers_are_kept_in_eight_bytes():
    series = Series("loss", "0001")
    series.extend(range(3), range(3))
    assert isinstance(series.steps, array)
    assert isinstance(series.raw.values, array)
    assert series.steps.itemsize == series.raw.values.itemsize == 8


def test_each_change_is_told_by_the_version():
    series = Series("loss", "0001")
    seen = [series.version]
    for change in (lambda: series.extend([1, 2], [1, 2]), lambda: series.extend([2], [9]), lambda: series.cut(1)):
        change()
        seen.append(series.version)
    assert seen == sorted(set(seen))
    series.cut(1)
    series.extend([], [])
    assert series.version == seen[-1]


def test_a_clock_that_is_set_back_holds_the_time():
    track = Track()
    track.extend([1, 2, 3, 4], [10.0, 20.0, 5.0, 30.0])
    assert list(track.values) == [10.0, 20.0, 20.0, 30.0]
    assert track.at(1.5) == 15.0
    assert track.at(99) == 30.0
    assert track.step_at(15.0) == 1.5
    assert track.step_at(31.0) == math.inf
    assert track.step_at(10.0) == -math.inf


def test_a_timeline_keeps_marks_in_order_and_once():
    timeline = Timeline("0001")
    for step in (5, 9, 7, 9, 5):
        timeline.mark("checkpoint", step)
    assert timeline.marks["checkpoint"] == [5, 7, 9]
    timeline.cut(7)
    assert timeline.marks["checkpoint"] == [5, 7]
    with pytest.raises(KeyError):
        timeline.mark("birthday", 3)
