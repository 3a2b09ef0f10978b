"""The built-in observers beside real runs: what they wrote is what the run's events say, also after a resume."""

import threading
from pathlib import Path

import pytest
from lab import at_step, ended, kill, resumed, started, until, worker_of
from observed import SECRET, Receiver, as_float32, as_readers_see, is_same_table, scalars, table

from ftstudio.locks import lock_holder
from ftstudio.runs.control import ask
from ftstudio.runs.events import read_events
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.observers import ObserverFiles, troubles
from ftstudio.runs.status import read_state
from ftstudio_observers.options import WEBHOOK_URL

pytestmark = pytest.mark.usefixtures("fakes")

LONG = {"max_steps": 5000, "save_steps": 10, "step_seconds": 0.005}


@pytest.fixture
def receiver(monkeypatch):
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv(WEBHOOK_URL, server.url)
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def drained(run, *names):
    for name in names:
        files = ObserverFiles(run, name)
        until(lambda f=files: (c := f.read()) is not None and c.state != "running", f"the end of {name}")
        until(lambda f=files: lock_holder(f.lock) is None, f"the end of {name}'s process")
    assert troubles(run) == []


def test_the_table_and_tensorboard_show_what_readers_see_after_a_kill_and_a_resume(make_project):
    pytest.importorskip("tensorboard")
    project = make_project(trainer=LONG, observers=[{"use": "csv"}, {"use": "tensorboard"}])
    run = started(project)
    at_step(run, 25)
    kill(worker_of(run))
    ended(run)
    beyond = max(event.step or 0 for event in read_events(run.events))
    resumed(run)
    at_step(run, beyond + 10)
    ask(run, "stop", 2)
    ended(run)
    drained(run, "csv", "tensorboard")
    seen = as_readers_see(read_events(run.events))
    assert is_same_table(table(run.path), seen)
    assert is_same_table(scalars(run.path), as_float32(seen))
    assert list(seen) == list(range(1, len(seen) + 1))


def test_the_webhook_hears_of_a_finish_once_and_its_address_is_nowhere(make_project, receiver):
    run = started(make_project(trainer={**LONG, "max_steps": 200}, observers=[{"use": "webhook"}]))
    pid = until(lambda: lock_holder(ObserverFiles(run, "webhook").lock), "the observer")
    arguments = [Path(f"/proc/{p}/cmdline").read_bytes() for p in (pid, worker_of(run), read_state(run).pid)]
    assert ended(run).state == "finished"
    drained(run, "webhook")
    ((path, _, body),) = receiver.got
    assert (path, body["state"], body["run"]) == (SECRET, "finished", "0001")
    assert not [a for a in arguments if b"s3cr3t" in a]
    for file in run.path.rglob("*"):
        assert file.is_dir() or b"s3cr3t" not in file.read_bytes(), file


def test_a_webhook_that_was_away_hears_of_the_end_from_a_replay(make_project, receiver, ftstudio):
    receiver.answers = [404, 200]
    run = started(make_project(trainer={**LONG, "max_steps": 5}, observers=[{"use": "webhook"}]))
    assert ended(run).state == "finished"
    until(lambda: [str(t) for t in troubles(run)], "the failure")
    said = ftstudio("status", run.path).err
    assert "! Observer webhook failed: The webhook did not take the end of the run: it answered 404." in said
    done = ftstudio("replay", run.path, "--to", "webhook")
    assert done.code == 0, done.err
    drained(run, "webhook")
    first, second = receiver.got
    assert first == second


def test_an_inline_run_has_its_observers_too(make_project, ftstudio):
    project = make_project(trainer={"max_steps": 5}, observers=[{"use": "csv"}])
    done = ftstudio("run", project, "--inline", "--device", "cpu")
    assert done.code == 0, done.err
    run = RunFolder(project / "runs" / "0001")
    drained(run, "csv")
    assert is_same_table(table(run.path), as_readers_see(read_events(run.events)))


def test_the_supervisor_of_a_run_with_observers_is_small(make_project):
    run = started(make_project(trainer=LONG, observers=[{"use": "fake-watch"}, {"use": "csv"}]))
    at_step(run, 20)
    status = Path(f"/proc/{read_state(run).pid}/status").read_text()
    assert int(status.split("VmHWM:")[1].split()[0]) < 30_000
    ask(run, "kill", 1)
    ended(run)
    drained(run, "fake-watch", "csv")
