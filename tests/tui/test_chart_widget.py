"""The chart as a widget: keys, messages, what is repainted, themes, and no colour."""

import asyncio
import math

import pytest
from textual.app import App
from textual.containers import Horizontal

from ftstudio.tui.actions import in_place
from ftstudio.tui.canvas import ASCII
from ftstudio.tui.scene import View
from ftstudio.tui.series import Series, Timeline
from ftstudio.tui.widgets.chart import ChartView, Hues


def falling(label="0001", count=200, name="loss"):
    timeline = Timeline(label)
    series = Series(name, label, timeline)
    steps = range(1, count + 1)
    series.extend(steps, [4 / (1 + s / 40) + 1 for s in steps])
    timeline.time.extend(steps, [s * 2.0 for s in steps])
    timeline.tokens.extend(steps, [s * 1024.0 for s in steps])
    return series


class TwoCharts(App):
    """Two charts whose cursors go together, as a screen would do it."""

    def __init__(self, left, right=None, **options):
        super().__init__()
        self.left = ChartView([left], id="left", every=0.0, **options)
        self.right = ChartView([right or falling(name="eval_loss")], id="right", every=0.0, **options)
        self.moves, self.views = [], []

    def compose(self):
        with Horizontal():
            yield self.left
            yield self.right

    def on_mount(self):
        self.left.focus()

    def on_chart_view_cursor_moved(self, message):
        self.moves.append(message.x)
        for chart in self.query(ChartView):
            if chart is not message.control:
                chart.show_cursor(message.x, message.axis)

    def on_chart_view_view_changed(self, message):
        self.views.append(message.view)


def session(app, talk, size=(120, 36)):
    async def run():
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await talk(pilot)

    asyncio.run(run())


def painted(chart):
    return "\n".join(chart.render_line(y).text for y in range(chart.size.height))


@pytest.mark.parametrize("size", [(120, 36), (80, 24), (40, 5), (30, 3), (2, 1), (1, 1)])
def test_it_fills_what_it_is_given(size):
    app = TwoCharts(falling())

    async def talk(pilot):
        for y in range(app.left.size.height):
            assert app.left.render_line(y).cell_length == app.left.size.width

    session(app, talk, size)


def test_keys_choose_the_view_and_each_choice_is_told():
    app = TwoCharts(falling())

    async def talk(pilot):
        await pilot.press("plus")
        assert app.left.view.width == pytest.approx(100)
        await pilot.press("comma")
        assert app.left.view.end == pytest.approx(175)
        await pilot.press("right_square_bracket", "right_square_bracket", "left_square_bracket")
        assert app.left.view.smoothing == 0.6
        await pilot.press("l", "x")
        assert (app.left.view.log, app.left.view.axis, app.left.view.width) == (True, "tokens", None)
        await pilot.press("minus", "0")
        assert app.views[-1] == app.left.view
        assert len(app.views) == 7, "keys that change nothing tell nothing"
        assert "tokens" in painted(app.left)

    session(app, talk)


def test_the_cursor_goes_from_the_newest_value_and_other_charts_follow():
    app = TwoCharts(falling())

    async def talk(pilot):
        await pilot.press("left")
        assert app.moves == [200.0]
        await pilot.press("left", "left", "right", "home", "end")
        await pilot.pause()
        assert app.moves[1] > app.moves[2]
        assert app.moves[-2:] == [1.0, 200.0]
        assert app.right.view.cursor == 200.0
        assert "│" in painted(app.right)
        await pilot.press("escape")
        await pilot.pause()
        assert app.right.view.cursor is None
        assert "│" not in painted(app.right)

    session(app, talk)


def test_a_cursor_that_leaves_the_window_takes_it_along():
    app = TwoCharts(falling())

    async def talk(pilot):
        await pilot.press("plus", "plus", "left", "home")
        scene = app.left.picture.scene
        assert scene.x[0] <= 1.0 <= scene.x[1]
        assert scene.x[1] - scene.x[0] == pytest.approx(50, abs=1)

    session(app, talk)


def test_a_cursor_of_another_axis_is_not_taken_over():
    app = TwoCharts(falling())

    async def talk(pilot):
        app.left.show_cursor(3.0, "time")
        assert app.left.view.cursor is None

    session(app, talk)


def test_a_click_puts_the_cursor_where_one_points():
    app = TwoCharts(falling())

    async def talk(pilot):
        await pilot.click("#left", offset=(32, 5))
        assert 90 <= app.moves[-1] <= 115
        await pilot.click("#left", offset=(0, 5))
        assert len(app.moves) == 1

    session(app, talk)


def test_an_unchanged_picture_is_not_painted_again_and_a_changed_one_only_where_it_differs():
    series = falling()
    app = TwoCharts(series)

    async def talk(pilot):
        asked = []
        refresh = app.left.refresh
        app.left.refresh = lambda *regions, **options: (asked.append(regions), refresh(*regions, **options))[1]
        app.left.changed()
        await pilot.pause()
        assert asked == []
        before = painted(app.left)
        series.timeline.mark("checkpoint", 100)
        series.extend([201], [math.nan])
        app.left.changed()
        await pilot.pause()
        after = painted(app.left)
        assert "▲" in after
        [regions] = asked
        differ = [
            (x, y)
            for y, (old, new) in enumerate(zip(before.splitlines(), after.splitlines(), strict=True))
            for x, (a, b) in enumerate(zip(old, new, strict=True))
            if a != b
        ]
        assert differ
        assert all(any(r.contains(x, y) for r in regions) for x, y in differ)
        assert sum(r.area for r in regions) < app.left.size.area / 2

    session(app, talk)


def test_values_that_keep_coming_are_drawn_no_more_often_than_asked():
    series = falling()
    app = TwoCharts(series)

    async def talk(pilot):
        app.left.every = 0.4
        pictures = []
        for step in range(201, 221):
            series.extend([step], [1.0])
            app.left.changed()
            pictures.append(id(app.left.picture))
            await pilot.pause(0.01)
        few = len(set(pictures))
        assert few <= 4
        await pilot.pause(0.6)
        assert "220" in painted(app.left), "the last one is drawn as well"

    session(app, talk)


def test_smoothing_many_values_is_worked_off_while_keys_are_answered():
    series = falling(count=150_000)
    app = TwoCharts(series)

    async def talk(pilot):
        app.left.do_chart_smoother()
        assert app.left.picture.scene.traces[0].lagging > 0
        assert "smoothing 13%" in painted(app.left)
        for _ in range(200):
            await pilot.pause(0.02)
            if not app.left.picture.scene.traces[0].lagging:
                break
        assert app.left.picture.scene.traces[0].lagging == 0
        assert "%" not in painted(app.left)

    session(app, talk)


def test_a_theme_or_the_focus_changes_styles_not_text():
    app = TwoCharts(falling())

    async def talk(pilot):
        text, styles = painted(app.left), [segment.style for segment in app.left.render_line(3)]
        app.theme = "textual-light"
        await pilot.pause()
        assert painted(app.left) == text
        assert [segment.style for segment in app.left.render_line(3)] != styles
        title = app.left.render_line(0)
        app.right.focus()
        await pilot.pause()
        assert app.left.render_line(0) != title

    session(app, talk)


def test_a_chart_whose_styles_changed_while_it_was_hidden_is_whole_when_it_is_shown_again():
    app = TwoCharts(falling())

    async def talk(pilot):
        app.right.display = False
        await pilot.pause()
        app.theme = "textual-light"
        await pilot.pause()
        app.right.display = True
        await pilot.pause()
        assert app.right.size.width == 60
        for y in range(app.right.size.height):
            strip = app.right.render_line(y)
            assert (strip.cell_length, len(strip.text)) == (60, 60)

    session(app, talk)


@pytest.mark.parametrize("theme", ["ansi-dark", "ansi-light", "textual-dark", "textual-light", "dracula"])
def test_every_theme_can_draw_it(theme):
    app = TwoCharts(falling())

    async def talk(pilot):
        app.theme = theme
        app.left.show([falling("0007"), falling("0006", 90)], "loss")
        app.left.view = View(smoothing=0.9, cursor=50.0)
        await pilot.pause()
        assert "0.9" in painted(app.left)

    session(app, talk)


def test_a_theme_may_set_the_colours_of_runs():
    app = TwoCharts(falling())

    async def talk(pilot):
        hue = app.left._hues.of("0001")
        theme = app.current_theme
        theme.variables[f"chart-{hue + 1}"] = "#123456"
        try:
            app.refresh_css()
            app.left.notify_style_update()
            colours = {str(s.style.color.name) for y in range(app.left.size.height) for s in app.left.render_line(y)}
            assert "#123456" in colours
        finally:
            del theme.variables[f"chart-{hue + 1}"]

    session(app, talk)


def test_without_colour_runs_are_told_apart_by_their_signs(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = TwoCharts(falling())

    async def talk(pilot):
        assert app.no_color
        app.left.show([falling("0007"), falling("0006", 90)])
        await pilot.pause()
        signs = {c for c in painted(app.left) if c in app.left.glyphs.runs}
        assert len(signs) == 2
        assert "fill:" in app.export_screenshot()

    session(app, talk)


def test_in_ascii_nothing_but_ascii_is_painted():
    series = falling(label="\u8a69:0001", name="p\u00e9rte")
    series.extend([150, 160], [math.nan, math.inf])
    series.timeline.mark("resume", 100)
    app = TwoCharts(series, glyphs=ASCII)

    async def talk(pilot):
        await pilot.press("right_square_bracket", "left", "left", "plus")
        assert painted(app.left).isascii()

    session(app, talk)


def test_hostile_names_reach_no_terminal():
    app = TwoCharts(falling(label="\x1b[2J\x9b31m[/", name="\x1b]0;x\x07[bold"))

    async def talk(pilot):
        await pilot.press("left")
        text = painted(app.left)
        assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 for c in text)
        assert "[bold" in text

    session(app, talk)


def test_exports_are_of_what_is_shown():
    app = TwoCharts(falling())

    async def talk(pilot):
        await pilot.press("plus", "plus")
        assert 50 <= len(app.left.csv().splitlines()) <= 53
        assert app.left.svg().startswith("<svg")

    session(app, talk)


def test_runs_keep_their_number_whoever_else_comes():
    hues = Hues()
    labels = [f"poetry:{i:04d}" for i in range(12)]
    first = {label: hues.of(label) for label in labels}
    assert {label: hues.of(label) for label in reversed(labels)} == first
    assert len(set(first.values())) == 12
    assert Hues().of(labels[0]) == first[labels[0]], "the same the next time"


def test_every_key_of_a_chart_is_of_the_registry_and_the_chart_can_do_it():
    own = in_place("chart")
    assert {b.id for b in ChartView.BINDINGS} == {"back", *(a.id for a in own)}
    assert all(hasattr(ChartView, action.method) for action in own)
