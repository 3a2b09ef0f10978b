"""Compare: runs beside each other, with a word where their losses are no measure."""

import shutil

import pytest
from hand_made import made
from studio import session

from ftstudio.runs.events import EventWriter
from ftstudio.runs.notes import write_note
from ftstudio.tui.memory import Memory
from ftstudio.tui.panes.compare import _read
from ftstudio.tui.widgets.chart import ChartView

pytestmark = pytest.mark.usefixtures("fakes")

SIZE = (80, 40)


def in_compare(folder, script, size=SIZE, **manners):
    """Run a script on the studio that is open on a project's Compare, once it was compared."""
    Memory().showed(folder.resolve(), "compare")

    async def opened(driver):
        await driver.until("6 Compare")
        await driver.until(lambda: driver.app.screen.pane.query_one("#table").rows)
        await driver.pilot.pause(0.1)
        return await script(driver)

    return session(folder.parent, opened, size=size, **manners)


async def read(driver):
    return driver.text


def line_with(text, words):
    return next(line for line in text.splitlines() if words in line)


@pytest.fixture
def two(make_project):
    folder = make_project()
    made(folder, losses=(3.0, 2.0))
    made(folder, losses=(3.0, 1.5), overrides=("trainer.max_steps=20",))
    return folder


def test_the_current_run_and_the_one_before_are_compared(two):
    text = in_compare(two, read)
    lines = [line.split() for line in text.splitlines()]
    assert ["losses", "lab:0001", "lab:0002"] in lines
    assert ["trainer.max_steps", "10", "20"] in lines
    assert ["loss", "2", "1.5"] in lines
    assert "Nothing keeps their losses from being compared" in text


def test_the_lowest_loss_is_marked_where_losses_can_be_compared(two):
    text = in_compare(two, read)
    assert line_with(text, "best loss").split() == [
        "best",
        "loss",
        "2",
        "at",
        "step",
        "2",
        "1.5",
        "at",
        "step",
        "2",
        "<",
    ]


def test_losses_over_other_data_are_not_compared_and_it_says_why(make_project):
    folder = make_project()
    made(folder, data="one", losses=(3.0, 2.0))
    made(folder, data="two", losses=(3.0, 1.5))
    text = in_compare(folder, read)
    assert "! loss cannot be compared: other data" in text
    assert "<" not in line_with(text, "best loss")


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
def test_why_losses_cannot_be_compared_stands_above_the_table_wherever_that_is_scrolled(make_project, size):
    folder = make_project()
    for number in range(3):
        made(folder, data=f"data-{number}", losses=(3.0, 2.0), overrides=(f"trainer.max_steps={20 + number}",))

    async def script(driver):
        table = driver.app.screen.query_one("#table")
        await driver.press("tab")
        assert table.has_focus
        for key, row in (("end", "data"), ("home", "loss")):
            await driver.press(key)
            assert table.key == row
            assert "! loss cannot be compared: other data" in driver.text
            assert line_with(driver.text, " losses  ").split()[:3] == ["losses", "lab:0002", "lab:0003"]
            assert any(line.startswith(f" {row} ") for line in driver.text.splitlines())

    in_compare(folder, script, size=size)


def test_more_reasons_than_there_is_room_for_are_told_whole_by_help(make_project):
    folder = make_project()
    made(folder, data="one", losses=(3.0, 2.0))
    overrides = ("dataset.limit=3", "dataset.dedupe=true", "dataset.shuffle_seed=4", "dataset.validation_fraction=0.1")
    made(folder, data="two", losses=(3.0, 2.0), overrides=overrides)

    async def script(driver):
        await driver.until("3 more reasons; ? tells all of it.")
        assert "validation_fraction)" not in driver.text
        await driver.press("question_mark")
        await driver.until("(dataset.validation_fraction). lab:0001: 0.0; lab:0002: 0.1")

    in_compare(folder, script, size=(80, 40))


def test_losses_come_first_then_settings_that_differ_and_last_what_the_runs_are(two):
    lines = [line.split("  ")[0].strip() for line in in_compare(two, read).splitlines()]
    wanted = ["losses", "loss", "best loss", "settings that differ", "trainer.max_steps", "results", "state", "data"]
    found = [line for line in lines if line in wanted]
    assert found[: len(wanted)] == wanted


def test_columns_align(two):
    text = in_compare(two, read)
    rows = [line_with(text, words) for words in (" losses  ", "trainer.max_steps", "state  ", "model  ")]
    assert (
        len({row.index(first) for row, first in zip(rows, ("lab:0001", "10", "finished", "m at r"), strict=True)}) == 1
    )


def test_space_takes_runs_in_and_out(two):
    made(two, losses=(3.0, 1.0), overrides=("trainer.max_steps=30",))

    async def script(driver):
        assert "lab:0001" not in line_with(driver.text, " losses  ")
        await driver.press("end", "space")
        await driver.until(lambda: "lab:0001" in line_with(driver.text, " losses  "))
        assert line_with(driver.text, "trainer.max_steps").split()[1:] == ["20", "30", "10"]
        await driver.press("home", "space", "space")
        await driver.until("comparing takes two")

    in_compare(two, script)


def test_runs_of_other_projects_that_were_marked_on_home_are_compared(make_project):
    first, second = made(make_project("one"), losses=(3.0,)), made(make_project("two"), losses=(2.0,))

    async def script(driver):
        await driver.press("c")
        await driver.until("Mark two runs or more")
        await driver.press("home", "space", "space", "c")
        await driver.until("6 Compare")
        await driver.until(lambda: "one:0001" in driver.text and "two:0001" in driver.text)
        assert set(driver.app.screen.pane.chosen) == {first.path.resolve(), second.path.resolve()}
        await driver.until("results")

    session(first.project.parent, script, size=SIZE)


def test_marks_of_home_reach_a_compare_that_is_open_already(two):
    async def script(driver):
        await driver.press("escape", "space", "space")
        await driver.until(lambda: driver.app.screen.marked)
        third = made(two, losses=(1.0,))
        await driver.until("lab:0003")
        driver.app.screen.marked = {third.path, third.path.with_name("0001")}
        await driver.press("c")
        await driver.until(lambda: "lab:0003" in line_with(driver.text, " losses  "))
        assert "lab:0002" not in line_with(driver.text, " losses  ")

    in_compare(two, script)


def test_the_curves_lie_over_one_another_and_m_takes_the_next_metric(two):
    run = made(two)
    writer = EventWriter(run.events, 1)
    writer.write("metrics", 3, metrics={"grad_norm": 7.0})
    writer.close()

    async def script(driver):
        chart = driver.app.screen.query_one(ChartView)
        assert chart.title == "loss"
        assert [series.run_label for series in chart._series] == ["lab:0002", "lab:0003"]
        await driver.press("m")
        await driver.until(lambda: chart.title == "grad_norm")

    in_compare(two, script)


def test_a_live_run_s_new_values_come_by_themselves(two):
    run = made(two, "running", losses=(9.0,))

    async def script(driver):
        assert line_with(driver.text, " loss  ").split()[-1] == "9"
        writer = EventWriter(run.events, 1)
        writer.write("metrics", 2, metrics={"loss": 8.0})
        writer.close()
        await driver.until(lambda: line_with(driver.text, " loss  ").split()[-1] == "8")
        chart = driver.app.screen.query_one(ChartView)
        assert list(chart._series[-1].raw.values) == [9.0, 8.0]

    in_compare(two, script)


def test_the_export_is_markdown_whose_path_is_said_and_overwrites_nothing(two):
    path = two / "compare-0001-0002.md"
    path.write_text("mine")

    async def script(driver):
        await driver.press("E")
        await driver.until("Written: ")

    in_compare(two, script, size=(200, 40))
    assert path.read_text() == "mine"
    text = (two / "compare-0001-0002-2.md").read_text()
    assert "| trainer.max_steps | 10 | 20 |" in text


def test_y_copies_the_tables_as_markdown(two, own_folders):
    async def script(driver):
        await driver.press("y")
        await driver.until("Copied, and written to")

    in_compare(two, script, size=(200, 40))
    text = (own_folders / "state" / "ftstudio" / "copied.txt").read_text()
    assert "| trainer.max_steps | 10 | 20 |" in text


def test_help_explains_the_setting_under_the_cursor(two):
    async def script(driver):
        await driver.press("tab")
        driver.app.screen.query_one("#table").put_cursor("trainer.max_steps")
        await driver.press("question_mark")
        await driver.until("trainer.max_steps: Steps.")
        await driver.until("More train longer")

    in_compare(two, script)


def test_a_pinned_run_says_so(two):
    from ftstudio.runs.folder import RunFolder

    write_note(RunFolder(two / "runs" / "0001"), pinned=True)

    async def script(driver):
        await driver.until(lambda: "pinned" in line_with(driver.text, "+✓ lab:0001"))
        assert "pinned" not in line_with(driver.text, "+✓ lab:0002")

    in_compare(two, script)


def test_notes_stand_in_the_table(two):
    from ftstudio.runs.folder import RunFolder

    write_note(RunFolder(two / "runs" / "0002"), "better \x1b[2J")
    assert "better \\x1b[2J" in line_with(in_compare(two, read), "note")


def test_more_runs_than_fit_are_said(two):
    for _ in range(5):
        made(two)

    async def script(driver):
        await driver.press("home", "down", "down", *["space"] * 5)
        await driver.until("do not fit here")

    in_compare(two, script)


def test_one_run_alone_says_the_next_step(make_project):
    folder = make_project()
    made(folder)
    assert "Mark another run with space" in in_compare(folder, read)


def test_readonly_exports_nothing(two):
    async def script(driver):
        await driver.press("E")
        await driver.until("--readonly")

    in_compare(two, script, readonly=True)
    assert not list(two.glob("compare-*"))


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
def test_in_ascii_nothing_else_is_shown(two, size):
    made(two, overrides=('dataset.texts=["' + "x" * 300 + '"]',))
    text = in_compare(two, read, size=size, ascii=True)
    assert text.isascii()
    assert "lab:0003" in text


def test_the_curve_of_a_run_that_got_the_number_of_a_deleted_one_is_its_own(make_project):
    folder = make_project()
    run = made(folder, losses=(9.0, 8.0))
    known = _read([run.path], {}).curves
    assert list(known[run.path].feed.series["loss"].raw.values) == [9.0, 8.0]
    assert _read([run.path], known).curves[run.path] is known[run.path]
    shutil.rmtree(run.path)
    assert made(folder, losses=(3.0, 2.0, 1.0)).path == run.path
    again = _read([run.path], known).curves
    assert list(again[run.path].feed.series["loss"].raw.values) == [3.0, 2.0, 1.0]


def test_without_a_run_nobody_is_told_to_mark_another_one(make_project):
    folder = make_project()
    Memory().showed(folder.resolve(), "compare")

    async def script(driver):
        await driver.until("There is no run yet. S starts one.")
        await driver.pilot.pause(0.3)
        assert "Mark another run" not in driver.text

    session(folder.parent, script)
