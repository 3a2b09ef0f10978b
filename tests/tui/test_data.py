"""Data: the rows at once, the tokens with their rail, and plain words where there are none."""

import json
import threading

import pytest
from studio import session

from ftstudio.process.bench import Bench
from ftstudio.tui.memory import Memory
from ftstudio.tui.panes.data import DataPane

pytestmark = pytest.mark.usefixtures("fakes")

TEXTS = ["one", "two and more", "three", "four, the longest of all of them"]


@pytest.fixture
def open_data(tmp_path, make_project):
    """Open the studio on the Data pane of a project, and run a script there."""

    def run(script, size=(80, 24), folder=None, **tables):
        made = folder or make_project(**({"dataset": {"texts": TEXTS}} | tables))
        Memory().showed(made, "data")
        return session(tmp_path, script, size)

    return run


def under_cursor(driver):
    return driver.app.screen.query_one("#rows").key


def test_rows_are_there_at_once_and_figures_follow(open_data):
    async def script(driver):
        await driver.until("four, the longest")
        await driver.until("row 1")
        await driver.until("median 5  longest 32")
        assert "100 % trained  nothing cut" in driver.text

    open_data(script)


def test_t_turns_to_the_tokens_with_their_rail_and_back(open_data):
    async def script(driver):
        await driver.until("median")
        await driver.press("down", "t")
        await driver.until("12 tokens, 12 trained")
        lines = driver.text.splitlines()
        shown = next(i for i, line in enumerate(lines) if "t|w|o|" in line)
        assert lines[shown + 1].startswith(" = = = = ")
        assert "= trained   . masked   _ padding   x cut   | token boundary" in driver.text
        assert under_cursor(driver) == 2  # the row that was looked at as text
        await driver.press("t")
        await driver.until("text   rows 1 to 4")

    open_data(script)


def test_l_lists_the_longest_first_and_then_the_files_order_again(open_data):
    async def script(driver):
        await driver.until("median")
        await driver.press("l")
        await driver.until("longest first")
        rows = driver.app.screen.query_one("#rows").rows
        assert [row.key for row in rows] == [4, 2, 3, 1]
        await driver.press("l")
        await driver.until(lambda: "longest first" not in driver.text)

    open_data(script)


def test_x_lists_only_rows_that_lost_their_end_and_shows_how_much(open_data):
    async def script(driver):
        await driver.until("1 row cut")
        await driver.press("x")
        await driver.until("5 tokens cut")
        assert "rows 1 to 1 of 1, only cut rows" in driver.text
        lines = driver.text.splitlines()
        rail = lines[next(i for i, line in enumerate(lines) if "5 tokens cut" in line) + 1]
        assert "xxxxxxxxxxxx" in rail
        await driver.press("x")
        await driver.until("rows 1 to 4 of 4")

    open_data(script, dataset={"texts": ["abc", "longer than it may be", "def", "ghi"]}, tokenizer={"max_length": 16})


def test_x_says_when_nothing_was_cut(open_data):
    async def script(driver):
        await driver.until("nothing cut")
        await driver.press("x")
        await driver.until("No row lost its end.")

    open_data(script)


def test_a_row_is_gone_to_by_its_number_and_one_that_is_not_there_is_said(open_data):
    async def script(driver):
        await driver.until("rows 1 to 200 of 1,000")
        await driver.press("number_sign")
        await driver.type("777")
        await driver.press("enter")
        await driver.until("text number 777")
        assert under_cursor(driver) == 777
        await driver.until("rows 677 to 876")
        await driver.press("home")
        await driver.until("rows 477 to 876")
        assert under_cursor(driver) == 677
        keys = [row.key for row in driver.app.screen.query_one("#rows").rows]
        assert keys == list(range(477, 877))
        await driver.press("number_sign")
        await driver.type("5000")
        await driver.press("enter")
        await driver.until("There is no row 5,000")
        await driver.press("number_sign")
        await driver.type("zero")
        await driver.press("enter")
        await driver.until("whole number from 1")

    open_data(script, dataset={"texts": [f"text number {n}" for n in range(1, 1001)]})


def test_the_list_goes_on_at_its_end(open_data):
    async def script(driver):
        await driver.until("rows 1 to 200 of 450")
        for end in (200, 400, 450):
            await driver.press("end")
            await driver.until(lambda end=end: under_cursor(driver) == end)
            await driver.until(f"rows 1 to {min(450, end + 200)} of 450")

    open_data(script, dataset={"texts": [f"text {n}" for n in range(450)]})


def test_n_and_p_go_to_the_next_and_the_previous_row(open_data):
    async def script(driver):
        await driver.until("median")
        await driver.press("n", "n", "p")
        assert under_cursor(driver) == 2

    open_data(script)


def test_a_failing_source_says_its_sentence_and_the_next_step(open_data, monkeypatch):
    async def script(driver):
        await driver.until("Line 3 of data.jsonl is not JSON.")
        assert "Mend that line." in driver.text
        assert "u  loads the data again" in driver.text
        await driver.until(lambda: "?" in (keys := driver.text.splitlines()[-1]) and "n next" not in keys)
        await driver.press("number_sign")  # the pane's keys hold
        await driver.until("There are no rows.")
        with monkeypatch.context() as patch:
            patch.setattr(DataPane, "load", lambda pane, *, again=False: pane.studio.say(f"again: {again}"))
            await driver.press("u")
            await driver.until("again: True")

    open_data(script, dataset={"behaviour": "component-error"})


def test_rows_that_come_after_a_failure_have_the_keys(open_data, make_project):
    folder = make_project("mended", dataset={"behaviour": "component-error"})

    async def script(driver):
        driver.app.open_project(folder, "data")
        await driver.until("Line 3 of data.jsonl is not JSON.")
        settings = folder / "project.toml"
        settings.write_text(settings.read_text().replace("component-error", "good"))
        await driver.press("u")
        await driver.until("nothing cut")
        await driver.until(lambda: "n next" in driver.text.splitlines()[-1])
        await driver.press("n", "t")
        await driver.until("tokens   rows")

    open_data(script)


def test_an_empty_source_says_so(open_data):
    async def script(driver):
        await driver.until("gave no rows to train on")

    open_data(script, dataset={"behaviour": "empty"})


def test_rows_stay_readable_when_they_cannot_be_tokenised(open_data):
    async def script(driver):
        await driver.until("every label of train is -100")
        assert "two and more" in driver.text
        await driver.press("t")
        await driver.until("There are no tokens")

    open_data(script, tokenizer={"masked": True})


def test_a_project_with_errors_says_what_is_wrong(open_data):
    async def script(driver):
        await driver.until("'nonsense' is not an option")

    open_data(script, dataset={"nonsense": 1})


def test_hostile_rows_and_a_row_of_a_megabyte_are_shown_safely(open_data, make_project):
    async def script(driver):
        await driver.until("the first 65,536 of 1,000,000 characters", 120)
        await driver.press("down")
        await driver.until("\\x1b]52")
        assert "\x1b" not in driver.text
        assert "[/bold]" in driver.text

    hostile = "\x1b]52;c;eA==\x07 [/bold] \u202e end"
    folder = make_project(dataset={"use": "table", "path": "rows.jsonl"})
    (folder / "rows.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in ("x" * 1_000_000, hostile)))
    open_data(script, folder=folder)


def test_in_ascii_the_rail_still_stands_below_its_text(tmp_path, make_project):
    folder = make_project(dataset={"texts": ["caf\u00e9", "b", "c"]})
    Memory().showed(folder, "data")

    async def script(driver):
        await driver.until("median")
        await driver.press("t")
        await driver.until("5 tokens")
        assert driver.text.isascii()

    session(tmp_path, script, ascii=True)


def test_a_data_file_that_changes_is_said_and_loaded_when_asked_for(open_data, tmp_path, make_project):
    folder = make_project(dataset={"use": "table", "path": "rows.jsonl"})
    data = folder / "rows.jsonl"

    def write(*texts):
        data.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))

    write("first", "second", "third")

    async def script(driver):
        await driver.until("median", 120)
        write("another", "second", "third", "a fourth")
        await driver.until("The data changed on disk")
        await driver.press("u")
        await driver.until("another", 60)
        await driver.until(lambda: "changed on disk" not in driver.text)

    open_data(script, folder=folder)


def test_what_was_loaded_is_not_loaded_again_but_other_settings_are(open_data, make_project):
    folder = make_project(dataset={"texts": TEXTS})

    async def script(driver):
        await driver.until("median")
        asked = driver.app.bench("data")._number
        await driver.press("1", "2")
        await driver.pilot.pause(0.5)
        assert driver.app.bench("data")._number == asked
        await driver.press("1")
        make_project(dataset={"texts": ["something else", "b"]})
        await driver.press("2")
        await driver.until("something else")

    open_data(script, folder=folder)


def test_y_copies_the_row_into_a_file_that_is_named(open_data, own_folders):
    async def script(driver):
        await driver.until("median")
        await driver.press("down", "y")
        await driver.until("Copied, and written to")

    open_data(script)
    assert (own_folders / "state" / "ftstudio" / "copied.txt").read_text() == "two and more\n"


def test_help_explains_the_list_in_two_sentences(open_data):
    async def script(driver):
        await driver.until("median")
        await driver.press("question_mark")
        await driver.until("The rows as the dataset gives them")
        assert "Go to a row by its number." in driver.text

    open_data(script, size=(100, 40))


def test_a_wide_terminal_shows_the_row_beside_the_list(open_data):
    async def script(driver):
        await driver.until("median")
        line = next(line for line in driver.text.splitlines() if "row 1" in line and "rows" not in line)
        assert "one" in line

    open_data(script, size=(120, 36))


def test_the_row_beside_the_list_turns_with_it_where_the_cursor_stays(open_data):
    async def script(driver):
        await driver.until("longest 32")
        await driver.press("l")
        await driver.until("longest first")
        await driver.until("3 tokens, 3 trained")
        assert under_cursor(driver) == 1

    open_data(script, size=(120, 36))


def test_tokens_that_are_asked_for_before_they_are_counted_are_shown_then(open_data, monkeypatch):
    counted, ask = threading.Event(), Bench.ask

    def late(bench, project, job, *arguments, **more):
        if job["kind"] == "listing":
            assert counted.wait(60)
        return ask(bench, project, job, *arguments, **more)

    monkeypatch.setattr(Bench, "ask", late)

    async def script(driver):
        await driver.until("loading the data")
        await driver.until("two and more")
        await driver.press("t")
        await driver.until("The tokens are shown as soon as they are counted.")
        counted.set()
        await driver.until("3 tokens, 3 trained")
        assert "as soon as" not in driver.text

    open_data(script)
