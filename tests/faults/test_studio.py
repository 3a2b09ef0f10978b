"""The studio on a real terminal, when something goes wrong around it: killed, cut off, two at once, rude plugins.

Where a real terminal adds nothing (what is asked of a run on another host) the app is driven without one.
"""

import asyncio
import os
import random
import shlex
import signal
import termios
import time
from pathlib import Path

import pytest
from hand_made import made
from lab import at_step, ended, gone, started, until
from screen import foreign
from studio import opened

from ftstudio.locks import lock_holder
from ftstudio.runs.control import ask
from ftstudio.runs.state import process_start, read_state
from ftstudio.tui.memory import Memory

pytestmark = [pytest.mark.usefixtures("fakes"), pytest.mark.timeout(180)]

LONG = {"max_steps": 20_000, "save_steps": 500, "step_seconds": 0.01}
IGNORED = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]
PANES = {"1": "1 Setup", "2": "2 Data", "3": "3 Train", "4": "4 Logs", "5": "5 Gen", "6": "6 Com", "7": "7 Fil"}


def stop(run):
    ask(run, "stop", 1)
    assert ended(run).state == "stopped"


def test_an_editor_that_cannot_start_leaves_the_terminal_to_the_studio(make_project, terminal, tmp_path):
    project = make_project()
    Memory().showed(project, "setup")
    editor = tmp_path / "not-executable"
    editor.write_text("")
    shown = terminal(project.parent, size=(120, 40), env={"VISUAL": str(editor)})
    shown.sees("What this means")
    shown.press("e")
    shown.sees("does not start: Permission denied.", seconds=15)
    shown.press("esc", "2")
    shown.sees("rows 1 to", seconds=30)
    shown.press("q")
    assert shown.ended(30) == 0


def test_an_editor_that_is_interrupted_or_killed_leaves_the_studio_and_the_modes_of_the_terminal(
    make_project, terminal, tmp_path
):
    project = make_project()
    Memory().showed(project, "setup")
    editor = tmp_path / "rude"
    editor.write_text("#!/bin/sh\nstty raw -echo isig\necho it waits\nread _\nkill -9 $$\n")
    editor.chmod(0o755)
    shown = terminal(project.parent, size=(120, 40), env={"VISUAL": str(editor)})
    before = termios.tcgetattr(shown.master)
    for key, number in (("ctrl+c", 2), ("\n", 9)):
        shown.sees("What this means")
        shown.press("e")
        shown.sees("it waits", seconds=15)
        shown.press(key)
        shown.sees(f"'rude' was ended by signal {number}.", seconds=15)
        shown.clear()
        shown.press("esc")
    shown.press("q")
    assert shown.ended(30) == 0
    assert termios.tcgetattr(shown.master) == before


# ------------------------------------------------------------------------------------- the studio goes away


def test_a_studio_that_is_told_to_end_gives_the_terminal_back_without_its_picture(make_project, terminal):
    project = make_project()
    shown = terminal(project.parent)
    before = termios.tcgetattr(shown.master)
    shown.sees("ftstudio")
    shown.press("n")
    shown.sees("New project")
    assert termios.tcgetattr(shown.master) != before
    os.kill(shown.pid, signal.SIGTERM)
    assert shown.ended(30) == 128 + signal.SIGTERM
    assert termios.tcgetattr(shown.master) == before
    screen, cursor = bytes(shown.raw).rfind(b"\x1b[?1049l"), bytes(shown.raw).rfind(b"\x1b[?25h")
    assert 0 < screen < cursor, "the shell's screen, and its cursor"


def test_a_killed_studio_changes_nothing_and_the_next_one_shows_the_run_live(make_project, terminal):
    project = make_project(trainer=LONG)
    run = started(project)
    shown = terminal(project.parent)
    shown.sees("lab:0001", "/20,000")
    os.kill(shown.pid, signal.SIGKILL)
    assert shown.ended() == -signal.SIGKILL
    assert read_state(run).state == "running"
    again = terminal(project.parent)
    again.sees("lab:0001", "● ", "/20,000")
    stop(run)
    again.sees("■ lab:0001", "stopped")


@pytest.mark.alone
@pytest.mark.parametrize("before", [[], IGNORED], ids=["as-it-is", "where-SIGHUP-is-ignored"])
def test_a_studio_whose_terminal_is_closed_is_gone_within_a_second_and_the_run_goes_on(make_project, terminal, before):
    project = make_project(trainer=LONG)
    run = started(project)
    shown = terminal(project.parent, before=before)
    shown.sees("lab:0001", "/20,000")
    at_step(run, 3)
    shown.close()
    until(lambda: gone(shown.pid), "the end of the studio", 1)
    assert read_state(run).state == "running"
    stop(run)


# ------------------------------------------------------------------------------------------ two at once


def test_of_two_studios_on_one_project_the_second_to_write_sees_the_difference(make_project, terminal):
    project = make_project(trainer={"max_steps": 10})
    Memory().showed(project.resolve(), "setup")
    first, second = terminal(project.parent, size=(120, 40)), terminal(project.parent, size=(120, 40))
    for shown in (first, second):
        edit_max_steps(shown)
        shown.press("2")
        shown.sees("in all          102 steps")
    second.press("5", "enter")  # 1025
    until(lambda: "max_steps = 1025" in (project / "project.toml").read_text(), "the second one's change")
    first.press("7", "enter")
    first.sees("Not written", "+max_steps = 1025")
    assert "max_steps = 1025" in (project / "project.toml").read_text()
    first.press("esc")
    first.sees("1,025 steps")
    edit_max_steps(first)
    first.press("backspace", "backspace", "backspace", "backspace", "33", "enter")
    until(lambda: "max_steps = 33" in (project / "project.toml").read_text(), "the first one's change")
    second.sees("was changed outside: trainer.max_steps = 33")


def edit_max_steps(shown):
    """Open the field of max_steps: the cursor goes down from the first row."""
    rows = [line[:60] for line in shown.sees("max_steps", "What this means", "steps").splitlines()[1:]]
    target = next(i for i, row in enumerate(rows) if " max_steps " in row)
    skipped = sum(" more " in row for row in rows[:target])
    shown.press("home", *["down"] * (target - skipped), pause=0.05)
    shown.press("enter", pause=1)


# ------------------------------------------------------------------------------------------ rude plugins

HANGING = """
import time
time.sleep(100)
"""
GARBAGE = """
import os, sys
from dataclasses import dataclass
from ftstudio.api import Component, hookimpl, option
from ftstudio_fakes import FakeTrainer, TrainerOptions, trainer_check, trainer_plan

if "ftstudio.probe" in sys.modules["__main__"].__spec__.name:  # what it writes to 1 and 2 while described is refused
    try:
        with open("/dev/tty", "w") as terminal:
            terminal.write("\\x1bcGARBAGE")
    except OSError:
        pass
else:
    for number in (1, 2):
        os.write(number, b"\\x1b]0;title\\x07\\x1b[2J\\x1b[5;5HGARBAGE\\r\\n" * 1000)

def plan(options, facts):
    os.write(2, b"\\x1b[5;5HGARBAGE")
    return trainer_plan(options, facts)

class Loud(FakeTrainer):
    def train(self, *arguments):
        os.write(1, b"\\x1b]0;title\\x07\\x1b[2J\\x1b[5;5HGARBAGE\\r\\n" * 1000)
        return super().train(*arguments)

@hookimpl
def ftstudio_trainers():
    yield Component(name="loud-walk", summary="a loud one", target="ftstudio_rude:Loud", options=TrainerOptions,
                    takes=("text",), plan="ftstudio_rude:plan", check="ftstudio_fakes:trainer_check")
"""


@pytest.fixture
def rude(tmp_path, monkeypatch):
    """Install a plugin of this source for child processes."""

    def install(source):
        folder = tmp_path / "plugins"
        (folder / "ftstudio_rude-1.dist-info").mkdir(parents=True)
        (folder / "ftstudio_rude-1.dist-info" / "METADATA").write_text("Name: ftstudio-rude\nVersion: 1\n")
        (folder / "ftstudio_rude-1.dist-info" / "entry_points.txt").write_text("[ftstudio]\nrude = ftstudio_rude\n")
        (folder / "ftstudio_rude.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ["PYTHONPATH"]]))

    return install


@pytest.mark.alone
def test_a_plugin_that_hangs_while_it_is_described_is_named_and_keeps_nobody_waiting(
    rude, make_project, terminal, settings_file
):
    rude(HANGING)
    settings_file("probe_seconds = 6.0")
    project = make_project()
    shown = terminal(project.parent, size=(120, 30))
    shown.sees("No runs yet")
    shown.press(":", "plugins", pause=0.8)
    shown.press("enter", pause=0)
    shown.sees("Plugins", "looking ...")
    answers = [answer_seconds(shown, number) for number in range(6)]
    assert "looking ..." in shown.picture, "it did not hang while we asked"
    assert sorted(answers)[len(answers) // 2] < 0.25, answers  # about 0.05 s on a machine that has nothing else to do
    assert max(answers) < 1, answers
    shown.sees("✓ fakes", seconds=20)
    shown.sees("✗ rude", "failed", "did not finish describing", "within 6 s.", seconds=20)
    shown.press("q")
    assert shown.ended() == 0


def answer_seconds(shown, number):
    """From a key to its picture: help comes, and goes."""
    word = "esc closes" if number % 2 == 0 else "looking ..."
    shown.clear()
    began = time.monotonic()
    os.write(shown.master, b"?" if number % 2 == 0 else b"q")
    while word not in shown.shown:
        assert time.monotonic() - began < 5, shown.picture
        time.sleep(0.005)
    return time.monotonic() - began


def test_what_a_plugin_prints_past_python_does_not_reach_the_screen(rude, make_project, terminal):
    rude(GARBAGE)
    project = make_project(trainer={"use": "loud-walk", "note": "\x1b]0;title\x07 its words", "flood": 1})
    Memory().showed(project.resolve(), "setup")
    shown = terminal(project.parent, size=(120, 40))
    shown.sees("loud-walk", "in all          10 steps")
    shown.press(":", "plugins", pause=0.8)
    shown.press("enter")
    shown.sees("✓ rude", "a loud one")
    shown.press("esc", "S")
    shown.sees("Start a run of lab", "10 steps")
    shown.press("enter")
    shown.sees("✓ finished")
    assert "GARBAGE" not in shown.shown
    shown.press("4", "t")
    shown.sees("the last of 1 MB")
    shown.press("home")
    shown.sees("\\x1b[5;5HGARBAGE")  # the worker's own output, escaped
    shown.press("q")
    assert shown.ended() == 0
    assert foreign(shown.raw) == []


# ----------------------------------------------------------------------------------- elsewhere, and no room


def test_a_run_of_another_host_is_shown_with_its_last_event_and_nobody_here_is_signalled(make_project):
    """Its pids are ours, alive: a signal that were sent by them would be seen."""
    child = os.posix_spawn("/bin/sleep", ["sleep", "100"], os.environ)
    project = make_project()
    run = made(project, "running", host="gpu99", pid=child, worker_pid=child, pid_start=process_start(child))

    async def script():
        async with opened(project.parent, (120, 36)) as driver:
            await driver.until("lab:0001")
            await driver.press("enter")
            await driver.until("on gpu99, last event")
            await driver.press("R")
            await driver.press("X")
            await driver.until("It will finish its step")
            await driver.press("colon")
            await driver.type("kill")
            await driver.pilot.pause(0.5)
            await driver.press("enter")
            await driver.until("Kill lab:0001?")
            await driver.press("y")
            await driver.until("It is being killed")
            await driver.pilot.pause(1.5)
            assert "on gpu99, last event" in driver.text

    try:
        asyncio.run(script())
        assert not gone(child)
        assert read_state(run).state == "running"
        assert lock_holder(run.lock) is None
        assert sorted(p.name for p in run.control.iterdir()) == ["kill", "stop"]  # files, for whoever runs it there
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.usefixtures("namespaces")
def test_it_opens_on_a_file_system_that_is_read_only(make_project, terminal):
    project = make_project()
    made(project, "finished")
    place = shlex.quote(str(project.parent))
    mounted = f"mount --bind {place} {place} && mount -o remount,ro,bind {place} {place} && "
    shown = terminal(project.parent, before=("unshare", "-m", "sh", "-c", mounted + 'exec "$@"', "sh"))
    shown.sees("lab:0001", "finished")
    shown.press("q")
    assert shown.ended() == 0
    assert "Traceback" not in shown.shown


def test_a_terminal_of_one_cell_and_two_hundred_sizes_in_a_storm_end_in_the_right_picture(
    make_project, terminal, request
):
    project = make_project()
    made(project, "finished", losses=[3 / (step + 1) for step in range(200)], steps=(10, 20))
    rounds = 200 if request.config.getoption("--faults") != "full" else 2000
    draw = random.Random(7)
    shown = terminal(project.parent, size=(1, 1))
    time.sleep(0.5)
    shown.resize(80, 24)
    shown.sees("lab:0001")
    shown.press("enter")
    for number in range(rounds):
        if number % (rounds // 10) == 0:
            if number:  # keys act where there is room for a picture
                shown.resize(80, 24)
                shown.sees("run 0001")
            shown.press(str(1 + number // (rounds // 10) % 7), pause=0)
        shown.resize(*draw.choice([(1, 1), (2, 300), (300, 2), (draw.randint(1, 250), draw.randint(1, 80))]))
        time.sleep(0.01)
    shown.resize(80, 24)
    shown.sees("run 0001")
    for key, words in PANES.items():
        shown.press(key)
        shown.sees(words, "run 0001")
    shown.press("q")
    assert shown.ended() == 0
    assert "Traceback" not in shown.shown


def test_a_window_that_was_small_for_a_moment_is_painted_again(make_project, terminal):
    """The studio hears of a size that it has, for it was too slow for the one before; the terminal has lost its lines."""
    project = make_project()
    made(project, "finished")
    shown = terminal(project.parent)
    shown.sees("lab:0001", "finished")
    for _ in range(20):
        shown.resize(20, 3)
        shown.resize(80, 24)
        shown.sees("lab:0001", "finished", seconds=20)


def test_no_screen_of_the_real_studio_imports_what_is_heavy(make_project, terminal, tmp_path, monkeypatch):
    """Each process writes which of the heavy modules it looks for; the workbench does, which shows that it works."""
    watch = tmp_path / "watch"
    watch.mkdir()
    (watch / "sitecustomize.py").write_text(
        "import os, sys\n"
        "class Heavy:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in {'torch', 'transformers', 'datasets', 'peft', 'accelerate', 'numpy'}:\n"
        f"            with open(os.path.join({str(watch)!r}, str(os.getpid())), 'a') as file:\n"
        "                file.write(name + '\\n')\n"
        "sys.meta_path.insert(0, Heavy())\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(watch), os.environ["PYTHONPATH"]]))
    table = {"use": "text", "path": "words.txt", "validation_fraction": 0.2}
    base = {"format": 1, "model": {"use": "starter"}, "dataset": table, "tokenizer": {"use": "pretrained"},
            "trainer": {"use": "hf", "max_steps": 3}, "generator": {"use": "sample", "prompts": ["The"]}}  # fmt: skip
    project = make_project(base=base)
    (project / "words.txt").write_text("The river keeps its silver.\n" * 20)
    for _ in range(2):
        made(project, "finished", steps=(1, 2))
    shown = terminal(project.parent, size=(120, 36))
    visit_everything(shown)
    maps = Path(f"/proc/{shown.pid}/maps").read_text()
    studio = shown.pid
    shown.press("q")
    assert shown.ended() == 0
    assert not (watch / str(studio)).exists(), (watch / str(studio)).read_text()
    assert "libtorch" not in maps
    assert "libarrow" not in maps
    others = [path.read_text().split() for path in watch.iterdir() if path.name.isdigit()]
    assert any({"torch", "transformers", "datasets"} <= set(found) for found in others)


def visit_everything(shown):
    shown.sees("lab:0001")
    shown.press("n")
    shown.sees("New project")
    shown.press("esc", "?")
    shown.sees("Home")
    shown.press("esc", "enter")
    for key, words in {
        "1": "What this means",
        "2": "median",
        "3": "loss",
        "4": "step 2",
        "6": "results",
        "7": "step 2  ",
    }.items():
        shown.press(key)
        shown.sees(words)
    shown.press("2", "t")
    shown.sees("tokens   rows")
    shown.press("5")
    shown.sees("starter, before")
    shown.press("g", "o")
    shown.sees("for this once")
    shown.press("esc", "1", ".", "S")
    shown.sees("Start a run of lab", "in all")
    shown.press("esc", "Q")
    for name in ("queue", "plugins", "settings", "doctor"):
        shown.press(":", name, pause=0.8)
        shown.press("enter", pause=0.8)
        shown.sees(name.capitalize())
    shown.sees("torch", "transformers")
    shown.press("esc")


# ------------------------------------------------------------------------------------------ how it is opened


def test_it_opens_on_a_run_that_is_named_by_its_folder(make_project, terminal):
    project = make_project()
    made(project)
    made(project)
    terminal(project / "runs" / "0001", size=(120, 36)).sees("3 Train", "run 0001")


def test_it_draws_on_the_terminal_that_is_left_where_its_errors_go_into_a_file(make_project, terminal):
    project = make_project()
    made(project)
    shown = terminal(project.parent, before=["sh", "-c", 'exec "$@" 2>errors', "sh"], cwd=project.parent)
    shown.sees("lab:0001")
    assert (project.parent / "errors").read_bytes() == b""
