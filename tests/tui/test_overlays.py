"""Queue, Plugins, Settings and Doctor lie over what is open, and esc goes back to it."""

import contextlib
import time

import pytest
from hand_made import made
from studio import session
from textual.fuzzy import Matcher

from ftstudio.doctor import Finding
from ftstudio.locks import RecordLock
from ftstudio.runs.queue import take_slot, take_ticket, tickets
from ftstudio.settings import edit_settings, read_settings, settings_path
from ftstudio.tui.actions import in_place
from ftstudio.tui.app import rank
from ftstudio.tui.memory import Memory

pytestmark = pytest.mark.usefixtures("fakes")


def line_with(text, words):
    return next(line for line in text.splitlines() if words in line)


def over(root, name, script, **manners):
    """Run a script on one of the screens, opened from the palette."""

    async def opened(driver):
        await driver.press("colon")
        await driver.type(name)
        await driver.pilot.pause(0.5)
        await driver.press("enter")
        await driver.until(lambda: type(driver.app.screen).__name__.lower() == f"{name}screen")
        return await script(driver)

    return session(root, opened, **manners)


# ------------------------------------------------------------------------------------------------- queue


def test_lines_and_what_is_said_beside_them_do_not_run_together(make_project, tmp_path):
    folder = make_project("a-project-whose-name-is-long")

    async def script(driver):
        await driver.until("number 0")
        line = line_with(driver.text, "a-project-whose-name-is-long/runs")
        assert line[60] == "▏"

    with waiting(folder, 1):
        over(tmp_path, "queue", script, size=(120, 36))


@contextlib.contextmanager
def waiting(folder, count):
    """Runs that wait for the CPU, whose supervisor this process plays."""
    runs, locks = [], []
    for number in range(count):
        run = made(folder, "queued", reason=f"Waits for cpu, number {number}.", started=time.time() - 600)
        locks.append(RecordLock(run.lock))
        assert locks[-1].acquire()
        take_ticket(run, ["cpu"])
        runs.append(run)
    try:
        yield runs
    finally:
        for lock in locks:
            lock.release()


def test_the_queue_shows_order_age_and_reasons_and_who_computes(make_project, tmp_path):
    folder = make_project()
    with waiting(folder, 2):
        slot = take_slot(made(folder), "cpu", {})

        async def script(driver):
            await driver.press("Q")
            await driver.until("Waits for cpu, number 0")
            return driver.text

        text = session(tmp_path, script)
        slot.release()
    assert line_with(text, "lab:0001").split()[:5] == ["1", "◌", "lab:0001", "10", "min"]
    assert line_with(text, "lab:0002").split()[0] == "2"
    assert line_with(text, "cpu  ").split() == ["cpu", "lab:0003"]
    assert "2 runs wait" in text


def test_runs_change_places_and_the_cursor_goes_along(make_project, tmp_path):
    with waiting(make_project(), 3) as runs:

        async def script(driver):
            await driver.press("Q")
            await driver.until("lab:0003")
            await driver.press("down", "down", "U")
            await driver.until(lambda: [t.run.name for t in tickets()] == ["0001", "0003", "0002"])
            await driver.until(lambda: line_with(driver.text, "lab:0003").split()[0] == "2")
            assert driver.app.screen.key == runs[2].path
            await driver.press("D")
            await driver.until(lambda: line_with(driver.text, "lab:0003").split()[0] == "3")
            await driver.press("D")
            await driver.until("It is the last one already.")

        session(tmp_path, script)


def test_withdraw_asks_the_waiting_supervisor_to_leave(make_project, tmp_path):
    with waiting(make_project(), 1) as (run,):

        async def script(driver):
            await driver.press("Q")
            await driver.until("lab:0001")
            await driver.press("W")
            await driver.until("lab:0001 leaves the queue")

        session(tmp_path, script)
        assert (run.control / "stop").read_text() == "1\n"


def test_the_queue_updates_itself(make_project, tmp_path):
    folder = make_project()

    async def script(driver):
        await driver.press("Q")
        await driver.until("Nothing waits.")
        with waiting(folder, 1):
            await driver.until("lab:0001")
        await driver.until("Nothing waits. S in a project starts a run, which waits here for its place.")

    session(tmp_path, script)

    async def reading(driver):
        await driver.press("Q")
        await driver.until("Nothing waits. The studio was opened with --readonly.")

    session(tmp_path, reading, readonly=True)


def test_enter_opens_the_project_and_esc_goes_back(make_project, tmp_path):
    with waiting(make_project(), 1):

        async def script(driver):
            await driver.press("Q")
            await driver.until("lab:0001")
            await driver.press("escape")
            assert type(driver.app.screen).__name__ == "Home"
            await driver.press("Q")
            await driver.until("lab:0001")
            await driver.press("enter")
            await driver.until(lambda: type(driver.app.screen).__name__ == "ProjectScreen")

        session(tmp_path, script)


# ----------------------------------------------------------------------------------------------- plugins


def test_a_component_shows_its_options_with_defaults_and_help(make_project, tmp_path):
    make_project()

    async def script(driver):
        await driver.until("fakes")
        driver.app.screen.query_one("Lines").put_cursor(
            next(r.key for r in driver.app.screen.query_one("Lines").rows if getattr(r.key, "name", "") == "fake-walk")
        )
        await driver.until("max_steps = 10")
        assert "Steps. (a whole number, at least 1, in steps)" in driver.text

    over(tmp_path, "plugins", script, size=(120, 36))


def test_a_plugin_says_who_uses_it_and_is_disabled_and_enabled_again(make_project, tmp_path, settings_file):
    settings_file("# mine\nprobe_seconds = 30 # slow disk")
    make_project("poems")
    make_project("letters", model={"use": "starter"})

    async def script(driver):
        lines = driver.app.screen.query_one("Lines")
        await driver.until("fakes")
        lines.put_cursor("fakes\0ftstudio-fakes")
        await driver.until("Used by letters, poems.")
        await driver.press("E")
        await driver.until("Runs that are going go on")
        await driver.until(lambda: "disabled" in line_with(driver.text, "ftstudio-fakes 1.0"))
        assert read_settings().disabled_plugins == ("fakes",)
        assert "# mine" in settings_path().read_text()
        assert "# slow disk" in settings_path().read_text()
        await driver.press("E")
        await driver.until(lambda: "active" in line_with(driver.text, "ftstudio-fakes 1.0"))
        assert read_settings().disabled_plugins == ()

    over(tmp_path, "plugins", script, size=(120, 36))


def test_a_failed_plugin_shows_reason_and_mend(make_project, tmp_path, monkeypatch):
    from ftstudio.plugins import Record, Registry
    from ftstudio.tui.screens import plugins

    bad = Record(name="bad", value="bad", distribution="ftstudio-bad", version="2", status="failed",
                 reason="ModuleNotFoundError: No module named 'gguf'")  # fmt: skip
    for look in ("registry", "look_again"):
        monkeypatch.setattr(plugins, look, lambda: Registry((bad,)))

    async def script(driver):
        await driver.until("Install gguf into this environment")
        assert "✗ bad  failed" in driver.text

    over(tmp_path, "plugins", script)


def test_plugins_that_failed_come_first_then_the_others_by_name(make_project, tmp_path, monkeypatch):
    from ftstudio.plugins import Described, Record, Registry
    from ftstudio.tui.screens import plugins

    offered = (Described(kind="model", name="m", summary=""),)
    states = {"zebra": "failed", "beta": "active", "alpha": "disabled", "cat": "active", "ant": "failed"}
    records = tuple(
        Record(name=name, value=name, distribution=f"dist-{name}", version="1", status=status, components=offered)
        for name, status in states.items()
    )
    for name in ("registry", "look_again"):
        monkeypatch.setattr(plugins, name, lambda: Registry(records))

    async def script(driver):
        await driver.until("beta")
        names = [line.split()[1] for line in driver.text.splitlines() if "dist-" in line and " 1" in line][:5]
        assert names == ["ant", "zebra", "alpha", "beta", "cat"]

    over(tmp_path, "plugins", script, size=(80, 36))


# ---------------------------------------------------------------------------------------------- settings


def test_settings_say_value_place_and_meaning(tmp_path, settings_file):
    settings_file("# mine\nstop_seconds = 30")

    async def script(driver):
        text = driver.text
        assert line_with(text, "probe_seconds").split() == ["probe_seconds", "20.0", "default"]
        assert line_with(text, "stop_seconds").split() == ["stop_seconds", "30.0", "settings.toml:2"]
        assert "Plugins (entry-point or distribution names) that never load." in text

    over(tmp_path, "settings", script)


def test_settings_name_the_observers_of_every_run_and_where_they_are_written(tmp_path, settings_file):
    settings_file('[[observers]]\nuse = "csv"\n[[observers]]\nuse = "webhook"\nenabled = false')

    async def script(driver):
        assert line_with(driver.text, "observers ").split() == ["observers", "csv", "settings.toml:1"]
        assert line_with(driver.text, "observer_seconds").split() == ["observer_seconds", "30.0", "default"]
        driver.app.screen.query_one("Lines").put_cursor("observers")
        await driver.press("enter")
        await driver.until("write them in settings.toml")

    over(tmp_path, "settings", script)


def test_a_setting_is_edited_validated_and_written_beside_the_comments(tmp_path, settings_file):
    settings_file("# mine\n[slots]\ncpu = 1 # small")

    async def script(driver):
        driver.app.screen.query_one("Lines").put_cursor("slots")
        await driver.press("enter")
        await driver.until('{ "cpu" = 1 }')
        await driver.press(*["backspace"] * 20)
        await driver.type("{ cpu = none }")
        await driver.press("enter")
        await driver.until("slots must be a table")
        await driver.press(*["backspace"] * 20)
        await driver.type("{ cpu = 2, gpu0 = 3 }")
        await driver.press("enter")
        await driver.until("slots is written.")

    over(tmp_path, "settings", script)
    assert read_settings().slots == {"cpu": 2, "gpu0": 3}
    assert "# mine" in settings_path().read_text()
    assert "# small" in settings_path().read_text()


def test_a_value_that_only_the_whole_refuses_is_said_and_not_written(tmp_path):
    async def script(driver):
        driver.app.screen.query_one("Lines").put_cursor("slots")
        await driver.press("enter")
        await driver.press("backspace", "backspace")
        await driver.type("{ cpu = 0 }")
        await driver.press("enter")
        await driver.until("must be a whole number from 1")

    over(tmp_path, "settings", script)
    assert not settings_path().exists()


def test_a_setting_goes_back_to_its_default(tmp_path, settings_file):
    settings_file("stop_seconds = 30")

    async def script(driver):
        driver.app.screen.query_one("Lines").put_cursor("stop_seconds")
        await driver.press("D")
        await driver.until("stop_seconds is the default again")
        assert line_with(driver.text, "stop_seconds ").split() == ["stop_seconds", "600.0", "default"]

    over(tmp_path, "settings", script)
    assert read_settings().stop_seconds == 600.0


def test_clashes_of_keys_are_reported(tmp_path, settings_file):
    settings_file('[keymap]\n"home.sort" = "n"')

    async def script(driver):
        await driver.press("escape")
        await driver.until("means both")

    over(tmp_path, "settings", script, size=(120, 36))


def test_all_that_is_wrong_with_the_keys_is_said_at_once_and_no_key_is_offered_that_does_something_else(
    tmp_path, make_project, settings_file
):
    made(make_project())
    settings_file('[keymap]\n"bogus.id" = "z"\n"setup.undo" = "banana"\n"help" = "down"\n"run.start" = "n"')

    async def script(driver):
        await driver.until("keymap.bogus.id is no action.")
        assert "keymap.setup.undo: 'banana' is no key." in driver.text
        assert "down is a key of lists: help does not have it there." in driver.text
        assert "more: Settings, in the palette, says all." in driver.text
        keys = driver.text.splitlines()[-1]
        assert "n start" in keys
        assert "n new" not in keys
        assert "help" not in keys

    session(tmp_path, script, size=(120, 36))


def test_a_key_that_was_taken_away_does_nothing_and_is_not_offered(tmp_path, settings_file):
    settings_file('[keymap]\n"queue.open" = ""\nhelp = ""')

    async def script(driver):
        await driver.until(lambda: "q leave" in driver.text.splitlines()[-1] and "help" not in driver.text)
        await driver.press("Q", "question_mark")
        assert len(driver.app.screen_stack) == 1
        await driver.press("colon")
        await driver.type("queue")
        await driver.until("Show the runs that wait")
        await driver.press("enter")
        await driver.until(lambda: len(driver.app.screen_stack) == 2)

    session(tmp_path, script)


def test_the_theme_is_kept_for_the_next_time(tmp_path):
    async def pick(driver):
        driver.app.screen.query_one("Lines").put_cursor("theme")
        await driver.press("enter")
        await driver.until("Theme")
        driver.app.screen.query_one("Lines").put_cursor("gruvbox")
        await driver.press("enter")
        await driver.until(lambda: driver.app.theme == "gruvbox")

    over(tmp_path, "settings", pick)
    assert Memory().get("theme", str, "") == "gruvbox"

    async def look(driver):
        return driver.app.theme

    assert session(tmp_path, look) == "gruvbox"


def test_readonly_changes_no_setting(tmp_path):
    async def script(driver):
        await driver.press("enter")
        await driver.until("--readonly")

    over(tmp_path, "settings", script, readonly=True)


def test_y_copies_a_line_and_what_is_said_of_it(tmp_path, own_folders):
    async def script(driver):
        driver.app.screen.query_one("Lines").put_cursor("probe_seconds")
        await driver.press("y")
        await driver.until("Copied, and written to")

    over(tmp_path, "settings", script)
    text = (own_folders / "state" / "ftstudio" / "copied.txt").read_text()
    assert text.split()[:3] == ["probe_seconds", "20.0", "default"]
    assert "a number" in text


def test_the_palette_begins_with_what_can_be_done_here(tmp_path):
    async def script(driver):
        await driver.press("colon")
        await driver.until("Change the setting under the cursor.")

    over(tmp_path, "settings", script)


def test_the_palette_puts_the_name_that_was_begun_before_what_speaks_of_it(tmp_path):
    def first(query, place):
        actions = [a for a in in_place("everywhere", "project", place) if a.id != "palette"]
        return max(actions, key=lambda a: rank(query, a, Matcher(query).match)).id

    begun = {"ch": "run.checkpoint", "checkpoin": "run.checkpoint", "setti": "settings.open", "th": "theme.next"}
    assert {query: first(query, "compare") for query in begun} == begun
    assert [first(query, "train") for query in ("com", "Fil", "lay o")] == [
        "pane.compare",
        "pane.files",
        "train.overlay",
    ]
    for action in in_place("everywhere", "project", "setup"):
        found = first(action.words, "setup")
        assert action.id in {"palette", found}, action.words
    assert first("clipboard", "home") == "copy", "what only the help holds is found too"
    assert rank("qqq", in_place("home")[0], Matcher("qqq").match) == 0


def test_enter_in_the_palette_takes_the_command_whose_name_was_begun(tmp_path):
    async def script(driver):
        await driver.press("colon")
        await driver.type("setti")
        await driver.until("Show the settings of the studio")
        await driver.press("enter")
        await driver.until("probe_seconds")

    session(tmp_path, script)


# ------------------------------------------------------------------------------------------------ doctor


def test_the_doctor_shows_the_bad_first_and_each_mend(tmp_path, monkeypatch):
    from ftstudio.tui.screens import doctor

    def examine(root, *, write):
        assert (root, write) == (tmp_path, True)
        yield Finding(level="ok", subject="torch", says="2.13")
        yield Finding(level="error", subject="record locks", says="do not work \x1b[2J", mend="Use a local disk.")
        yield Finding(level="warn", subject="login", says="ends")

    monkeypatch.setattr(doctor, "examine", examine)

    async def script(driver):
        await driver.until("1 error, 1 warn")
        rows = [line.split()[1] for line in driver.text.splitlines()[1:4]]
        assert rows == ["error", "warn", "ok"]
        await driver.until("Use a local disk.")  # the cursor is on the worst
        assert "do not work \\x1b[2J" in driver.text

    over(tmp_path, "doctor", script)


def test_the_doctor_looks_for_real_and_is_ascii_where_asked(tmp_path):
    async def script(driver):
        await driver.until(lambda: "looking" not in driver.text, seconds=60)
        await driver.until("torch")
        assert driver.text.isascii()

    over(tmp_path, "doctor", script, ascii=True)


def test_edits_of_settings_by_somebody_else_are_not_lost(tmp_path, settings_file):
    async def script(driver):
        settings_file("stop_seconds = 5")
        driver.app.screen.query_one("Lines").put_cursor("probe_seconds")
        await driver.press("enter")
        await driver.press(*["backspace"] * 6)
        await driver.type("9")
        await driver.press("enter")
        await driver.until("probe_seconds is written.")

    over(tmp_path, "settings", script)
    assert (read_settings().stop_seconds, read_settings().probe_seconds) == (5.0, 9.0)
    edit_settings({"stop_seconds": None})
    assert read_settings().stop_seconds == 600.0
