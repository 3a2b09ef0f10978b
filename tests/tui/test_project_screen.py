"""A project's screen: its header holds the panes at any width, and a pane's error stays with it."""

import re
import shutil

import pytest
from hand_made import made
from studio import session

from ftstudio.tui.watch import Seen

pytestmark = pytest.mark.usefixtures("fakes")
WHOLE = "1 Setup  2 Data  3 Train  4 Logs  5 Generate  6 Compare  7 Files"


def header(folder, size):
    async def script(driver):
        driver.app.open_project(folder.resolve(), "setup")
        await driver.until("1 Setup")
        await driver.until(lambda: "enter edit" in driver.text)
        return driver.text.splitlines()[0]

    return session(folder.parent, script, size=size)


def test_panes_have_their_whole_names_where_these_fit(make_project):
    folder = make_project("chat")
    assert WHOLE in header(folder, (80, 24))
    made(folder)
    assert "1 Setup  2 Dat  3 Tra" in header(folder, (80, 24))
    assert WHOLE in header(folder, (120, 24))
    assert header(folder, (120, 24)).endswith("< > step, r list")


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
def test_a_long_name_gives_way_before_a_pane_does(make_project, size):
    folder = make_project("n" * 65)
    made(folder)
    line = header(folder, size)
    assert "7 Fil" in line
    assert "run 0001" in line
    assert "nnnnnnn\u2026" in line


def test_an_error_stays_with_the_pane_that_said_it(make_project):
    folder = make_project()
    made(folder)

    async def script(driver):
        driver.app.open_project(folder.resolve(), "logs")
        await driver.until("4 Logs")
        await driver.press("at")
        await driver.until("The charts have no cursor")
        await driver.press("1")
        await driver.until("enter edit")
        assert "The charts have no cursor" not in driver.text

    session(folder.parent, script)


def test_help_does_not_say_that_the_palettes_key_does_what_only_the_palette_has(make_project):
    folder = make_project()

    async def script(driver):
        driver.app.open_project(folder.resolve(), "setup")
        await driver.until("enter edit")
        await driver.press("question_mark")
        await driver.until("End the run at once")
        line = next(line for line in driver.text.splitlines() if "End the run at once" in line)
        assert "(commands)" in line
        assert ":" not in line

    session(folder.parent, script, size=(120, 100))


def test_help_on_a_component_is_whole_sentences(make_project):
    folder = make_project()

    async def script(driver):
        driver.app.open_project(folder.resolve(), "setup")
        await driver.until("enter edit")
        driver.app.screen.query_one("SetupPane").lines.lines.put_cursor("model.use")
        await driver.press("question_mark")
        await driver.until("Which component does this part of the work. Two numbers.")

    session(folder.parent, script, size=(120, 36))


def test_a_studio_that_writes_nothing_says_so_before_a_key_is_refused(make_project):
    folder = make_project()
    made(folder)

    async def script(driver):
        await driver.until("read-only")
        driver.app.open_project(folder.resolve(), "setup")
        await driver.until("1 Setup")
        assert driver.text.splitlines()[0].endswith("read-only")
        assert "run 0001" in driver.text.splitlines()[0]

    session(folder.parent, script, readonly=True)


def test_the_form_names_rebound_keys_too(make_project, settings_file):
    folder = make_project(trainer={"max_steps": 3, "save_steps": 4})
    settings_file('[keymap]\n"setup.fix" = "f6"\n"setup.more" = "f9"')

    async def script(driver):
        driver.app.open_project(folder.resolve(), "setup")
        await driver.until("f6: save_steps = 1")
        assert re.search(r"^   f9 \d+ more", driver.text, re.MULTILINE)
        driver.app.set_keymap({"setup.more": "f8"})
        await driver.until("f: save_steps = 1")
        assert re.search(r"^   f8 \d+ more", driver.text, re.MULTILINE)

    session(folder.parent, script, size=(120, 60))


def test_a_rebound_key_is_the_one_that_is_named_everywhere(make_project, settings_file):
    folder = make_project()
    settings_file('[keymap]\n"run.start" = "f5"\n"pane.data" = "f2"\n"help" = "f1"')

    async def script(driver):
        driver.app.open_project(folder.resolve(), "logs")
        await driver.until("No run yet. f5 starts one.")
        header, line = driver.text.splitlines()[0], driver.text.splitlines()[-1]
        assert "f2 Data" in header
        assert "1 Setup" in header
        assert "f5 start" in line
        assert "f1 help" in line
        await driver.press("f1")
        await driver.until("Start a run")
        assert next(one for one in driver.text.splitlines() if "Start a run" in one).split()[1] == "f5"
        await driver.press("escape")
        driver.app.set_keymap({"run.start": "f6"})
        await driver.until("f6 start")
        assert "2 Data" in driver.text.splitlines()[0]

    session(folder.parent, script, size=(120, 36))


def test_the_studio_opens_again_on_the_run_that_was_open_not_on_a_newer_one(make_project):
    folder = make_project()
    made(folder)
    made(folder)

    async def look_back(driver):
        driver.app.open_project(folder.resolve(), "train")
        await driver.until("run 0002")
        await driver.press("less_than_sign")
        await driver.until("run 0001")

    async def again(driver):
        await driver.until("3 Train")
        assert "run 0001" in driver.text.splitlines()[0]

    session(folder.parent, look_back)
    made(folder)
    session(folder.parent, again)


def test_a_run_that_the_last_look_at_the_files_did_not_find_yet_stays_the_one_that_is_shown(make_project):
    folder = make_project()
    made(folder)

    async def script(driver):
        driver.app.open_project(folder.resolve(), "train")
        await driver.until("run 0001")
        screen, before = driver.app.screen, driver.app.found
        newer = made(folder).path.resolve()
        screen.started(newer)
        screen.seen(Seen(before, frozenset()))
        assert screen.current() == newer
        await driver.until("run 0002")

    session(folder.parent, script)


def test_a_shown_run_that_is_removed_elsewhere_is_said_to_be_gone_with_the_one_that_keys_are_for_now(make_project):
    folder = make_project()
    run = made(folder)
    other = made(folder)

    async def script(driver):
        driver.app.open_project(folder.resolve(), "train")
        await driver.until("run 0002")
        await driver.press("less_than_sign")
        await driver.until("run 0001")
        shutil.rmtree(run.path)
        await driver.until("Run 0001 is no longer here: it was removed elsewhere.")
        assert "The header has run 0002 now, and keys are for that one." in driver.text
        assert driver.app.screen.current() == other.path.resolve()

    session(folder.parent, script)
