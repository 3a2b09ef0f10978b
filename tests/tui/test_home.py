"""Home shows what the files say, in place, and leaves on q."""

import contextlib
import json
import re
import shutil
import time
from pathlib import Path

import pytest
from studio import session
from textual.events import Paste

from ftstudio.files import write_toml
from ftstudio.locks import RecordLock
from ftstudio.project import load
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.notes import write_note
from ftstudio.runs.record import create_run
from ftstudio.runs.status import GLYPHS, Status
from ftstudio.tui import app, run_help, words
from ftstudio.tui.app import IDLE_SECONDS, LOOK_SECONDS
from ftstudio.tui.look import Look
from ftstudio.tui.memory import Memory
from ftstudio.tui.since import since_before
from ftstudio.tui.watch import Found
from ftstudio.tui.widgets.still import Still

pytestmark = pytest.mark.usefixtures("fakes")


async def read(driver):
    return driver.text


def made(folder, state, **values):
    """A run that ended, from the files that a supervisor would leave."""
    run = create_run(load(folder), ["test"])
    write_toml(run.state, {"state": state, "attempt": 1, "host": "gpu03", "boot_id": "b", **values})
    run.events.write_text(
        '{"t":1.0,"attempt":1,"kind":"progress","step":null,"done":7,"total":10,"unit":"step"}\n'
        '{"t":2.0,"attempt":1,"kind":"metrics","step":7,"metrics":{"loss":2.5}}\n'
    )
    return run


def test_an_empty_folder_says_the_next_steps(tmp_path):
    text = session(tmp_path, read)
    assert "No projects here yet." in text
    assert "n   a new project" in text
    assert "t   the tutorial" in text


def test_the_next_steps_name_keys_that_were_bound_anew(tmp_path, settings_file):
    settings_file('[keymap]\n"project.new" = "f7"')
    text = session(tmp_path, read)
    assert "f7   a new project" in text
    assert " n   a new" not in text


def test_files_are_looked_at_half_as_often_where_nobody_touches_anything(tmp_path):
    async def script(driver):
        app = driver.app
        app.touched = time.monotonic() - IDLE_SECONDS - 1
        assert app.seconds_until_look() == 2 * LOOK_SECONDS
        await driver.press("down")
        assert app.seconds_until_look() == LOOK_SECONDS

    session(tmp_path, script)


def test_projects_without_runs_are_named(tmp_path, make_project):
    make_project("poems")
    text = session(tmp_path, read)
    assert "No runs yet. Projects here:" in text
    assert "poems" in text


def test_enter_without_a_run_opens_the_only_project_and_asks_where_there_are_several(tmp_path, make_project):
    make_project("poems")

    async def script(driver):
        await driver.press("enter")
        await driver.until("1 Setup")

    session(tmp_path, script)
    make_project("tales")

    async def several(driver):
        driver.app.open_home()
        await driver.until("Projects here:")
        await driver.press("enter")
        await driver.until("enter take")
        await driver.press("enter")
        await driver.until("1 Setup")

    session(tmp_path, several)


def test_runs_are_listed_with_state_figures_and_reason(tmp_path, make_project):
    folder = make_project()
    made(folder, "finished")
    made(folder, "failed", reason="The loss is nan at step 6.")
    text = session(tmp_path, read)
    assert "✓ lab:0001" in text
    assert "7/10  loss 2.5" in text
    assert "✗ lab:0002" in text
    assert "The loss is nan at step 6" in text


def test_the_cursor_stays_on_its_run_when_others_come(tmp_path, make_project):
    folder = make_project()
    first = made(folder, "finished")

    async def script(driver):
        await driver.until("lab:0001")
        second = made(folder, "running")
        await driver.until("lab:0002")
        lines = driver.app.screen.query_one("#runs")
        assert lines.key == first.path
        assert lines.rows[0].key == second.path  # live first
        return True

    assert session(tmp_path, script)


def test_a_pinned_run_comes_before_other_ended_ones_and_says_so(tmp_path, make_project):
    folder = make_project()
    kept = made(folder, "finished")
    made(folder, "finished")
    write_note(kept, pinned=True)

    async def script(driver):
        await driver.until("ago  pinned")
        lines = [line for line in driver.text.splitlines() if "lab:" in line]
        assert "lab:0001" in lines[0]
        assert lines[0].endswith("  pinned")
        write_note(kept, pinned=False)
        await driver.until(lambda: "ago  pinned" not in driver.text)

    session(tmp_path, script)


def test_y_copies_the_name_of_the_run_as_commands_take_it(tmp_path, make_project, own_folders):
    made(make_project(), "finished")

    async def script(driver):
        await driver.press("y")
        await driver.until("Copied, and written to")

    session(tmp_path, script, size=(200, 36))
    assert (own_folders / "state" / "ftstudio" / "copied.txt").read_text() == "lab:0001"


def test_without_runs_only_keys_that_lead_on_are_offered(tmp_path):
    async def script(driver):
        keys = driver.text.splitlines()[-1]
        assert "n new" in keys
        assert "filter" not in keys
        assert "open" not in keys
        await driver.press("p")
        await driver.until("There is no project here yet")

    session(tmp_path, script)


def test_a_folder_whose_project_lost_its_file_says_what_brings_it_back(tmp_path, make_project):
    folder = make_project()
    run = made(folder, "finished")
    (folder / "project.toml").unlink()

    async def script(driver):
        await driver.until("has them: ftstudio show")
        assert "No projects here yet" not in driver.text
        said = "".join(driver.text.split())
        assert "hasruns,anditsproject.tomlisgone." in said
        assert f"ftstudioshow{run.path}>{folder}/project.toml" in said

    session(tmp_path, script)
    session(folder, script)


def test_the_folder_of_a_projects_runs_opens_the_project(tmp_path, make_project, monkeypatch):
    run, opened = made(make_project(), "finished"), []
    monkeypatch.setattr(app, "own_terminal", contextlib.nullcontext)
    monkeypatch.setattr(
        app.Studio, "run", lambda studio, mouse: opened.append((studio.root, studio.memory.shown_project()))
    )
    monkeypatch.chdir(run.path.parent)
    for folder in (run.path.parent, Path(), run.project):
        app.open_studio(folder)
    assert opened == [(tmp_path, run.project)] * 3


def test_a_filter_shows_only_lines_that_hold_it_and_esc_all_again(tmp_path, make_project):
    folder = make_project()
    made(folder, "finished")
    made(folder, "failed", reason="out of memory")

    async def script(driver):
        await driver.press("slash")
        await driver.type("memory")
        await driver.until(lambda: "lab:0001" not in driver.text)
        assert "lab:0002" in driver.text
        await driver.press("enter", "escape")
        await driver.until("lab:0001")
        write_note(RunFolder(folder / "runs" / "0001"), pinned=True)
        await driver.until("pinned")
        for what in ("pinned", "7/10  loss", "loss 2.5"):
            await driver.press("slash")
            await driver.type(what)
            assert "lab:0001" in driver.text
            assert ("lab:0002" in driver.text) == (what != "pinned")
            await driver.press("escape")

    session(tmp_path, script)


def test_what_ended_while_nobody_looked_comes_first(tmp_path, make_project):
    folder = make_project()
    Memory().put(seen={str(tmp_path.resolve()): 1.5})
    made(folder, "failed", reason="The loss is nan.")

    async def script(driver):
        await driver.until("While you were away")
        assert "lab:0001 failed: The loss is nan" in driver.text
        await driver.press("escape")
        await driver.until(lambda: "While you were away" not in driver.text)

    session(tmp_path, script, size=(120, 36))


def test_hostile_names_and_reasons_are_shown_escaped(tmp_path, make_project):
    folder = make_project()
    made(folder, "failed", reason="\x1b]52;c;eA==\x07 [/bold] \u202e \udc80 end".encode("utf-8", "replace").decode())
    text = session(tmp_path, read, size=(120, 36))
    assert "\x1b" not in text
    assert "\\x1b]52;c;eA==\\x07 [/bold] \\u202e" in text


@pytest.mark.parametrize("look", [Look(), Look(ascii=True)])
def test_what_was_marked_has_a_sign_that_no_state_has(look):
    assert look.mark not in {look.state(state)[0] for state in GLYPHS}


def test_in_ascii_nothing_else_is_shown(tmp_path, make_project):
    folder = make_project()
    made(folder, "finished")
    text = session(tmp_path, read, ascii=True)
    assert text.isascii()
    assert "+ lab:0001" in text


@pytest.mark.parametrize("size", [(80, 24), (20, 5), (1, 1), (200, 60)])
def test_it_opens_at_any_size(tmp_path, make_project, size):
    made(make_project(), "finished")
    text = session(tmp_path, read, size=size)
    if size[0] >= 80:
        assert "lab:0001" in text


def test_too_small_a_terminal_is_told(tmp_path):
    assert "too small" in session(tmp_path, read, size=(50, 12)).replace("\n", " ")


def test_q_leaves_and_says_how_to_come_back(tmp_path, make_project):
    made(make_project(), "running")

    async def script(driver):
        await driver.press("q")
        assert not driver.app.is_running
        return driver.app.leave_words()

    assert session(tmp_path, script) == f"1 run goes on. Come back with: ftstudio {tmp_path}"


def test_readonly_says_why_nothing_is_written(tmp_path, make_project):
    async def script(driver):
        screen = driver.app.screen
        (new,) = [a for a in screen.offered() if a.id == "home.mark"]
        assert screen.why_off(new) == ""
        return True

    made(make_project(), "finished")
    assert session(tmp_path, script, readonly=True)


def test_readonly_names_no_key_that_would_make_or_start_something(tmp_path, make_project):
    async def empty(driver):
        assert "The studio was opened with --readonly." in driver.text
        assert "a new project" not in driver.text
        await driver.press("p")
        await driver.until("There is no project here yet. The studio was opened with --readonly.")

    async def without_runs(driver):
        assert "or p  opens one" in driver.text
        assert "starts a run" not in driver.text
        await driver.press("enter", "enter")
        for pane, where in (("3", "No run yet."), ("4", "No run yet."), ("6", "no run yet."), ("7", "no run yet.")):
            await driver.press(pane)
            await driver.until(where)
            await driver.until("The studio was opened with --readonly.")
            assert "starts one" not in driver.text

    session(tmp_path, empty, readonly=True)
    make_project("aaa")
    session(tmp_path, without_runs, readonly=True)


def test_live_runs_keep_their_order_whoever_spoke_last(tmp_path, make_project):
    first, second = made(make_project("aaa"), "running"), made(make_project("bbb"), "running")

    async def script(driver):
        await driver.until("bbb:0001")
        for number, run in enumerate([second, first, second], start=3):
            with run.events.open("a") as file:
                file.write(
                    f'{{"t":{number}.0,"attempt":1,"kind":"metrics","step":9,"metrics":{{"loss":1.{number}}}}}\n'
                )
            await driver.until(f"loss 1.{number}")
            assert [row.key for row in driver.app.screen.query_one("#runs").rows] == [first.path, second.path]

    session(tmp_path, script)


def test_of_a_thousand_runs_only_those_in_sight_are_put_into_words(tmp_path, make_project, monkeypatch):
    folder, asked = make_project(), []
    for _ in range(60):
        made(folder, "finished")
    said = words._run_line
    monkeypatch.setattr(words, "_run_line", lambda status, **more: asked.append(status.run) or said(status, **more))

    async def script(driver):
        await driver.until("7/10")
        return set(asked)

    assert len(session(tmp_path, script)) < 30


def test_what_says_the_same_is_not_painted_again(tmp_path, make_project):
    made(make_project(), "finished")

    async def script(driver):
        app, screen = driver.app, driver.app.screen
        await driver.until("7/10")
        updates, layouts = [], []
        screen.screen_layout_refresh_signal.subscribe(screen, layouts.append)
        for widget in screen.query(Still):
            paint = widget.refresh
            widget.refresh = lambda *a, paint=paint, **k: updates.append(a) or paint(*a, **k)
        app.found = app.watcher.look().found
        screen.draw()
        await driver.pilot.pause(0.2)
        assert not updates
        assert not layouts
        screen.query_one("#title", Still).update("another title")
        await driver.until("another title")
        assert not layouts, "a line of its own has its room"

    session(tmp_path, script)


def test_the_run_under_the_cursor_is_stopped_from_home(tmp_path, make_project):
    folder = make_project()
    done, live = made(folder, "finished"), made(folder, "running")
    lock = RecordLock(live.lock)
    assert lock.acquire()

    async def script(driver):
        await driver.until("lab:0002")
        driver.app.screen.query_one("#runs").put_cursor(done.path)
        await driver.until(lambda: "X stop" not in driver.text)
        await driver.press("X")
        await driver.until("The run is finished: there is nothing to ask of it.")
        driver.app.screen.query_one("#runs").put_cursor(live.path)
        await driver.until("X stop")
        await driver.press("X")
        await driver.until("lab:0002: It will finish its step, commit a checkpoint and stop.")

    session(tmp_path, script)
    lock.release()
    assert [p.name for p in live.control.iterdir()] == ["stop"]
    assert not done.control.exists() or not list(done.control.iterdir())


def test_a_run_is_started_and_forked_from_home(tmp_path, make_project):
    folder = make_project("poems")
    make_project("songs")

    async def script(driver):
        await driver.press("S")
        await driver.until("Start a run of")
        await driver.until("songs  no runs")
        await driver.press("enter")
        await driver.until("Start a run of poems")
        await driver.press("escape")
        made(folder, "finished")
        await driver.until("poems:0001")
        await driver.press("S")
        await driver.until("Start a run of poems")
        await driver.press("escape", "F")
        await driver.until("Fork poems:0001")

    session(tmp_path, script)


def test_a_run_that_was_watched_ending_did_not_end_while_nobody_looked(tmp_path, make_project):
    folder = make_project()
    Memory().put(seen={str(tmp_path.resolve()): 1.5})
    watched = made(folder, "running")
    lock = RecordLock(watched.lock)
    assert lock.acquire()

    async def first(driver):
        driver.app.open_project(folder.resolve(), "setup")  # Home tells nothing meanwhile
        await driver.until("run 0001 ● 7/10")
        write_toml(watched.state, {"state": "finished", "attempt": 1, "host": "gpu03", "boot_id": "b"})
        await driver.until("run 0001 ✓")

    async def second(driver):
        await driver.until("While you were away")
        assert "lab:0002 finished" in driver.text
        assert "lab:0001 finished" not in next(line for line in driver.text.splitlines() if "While you" in line)

    Memory().put(seen={str(tmp_path.resolve()): 1.5})
    session(tmp_path, first)
    lock.release()
    Memory().put(seen={str(tmp_path.resolve()): 1.5}, project="")
    made(folder, "finished")
    session(tmp_path, second, size=(120, 36))
    assert not Memory().get("watched", dict, None)


def test_beside_the_list_stands_the_same_age_as_in_it(tmp_path, make_project, monkeypatch):
    made(make_project(), "finished")
    ages = []
    monkeypatch.setattr(words, "ago", lambda t: f"{len(ages)} d ago")

    async def script(driver):
        await driver.until("lab:0001")
        for _ in range(2):
            ages.append(1)
            await driver.until(lambda: driver.text.count(f"{len(ages)} d ago") == 2)

    session(tmp_path, script, size=(120, 36))


def test_what_was_said_shows_its_beginning_and_its_end_until_the_next_key(tmp_path, make_project):
    made(make_project(), "finished")
    path = "/" + "/".join(f"folder{number}" for number in range(16)) + "/end.csv"

    async def script(driver):
        await driver.until("lab:0001")
        driver.app.say(f"Written: {path}")
        await driver.until("folder15/end.csv")
        line = driver.text.splitlines()[-1]
        assert line.startswith(" Written: /folder0/")
        assert len(line) == 79
        await driver.press("down")
        await driver.until("enter open")
        assert len(driver.text.splitlines()) == 24

    session(tmp_path, script)


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
def test_a_long_name_gives_way_before_the_time_of_its_run_does(tmp_path, make_project, size, monkeypatch):
    made(make_project("a-project-with-a-name-that-is-long"), "finished")
    monkeypatch.setattr(words, "ago", lambda t: "2 min ago")
    text = session(tmp_path, read, size)
    line = next(line for line in text.splitlines() if "a-project" in line)
    assert "2 min ago" in line[: 74 if size[0] > 80 else 80]
    assert "7/10  loss 2.5" in line


def test_leaving_does_not_wait_for_the_next_look_at_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr("ftstudio.tui.app.LOOK_SECONDS", 30.0)

    async def script(driver):
        return time.monotonic()

    left = session(tmp_path, script)
    assert time.monotonic() - left < 10


# ------------------------------------------------------------------------- the run under the cursor, the projects


def two_runs(folder):
    """Two ended runs of which the second was made with other settings."""
    for overrides in ((), ("trainer.max_steps=25", "seed=7")):
        run = create_run(load(folder, overrides), ["test"])
        write_toml(run.state, {"state": "finished", "attempt": 1, "host": "gpu03", "boot_id": "b"})
    return run


def test_beside_the_list_stands_what_changed_since_the_run_before(tmp_path, make_project):
    run = two_runs(make_project())

    async def script(driver):
        driver.app.screen.query_one("#runs").put_cursor(run.path)
        await driver.until("Changed since 0001: seed 42 → 7,")
        assert "10 → 25." in driver.text
        await driver.press("home")
        await driver.until(lambda: "Changed since" not in driver.text)  # of the first there is none before

    session(tmp_path, script, size=(120, 36))


def test_help_on_a_run_says_how_it_stands_what_to_do_and_what_changed(tmp_path, make_project):
    folder = make_project()
    two_runs(folder)
    made(folder, "failed", reason="The loss is nan at step 6.")

    async def script(driver):
        for run, expected in (
            (
                3,
                "lab:0003 failed .* ago: step 7 of 10, loss 2.5, The loss is nan at step 6. enter shows how far it came",
            ),
            (3, "Changed since 0002: seed 7 → 42, max_steps 25 → 10."),
            (2, "lab:0002 finished. Its model lies in final/ of its folder"),
            (2, "Changed since 0001: seed 42 → 7, max_steps 10 → 25."),
        ):
            driver.app.screen.query_one("#runs").put_cursor((folder / "runs" / f"000{run}").resolve())
            await driver.press("question_mark")
            await driver.until("Help")
            said = " ".join(re.sub("[│▁-█]", " ", driver.text).split())
            assert re.search(expected, said), said
            await driver.press("escape")

    session(tmp_path, script)


def test_the_run_before_is_the_next_older_one_that_is_there(tmp_path):
    runs = [tmp_path / "lab" / "runs" / name for name in ("0001", "0004", "0005", "9" * 30)]
    others = [tmp_path / "other" / "runs" / "0003"]
    statuses = {
        path: Status(project=path.parts[-3], run=path.name, path=path, state="finished", reason="", attempt=1,
                     host="here", device="cpu")
        for path in [*runs, *others]
    }  # fmt: skip
    found = Found(statuses=statuses)
    assert [found.before(run) for run in runs] == [None, *runs[:3]]
    assert found.before(others[0]) is None


@pytest.mark.parametrize("state", run_help.NEXT)
def test_every_state_is_two_sentences(state):
    status = Status(project="lab", run="0001", path=Path("lab/runs/0001"), state=state, reason="", attempt=1,
                    host="here", device="cpu", step=3, total_steps=9, metrics={"loss": 2.0})  # fmt: skip
    said = run_help.explained(status, None, {})
    assert "{" not in said
    assert ("f5" in run_help.explained(status, None, {"run.resume": "f5"})) == ("R goes on" in said)
    assert said.startswith("lab:0001 ")
    assert said.count(". ") == 1
    keys = {name: f"<{name}>" for name in ("run.stop", "run.checkpoint", "run.resume", "run.fork")}
    looked = run_help.explained(status, None, keys, readonly=True)
    assert looked.endswith(".")
    assert not [key for key in keys.values() if key in looked]
    assert said.endswith(".")


def test_settings_that_are_long_or_lists_are_told_in_a_line(tmp_path, make_project):
    folder = make_project(dataset={"texts": ["a", "b"]})
    runs = [create_run(load(folder), ["test"])]
    more = [f"dataset.texts={['x' * 99] * 3}", "trainer.max_steps=1", "trainer.save_steps=1", "seed=7"]
    runs.append(create_run(load(folder, more), ["test"]))
    runs.append(create_run(load(folder, [f"dataset.texts={['y' * 99] * 3}"]), ["test"]))
    assert since_before(*runs[:2]) == (
        "Changed since 0001: seed 42 → 7, texts 2 items → 3 items, max_steps 10 → 1, and 1 more."
    )
    assert since_before(runs[0], runs[0]) == "Set as 0001 was."
    assert "texts, max_steps 1 → 10" in since_before(*runs[1:])
    runs[0].record.unlink()
    assert since_before(*runs[:2]) == ""


def test_a_wide_terminal_has_the_projects_beside_the_runs(tmp_path, make_project):
    folder, other = make_project("poems"), make_project("songs")
    make_project("tales")
    live = made(folder, "running")
    made(other, "finished")
    lock = RecordLock(live.lock)
    assert lock.acquire()

    def column(driver):
        return [re.split("[▏▕]", line)[0].split() for line in driver.text.splitlines()[1:6]]

    async def script(driver):
        await driver.until("Runs of all projects")
        assert column(driver) == [["Projects"], ["▸", "all"], ["poems", "1", "●"], ["songs"], ["tales"]]
        await driver.press("p", "down", "down")
        await driver.until("Runs of songs")
        assert "▸ songs" in driver.text
        assert "poems:0001" not in driver.text
        await driver.press("down")
        await driver.until("No run of tales yet.")
        await driver.press("S")
        await driver.until("Start a run of tales")
        await driver.press("escape", "up")
        await driver.until("songs:0001")
        await driver.press("escape")  # back to the runs of the one project
        assert driver.app.screen.focused is driver.app.screen.runs
        await driver.press("escape")
        await driver.until("Runs of all projects")
        assert "▸ all" in driver.text
        await driver.press("p", "end", "enter")
        await driver.until("1 Setup")
        assert driver.app.screen.project.name == "tales"

    session(tmp_path, script, size=(200, 60))
    lock.release()


def test_in_the_projects_space_marks_no_run_and_says_why(tmp_path, make_project):
    made(make_project("aaa"), "finished")
    run = made(make_project("bbb"), "finished")

    async def script(driver):
        await driver.until("Runs of all projects")
        assert "space mark" in driver.text.splitlines()[-1]
        await driver.press("p", "down", "down")
        await driver.until("Runs of bbb")
        assert "space mark" not in driver.text.splitlines()[-1]
        await driver.press("space")
        await driver.until("Runs are marked, not projects: p goes to the runs.")
        assert not driver.app.screen.marked
        await driver.press("p", "space")
        await driver.until(lambda: driver.app.screen.marked == {run.path})

    session(tmp_path, script, size=(160, 40))


@pytest.mark.parametrize("readonly", [False, True])
def test_p_at_a_project_without_a_run_says_that_there_is_none_to_go_to(tmp_path, make_project, readonly):
    made(make_project("aaa"), "finished")
    make_project("bbb")

    async def script(driver):
        await driver.press("p", "down", "down")
        await driver.until("No run of bbb yet.")
        await driver.press("p")
        way = "The studio was opened with --readonly." if readonly else "S starts one."
        await driver.until(f"bbb has no run yet. {way}")
        assert ("S starts one, enter opens" in driver.text) is not readonly
        await driver.press("up", "p")
        await driver.until(lambda: driver.app.focused is driver.app.screen.runs)

    session(tmp_path, script, size=(160, 40), readonly=readonly)


def test_projects_to_choose_from_say_how_many_runs_they_have(tmp_path, make_project):
    made(make_project("aaa"), "finished")
    make_project("bbb")

    async def script(driver):
        await driver.press("p")
        await driver.until("aaa  1 run ")
        assert "1 runs" not in driver.text
        assert "bbb  no runs" in driver.text

    session(tmp_path, script)


def test_a_narrower_terminal_has_no_projects_and_none_can_be_gone_to(tmp_path, make_project):
    made(make_project("poems"), "finished")
    make_project("songs")

    async def script(driver):
        await driver.until("poems:0001")
        await driver.press("tab")
        assert "Runs of all" not in driver.text
        assert driver.app.screen.focused is driver.app.screen.runs
        await driver.press("p")
        await driver.until("enter take")

    session(tmp_path, script, size=(149, 36))


def test_the_projects_lose_the_focus_with_their_place(tmp_path, make_project):
    made(make_project("poems"), "finished")
    make_project("songs")

    async def script(driver):
        await driver.until("Runs of all projects")
        await driver.press("p")
        await driver.pilot.resize_terminal(100, 30)
        await driver.until(lambda: driver.app.screen.focused is driver.app.screen.runs)

    session(tmp_path, script, size=(200, 60))


def logged(run, *losses, attempt=1, resumed=None):
    """Append (step, loss) of an attempt to a run's events."""
    lines = [{"t": 3.0, "attempt": attempt, "kind": "metrics", "step": s, "metrics": {"loss": v}} for s, v in losses]
    if resumed is not None:
        state = {"t": 3.0, "attempt": attempt, "kind": "state", "step": None, "state": "running"}
        lines.insert(0, {**state, "resumed_from": resumed})
    with run.events.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def test_the_loss_beside_the_list_is_what_no_resume_hid(tmp_path, make_project):
    run = made(make_project(), "finished")
    logged(run, (8, 2.25), (9, 99.0), (10, 88.0))
    logged(run, attempt=2, resumed=8)

    async def script(driver):
        await driver.until("loss 2.5 to 2.25")
        assert ", steps" not in driver.text  # all of it was read

    session(tmp_path, script, size=(120, 36))


def test_of_a_long_run_it_says_of_which_steps_the_loss_is(tmp_path, make_project):
    run = made(make_project(), "finished")
    logged(run, *((step, 9.0 - step / 1000) for step in range(8, 4001)))

    async def script(driver):
        await driver.until(lambda: re.search(r"loss \S+ to 5, steps \S+ to 4,000", driver.text))
        low, first = re.search(r"loss (\S+) to 5, steps (\S+) to 4,000", driver.text).groups()
        assert float(low) == pytest.approx(9.0 - int(first.replace(",", "")) / 1000, abs=1e-3)

    session(tmp_path, script, size=(120, 36))


def test_what_changed_is_told_of_the_run_that_is_there_not_of_a_deleted_one_by_its_number(tmp_path, make_project):
    folder = make_project()
    run = two_runs(folder)

    async def script(driver):
        driver.app.screen.query_one("#runs").put_cursor(run.path)
        await driver.until("10 → 25.")
        shutil.rmtree(run.path)
        again = create_run(load(folder, ["trainer.max_steps=77"]), ["test"])
        write_toml(again.state, {"state": "finished", "attempt": 1, "host": "gpu03", "boot_id": "b"})
        assert again.path == run.path
        driver.app.screen.query_one("#runs").put_cursor(run.path)
        await driver.until("10 → 77.")
        assert "10 → 25." not in driver.text

    session(tmp_path, script, size=(120, 36))


@pytest.mark.parametrize(
    ("step", "phase", "words_"),
    [(None, "loading the data", "loading the data"), (1_240_000, "", "1,240,000/5,000,000")],
)
def test_state_and_progress_never_run_together(step, phase, words_):
    status = Status(
        project="lab", run="0001", path=Path("lab/runs/0001"), state="running", reason="", attempt=1, host="here",
        device="cpu", step=step, total_steps=5_000_000, metrics={}, eta_s=None, last_event_t=None, phase=phase,
    )  # fmt: skip
    (row,) = words.run_rows([status], Found(), Look())
    assert f"running  {words_}  " in row.text.plain


@pytest.mark.parametrize("keys", [("S", "enter"), ("n", "x"), ("colon",)])
def test_where_a_terminal_is_too_small_no_key_acts(tmp_path, make_project, keys):
    folder = make_project()
    made(folder, "running")
    before = sorted(folder.rglob("*"))

    async def script(driver):
        await driver.until("too small")
        await driver.press(*keys)
        assert len(driver.app.screen_stack) == 1
        await driver.pilot.resize_terminal(80, 24)
        await driver.until("lab:0001")
        assert "too small" not in driver.text

    session(tmp_path, script, size=(40, 12))
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(("bound", "key"), [("ctrl+x", "ctrl+x"), ("", "ctrl+q")])
def test_a_terminal_that_is_too_small_from_the_first_names_the_key_that_leaves(tmp_path, settings_file, bound, key):
    settings_file(f'[keymap]\nleave = "{bound}"')

    async def script(driver):
        await driver.until(f"{key} leaves")
        await driver.press("q")
        assert driver.app.is_running
        await driver.press(key)
        await driver.until(lambda: not driver.app.is_running)

    session(tmp_path, script, size=(59, 16))


def test_a_dialog_in_a_terminal_that_became_too_small_waits_and_q_leaves(tmp_path, make_project):
    make_project()

    async def script(driver):
        await driver.press("colon")
        await driver.until("Search for commands")
        await driver.pilot.resize_terminal(40, 12)
        await driver.until("too small")
        assert "Search" not in driver.text
        await driver.pilot.resize_terminal(80, 24)
        await driver.until("Search for commands")
        await driver.press("escape", "n")
        await driver.until("New project")
        await driver.type("mi")
        await driver.pilot.resize_terminal(40, 12)
        await driver.until("too small")
        assert "New project" not in driver.text
        await driver.press("x", "enter")
        driver.app.post_message(Paste("lost"))
        await driver.pilot.click(offset=(20, 6))
        await driver.pilot.resize_terminal(80, 24)
        await driver.until("New project")
        await driver.type("ne")
        assert driver.app.screen.query_one("#name").value == "mine"
        await driver.pilot.resize_terminal(59, 24)
        await driver.until("q leaves")
        await driver.press("q")
        assert not driver.app.is_running

    session(tmp_path, script)


def test_a_stopped_run_shows_how_far_it_came_and_projects_without_runs_stand_below(tmp_path, make_project):
    made(make_project(), "stopped", reason="Stopped at step 7: asked.")
    make_project("other")

    async def script(driver):
        await driver.until("7/10  loss 2.5")
        assert "No run yet in other: p opens one." in driver.text

    session(tmp_path, script)


@pytest.mark.parametrize(
    ("number", "digits", "said"), [(1234.5, 3, "1,234"), (999.7, 3, "1,000"), (9999.9, 4, "10,000"), (0.5, 4, "0.5")]
)
def test_a_figure_of_many_digits_has_no_exponent(number, digits, said):
    assert words.value(number, digits) == said
