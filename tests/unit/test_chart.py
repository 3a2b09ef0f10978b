"""Charts: nothing is lost, nothing collides, and what cannot be drawn is said."""

import csv
import io
import itertools
import math
import random
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from ftstudio.files import write_atomic
from ftstudio.tui.canvas import ASCII, GLYPHS
from ftstudio.tui.chart import draw
from ftstudio.tui.chart_export import csv_text, svg_text
from ftstudio.tui.scene import SMOOTHING, View, build, catch_up, index_near, snap
from ftstudio.tui.series import AXES, Series, Timeline
from ftstudio.tui.ticks import GAP, multiples, number_text, time_text, x_ticks, y_range, y_ticks

SIZE = (60, 14)


def one(values, label="0001", name="loss", steps=None):
    timeline = Timeline(label)
    series = Series(name, label, timeline)
    steps = list(range(1, len(values) + 1)) if steps is None else steps
    series.extend(steps, values)
    timeline.time.extend(steps, [s * 2.0 for s in steps])
    timeline.tokens.extend(steps, [s * 1024.0 for s in steps])
    return series


def falling(count=200, start=4.0, label="0001"):
    return one([start / (1 + i / 40) + 1 for i in range(count)], label)


def shown(series, view=None, size=SIZE, **options):
    series = series if isinstance(series, list) else [series]
    return draw(series, view or View(), size, **options).text()


# ----------------------------------------------------------------------------------------- nothing lost


@pytest.mark.parametrize("glyphs", GLYPHS.values(), ids=GLYPHS)
@pytest.mark.parametrize("at", [0, 1, 31, 32, 123_457, 199_999])
def test_a_spike_of_one_point_in_many_is_visible(glyphs, at):
    values = [1.0 + i % 7 / 100 for i in range(200_000)]
    values[at] = 9.0
    picture = draw([one(values)], View(), SIZE, glyphs=glyphs)
    rows = [row[picture.left :].strip() for row in picture.text().splitlines()[1:-1]]
    assert all(rows[1:]), "the spike reaches from the bottom to the top"


@pytest.mark.parametrize("count", [20, 200])
def test_the_smallest_and_largest_of_every_column_are_drawn(count):
    source = random.Random(3)
    series = one([source.random() for _ in range(50_000)])
    scene = build([series], View())
    scene.divide(count)
    columns = scene.traces[0].front.columns
    assert columns[0].start == 0
    assert columns[-1].end == 50_000
    assert all(a.end == b.start for a, b in itertools.pairwise(columns))
    for column in columns:
        stretch = series.raw.values[column.start : column.end]
        assert (column.low, column.high) == (min(stretch), max(stretch))
        middle = scene.column(series.x((column.start + column.end) // 2, "step"))
        assert abs(middle - column.x) < 1


def test_a_run_that_counted_no_tokens_says_so_along_the_axis_of_tokens():
    unknown = Series("loss", "0001", Timeline("0001"))
    unknown.extend([1, 2], [2.0, 1.0])
    assert "no tokens logged" in shown([unknown], View(axis="tokens"))


def test_no_points_one_point_and_two_points():
    assert "no values yet" in shown(one([]))
    single = shown(one([2.5]))
    assert "1 point so far" in single
    assert "2.5" in single
    assert sum(c in GLYPHS["braille"].runs for c in single) == 1
    assert "point so far" not in shown(one([2.5, 2.0]))


def test_a_point_alone_between_gaps_is_drawn():
    picture = shown(one([1.0, math.nan, 5.0, math.nan, 1.0]))
    assert any(c in "⠁⠂⠄⡀⠈⠐⠠⢀" for c in picture)


def test_a_constant_series_lies_in_the_middle_and_its_value_is_labelled():
    rows = shown(one([3.0] * 50)).splitlines()
    [at] = [i for i, row in enumerate(rows) if row.split("⡇")[0].strip() == "3.0"]
    assert 5 <= at <= 8
    assert len(set(rows[at].split("⡇")[1])) <= 3
    assert not any(row.split("⡇")[1].strip() for row in rows[1:at])


@pytest.mark.parametrize("values", [[1e299, -1e299], [5e-324, 1e-323], [1e300, 1.0], [-0.0, 0.0], [1.0, 1.0 + 1e-15]])
@pytest.mark.parametrize("log", [False, True])
def test_numbers_at_the_ends_of_what_there_is_are_drawn(values, log):
    assert shown(one(values), View(log=log))


# ---------------------------------------------------------------------------------------- what is said


def test_nan_and_infinities_are_marked_gaps_and_counted():
    values = [2.0 + math.sin(i / 5) for i in range(100)]
    values[30], values[60], values[80] = math.nan, math.inf, -math.inf
    picture = shown(one(values))
    assert "3 not finite" in picture
    rows = picture.splitlines()[1:-1]
    assert "\u00d7" in picture
    assert "↑" in rows[0]
    assert "↓" in rows[-1]


def test_no_line_is_drawn_across_a_gap():
    scene = build([one([1.0, 2.0, math.nan, 3.0, 4.0])], View())
    scene.divide(100)
    trace = scene.traces[0]
    assert [(a, b) for _, a, _, b in scene.joins(trace, trace.front)] == [(1.0, 2.0), (3.0, 4.0)]


def test_nothing_but_nan_says_so():
    picture = shown(one([math.nan] * 5000))
    assert "no finite value yet" in picture
    assert "5,000 not finite" in picture


def test_a_log_axis_counts_and_marks_what_it_cannot_show():
    values = [10.0 ** (-i / 20) for i in range(100)]
    values[10], values[50] = 0.0, -3.0
    picture = shown(one(values), View(log=True))
    assert "2 ≤ 0" in picture
    assert picture.count("↓") == 2
    assert "2 <= 0" in shown(one(values), View(log=True), glyphs=ASCII)
    assert "≤ 0" not in shown(one(values))
    assert "no value above 0 for a log axis" in shown(one([-1.0, 0.0]), View(log=True))


def test_a_log_axis_is_logarithmic():
    rows = shown(one([1e-4, 1e0]), View(log=True), (60, 20)).splitlines()
    places = {row.split("⡇")[0].strip(): i for i, row in enumerate(rows) if "⡇" in row and row.split("⡇")[0].strip()}
    numbers = sorted((float(k), v) for k, v in places.items())
    assert len(numbers) >= 3
    per_decade = {round((a[1] - b[1]) / (math.log10(b[0]) - math.log10(a[0]))) for a, b in itertools.pairwise(numbers)}
    assert max(per_decade) - min(per_decade) <= 1


def test_a_run_that_does_not_know_an_axis_is_named():
    known, unknown = falling(label="0007"), Series("loss", "0006")
    unknown.extend([1, 2], [1.0, 2.0])
    assert "0006 has no tokens" in shown([known, unknown], View(axis="tokens"))
    assert "0006" in shown([known, unknown], View())


@pytest.mark.parametrize("size", [(19, 5), (20, 4), (1, 1), (3, 2), (10, 10), (0, 0), (40, 1)])
def test_too_small_is_said_in_what_there_is(size):
    picture = draw([falling()], View(), size)
    assert len(picture.lines) == size[1]
    assert all(sum(cell_len(t) for t, _ in line) == size[0] for line in picture.lines)
    if size == (19, 5):
        assert "needs 20x5" in picture.text()


def test_at_20_by_5_there_is_a_curve_a_range_and_an_end():
    picture = shown(falling(1240), size=(20, 5))
    assert "loss" in picture
    assert "1,240" in picture
    assert any(0x2800 < ord(c) < 0x2900 and c != "⡇" for c in picture)


# --------------------------------------------------------------------------------------------- several


def test_runs_differ_without_colour():
    for glyphs in GLYPHS.values():
        picture = shown([falling(label="0007"), falling(start=8, label="0006")], glyphs=glyphs, hues=[0, 1])
        for sign, label in zip(glyphs.runs, ("0007", "0006"), strict=False):
            assert f"{sign} {label}" in picture
            assert picture.count(sign) >= 3


def test_a_single_run_needs_no_legend():
    assert "0001" not in shown(falling())


def test_a_legend_that_does_not_fit_counts_the_rest():
    runs = [falling(label=f"poetry:{i:04d}") for i in range(6)]
    assert "+" in shown(runs, size=(40, 8)).splitlines()[0]


def test_smoothed_curves_keep_the_raw_one_behind_them():
    source = random.Random(1)
    series = one([3 + source.gauss(0, 1) for _ in range(500)])
    lines = draw([series], View(smoothing=0.95), SIZE).lines
    kinds = {ink.kind for line in lines for _, ink in line}
    assert {"faint", "solid"} <= kinds
    assert "smoothed 0.95" in shown(series, View(smoothing=0.95))
    assert "faint" not in {ink.kind for line in draw([series], View(), SIZE).lines for _, ink in line}


def test_a_smoothed_curve_that_lags_says_how_far_it_is():
    series = one([1.0] * 50_000)
    assert "smoothing 40%" in shown(series, View(smoothing=0.9))
    while catch_up(series, View(smoothing=0.9), 50_000):
        pass
    assert "%" not in shown(series, View(smoothing=0.9))


# ------------------------------------------------------------------------------- window, cursor, marks


def test_zooming_keeps_the_cursor_in_place_and_ends_at_everything():
    everything = (0.0, 1000.0)
    view = View(cursor=250.0).zoomed(0.5, everything)
    assert view.window(everything) == (125.0, 625.0)
    assert view.zoomed(2.0, everything).width is None
    follows = View().zoomed(0.5, everything)
    assert follows.window(everything) == (500.0, 1000.0)
    assert follows.window((0.0, 2000.0)) == (1500.0, 2000.0), "at the right end it follows what comes"
    held = follows.panned(-0.5, everything)
    assert held.window((0.0, 2000.0)) == (250.0, 750.0), "elsewhere it stays"
    assert held.panned(9.0, everything).end is None
    assert held.panned(-9.0, everything).window(everything) == (0.0, 500.0)


def test_a_window_shows_its_values_and_the_line_that_crosses_it():
    picture = shown(one([1.0, 2.0], steps=[0, 1000]), View(width=100.0, end=500.0))
    assert "no values in this window" in picture
    values = [1.0] * 1000
    values[500] = 7.0
    inside, outside = View(width=100.0, end=550.0), View(width=100.0, end=300.0)
    assert sum("⢸" in row or "⡇" in row[6:] for row in shown(one(values), inside).splitlines()) > 8
    assert sum("⢸" in row or "⡇" in row[6:] for row in shown(one(values), outside).splitlines()) == 0


def test_the_range_is_that_of_the_window():
    scene = build([one([100.0] * 10 + [1.0 + i / 100 for i in range(90)])], View(width=50.0))
    assert scene.y[1] < 3


def test_the_cursor_shows_value_place_and_event():
    series = falling(400, label="0007")
    series.timeline.mark("checkpoint", 200)
    picture = shown(series, View(cursor=200.0))
    value = number_text(series.raw.values[199])
    assert value in picture.splitlines()[0]
    assert "checkpoint 200" in picture.splitlines()[0]
    assert " 200 " in picture.splitlines()[-1]
    assert picture.count("│") >= 8
    smoothed = shown(series, View(cursor=200.0, smoothing=0.6))
    assert f"raw {value}" in smoothed.splitlines()[0]


def test_the_cursor_reads_nan_as_nan():
    assert "nan" in shown(one([1.0, math.nan, 2.0]), View(cursor=2.0)).splitlines()[0]


def test_the_cursor_moves_from_value_to_value():
    series = one([1.0] * 4, steps=[10, 20, 40, 80])
    assert snap(series, 21, "step") == 40
    assert snap(series, 39, "step", left=True) == 20
    assert snap(series, 40, "step", left=True) == 40
    assert snap(series, 999, "step") == 80
    assert snap(series, -5, "step", left=True) == 10
    assert index_near(series, 29, "step") == 1
    assert index_near(series, 31, "step") == 2


def test_events_are_marked_once_a_cell_however_many_there_are():
    series = falling(1000)
    for step in range(1000):
        series.timeline.mark("eval", step)
    series.timeline.mark("checkpoint", 500)
    series.timeline.mark("resume", 900)
    picture = shown(series)
    assert picture.count("▲") == 1
    assert picture.count("»") == 1
    assert 40 <= picture.count("△") <= 60


@pytest.mark.parametrize("axis", AXES)
def test_events_and_ends_follow_the_axis(axis):
    series = falling(600)
    series.timeline.mark("checkpoint", 300)
    rows = shown(series, View(axis=axis)).splitlines()
    [column] = [row.index("▲") for row in rows if "▲" in row]
    assert 30 <= column <= 36
    assert rows[-1].startswith(axis) or rows[-1].strip().startswith(axis)
    assert rows[-1].endswith({"step": "600", "tokens": "614,400", "time": "20 min"}[axis])


# ------------------------------------------------------------------------------------------------ ticks


@settings(max_examples=300, deadline=None)
@given(
    st.floats(-1e9, 1e9),
    st.floats(1e-3, 1e12),
    st.integers(10, 200),
    st.sampled_from(AXES),
)
def test_labels_of_the_horizontal_axis_never_touch_nor_leave_it(low, width, cells, axis):
    placed = x_ticks(low, low + width, cells, axis)
    for (a, text), (b, _) in itertools.pairwise(placed):
        assert a + len(text) + GAP <= b
    assert all(at >= 0 and at + len(text) <= cells for at, text in placed)


@settings(max_examples=300, deadline=None)
@given(st.floats(-1e12, 1e12), st.floats(0, 1e12), st.integers(3, 60), st.booleans())
def test_labels_of_the_vertical_axis_are_two_or_more_and_differ(low, extent, rows, log):
    low = abs(low) + 1e-9 if log else low
    bottom, top = y_range(low, low + extent, log)
    slack = 1e-8 * (top - bottom)
    assert bottom - slack <= low
    assert top + slack >= low + extent
    ticks = y_ticks(bottom, top, rows, log)
    assert len(ticks) >= 2
    assert all(a[0] < b[0] for a, b in itertools.pairwise(ticks))


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (1240, 100, "1,240"),
        (27_296_000, 1, "27,296,000"),
        (20e6, 5e6, "20M"),
        (31e9, 1e9, "31G"),
        (0.25, 0.05, "0.25"),
        (2.0, 0.5, "2.0"),
        (4e-5, 1e-5, "4e-5"),
        (4.5e-5, 5e-6, "4.5e-5"),
        (0, 1, "0"),
        (-1500, 500, "-1,500"),
        (2.31312, 0, "2.313"),
        (math.nan, 0, "nan"),
        (-math.inf, 0, "-inf"),
    ],
)
def test_numbers_are_written_for_people(value, step, text):
    assert number_text(value, step) == text


@pytest.mark.parametrize(
    ("seconds", "step", "text"),
    [
        (0, 1, "0"),
        (45, 15, "45 s"),
        (600, 120, "10 min"),
        (5400, 1800, "1 h 30"),
        (172800, 86400, "2 d"),
        (90, 30, "90 s"),
    ],
)
def test_times_are_written_for_people(seconds, step, text):
    assert time_text(seconds, step) == text


def test_multiples_are_bounded():
    assert len(multiples(0, 1e9, 1)) == 1000


# --------------------------------------------------------------------------------------- whole pictures


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.one_of(st.floats(-1e3, 1e3), st.floats()), max_size=60),
        max_size=3,
    ),
    st.integers(0, 70),
    st.integers(0, 20),
    st.sampled_from(sorted(GLYPHS)),
    st.builds(
        View,
        axis=st.sampled_from(AXES),
        log=st.booleans(),
        smoothing=st.sampled_from(SMOOTHING),
        width=st.none() | st.floats(0.5, 100),
        end=st.none() | st.floats(0.5, 100),
        cursor=st.none() | st.floats(-10, 100),
    ),
)
def test_every_picture_fills_its_size_exactly(runs, width, height, glyphs, view):
    series = [one(values, f"{i:04d}") for i, values in enumerate(runs)]
    picture = draw(series, view, (width, height), glyphs=GLYPHS[glyphs])
    assert len(picture.lines) == height
    assert {sum(cell_len(text) for text, _ in line) for line in picture.lines} <= {width}
    if glyphs == "ascii":
        assert picture.text().isascii()


def test_hostile_names_stay_text():
    series = one([1.0, 2.0], label="\x1b]52;c;eA==\x07\u202e\ud800", name="lo\x9bss\n[/")
    for size in (SIZE, (20, 5), (10, 2)):
        picture = draw([series, falling()], View(), size).text()
        assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or c in "\u202e\ud800" for c in picture)
    assert "\x1b" not in svg_text([series], View())


# ----------------------------------------------------------------------------------------------- export


def test_csv_holds_every_value_of_the_window(tmp_path):
    series = falling(100, label="0007")
    series.extend([50], [math.nan])
    target = tmp_path / "loss.csv"
    write_atomic(target, csv_text([series, Series("loss", "empty")], View(width=60.0, end=80.0, smoothing=0.9)))
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    assert [int(row["step"]) for row in rows] == list(range(20, 81))
    row = rows[10]
    assert row["run"] == "0007"
    assert row["metric"] == "loss"
    assert float(row["value"]) == series.raw.values[29]
    assert float(row["tokens"]) == 30 * 1024
    assert float(row["seconds"]) == 60.0
    assert 0 < float(row["smoothed"]) < 5
    assert rows[30]["value"] == "nan"


def test_csv_leaves_empty_what_a_run_does_not_know():
    series = Series("loss", "0006")
    series.extend([1], [2.0])
    assert csv_text([series], View()).splitlines()[1] == "0006,loss,1,,,2.0,"


def test_svg_is_well_formed_and_holds_what_is_shown():
    series = falling(300, label="0007 <&>")
    series.timeline.mark("checkpoint", 100)
    root = ET.fromstring(svg_text([series, falling(300, 9.0, "0006")], View(smoothing=0.9), title="loss"))
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"loss", "step", "0007 <&>", "0006", "300"} <= set(texts)
    paths = [node for node in root.iter("{http://www.w3.org/2000/svg}path") if node.get("clip-path")]
    assert len(paths) == 4
    assert [node.text for node in root.iter("{http://www.w3.org/2000/svg}title")] == ["checkpoint 100"]


def test_svg_of_nothing_is_well_formed():
    for series in ([], [one([])], [one([math.nan])], [one([1.0])]):
        ET.fromstring(svg_text(series, View()))
