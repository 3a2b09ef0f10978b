"""Machines that give out under a run: a file system, its locks, memory, processes. What is left, and what is said."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from lab import at_step, ended, resumed, started, worker_of
from shim import NOBODY

from ftstudio.locks import lock_holder
from ftstudio.process import supervisor
from ftstudio.process.devices import Device
from ftstudio.runs.checkpoints import list_checkpoints, verify
from ftstudio.runs.control import ask
from ftstudio.runs.events import read_events
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.status import read_state
from ftstudio.settings import Settings

pytestmark = pytest.mark.usefixtures("fakes")

LONG = {"max_steps": 5000, "save_steps": 5, "step_seconds": 0.01}
HERE = Path(__file__).parent


# ------------------------------------------------------------------------------------------- file systems


def test_a_file_system_that_becomes_read_only_ends_the_run_with_the_reason(make_project, tmp_path):
    """ext4 as it is after an error of its disk: open files take no more writes either, as no remount could do."""
    if not all(map(shutil.which, ("unshare", "mkfs.ext4", "losetup"))):
        pytest.skip("no ext4 to break here")
    project = make_project(trainer=LONG, observers=[{"use": "fake-watch"}])
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["unshare", "-m", sys.executable, HERE / "broken_disk.py", project, disk],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent / "e2e"), os.environ["PYTHONPATH"]])},
    )  # fmt: skip
    if "cannot mount" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    sentence = "Its file system became read-only. Make it writable again, then resume it."
    assert answer["status"]["state"] == "interrupted"
    assert answer["status"]["reason"] == sentence
    assert answer["follower"][0] == 3
    assert sentence in answer["follower"][1]
    assert answer["written"] == 'state = "running"'
    assert answer["verified"]
    assert answer["refused"][0] == 2
    assert "lies on a file system that is read-only" in answer["refused"][1]
    pictures, code = answer["studio"]
    assert "Its file system became read-only" in pictures[0]
    assert code == 0
    assert answer["after"] == ["stopped", 2]
    assert not answer["left"]
    assert answer["told"] == "done"  # the observer ended too, or the disk would still be busy, and went on


@pytest.mark.parametrize(
    ("locks", "why"),
    [("none", "No locks available"), ("lie", "a lock that is held is not seen by another process")],
)
def test_without_locks_that_can_be_trusted_no_run_starts_and_none_is_left(make_project, ftstudio, shim, locks, why):
    project = make_project(trainer={"max_steps": 3})
    refused = ftstudio("run", project, env=shim.environment(project, locks=locks))
    assert refused.code == 2, refused.err
    assert f"Record locks do not work in {project}/runs/0001: {why}." in refused.err
    assert "Put the project on a local disk" in refused.err
    assert list((project / "runs").iterdir()) == []
    assert ftstudio("run", project).code == 0


def test_without_locks_where_the_queue_is_no_run_starts_either(make_project, ftstudio, shim):
    """A shared home without locks, say, and projects on a disk that has them."""
    project = make_project(trainer={"max_steps": 3})
    with tempfile.TemporaryDirectory(dir="/dev/shm") as home:
        state = Path(home) / "ftstudio"
        if Path(home).stat().st_dev == project.stat().st_dev:
            pytest.skip("there is no second file system here")
        for how in ((), ("--inline",)):
            refused = ftstudio(
                "run", project, *how, env={**shim.environment(state, locks="none"), "XDG_STATE_HOME": home}
            )
            assert refused.code == 2, refused.err
            assert f"Record locks do not work in {state}: No locks available." in refused.err
            assert "Set XDG_STATE_HOME to a folder on a local disk" in refused.err
            assert list((project / "runs").iterdir()) == []
        assert ftstudio("run", project, "--inline", env={"XDG_STATE_HOME": home}).code == 0


# ------------------------------------------------------------------------------- processes and memory


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_no_more_processes_is_an_error_and_no_run_is_left(shim, open_folder, make_project):
    """RLIMIT_NPROC binds no root, hence a user without other processes."""
    project, own = open_folder / "lab", open_folder / "own"
    shutil.copytree(make_project(trainer={"max_steps": 3}), project)
    own.mkdir()
    for folder in (project, own):
        os.chown(folder, NOBODY, NOBODY)
    assert shim.operate("look", project, own, prefix=project, uid=NOBODY).value == []
    outcome = shim.operate("start", project, own, prefix=project, uid=NOBODY, processes=1)
    assert outcome.error == "InputError", outcome
    assert outcome.said == "No more processes may be started. Raise the limit (ulimit -u) or close programs."
    assert list((project / "runs").iterdir()) == []
    assert (project / "project.toml").read_text() == (open_folder / "lab" / "project.toml").read_text()
    run = started(project)
    assert ended(run).state == "finished"


def test_memory_that_ends_at_a_limit_is_a_failure_with_the_reason(make_project):
    run = started(make_project(trainer={**LONG, "ending": "hoard"}))
    worker = worker_of(run)
    at_step(run, 12)
    pages = int(Path(f"/proc/{worker}/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + (20 << 20)
    resource.prlimit(worker, resource.RLIMIT_AS, (most, most))
    state = ended(run)
    assert state.state == "failed"
    assert state.reason == "Out of memory: try a smaller per_device_train_batch_size or max_length."
    assert verify(list_checkpoints(run.checkpoints)[-1]).step >= 10


# ------------------------------------------------------------------------------------------------ clocks


@pytest.mark.parametrize("seconds", [365 * 86400, -3600], ids=["a-year-on", "an-hour-back"])
def test_a_clock_that_is_set_between_two_attempts_leaves_order_and_state_alone(make_project, ftstudio, seconds):
    """As a reader sees it: all that the first attempt wrote is that much older or younger than what comes now."""
    run = started(make_project(trainer={**LONG, "max_steps": 500, "step_seconds": 0.02}))
    at_step(run, 12)
    ask(run, "stop", 1)
    assert ended(run).state == "stopped"
    newest = list_checkpoints(run.checkpoints)[-1]
    moved = [json.loads(line) for line in run.events.read_text().splitlines()]
    run.events.write_text("".join(json.dumps({**e, "t": e["t"] - seconds}) + "\n" for e in moved))
    for path in [*newest.rglob("*"), newest]:
        os.utime(path, (time.time() - seconds,) * 2)
    attempt = resumed(run)
    worker_of(run, attempt)
    at_step(run, 40)
    shown = ftstudio("status", run.path, "--json").json
    assert shown["state"] == "running"
    assert 0 < shown["eta_s"] < 300
    ask(run, "stop", attempt)
    assert ended(run).state == "stopped"
    assert [e.data["resumed_from"] for e in read_events(run.events) if "resumed_from" in e.data] == [int(newest.name)]
    last = [e.step for e in read_events(run.events) if e.kind == "metrics"][-1]
    assert [int(p.name) for p in list_checkpoints(run.checkpoints)] == [(last - 1) // 5 * 5, last]


# ----------------------------------------------------------------------------------------------- plugins


def test_what_a_plugin_changes_of_the_worker_is_put_back_and_named(make_project, ftstudio):
    project = make_project(dataset={"behaviour": "rude"}, trainer=LONG)
    run = started(project)
    worker = worker_of(run)
    at_step(run, 3)
    (said,) = [e.data["text"] for e in read_events(run.events) if e.kind == "warning"]
    assert said == (
        "dataset fake-data of ftstudio-fakes 1.0 changed the working directory and sys.stdout and the handler "
        "of SIGTERM of the worker: it was put back."
    )
    assert Path(f"/proc/{worker}/cwd").readlink() == Path("/")
    os.kill(worker, signal.SIGTERM)
    state = ended(run)
    assert (state.state, state.reason.rpartition(": ")[2]) == ("interrupted", "preempted by SIGTERM.")


def test_what_a_plugin_draws_at_random_does_not_move_what_comes_next():
    from ftstudio.process.manners import left_as_found

    random.seed(3)
    wanted = random.random()
    random.seed(3)
    with left_as_found("a plugin", warn=None):
        random.seed(7)
        random.random()
    assert random.random() == wanted


# ------------------------------------------------------------------------------------------------ notices


def test_sigterm_before_the_worker_is_there_is_not_forgotten(make_project):
    run = started(make_project(trainer={"max_steps": 2}))
    ended(run)
    under_test = supervisor.Supervisor(run, 2, (Device("cpu", "cpu"),), Settings())
    under_test._on_term(signal.SIGTERM, None)
    under_test.worker = subprocess.Popen(["sleep", "100"])
    under_test._look()
    assert under_test.worker.wait(10) == -signal.SIGTERM
    assert read_state(RunFolder(run.path)).reason.startswith("Preempted by SIGTERM")


def test_an_unanswered_sigterm_is_enforced_and_says_so(make_project, settings_file):
    settings_file("stop_seconds = 1.0")
    run = started(make_project(trainer={**LONG, "deaf": True}))
    worker_of(run)
    at_step(run, 7)
    os.kill(read_state(run).pid, signal.SIGTERM)
    state = ended(run)
    assert state.state == "interrupted"
    assert state.reason.startswith("It did not answer SIGTERM within 1 s and was ended by force")
    assert lock_holder(run.worker_lock) is None
