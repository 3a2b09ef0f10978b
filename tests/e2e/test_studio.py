"""The studio on a real terminal, from an empty folder to two runs side by side; its link is cut on the way."""

import json
import os
import time
from pathlib import Path

import pytest
from terminal import studio

from ftstudio.runs.folder import RunFolder
from ftstudio.runs.state import LIVE, read_state

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]

WORDS = ["The river keeps its silver.", "The stone is older than the water.", "The wind has no house of its own."]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps({"text": f"{WORDS[i % 3]} It is line {i}."}) + "\n" for i in range(60)))
    return path


@pytest.fixture
def terminals():
    opened = []
    yield opened.append
    for terminal in opened:
        terminal.kill()


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def test_from_an_empty_folder_to_a_run_that_survives_its_terminal(tmp_path, data, terminals):
    root = tmp_path / "lab"
    root.mkdir()
    first = studio(root, size=(120, 36))
    terminals(first)
    first.until("No projects here yet.")

    first.press("n")
    first.until("New project")
    first.press("poems", "tab", str(data))
    first.until("60 rows")
    first.press("enter")
    first.until("poems", "What this means", "in all")
    assert (root / "poems" / "project.toml").exists()

    first.press(*["down"] * 40, pause=0.02)
    project = (root / "poems" / "project.toml").read_text()
    assert "num_train_epochs = 3" in project
    first.clear()
    first.press("S")
    first.until("Start a run of poems", "in all")
    first.press("trainer.max_steps=400 trainer.logging_steps=5 trainer.save_steps=20")
    first.until("400 steps")
    first.clear()
    first.press("enter")
    first.until("loss", "tokens/s", seconds=120)

    run = RunFolder(root / "poems" / "runs" / "0001")
    assert read_state(run).state in LIVE
    pid = first.pid
    first.close()
    deadline = time.monotonic() + 5
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone(pid)
    os.waitpid(pid, 0)
    first.pid = 0
    assert read_state(run).state in LIVE

    second = studio(root, size=(80, 24))
    terminals(second)
    second.until("poems", "0001", "running", seconds=60)
    second.press("X")
    second.until("It will finish its step")
    second.until("stopped", seconds=120)
    assert read_state(run).state == "stopped"
    second.press("q")
    assert second.ended() == 0
