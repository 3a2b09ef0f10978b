"""The start screen: the plan that it shows is that of what stands in its fields."""

import threading

import pytest
from hand_made import made
from studio import session

from ftstudio.process.wanted import Wanted

pytestmark = pytest.mark.usefixtures("fakes")


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
        driver.app.open_project(folder.resolve(), "setup")
        await driver.until("run 0001")
        await driver.press("F")
        await driver.until("no step would be left to train")
        assert "lab:0001 is at step 40 already" in driver.text
        await driver.press("enter")
        await driver.pilot.pause(1)
        assert "Fork lab:0001" in driver.text
        await driver.press("ctrl+w")
        await driver.until("10 steps")
        await driver.until(lambda: "no step would be left" not in driver.text)

    session(tmp_path, script, size=(120, 36))
    assert [p.name for p in (folder / "runs").iterdir() if p.name.isdigit()] == ["0001"]
