"""Logs of any size: opened at once, followed, searched, only their errors; bars collapse, hostile bytes are escaped."""

import json
import re
import shutil
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studio import session
from test_train import made

from ftstudio.files import write_toml
from ftstudio.tui import log_filter
from ftstudio.tui.log_filter import LogFilter
from ftstudio.tui.logfile import LogFile
from ftstudio.tui.widgets import log_view

pytestmark = pytest.mark.usefixtures("fakes")


def test_a_page_from_any_place_is_whole_lines(tmp_path):
    path = tmp_path / "log"

    @settings(max_examples=200, deadline=None, database=None)
    @given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), max_size=30), st.data())
    def check(lines, data):
        content = b"".join(line + b"\n" for line in lines)
        path.write_bytes(content)
        log = LogFile(path)
        at = data.draw(st.integers(0, len(content)))
        page = log.page(at, 5)
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line) + 1)
        first = max(s for s in starts if s <= at)
        wanted = [(s, line) for s, line in zip(starts, lines, strict=False) if s >= first][:5]
        assert [(line.start, line.data) for line in page] == wanted
        number = starts.index(first)
        assert log.back(first, 3) == starts[max(0, number - 3)]

    check()


def test_search_finds_what_a_plain_look_would(tmp_path):
    path = tmp_path / "log"
    lines = [f"line {i} {'needle' if i % 977 == 5 else 'hay' * (i % 50)}".encode() for i in range(5000)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    log, pattern = LogFile(path), re.compile(rb"needle")
    places = [m.start() for m in re.finditer(rb"^line \d+ needle", path.read_bytes(), re.MULTILINE)]
    found, at = [], 0
    while hit := [x for x in log.search(pattern, at, forward=True) if x is not None]:
        found.append(hit[0])
        at = log.page(hit[0], 1)[0].end
    assert found == places
    back, at = [], log.size
    while hit := [x for x in log.search(pattern, at, forward=False) if x is not None]:
        back.append(hit[0])
        at = hit[0]
    assert back == places[::-1]


def test_a_bar_that_was_redrawn_is_one_line_with_its_last_state(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"before\n" + b"".join(b"\r%3d %%" % i for i in range(101)) + b"\nafter\n")
    assert [line.text for line in LogFile(path).page(0, 9)] == ["before", "100 %", "after"]
    path.write_bytes(b"\r".join(b"%6d of many" % i for i in range(100_000)) + b"\nafter\n")
    assert [line.text.strip() for line in LogFile(path).page(0, 9)] == ["99999 of many", "after"]


def test_a_line_of_many_megabytes_costs_its_beginning(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"x" * 30_000_000 + b"\nafter\n")
    first, second = LogFile(path).page(0, 2)
    assert len(first.data) == 4096
    assert (second.start, second.data) == (30_000_001, b"after")


def test_events_in_words_and_raw_output(tmp_path, make_project):
    run = made(make_project())
    run.console.write_bytes(b"plain words\n\x1b]52;c;eA==\x07 hostile [/bold]\nTraceback of an error\n")

    async def script(driver):
        await driver.press("enter", "4")
        await driver.until("step 30     loss 0.1333")
        await driver.press("t")
        await driver.until("plain words")
        assert "\\x1b]52;c;eA==\\x07 hostile [/bold]" in driver.text
        await driver.press("e")
        await driver.until(lambda: "plain words" not in driver.text)
        assert "Traceback of an error" in driver.text

    session(tmp_path, script)


def test_the_log_of_a_run_that_got_a_deleted_ones_number_is_read_anew(tmp_path, make_project):
    folder = make_project()
    run = made(folder, steps=500)

    async def script(driver):
        await driver.press("enter", "4")
        await driver.until("step 500")
        await driver.press("home")  # where the end is not followed
        shutil.rmtree(run.path)
        again = made(folder, steps=600)
        assert again.path == run.path
        with again.events.open("a") as file:
            file.write('{"t":99.0,"attempt":1,"kind":"warning","step":null,"text":"of the new run"}\n')
        await driver.until("of the new run")
        assert "step 600" in driver.text
        assert "following" in driver.text

    session(tmp_path, script)


def test_a_step_is_gone_to_and_search_walks_both_ways(tmp_path, make_project):
    made(make_project(), steps=500)

    async def script(driver):
        await driver.press("enter", "4")
        await driver.until("step 500")
        await driver.press("slash", "x", "escape")  # out of the field, and not out of the project
        await driver.until(lambda: not driver.app.screen.pane.query_one("#search").display)
        await driver.press("slash", "backspace")
        await driver.type("loss")
        await driver.press("enter")
        view = driver.app.screen.pane.view
        await driver.until(lambda: view.mark is not None)
        driver.app.screen.step_at_cursor = 77
        await driver.press("at")
        await driver.until("found step 77")
        first = view.mark
        await driver.press("slash")
        await driver.type("loss")
        await driver.press("enter")
        await driver.until(lambda: view.mark != first)
        second = view.mark
        await driver.press("n")
        await driver.until(lambda: view.mark > second)

    session(tmp_path, script)


def test_y_copies_the_line_that_was_found_else_what_is_shown(tmp_path, make_project, own_folders):
    made(make_project(), steps=500)
    copied = own_folders / "state" / "ftstudio" / "copied.txt"

    async def script(driver):
        await driver.press("enter", "4")
        await driver.until("step 500")
        await driver.press("y")
        await driver.until(copied.exists)
        page = copied.read_text().splitlines()
        assert len(page) == driver.app.screen.pane.view.size.height
        driver.app.screen.step_at_cursor = 77
        await driver.press("at")
        await driver.until("step 77 ")
        await driver.press("y")
        await driver.until(lambda: len(copied.read_text().splitlines()) == 1)
        assert "step 77 " in copied.read_text()

    session(tmp_path, script)


def test_it_follows_the_end_until_somebody_looks_back(tmp_path, make_project):
    run = made(make_project(), "running")

    def more(number):
        with run.events.open("a") as file:
            file.write(
                json.dumps({"t": 99.0, "attempt": 1, "kind": "message", "step": None, "text": f"word {number}"}) + "\n"
            )

    async def script(driver):
        await driver.press("enter", "4")
        await driver.until("following")
        for number in range(60):
            more(number)
        await driver.until("word 59")
        await driver.press("pageup")
        await driver.until("paused")
        before = driver.text
        more(60)
        await driver.pilot.pause(1.5)
        assert "word 60" not in driver.text
        assert before.splitlines()[3] == driver.text.splitlines()[3]
        await driver.press("f")
        await driver.until("word 60")

    session(tmp_path, script)


def test_a_filter_begins_at_the_end_and_finds_what_a_plain_look_would(tmp_path, monkeypatch):
    path, pattern = tmp_path / "log", re.compile(rb"needle")
    lines = [f"line {i} {'needle' if i % 7 == 5 else 'hay' * (i % 50)}".encode() for i in range(20_000)]
    lines[700] = b"needle at the beginning of a long line " + b"x" * 300_000
    path.write_bytes(b"\n".join(lines) + b"\nan unfinished needle")
    starts = [0]
    for one in lines:
        starts.append(starts[-1] + len(one) + 1)
    places = [start for start, one in zip(starts, lines, strict=False) if b"needle" in one]
    found = LogFilter(LogFile(path), pattern)
    moved, more = found.advance(0.0)
    assert (moved, more) == (0, True)
    while not found.found:
        found.advance(0.0001)
    assert found.found[-1] == places[-1]
    while more:
        _, more = found.advance(0.01)
    assert found.found == places
    assert found.advance(1.0) == (0, False), "the unfinished line is waited for, not asked for again"
    with path.open("ab") as file:
        file.write(b" and its end\nhay\n")
    assert found.advance(1.0) == (0, False)
    assert found.found == [*places, starts[-1]]

    monkeypatch.setattr(log_filter, "MOST_FOUND", 100)
    few = LogFilter(LogFile(path), pattern)
    while few.advance(0.01)[1]:
        pass
    assert few.found == found.found[-100:]
    assert few.note == "the last 100 of them"
    with path.open("ab") as file:
        file.write(b"one more needle\n")
    assert few.advance(1.0) == (-1, False)
    assert few.found == [*found.found[-99:], path.stat().st_size - len(b"one more needle\n")]


def test_search_looks_through_what_is_shown(tmp_path, make_project):
    made(make_project(), steps=500)

    async def seek(driver, text):
        await driver.press("slash", "home", "ctrl+k")
        await driver.type(text)
        await driver.press("enter")

    async def script(driver):
        await driver.press("enter", "4")
        await driver.until("step 500")
        await seek(driver, "step 7 ")
        await driver.until("found step 7")
        await driver.until("step 7  ")
        view = driver.app.screen.pane.view
        (line,) = view.marked
        assert b'"step":7,' in line.data
        view.mark = None
        view.action_follow()
        for hidden in ("progress", "attempt"):
            await seek(driver, hidden)
            await driver.until(f"no earlier {hidden}")
        await driver.press("e")  # only the warning is left
        await driver.until("errors only")
        await seek(driver, "step 7 ")
        await driver.until("no earlier step 7")
        assert view.mark is None

    session(tmp_path, script)


def test_a_step_is_found_wherever_one_is_and_is_forgotten_with_the_cursor(tmp_path, make_project):
    made(make_project(), steps=500)

    async def script(driver):
        await driver.press("enter", "4")
        await driver.until("step 500")
        screen = driver.app.screen
        screen.step_at_cursor = 77
        await driver.press("at")
        await driver.until("found step 77")
        screen.step_at_cursor = 405
        await driver.press("at")
        await driver.until("found step 405")
        screen.step_at_cursor = 1405
        await driver.press("at")
        await driver.until("no step 1405")
        await driver.press("3")
        await driver.until(lambda: "loss" in screen.pane._charts)
        screen.pane._charts["loss"].focus()
        await driver.press("left")
        await driver.until(lambda: screen.step_at_cursor == 500)
        await driver.press("0")
        await driver.until(lambda: screen.step_at_cursor is None)

    session(tmp_path, script)


def test_where_no_line_is_shown_it_says_why_and_what_comes_next(tmp_path, make_project):
    folder = make_project()
    run = made(folder)
    run.events.write_text('{"t":1.0,"attempt":1,"kind":"message","step":null,"text":"all is well"}\n')

    async def script(driver):
        await driver.press("enter", "4")
        await driver.until("all is well")
        await driver.press("e")
        await driver.until("No line is an error. e shows all lines.")
        await driver.press("e", "t")
        await driver.until("The run printed nothing. t turns to the other file.")

    session(tmp_path, script)
    run.events.write_text("")
    write_toml(run.state, {"state": "queued", "attempt": 1, "host": "gpu03", "boot_id": "b"})

    async def queued(driver):
        driver.app.open_project(folder.resolve(), "logs")
        await driver.until("Nothing yet: the run is queued. What it reports comes here.")

    session(tmp_path, queued)


def test_help_says_what_the_lines_are(tmp_path, make_project):
    made(make_project())

    async def script(driver):
        await driver.press("enter", "4")
        await driver.until("step 30 ")
        await driver.press("question_mark")
        await driver.until("events.jsonl is what the run reported")
        await driver.press("escape", "t", "question_mark")
        await driver.until("console.log is what the run printed")

    session(tmp_path, script)


def test_an_expression_that_would_take_for_ever_is_given_up_with_a_sentence(tmp_path, make_project):
    run = made(make_project())
    run.console.write_bytes(b"a" * 60 + b"b\n")

    async def script(driver):
        await driver.press("enter", "4", "t")
        await driver.until("aaab")
        for typed in ("(a+)+$", "(a|a)*$"):
            await driver.press("slash", *["backspace"] * 9)
            await driver.type(typed)
            await driver.press("enter")
            await driver.until("takes too long")
            await driver.press("escape")
        for typed in ("a{99999999999}", "(" * 2000):
            await driver.press("slash")
            driver.app.screen.pane.query_one("#search").value = typed
            await driver.press("enter")
            await driver.until("Mend it")
            await driver.press("escape")
        await driver.press("slash")
        driver.app.screen.pane.query_one("#search").value = "a+b"
        await driver.press("enter")
        await driver.until("found a+b")

    session(tmp_path, script)


def test_an_expression_that_takes_long_of_an_event_in_words_is_given_up_too(tmp_path, make_project):
    run = made(make_project())
    run.events.write_text(
        json.dumps({"t": 1.0, "attempt": 1, "kind": "message", "step": None, "text": "a" * 60 + "b"}) + "\n"
    )

    async def script(driver):
        await driver.press("enter", "4")
        await driver.until("aaab")
        await driver.press("slash")
        await driver.type("(a+)+$")
        await driver.press("enter")
        await driver.until("takes too long")

    session(tmp_path, script)


def test_a_slow_search_leaves_room_for_keys_and_ends_with_esc_an_empty_one_another_file_or_pane(
    tmp_path, make_project, monkeypatch
):
    run = made(make_project())
    run.console.write_bytes(b"aaaaaaaaaaaab plain words of a run\n" * 60_000)

    async def script(driver):
        await driver.press("enter", "4", "t")
        await driver.until("plain words")
        view = driver.app.screen.pane.view

        async def slow():
            await driver.press("slash", "home", "ctrl+k")
            await driver.type("(a+)+c|progress")
            await driver.press("enter")
            await driver.until("searching, esc ends it")

        pauses, set_timer = [], view.set_timer
        monkeypatch.setattr(view, "set_timer", lambda delay, then: (pauses.append(delay), set_timer(delay, then)))
        await slow()
        await driver.press("question_mark")
        await driver.until("console.log is what the run printed")
        assert view.searching
        assert max(pauses) > log_view.SLOW_SECONDS
        await driver.press("escape", "escape")
        assert not view.searching
        assert "ends it" not in driver.text
        await slow()
        await driver.press("slash", "home", "ctrl+k", "enter")
        assert not view.searching
        await slow()
        await driver.press("t")
        assert not view.searching
        assert "following" in driver.text
        await driver.press("t")
        await slow()
        await driver.press("3")
        assert not view.searching
        await driver.press("4")
        monkeypatch.setattr(log_view, "MOST_SLOW_SECONDS", 0.2)
        await slow()
        await driver.until("takes too long in this file")

    session(tmp_path, script)


def test_a_search_over_a_line_of_many_megabytes_holds_its_beginning_and_its_last_state(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"before\nfirst\r" + b"%7d of many\r" % 7 * 2_000_000 + b"the last\nafter\n")
    log = LogFile(path)
    tracemalloc.start()
    for forward, start in ((True, 0), (False, log.size)):
        for word, place in ((b"first", 7), (b"the last", 7), (b"nothing", None), (b"before", 0)):
            hits = [x for x in log.search(re.compile(word), start, forward=forward) if x is not None]
            assert hits == ([] if place is None else [place])
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
