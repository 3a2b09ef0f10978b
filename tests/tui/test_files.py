"""Files: what a run holds, and making room in it with one question."""

import pytest
from hand_made import commit, made
from studio import session

from ftstudio.files import write_toml
from ftstudio.locks import RecordLock
from ftstudio.runs.checkpoints import list_checkpoints
from ftstudio.runs.notes import note_of
from ftstudio.tui.memory import Memory

pytestmark = pytest.mark.usefixtures("fakes")


def in_files(run, script, size=(80, 24), **manners):
    """Run a script on the studio that is open on the Files of a run's project."""
    Memory().showed(run.project.resolve(), "files")

    async def opened(driver):
        await driver.until("7 Files")
        await driver.until(lambda: driver.app.screen.pane.contents.use is not None or not run.path.exists())
        return await script(driver)

    return session(run.project.parent, opened, size=size, **manners)


def steps(run):
    return [int(p.name) for p in list_checkpoints(run.checkpoints)]


async def read(driver):
    return driver.text


def line_with(text, words):
    return next(line for line in text.splitlines() if words in line)


def test_each_checkpoint_is_a_line_with_size_marks_and_optimizer_state(make_project):
    run = made(make_project(), steps=(10, 20), best=10, optimizer=5_000)
    text = in_files(run, read)
    assert line_with(text, "step 10").split() == ["step", "10", "26", "kB", "best", "optimizer", "5.0", "kB"]
    assert "last" in line_with(text, "step 20")
    assert "best" not in line_with(text, "step 20")


def test_y_copies_the_path_of_what_is_under_the_cursor(make_project, own_folders):
    run = made(make_project(), steps=(10,))

    async def script(driver):
        await driver.press("y")
        await driver.until("Copied, and written to")

    in_files(run, script, size=(200, 36))
    assert (own_folders / "state" / "ftstudio" / "copied.txt").read_text() == str(run.checkpoints / "000010")


def test_what_was_set_aside_is_shown_with_the_reason(make_project):
    run = made(make_project(), steps=(10,))
    (run.quarantine / "000005-ab").mkdir(parents=True)
    (run.quarantine / "000005-ab.reason.txt").write_text("its sha256 differs\x1b[2J\n")
    text = in_files(run, read, size=(120, 36))
    assert "damaged: its sha256 differs\\x1b[2J" in line_with(text, "000005-ab")


def test_verifying_tells_good_from_damaged(make_project):
    run = made(make_project(), steps=(10, 20))
    (run.checkpoints / "000010" / "model.safetensors").write_bytes(b"W" * 20_000)

    async def script(driver):
        await driver.press("v")
        await driver.until("1 checkpoint differs from what was committed")
        assert "✗ damaged" in line_with(driver.text, "step 10")
        assert "✓ verified" in line_with(driver.text, "step 20")
        await driver.press("down")
        await driver.until("model.safetensors is not what was written")

    in_files(run, script)


def test_marked_checkpoints_are_deleted_after_one_question_that_says_the_sizes(make_project):
    run = made(make_project(), steps=(10, 20, 30), best=10)

    async def script(driver):
        await driver.press("down", "space", "space")  # 20 and 10
        await driver.press("P")
        await driver.until("Delete 2 checkpoints of lab:0001?")
        assert "Step 10, 20" in driver.text
        assert " before, " in driver.text
        assert "freed." in driver.text
        assert steps(run) == [10, 20, 30]
        await driver.press("y")
        await driver.until("freed; lab:0001 holds")
        await driver.until(lambda: "step 20" not in driver.text)

    in_files(run, script)
    assert steps(run) == [30]


def test_no_is_no(make_project):
    run = made(make_project(), steps=(10, 20))

    async def script(driver):
        await driver.press("down", "P")
        await driver.until("Delete 1 checkpoint")
        await driver.press("n")
        await driver.until(lambda: "Delete 1" not in driver.text)

    in_files(run, script)
    assert steps(run) == [10, 20]


def test_the_last_checkpoint_that_verifies_is_not_given_up(make_project):
    run = made(make_project(), steps=(10, 20))
    (run.checkpoints / "000020" / "model.safetensors").write_bytes(b"W" * 20_000)

    async def script(driver):
        await driver.press("down", "P")  # 10, the only good one
        await driver.until("Step 10 stays: no other one verifies.")
        assert "Checkpoint 20 was left where it is" in driver.text

    in_files(run, script)
    assert steps(run) == [10, 20]


def test_mark_old_marks_what_is_neither_best_nor_last(make_project):
    run = made(make_project(), steps=(10, 20, 30), best=10)

    async def script(driver):
        await driver.press("o")
        assert driver.app.screen.pane.marked == {20}

    in_files(run, script)


def test_a_live_run_is_left_alone_and_that_is_said(make_project):
    run = made(make_project(), "running", steps=(10, 20))

    async def script(driver):
        await driver.press("down", "P")
        await driver.until("lab:0001 is running")

    in_files(run, script)
    assert steps(run) == [10, 20]


def test_optimizer_state_is_dropped_and_the_checkpoint_still_verifies(make_project):
    run = made(make_project(), steps=(10, 20), optimizer=5_000)

    async def script(driver):
        await driver.press("O")
        await driver.until("Drop the optimizer state of step 20?")
        assert "not be resumed" in driver.text
        await driver.press("y")
        await driver.until(lambda: "no optimizer state" in line_with(driver.text, "step 20"))
        await driver.press("v")
        await driver.until("2 checkpoints verified")

    in_files(run, script)
    assert not (run.checkpoints / "000020" / "optimizer.pt").exists()
    assert (run.checkpoints / "000010" / "optimizer.pt").exists()


def test_a_removed_run_lies_in_the_trash_and_comes_back(make_project):
    folder = make_project()
    run = made(folder, steps=(10,))
    made(folder)

    async def script(driver):
        await driver.press("greater_than_sign", "less_than_sign", "D")
        await driver.until("Remove lab:0001?")
        await driver.press("y")
        await driver.until(lambda: not run.path.exists())
        await driver.until("run 0001")
        await driver.until("run 0002")
        assert "no longer here" not in driver.text
        await driver.press("end", "B")
        await driver.until("lab:0001 is back.")

    in_files(run, script)
    assert steps(run) == [10]


def test_the_trash_is_emptied_after_a_question(make_project):
    folder = make_project()
    run = made(folder, steps=(10,))

    async def script(driver):
        await driver.press("D")
        await driver.until("Remove lab:0001?")
        await driver.press("y")
        await driver.until("There is no run yet")
        await driver.until("run 0001")
        await driver.press("E")
        await driver.until("They cannot be brought back.")
        await driver.press("y")
        await driver.until("The trash is empty;")

    in_files(run, script)
    assert not list((folder / ".trash").iterdir())


def test_a_run_whose_lock_is_held_is_not_removed(make_project):
    run = made(make_project(), steps=(10,))
    lock = RecordLock(run.worker_lock)
    assert lock.acquire()

    async def script(driver):
        await driver.press("D")
        await driver.until("Remove lab:0001?")
        await driver.press("y")
        await driver.until("is in use by process")

    in_files(run, script)
    lock.release()
    assert run.path.is_dir()


def test_a_note_is_written_and_shown_and_a_pin_too(make_project):
    run = made(make_project(), steps=(10,))

    async def script(driver):
        await driver.press("N")
        await driver.until("Note on lab:0001")
        await driver.type("lower rate")
        await driver.press("enter")
        await driver.until("the note is written")
        await driver.press("I")
        await driver.until("lab:0001 is pinned.")
        await driver.press("6", "7")
        await driver.until("pinned  lower rate")

    in_files(run, script)
    assert (note_of(run).text, note_of(run).pinned) == ("lower rate", True)


def test_new_checkpoints_come_by_themselves_and_the_cursor_stays(make_project):
    run = made(make_project(), "running", steps=(10,))

    async def script(driver):
        pane = driver.app.screen.pane
        assert pane.key == run.checkpoints / "000010"
        commit(run, 20)
        write_toml(run.state, {"state": "finished", "attempt": 1, "host": "gpu03", "boot_id": "b"})
        await driver.until("step 20")
        assert pane.key == run.checkpoints / "000010"

    in_files(run, script)


def test_readonly_deletes_nothing_and_says_why(make_project):
    run = made(make_project(), steps=(10, 20))

    async def script(driver):
        for key in "POD":
            await driver.press(key)
            assert "--readonly" in driver.text
        await driver.press("v")
        await driver.until("2 checkpoints verified")

    in_files(run, script, readonly=True)
    assert steps(run) == [10, 20]


def test_in_ascii_nothing_else_is_shown(make_project):
    run = made(make_project(), steps=(10, 20), best=10, optimizer=5_000)

    async def script(driver):
        await driver.press("v")
        await driver.until("+ verified")
        assert driver.text.isascii()

    in_files(run, script, ascii=True)
