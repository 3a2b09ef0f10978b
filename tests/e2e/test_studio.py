"""The studio on a real terminal, from an empty folder to two runs side by side; its link is cut on the way."""

import json
import re

import pytest
from lab import ended, gone, until
from screen import foreign

from ftstudio.runs.checkpoints import list_checkpoints
from ftstudio.runs.events import read_events
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.fork import lineage_text
from ftstudio.runs.state import LIVE, read_state

pytestmark = pytest.mark.timeout(400)

WORDS = ["The river keeps its silver.", "The stone is older than the water.", "The wind has no house of its own."]
WIDE = (120, 36)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps({"text": f"{WORDS[i % 3]} It is line {i}."}) + "\n" for i in range(60)))
    return path


def go_to(shown, label):
    """Put the cursor of Setup on an option: from the first row down, over those that the cursor skips."""
    rows = [line[:66] for line in shown.picture.splitlines()[1:]]
    target = next(i for i, row in enumerate(rows) if row.startswith((f"   {label} ", f" * {label} ")))
    skipped = sum(bool(re.match(r"   \. \d+ more", row)) for row in rows[:target])
    shown.press(*["down"] * (target - skipped), pause=0.02)


def losses(run):
    return [e.data["metrics"]["loss"] for e in read_events(run.events) if "loss" in e.data.get("metrics", ())]


def make_poems(shown, root, data):
    """A project from a file, and one field of it changed: the plan follows at each keystroke, the file at Enter."""
    shown.sees("No projects here yet.", "n   a new project")
    shown.press("n")
    shown.sees("New project")
    shown.press("poems", "tab", str(data))
    shown.sees("60 rows")
    shown.press("enter")
    shown.sees("What this means", "in all          21 steps")
    go_to(shown, "num_train_epochs")
    shown.press("enter", "backspace", pause=1)  # the field is open before anything is typed into it
    shown.press("2", "0", "0")
    shown.sees("in all          1,400 steps")
    assert "num_train_epochs = 3" in (root / "poems" / "project.toml").read_text()
    shown.press("enter")
    shown.sees("200 epochs   default 3")
    assert "num_train_epochs = 200" in (root / "poems" / "project.toml").read_text()


def start_and_watch(shown, root):
    """A run, whose loss falls before our eyes."""
    shown.press("S")
    shown.sees("Start a run of poems", "in all")
    shown.press("trainer.logging_steps=2 trainer.learning_rate=1e-3")
    shown.sees("logging_steps=2", "1,400 steps")
    shown.press("enter")
    shown.sees("running", "loss", "tokens/s", seconds=120)
    run = RunFolder(root / "poems" / "runs" / "0001")
    until(lambda: (found := losses(run))[-1] < found[0] - 1, "a loss that fell")
    fallen = losses(run)[0] - 1
    until(lambda: min(map(float, re.findall(r" loss (\d+\.\d+)", shown.picture))) < fallen, "a fallen loss on Train")
    return run


def sample_beside_the_base(shown):
    """Two texts from one prompt, and not the same ones."""
    shown.press("5")
    shown.sees("starter, before", "poems:0001 at ")
    shown.press("g")
    until(lambda: len(re.findall("reached its length|ended by itself", shown.picture)) == 2, "two samples")
    line = next(line for line in shown.picture.splitlines() if line.startswith(" The "))
    assert line[60:].strip().startswith("The ")
    assert line[1:59].strip() != line[60:].strip()


def fork_and_compare(shown, root, last):
    """Another run from the last checkpoint, and both side by side."""
    shown.press("F")
    shown.sees("Fork poems:0001", "from checkpoint")
    shown.press(f"trainer.max_steps={last + 3}")
    shown.sees(f"{last + 3:,} steps")
    shown.press("enter")
    shown.sees("run 0002")
    fork = RunFolder(root / "poems" / "runs" / "0002")
    assert ended(fork).state == "finished"
    assert lineage_text(fork).endswith(f"at step {last}")
    shown.press("6")
    shown.sees("settings that differ", "trainer.max_steps", "results", "poems:0001", "poems:0002")


def test_from_an_empty_folder_to_two_runs_side_by_side(tmp_path, data, terminal):
    root = tmp_path / "lab"
    root.mkdir()
    first = terminal(root, size=WIDE)
    make_poems(first, root, data)
    run = start_and_watch(first, root)
    assert foreign(first.raw) == []

    studio = first.pid
    first.close()  # without a word, as a link that is cut
    until(lambda: gone(studio), "the end of the studio", 10)
    logged = len(losses(run))
    until(lambda: len(losses(run)) > logged, "another step")
    assert read_state(run).state in LIVE

    second = terminal(root, size=(80, 24))
    second.sees("3 Train", "run 0001 ●", "running")  # the screen that was left, and the run as it is
    second.press("X")
    second.sees("It will finish its step")
    second.sees("■ stopped", seconds=120)
    assert ended(run).state == "stopped"
    second.resize(*WIDE)
    sample_beside_the_base(second)
    fork_and_compare(second, root, int(list_checkpoints(run.checkpoints)[-1].name))
    second.press("q")
    assert second.ended() == 0
    assert foreign(second.raw) == []
