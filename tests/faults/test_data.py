"""Data that nothing can be learnt from, and more data than memory: what is said, how much is held, how it ends."""

from pathlib import Path

import pytest
from lab import ended, started, until, worker_of
from test_exact_resume import PROJECT

from ftstudio.runs.control import ask
from ftstudio.runs.events import read_events
from ftstudio.runs.record import list_runs

LINE = b"the river keeps its silver in the dark and will not say why it bends around the stone "
MOST_BYTES = 700 << 20  # torch and datasets alone take 170 MB


@pytest.fixture
def project(make_project):
    """A project of the native trainer on one text file."""

    def make():
        base = {**PROJECT, "dataset": {"use": "text", "path": "data.txt"}, "trainer": {"use": "native", "max_steps": 2}}
        folder = make_project(base=base)
        return folder, folder / "data.txt"

    return make


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"a", "All that there is to train on is one character"),
        (b"\n\n\r\n \n", "holds nothing but blank lines"),
    ],
    ids=["0-bytes", "1-character", "newlines"],
)
def test_data_that_nothing_can_be_learnt_from_are_refused_before_training(project, ftstudio, content, reason):
    folder, data = project()
    data.write_bytes(content)
    done = ftstudio("run", folder)
    assert done.code == 2, done.err
    assert reason in done.err
    assert "Traceback" not in done.err
    assert list_runs(folder) == []


@pytest.mark.parametrize("end", [b"\n", b""], ids=["lines", "one-line"])
@pytest.mark.timeout(1200)
def test_more_data_than_memory_is_read_in_little_of_it_and_left_at_once_when_asked(project, request, end):
    """150 MB, with --faults=full 1 GB."""
    megabytes = 1000 if request.config.getoption("--faults") == "full" else 150
    folder, data = project()
    block = (LINE + end) * ((1 << 20) // len(LINE))
    with data.open("wb") as file:
        for _ in range(megabytes):
            file.write(block)
    run = started(folder)
    worker = worker_of(run)
    seen = until(lambda: [e for e in read_events(run.events) if e.kind == "progress"][2:], "progress while reading")
    assert (seen[0].data["unit"], seen[0].data["total"]) == ("bytes", data.stat().st_size)
    peak = int(Path(f"/proc/{worker}/status").read_text().split("VmHWM:")[1].split()[0]) << 10
    ask(run, "stop", 1)
    state = ended(run, 60)
    assert (state.state, state.reason) == ("stopped", "Stopped before training: asked.")
    assert peak < MOST_BYTES
