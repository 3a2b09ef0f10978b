"""Setup shows any component's options, writes them at once, and says what they mean and what is wrong with them."""

import asyncio
import contextlib
import errno
import shutil

import pytest
from hand_made import made
from studio import opened, session
from textual import events

from ftstudio.api import Plan
from ftstudio.plan import Outlook
from ftstudio.project import load
from ftstudio.runs.record import create_run, frozen_project
from ftstudio.tui.form import as_frozen, sections
from ftstudio.tui.look import Look
from ftstudio.tui.since import Since
from ftstudio.tui.widgets.aside import aside_text

pytestmark = pytest.mark.usefixtures("fakes")
TEXT = """# of mine
format = 1
seed = 7  # a number

[model]
use = "fake-model"
[dataset]
use = "fake-data"
[tokenizer]
use = "fake-bytes"
[trainer]
use = "fake-walk"
max_steps = 10 # ten
save_steps = 4
[generator]
use = "fake-echo"
prompts = ["Hello"]
"""


def at(folder, script, size=(120, 40), **manners):
    """Run a script on Setup of this project, once its meaning is known."""

    async def on_setup(driver):
        driver.app.open_project(folder.resolve(), "setup")
        await driver.until(lambda: driver.app.screen.query("SetupPane"))
        driver.pane = driver.app.screen.query_one("SetupPane")
        await driver.until(lambda: driver.pane.outlook is not None or driver.pane.error is not None)
        await driver.pilot.pause()
        return await script(driver)

    return session(folder.parent, on_setup, size=size, **manners)


def go(driver, key):
    driver.pane.lines.lines.put_cursor(key)


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "root" / "lab"
    folder.mkdir(parents=True)
    (folder / "project.toml").write_text(TEXT)
    return folder


def test_a_strangers_components_make_a_form_of_their_options(project):
    async def script(driver):
        assert "Trainer    fake-walk" in driver.text
        assert "a walk" in driver.text
        assert "* " not in next(line for line in driver.text.splitlines() if "max_steps" in line)  # 10 is the default
        assert "save_total_limit" in driver.text
        assert "in all" in driver.text
        assert "10 steps" in driver.text
        assert "it can start" in driver.text

    at(project, script)


def test_typing_changes_the_plan_before_anything_is_written_and_esc_leaves_it(project):
    async def script(driver):
        go(driver, "trainer.max_steps")
        await driver.press("enter", "backspace", "backspace")
        await driver.type("25")
        await driver.until("25 steps")
        assert (project / "project.toml").read_text() == TEXT
        await driver.press("escape")
        await driver.until(lambda: "25 steps" not in driver.text)
        assert (project / "project.toml").read_text() == TEXT
        assert driver.app.screen.query("SetupPane")  # Esc left the field, not the project

    at(project, script)


def test_enter_writes_the_one_value_and_keeps_comments_and_order(project):
    async def script(driver):
        go(driver, "trainer.max_steps")
        await driver.press("enter", "backspace", "backspace")
        await driver.type("25")
        await driver.press("enter")
        await driver.until("25 steps")
        await driver.until("default 10")

    at(project, script)
    assert (project / "project.toml").read_text() == TEXT.replace("max_steps = 10 #", "max_steps = 25 #")


def test_what_is_wrong_stands_below_the_field_at_each_keystroke_and_is_never_written(project):
    async def script(driver):
        go(driver, "trainer.max_steps")
        await driver.press("enter", "backspace", "backspace")
        await driver.type("ten")
        await driver.until("max_steps must be a whole number, not 'ten'")
        lines = driver.text.splitlines()
        row = next(i for i, line in enumerate(lines) if " max_steps " in line)
        assert "must be a whole number" in lines[row + 1]
        await driver.press("enter")
        assert driver.pane.lines.editing == "trainer.max_steps"
        await driver.press("backspace", "backspace", "backspace", "3")
        await driver.until("save_steps never fires")  # said by the component's own check, of what is typed

    at(project, script)
    assert (project / "project.toml").read_text() == TEXT


def test_what_is_wrong_with_the_lowest_row_is_seen_as_soon_as_it_is(project):
    async def script(driver):
        lines, key = driver.pane.lines.lines, "trainer.save_total_limit"
        assert lines.rows[lines.size.height - 1].key == key
        go(driver, key)
        assert lines.scroll_offset.y == 0
        await driver.press("enter", *"abc")
        await driver.until("save_total_limit must be a whole number")
        shown = driver.text.splitlines()
        row = next(i for i, line in enumerate(shown) if " save_total_limit " in line and "abc" in line)
        assert "must be a whole number" in shown[row + 1]

    at(project, script, size=(80, 16))


def test_f_goes_to_a_problem_and_its_fix(project):
    text = TEXT.replace("save_steps = 4", "save_steps = 400").replace('"fake-data"', '"fake-data"\nlimit = 3')
    (project / "project.toml").write_text(text)

    async def script(driver):
        lines = driver.pane.lines.lines
        assert lines.rows[lines.size.height - 1].key == "trainer.save_steps"
        await driver.press("f")
        await driver.until("f: save_steps = ")

    at(project, script, size=(80, 16))


def test_f_takes_the_fix_and_u_takes_it_back(project):
    (project / "project.toml").write_text(TEXT.replace("max_steps = 10", "max_steps = 3"))
    broken = (project / "project.toml").read_text()

    async def script(driver):
        await driver.until("f: save_steps = 1")
        await driver.press("f")  # goes to the one that has a fix
        assert driver.pane.lines.key == "trainer.save_steps"
        await driver.press("f")
        await driver.until(lambda: "never fires" not in driver.text)
        assert "save_steps = 1\n" in (project / "project.toml").read_text()
        await driver.press("u")
        await driver.until("never fires")
        assert (project / "project.toml").read_text() == broken
        await driver.press("u")
        await driver.until("Nothing was written here that can be undone.")

    at(project, script)


def test_f_is_offered_only_where_a_problem_has_a_fix(project):
    async def script(driver):
        assert "f fix" not in driver.text.splitlines()[-1]
        await driver.press("f")
        await driver.until("No problem here has a fix that can be taken.")
        (project / "project.toml").write_text(TEXT.replace("max_steps = 10", "max_steps = 3"))
        await driver.until("f: save_steps = 1")
        await driver.press("down")
        await driver.until(lambda: "f fix" in driver.text.splitlines()[-1])

    at(project, script, size=(160, 40))


def test_an_empty_field_and_d_take_the_option_out(project):
    async def script(driver):
        go(driver, "trainer.max_steps")
        await driver.press("enter", "backspace", "backspace", "enter")
        await driver.until(lambda: "max_steps" not in (project / "project.toml").read_text())
        go(driver, "trainer.save_steps")
        await driver.press("d")
        await driver.until(lambda: "save_steps" not in (project / "project.toml").read_text())

    at(project, script)


def test_a_switch_toggles_and_a_choice_is_picked(project):
    async def script(driver):
        go(driver, "tokenizer.masked")
        await driver.press("enter")
        await driver.until(lambda: "masked = true" in (project / "project.toml").read_text())
        go(driver, "dataset.behaviour")
        await driver.press("enter", "down", "enter")
        await driver.until(lambda: 'behaviour = "raise"' in (project / "project.toml").read_text())

    at(project, script)


def test_a_list_is_edited_on_lines_of_its_own(project):
    async def script(driver):
        go(driver, "generator.prompts")
        await driver.press("enter")
        await driver.until("one item a line")
        await driver.press("enter", "T", "w", "o", "ctrl+s")
        await driver.until(lambda: load(project).prompts == ("Hello", "Two"))

    at(project, script)


def test_a_list_that_is_not_set_begins_as_its_default_and_unchanged_is_not_written(project):
    async def script(driver):
        go(driver, "dataset.texts")
        await driver.press("enter")
        await driver.until("one item a line")
        await driver.press("ctrl+s")
        await driver.until(lambda: "one item a line" not in driver.text)
        assert (project / "project.toml").read_text() == TEXT
        await driver.press("enter")
        await driver.until("one item a line")
        await driver.press("X", "ctrl+s")
        await driver.until(lambda: "fourX" in (project / "project.toml").read_text())
        assert load(project).parts["dataset"].options.texts == ("one", "two", "three", "fourX")

    at(project, script)


def test_another_component_is_picked_by_its_summary_and_brings_its_own_options(project):
    (project / "project.toml").write_text(TEXT.replace('"fake-bytes"', '"fake-bytes"\nmasked = true # once'))

    async def script(driver):
        go(driver, "tokenizer.use")
        await driver.press("enter")
        await driver.until("enter take")
        assert "bytes" in driver.text
        names = [row.key for row in driver.app.screen.query_one("Lines").rows]
        await driver.press("home", *["down"] * names.index("pretrained"), "enter")
        await driver.until("truncation")
        table = load(project).source.table["tokenizer"]
        assert table == {"use": "pretrained"}
        await driver.until("masked: taken out")
        await driver.press("u")
        await driver.until(lambda: load(project).source.table["tokenizer"] == {"use": "fake-bytes", "masked": True})
        assert "# once" in (project / "project.toml").read_text()

    at(project, script)


def test_a_lost_update_is_refused_and_the_difference_is_shown(project):
    theirs = TEXT.replace("seed = 7", "seed = 8")

    async def script(driver):
        go(driver, "trainer.max_steps")
        await driver.press("enter", "backspace", "backspace")
        await driver.type("25")
        (project / "project.toml").write_text(theirs)
        await driver.pilot.pause(1.3)  # a look at the files does not take the field away
        assert driver.pane.lines.editing == "trainer.max_steps"
        await driver.press("enter")
        await driver.until("Not written")
        assert "+seed = 8" in driver.text
        assert (project / "project.toml").read_text() == theirs
        await driver.press("escape")
        await driver.until(lambda: driver.pane.file.current.head.seed == 8)
        go(driver, "trainer.max_steps")  # and now it goes
        await driver.press("enter", "backspace", "backspace")
        await driver.type("25")
        await driver.press("enter")
        await driver.until(lambda: "max_steps = 25" in (project / "project.toml").read_text())

    at(project, script)
    assert (project / "project.toml").read_text() == theirs.replace("max_steps = 10", "max_steps = 25")


def test_a_change_by_somebody_else_is_noticed_shown_and_ends_undo(project):
    async def script(driver):
        go(driver, "tokenizer.masked")
        await driver.press("enter")
        await driver.until(lambda: not driver.pane.file.no_undo)
        text = (project / "project.toml").read_text()
        (project / "project.toml").write_text(text.replace("max_steps = 10", "max_steps = 30"))
        await driver.until("was changed outside: trainer.max_steps = 30")
        await driver.until("30 steps")
        await driver.press("u")
        await driver.until("project.toml was changed outside since: there is nothing left to undo.")

    at(project, script)


def test_a_file_that_cannot_be_read_says_where_and_comes_back_when_it_is_mended(project):
    (project / "project.toml").write_text('format = 1\n[model]\nuse = "fake-model\n')

    async def script(driver):
        await driver.until("project.toml:3:")
        assert "It is not TOML" in driver.text
        await driver.press("enter", "f", "u", "d", "full_stop")
        await driver.until("cannot be read. e opens it")
        (project / "project.toml").write_text(TEXT)
        await driver.until("it can start")

    at(project, script)


def test_e_opens_the_editor_on_the_file_and_reads_it_again(project, monkeypatch, tmp_path):
    editor = tmp_path / "my editor"
    editor.write_text('#!/bin/sh\nsed -i "s/max_steps = 10/max_steps = 77/" "$2"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", f"'{editor}' --wait")

    async def script(driver):
        monkeypatch.setattr(driver.app, "suspend", contextlib.nullcontext)
        await driver.press("e")
        await driver.until("77 steps")

    at(project, script)


def test_an_editor_that_ends_badly_is_named_and_the_file_is_read_again(project, monkeypatch, tmp_path):
    editor = tmp_path / "my-editor"
    editor.write_text('#!/bin/sh\nsed -i "s/max_steps = 10/max_steps = 77/" "$1"\nexit 3\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))

    async def script(driver):
        monkeypatch.setattr(driver.app, "suspend", contextlib.nullcontext)
        await driver.press("e")
        await driver.until("77 steps")
        await driver.until("my-editor' ended with exit code 3.")
        assert "What it wrote into 'project.toml' until then holds." in driver.text

    at(project, script)


@contextlib.contextmanager
def lent(back):
    """As Textual lends the terminal: it takes it back only when nothing was raised meanwhile."""
    yield
    back.append(True)


def test_an_editor_that_does_not_start_is_an_error_with_the_next_step(project, monkeypatch):
    monkeypatch.setenv("VISUAL", "no-such-editor-at-all")
    back = []

    async def script(driver):
        monkeypatch.setattr(driver.app, "suspend", lambda: lent(back))
        await driver.press("e")
        await driver.until("'no-such-editor-at-all' does not start")

    at(project, script)
    assert back


def test_a_table_of_a_missing_plugin_is_shown_and_survives_saving_elsewhere(project):
    gone = TEXT.replace('use = "fake-walk"', 'use = "their-dpo" # of a colleague\nbeta = 0.1')
    (project / "project.toml").write_text(gone)

    async def script(driver):
        await driver.until("There is no trainer 'their-dpo'")
        assert "beta" in driver.text
        assert "pip install it" in " ".join(driver.text.split())
        go(driver, "tokenizer.masked")
        await driver.press("enter")
        await driver.until(lambda: "masked" in (project / "project.toml").read_text())

    at(project, script)
    kept = (project / "project.toml").read_text()
    assert '[trainer]\nuse = "their-dpo" # of a colleague\nbeta = 0.1\nmax_steps = 10 # ten\nsave_steps = 4\n' in kept


def test_an_unknown_key_is_shown_where_it_stands_and_can_be_taken_out(project):
    (project / "project.toml").write_text(TEXT.replace("save_steps = 4", "sav_steps = 4"))

    async def script(driver):
        await driver.until("'sav_steps' is not an option")
        assert "Did you mean save_steps?" in driver.text
        go(driver, "trainer.sav_steps")
        await driver.press("d")
        await driver.until("it can start")

    at(project, script)


def test_changes_since_a_run_are_shown_and_its_settings_can_be_taken(project):
    run = create_run(load(project), ["test"])
    (project / "project.toml").write_text(TEXT.replace("max_steps = 10", "max_steps = 30"))

    async def script(driver):
        await driver.until("Since run 0001")
        assert "- trainer.max_steps = 10" in driver.text
        assert "+ trainer.max_steps = 30" in driver.text
        await driver.press("U")
        await driver.until("Take the settings of run 0001?")
        await driver.press("n")
        assert "max_steps = 30" in (project / "project.toml").read_text()
        await driver.press("U", "y")
        await driver.until("nothing changed")

    at(project, script)
    assert (project / "project.toml").read_text() == TEXT
    assert run.record.is_file()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_a_runs_settings_are_a_form_that_is_read_only_and_can_be_used_and_undone(project, size):
    made(project, overrides=["trainer.save_steps=2"])
    run = made(project)
    now = TEXT.replace("max_steps = 10", "max_steps = 30")
    (project / "project.toml").write_text(now)
    record = run.record.read_text()

    async def script(driver):
        await driver.press("s")
        await driver.until("Run 0002, as it was made: U uses these settings, s goes back")
        go(driver, "trainer.max_steps")
        row = next(line for line in driver.text.splitlines() if "max_steps" in line)
        assert "10" in row.split()
        assert "U use run's" in driver.text
        assert "enter edit" not in driver.text
        for key in ("enter", "d", "f", "u", "e"):
            await driver.press(key)
            await driver.until("Run 0002 stays as it was made: U uses its settings, s goes back.")
        await driver.press("question_mark")
        await driver.until("So run 0002 was made, which stays as it is.")
        await driver.press("escape", "less_than_sign")
        await driver.until("Run 0001, as it was made")
        assert " * save_steps" in driver.text
        await driver.press("greater_than_sign")
        await driver.until("Run 0002, as it was made")
        await driver.until(lambda: driver.pane.since.run == "0002")
        await driver.press("U", "y")
        await driver.until("project.toml has the settings of run 0002. u undoes.")
        assert (project / "project.toml").read_text() == TEXT
        assert "as it was made" not in driver.text
        await driver.press("u")
        await driver.until("Undone")
        assert (project / "project.toml").read_text() == now
        await driver.press("s")
        await driver.until("as it was made")
        await driver.press("escape")
        await driver.until(lambda: "as it was made" not in driver.text)
        assert driver.app.screen.query("SetupPane")

    at(project, script, size=size)
    assert run.record.read_text() == record


def test_what_a_record_holds_as_a_default_is_not_shown_as_set(project):
    run = create_run(load(project), ["test"])
    frozen = as_frozen(sections(frozen_project(run), ()))
    fresh = sections(load(project), ())
    assert [e.key for s in frozen.sections for e in s.shown(more=False)] == [
        e.key for s in fresh.sections for e in s.shown(more=False)
    ]
    assert frozen.entry("seed").value == 7
    assert frozen.entry("trainer.save_steps").value is None


def test_coming_back_to_setup_shows_the_project_again(project):
    create_run(load(project), ["test"])

    async def script(driver):
        await driver.press("s")
        await driver.until("as it was made")
        await driver.press("4", "1")
        await driver.until("What this means")
        assert "as it was made" not in driver.text

    at(project, script)


# ----------------------------------------------------------------------------------------------- observers


def rows(driver):
    return [str(row.key) for row in driver.pane.lines.lines.rows]


def test_observers_are_added_changed_switched_off_and_taken_out_in_the_form(project):
    async def script(driver):
        go(driver, "observers[0].use")
        assert "Observer   add one" in driver.text
        await driver.press("enter")
        await driver.until("enter take")
        names = [row.key for row in driver.app.screen.query_one("Lines").rows]
        await driver.press("home", *["down"] * names.index("fake-watch"), "enter")
        await driver.until("Observer   fake-watch")
        text = (project / "project.toml").read_text()
        assert text == f'{TEXT}\n[[observers]]\nuse = "fake-watch"\n'
        go(driver, "observers[0].at")
        await driver.press("enter", "backspace", "x")
        await driver.until("at must be a whole number")  # said where it is typed
        await driver.press("backspace", "3", "enter")
        await driver.until(lambda: load(project).observers[0].options.at == 3)
        go(driver, "observers[0].enabled")
        await driver.press("enter")
        await driver.until(lambda: "enabled = false" in (project / "project.toml").read_text())
        await driver.until(lambda: "observers[0].at" not in rows(driver))
        await driver.press("enter")  # it is still there to be switched on again
        await driver.until(lambda: load(project).observers)
        await driver.until(lambda: "observers[0].at" in rows(driver))
        assert "observers[1].use" in rows(driver)
        go(driver, "observers[0].use")
        await driver.press("d")
        await driver.until("Observer fake-watch is out of the file. u brings it back.")
        assert "observers" not in (project / "project.toml").read_text()
        await driver.press("u")
        await driver.until(lambda: len(load(project).observers) == 1)

    at(project, script)


def test_an_observer_of_the_settings_is_shown_and_left_to_them(project, settings_file):
    settings_file('[[observers]]\nuse = "fake-watch"\nat = 3')

    async def script(driver):
        go(driver, "settings.observers[0].use")
        await driver.until("Observer, of the settings fake-watch")
        await driver.press("enter")
        await driver.until("That observer is one of your settings.")
        await driver.press("escape")
        go(driver, "settings.observers[0].at")
        await driver.press("d")
        await driver.until("That is edited in the file")

    at(project, script)
    assert (project / "project.toml").read_text() == TEXT


def test_in_a_narrow_terminal_v_turns_to_what_it_means_and_back(project):
    async def script(driver):
        assert "What this means" not in driver.text
        await driver.press("v")
        await driver.until("What this means")
        assert "10 steps" in driver.text
        assert "save_total_limit" not in driver.text
        await driver.press("v")
        await driver.until("save_total_limit")

    at(project, script, size=(80, 24))


def test_the_first_six_options_are_shown_and_the_full_stop_shows_the_rest(project):
    async def script(driver):
        assert "step_seconds" in driver.text
        assert "flood" not in driver.text
        await driver.press("full_stop")
        await driver.until("flood")
        await driver.press("full_stop")
        await driver.until(lambda: "flood" not in driver.text)

    at(project, script)


def test_slash_goes_to_an_option_by_its_name_and_unfolds_it(project):
    async def find(driver, text):
        await driver.press("slash")
        await driver.type(text)
        await driver.press("enter")

    async def script(driver):
        assert "shuffle_seed" not in driver.text
        await find(driver, "Shuffle seed")
        await driver.until("shuffle_seed")
        assert driver.pane.lines.key == "dataset.shuffle_seed"
        await find(driver, "save")
        await driver.until("trainer.save_steps, 1 of 2: n goes to the next.")
        await driver.press("n")
        assert driver.pane.lines.key == "trainer.save_total_limit"
        await driver.press("n")
        assert driver.pane.lines.key == "trainer.save_steps"
        await find(driver, "nowhere")
        await driver.until("No option's name holds 'nowhere'.")
        await driver.press("slash", "s", "escape")
        assert driver.pane.lines.key == "trainer.save_steps"
        assert driver.pane.lines.lines.has_focus
        assert "1 Setup" in driver.text

    at(project, script, size=(80, 24))


def test_slash_turns_from_what_it_means_to_the_form_where_only_one_has_room(project):
    async def script(driver):
        await driver.press("n")
        await driver.until("Nothing was looked for yet.")
        await driver.press("escape", "v", "slash")
        await driver.type("generator.use")
        await driver.press("enter")
        assert driver.pane.lines.lines.has_focus
        assert driver.pane.lines.key == "generator.use"
        await driver.press("v", "n")
        assert driver.pane.lines.lines.has_focus

    at(project, script, size=(80, 24))


def test_help_explains_the_field_under_the_cursor(project):
    async def script(driver):
        go(driver, "trainer.save_steps")
        await driver.press("question_mark")
        await driver.until("trainer.save_steps: Steps between checkpoints.")
        words = " ".join(driver.text.replace("│", " ").split())
        assert "Larger saves more rarely" in words
        assert "A whole number, at least 1, in steps; default 4." in words

    at(project, script)


def test_help_explains_the_place_for_one_more_observer(project):
    async def script(driver):
        go(driver, "observers[0].use")
        await driver.press("question_mark")
        await driver.until("Enter adds one.")

    at(project, script)


def test_a_list_of_choices_is_given_more_than_one(project):
    (project / "project.toml").write_text(f'{TEXT}\n[[observers]]\nuse = "webhook"\n')

    async def script(driver):
        go(driver, "observers[0].endings")
        await driver.press("enter")
        await driver.until("each of them")
        assert driver.app.screen.query_one("SafeArea").text == "finished\nfailed"
        await driver.press("enter")
        await driver.type("stopped")
        await driver.press("ctrl+s")
        await driver.until(lambda: "stopped" in (project / "project.toml").read_text())
        assert load(project).observers[0].options.endings == ("finished", "failed", "stopped")

    at(project, script)


def test_a_runs_form_does_not_stay_below_the_name_of_one_that_cannot_be_read(project):
    create_run(load(project), ["test"]).record.write_text("no TOML")
    create_run(load(project), ["test"])

    async def script(driver):
        runs = [status.path.name for status in driver.app.found.of(project.resolve())]
        await driver.until("run 0002")
        await driver.press("s")
        await driver.until("Run 0002, as it was made")
        await driver.press("less_than_sign" if runs.index("0001") else "greater_than_sign")
        await driver.until("esc dismiss")
        assert "run 0001" in driver.text
        assert "as it was made" not in driver.text

    at(project, script)


def test_help_on_what_it_means_explains_no_option_of_the_hidden_form(project):
    async def script(driver):
        go(driver, "trainer.save_steps")
        await driver.press("v")
        await driver.until("What this means")
        await driver.press("question_mark")
        await driver.until("What the settings mean")
        assert "trainer.save_steps" not in driver.text

    at(project, script, size=(80, 24))


def test_a_path_is_checked_and_completed_while_it_is_typed(project):
    (project / "pid.txt").write_text("12")

    async def script(driver):
        await driver.press("full_stop")
        go(driver, "trainer.children")
        await driver.press("enter")
        await driver.type("pi")
        await driver.until("There is no 'pi' yet.")
        await driver.until(lambda: driver.pane.lines.field.offers)
        await driver.press("down")
        await driver.until("1 file, 2 B")
        await driver.press("enter")
        await driver.until(lambda: 'children = "pid.txt"' in (project / "project.toml").read_text())

    at(project, script)


def test_readonly_writes_nothing_and_says_so(project):
    async def script(driver):
        go(driver, "tokenizer.masked")
        await driver.press("enter")
        await driver.until("--readonly")
        await driver.press("d")
        await driver.until("--readonly")
        await driver.press("K")
        await driver.until("--readonly")
        assert len(driver.app.screen_stack) == 1

    at(project, script, readonly=True)
    assert (project / "project.toml").read_text() == TEXT


def test_readonly_names_no_key_that_mends_or_uses(project):
    (project / "project.toml").write_text(TEXT.replace("max_steps = 10", "max_steps = 3"))

    async def script(driver):
        await driver.until("fix: save_steps = 1")
        await driver.press("f")
        await driver.until("--readonly")

    at(project, script, readonly=True)


def test_a_broken_file_under_readonly_says_what_keeps_it_from_the_editor(project):
    (project / "project.toml").write_text('format = 1\n[model]\nuse = "fake-model\n')

    async def script(driver):
        await driver.until("project.toml:3:")
        assert "The studio was opened with --readonly." in driver.text
        assert "opens it in your editor" not in driver.text

    at(project, script, readonly=True)


def test_a_runs_settings_under_readonly_name_only_the_way_back(project):
    create_run(load(project), ["test"])

    async def script(driver):
        await driver.until(lambda: driver.pane.run is not None)
        await driver.press("s")
        await driver.until("Run 0001, as it was made: s goes back")
        await driver.press("enter")
        await driver.until("Run 0001 stays as it was made: s goes back.")

    at(project, script, readonly=True)


def test_hostile_values_reach_the_terminal_escaped_in_the_form_and_in_its_field(project):
    hostile = '"\\u001b]52;c;eA==\\u0007 [/b] \\u202e"'
    (project / "project.toml").write_text(TEXT.replace("max_steps = 10", f"note = {hostile}\nmax_steps = 10"))

    async def script(driver):
        go(driver, "trainer.note")
        assert "\\u001b]52" in driver.text
        await driver.press("enter")
        await driver.until(lambda: driver.pane.lines.editing == "trainer.note")
        assert not {"\x1b", "\x07", "\u202e"} & set(driver.text)
        await driver.press("x", "backspace", "enter")  # what was not changed is not written

    at(project, script)
    assert f"note = {hostile}" in (project / "project.toml").read_text()


def test_in_ascii_nothing_else_is_shown(project):
    (project / "project.toml").write_text(
        TEXT.replace("max_steps = 10", 'note = "Zoë"\nmax_steps = 3').replace('"Hello"', '"Grüße"')
    )

    async def script(driver):
        await driver.until("never fires")
        go(driver, "trainer.note")
        await driver.press("enter")
        assert driver.text.isascii()
        await driver.press("escape", "v")
        assert driver.text.isascii()

    at(project, script, ascii=True)


def test_a_deep_check_shows_its_steps_and_its_report(project):
    async def script(driver):
        await driver.press("K")
        await driver.until("Deep check of lab")
        await driver.until("committed and read back", seconds=120)
        assert "Hello" in driver.text
        await driver.press("escape")
        await driver.until("it can start")

    at(project, script)


def test_esc_ends_a_deep_check_and_its_process(project, own_folders):
    (project / "project.toml").write_text(TEXT.replace("save_steps = 4", "save_steps = 4\nstep_seconds = 100.0"))
    scratch = own_folders / "cache" / "ftstudio" / "errands"

    async def script(driver):
        await driver.press("K")
        await driver.until(lambda: list(scratch.glob("*/job.json")), seconds=60)
        await driver.press("escape")
        await driver.until(lambda: not list(scratch.iterdir()), seconds=60)

    at(project, script)


def test_the_studio_opens_again_on_setup_with_what_was_written(project):
    async def first(driver):
        go(driver, "tokenizer.masked")
        await driver.press("enter")
        await driver.until(lambda: "masked = true" in (project / "project.toml").read_text())

    at(project, first)

    async def again():
        async with opened(project.parent, (120, 40)) as driver:
            await driver.until("* masked")

    asyncio.run(again())


def test_a_list_that_somebody_else_changed_meanwhile_is_neither_overwritten_nor_lost(project):
    theirs = TEXT.replace('["Hello"]', '["Theirs"]')

    async def script(driver):
        go(driver, "generator.prompts")
        await driver.press("enter")
        await driver.until("one item a line")
        (project / "project.toml").write_text(theirs)
        await driver.pilot.pause(1.3)
        await driver.press("x", "ctrl+s")
        await driver.until("Not written")
        assert (project / "project.toml").read_text() == theirs
        await driver.press("escape")
        await driver.until("Hellox")  # what was typed is still there, and can be written over theirs knowingly
        await driver.pilot.pause(0.3)
        await driver.press("ctrl+s")
        await driver.until(lambda: "Hellox" in (project / "project.toml").read_text())

    at(project, script)


def test_y_copies_an_option_as_the_command_line_takes_it(project, own_folders):
    async def script(driver):
        go(driver, "trainer.max_steps")
        await driver.press("y")
        await driver.until("Copied, and written to")

    at(project, script, size=(200, 40))
    assert (own_folders / "state" / "ftstudio" / "copied.txt").read_text().startswith("trainer.max_steps=")


def test_a_key_in_a_form_of_its_own_is_left_to_the_editor(project):
    odd = TEXT.replace("save_steps = 4", '"a.b" = 4')
    (project / "project.toml").write_text(odd)

    async def script(driver):
        await driver.until("'a.b' is not an option")
        go(driver, "trainer.a.b")
        await driver.press("d")
        await driver.until("That is edited in the file")

    at(project, script)
    assert (project / "project.toml").read_text() == odd


def test_a_missing_table_is_added_by_choosing_its_component(project):
    (project / "project.toml").write_text(TEXT.replace('[tokenizer]\nuse = "fake-bytes"\n', ""))

    async def script(driver):
        await driver.until("The table [tokenizer] is missing")
        go(driver, "tokenizer.use")
        await driver.press("enter")
        await driver.until("enter take")
        names = [row.key for row in driver.app.screen.query_one("Lines").rows]
        await driver.press("home", *["down"] * names.index("fake-bytes"), "enter")
        await driver.until("it can start")

    at(project, script)


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (200, 60), (20, 5)])
def test_it_opens_at_any_size(project, size):
    async def script(driver):
        if size[0] >= 60:
            assert "fake-model" in driver.text
            go(driver, "trainer.max_steps")
            await driver.press("enter")
            assert "max_steps" in driver.text

    at(project, script, size=size)


def test_keys_that_come_in_one_burst_behind_enter_go_into_the_field(project):
    """As over a slow link: all of them are read before the field is there."""

    async def script(driver):
        go(driver, "trainer.max_steps")
        await driver.pilot.pause()
        for key in ("enter", "backspace", "backspace", "2", "5", "enter"):
            driver.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await driver.until("25 steps")
        await driver.until(lambda: not driver.pane.lines.editing)

    at(project, script)
    assert (project / "project.toml").read_text() == TEXT.replace("max_steps = 10 #", "max_steps = 25 #")


def test_a_learning_rate_that_is_no_round_number_keeps_what_it_means_on_its_line():
    curve = ((1, 1e-3 / 6000), (6000, 0.0))
    outlook = Outlook(project=None, plan=Plan(total_steps=6000, curve=curve))
    lines = aside_text(outlook, Since(), Look()).plain.splitlines()
    assert "up to 1.67e-7" in next(line for line in lines if "learning rate" in line)
    assert max(map(len, lines)) <= 50


@pytest.mark.parametrize("there", [True, False])
def test_a_disk_that_cannot_be_looked_at_is_said_where_the_form_was_and_a_folder_that_is_gone_is_no_project(
    project, monkeypatch, there
):
    async def script(driver):
        if there:  # the file can be read, its disk cannot

            def no_disk(path):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))

            monkeypatch.setattr(shutil, "disk_usage", no_disk)
        else:
            project.rename(project.with_name("elsewhere"))
        driver.pane.look_ahead(driver.pane.turn, driver.pane.file.current)
        why = "No permission for" if there else "is no project"
        await driver.until(lambda: why in str(driver.pane.error))
        await driver.until(lambda: "mode or owner" in driver.text if there else "ftstudio new" in driver.text)

    at(project, script)


def test_a_file_that_is_gone_is_written_again_by_undo_as_it_was_read_last(project):
    async def script(driver):
        (project / "project.toml").unlink()
        await driver.until("u writes it again, as it was read last.")
        await driver.press("u")
        await driver.until("project.toml is there again.")
        assert (project / "project.toml").read_text() == TEXT
        await driver.until("max_steps")
        (project / "project.toml").write_text("[")
        await driver.until("e opens it in your editor")
        await driver.press("u")
        await driver.until("project.toml cannot be read.")
        assert (project / "project.toml").read_text() == "["

    at(project, script)
