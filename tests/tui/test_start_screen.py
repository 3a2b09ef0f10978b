"""The start screen: the plan that it shows is that of what stands in its fields."""

import threading

import pytest
from hand_made import made
from studio import session
from textual import events

from ftstudio.errors import InputError
from ftstudio.process.wanted import Wanted

pytestmark = pytest.mark.usefixtures("fakes")


async def open_start(driver, folder):
    """The dialog that starts a run, once it says what the settings imply."""
    driver.app.open_project(folder.resolve(), "setup")
    await driver.until("1 Setup")
    await driver.press("S")
    await driver.until("10 steps")


async def open_fork(driver, folder):
    """The dialog that goes out from the newest run."""
    driver.app.open_project(folder.resolve(), "setup")
    await driver.until("run 0001")
    await driver.press("F")


def test_a_look_that_takes_long_does_not_overwrite_the_plan_of_what_was_typed_after_it(
    tmp_path, make_project, monkeypatch
):
    folder = make_project(trainer={"max_steps": 10})
    outlook, slow, released = Wanted.outlook, [], threading.Event()

    def late(wanted):
        if not wanted.overrides and not slow:
            slow.append(wanted)
            assert released.wait(60)
        return outlook(wanted)

    monkeypatch.setattr(Wanted, "outlook", late)

    async def script(driver):
        driver.app.open_project(folder.resolve(), "setup")
        await driver.until("1 Setup")
        await driver.press("S")
        await driver.until(lambda: slow)
        await driver.type("trainer.max_steps=77")
        await driver.until("77 steps")
        released.set()
        await driver.pilot.pause(1)
        assert "77 steps" in driver.text

    session(tmp_path, script, size=(120, 36))


def test_a_fork_that_would_train_nothing_is_said_before_it_is_made(tmp_path, make_project):
    folder = make_project(trainer={"max_steps": 10})
    made(folder, steps=[40])

    async def script(driver):
        await open_fork(driver, folder)
        await driver.until("no step would be left to train")
        assert "lab:0001 is at step 40 already" in driver.text
        await driver.press("enter")
        await driver.pilot.pause(1)
        assert "Fork lab:0001" in driver.text
        await driver.press("ctrl+w")
        await driver.until("takes all of")
        await driver.until("in all        10 steps")
        await driver.until(lambda: "no step would be left" not in driver.text)

    session(tmp_path, script, size=(120, 36))
    assert [p.name for p in (folder / "runs").iterdir() if p.name.isdigit()] == ["0001"]


def test_a_fork_says_what_the_settings_of_today_change(tmp_path, make_project):
    folder = make_project(trainer={"max_steps": 10})
    made(folder, steps=[4])

    async def script(driver):
        await open_fork(driver, folder)
        await driver.until("Settings are the project's of today, and lab:0001 has the same.")
        await driver.type("trainer.max_steps=20")
        await driver.until("not those of lab:0001: max_steps 10")
        await driver.until("-> 20.")

    session(tmp_path, script, size=(120, 36), ascii=True)


def test_the_values_of_several_keys_multiply(tmp_path, make_project):
    folder = make_project()

    async def script(driver):
        await open_start(driver, folder)
        await driver.press("tab")
        await driver.type("trainer.max_steps=3,5  seed=1,2")
        await driver.until("4 runs, one after the other.")
        await driver.until("in all        3 steps")

    session(tmp_path, script, size=(120, 36))


def test_a_fork_names_the_steps_that_can_be_typed_and_an_empty_field_is_the_last(tmp_path, make_project):
    folder = make_project(trainer={"max_steps": 100})
    made(folder, steps=[10, 20, 30, 40, 100], best=20)

    async def script(driver):
        await open_fork(driver, folder)
        await driver.until("last; or best, 100, 40, 30, 20, ...")
        assert {field.value for field in driver.app.screen.query("Input")} == {""}
        await driver.until("lab:0001 is at step 100 already")
        await driver.press("shift+tab")
        await driver.type("40")
        await driver.until("in all        100 steps")

    session(tmp_path, script, size=(80, 36))


def test_of_several_values_the_wrong_one_is_named_and_enter_leaves_the_words_standing(tmp_path, make_project):
    folder = make_project()

    async def script(driver):
        await open_start(driver, folder)
        await driver.press("tab")
        await driver.type("trainer.step_seconds=1e-5,x")
        await driver.until("step_seconds must be a number, not 'x'.")
        await driver.press("shift+tab")
        await driver.type("trainer.max_step=3")
        await driver.until("Did you mean max_steps?")
        await driver.press("enter")
        await driver.pilot.pause(0.5)
        await driver.until("enter start, tab next field")
        assert "Did you mean max_steps?" in driver.text

    session(tmp_path, script, size=(120, 36))


def held_back(monkeypatch, error=None):
    """Starting waits for the event that is returned beside what was started."""
    begun, released = [], threading.Event()

    def start(wanted, run):
        begun.append(run.path.name)
        assert released.wait(60)
        if error is not None:
            raise error

    monkeypatch.setattr(Wanted, "start", start)
    return begun, released


def test_enter_again_while_a_run_is_being_started_starts_no_other(tmp_path, make_project, monkeypatch):
    folder = make_project()
    begun, released = held_back(monkeypatch)

    async def script(driver):
        await open_start(driver, folder)
        await driver.press("enter")
        await driver.until("starting ...")
        await driver.until(lambda: begun)
        await driver.press("enter", "enter", "enter")
        await driver.pilot.pause(0.3)
        released.set()
        await driver.until("run 0001")

    session(tmp_path, script, size=(120, 36))
    assert begun == ["0001"]


@pytest.mark.parametrize("error", [None, InputError("The device is on fire.", "Put it out.")])
def test_a_dialog_that_is_left_while_it_starts_a_run_says_so_and_what_became_of_it(
    tmp_path, make_project, monkeypatch, error
):
    folder = make_project()
    begun, released = held_back(monkeypatch, error)

    async def script(driver):
        await open_start(driver, folder)
        await driver.press("enter")
        await driver.until(lambda: begun)
        await driver.press("escape")
        await driver.until("What was being started starts all the same.")
        released.set()
        await driver.until("lab:0001 was started." if error is None else "The device is on fire.")

    session(tmp_path, script, size=(120, 36))


@pytest.mark.parametrize(("key", "field"), [("S", "each"), ("F", "step")])
def test_what_comes_in_one_burst_behind_tab_goes_into_the_next_field(tmp_path, make_project, key, field):
    folder = make_project(trainer={"max_steps": 10})
    made(folder, steps=[4])
    keys = ["tab"] if key == "S" else ["shift+tab"]

    async def script(driver):
        driver.app.open_project(folder.resolve(), "train")
        await driver.until("run 0001")
        await driver.press(key)
        await driver.until("enter start, tab next field")
        before = {f.id: f.value for f in driver.app.screen.query("Input")}
        for name in (*keys, "u", "v", "w"):
            driver.app.post_message(events.Key(name, name if len(name) == 1 else None))
        await driver.until(lambda: driver.app.screen.query_one(f"#{field}").value.endswith("uvw"))
        assert driver.app.screen.query_one("#set").value == before["set"] == ""

    session(tmp_path, script, size=(100, 36))


@pytest.mark.parametrize("key", ["S", "F"])
def test_in_a_small_terminal_title_and_keys_stay_in_sight_and_the_rest_scrolls(tmp_path, make_project, key):
    folder = make_project(trainer={"max_steps": 10})
    made(folder, steps=[4])

    async def script(driver):
        driver.app.open_project(folder.resolve(), "train")
        await driver.until("run 0001")
        await driver.press(key)
        await driver.until("enter start, tab next field")
        await driver.until("Start a run of lab" if key == "S" else "Fork lab:0001")
        await driver.until(lambda: "in all" in str(driver.app.screen.query_one("#outlook").render()))
        assert "in all" not in driver.text
        await driver.press("pagedown", "pagedown")
        await driver.until("in all")
        await driver.until("disk")
        assert "enter start, tab next field" in driver.text
        await driver.press("tab", "tab")
        await driver.until(lambda: "auto" in driver.text)  # the field with the focus is in sight

    session(tmp_path, script, size=(60, 16))
