"""Whatever is killed, and whenever: no run is lost, none needs a hand, and each ends as if nothing had been."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from lab import at_step, ended, gone, kill, kill_both, outcome, resumed, started, state_is, until, worker_of

from ftstudio.errors import InputError
from ftstudio.locks import lock_holder
from ftstudio.process.launch import resume
from ftstudio.runs.checkpoints import list_checkpoints, verify
from ftstudio.runs.control import ask
from ftstudio.runs.events import read_events
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.state import COPIED, ORPHANED
from ftstudio.runs.status import LIVE, boot_id, read_state

pytestmark = pytest.mark.usefixtures("fakes")

WALK = {"max_steps": 60, "save_steps": 3, "step_seconds": 0.01}


@pytest.fixture
def kills(request):
    """How many random kills: a few, or with --faults=full 200, or as many as the command line says."""
    value = request.config.getoption("--faults")
    return 200 if value == "full" else int(value)


@pytest.fixture
def chance():
    return random.Random()


@pytest.fixture
def undisturbed(make_project):
    """What a run comes to that nobody disturbs, computed once."""
    if not OUTCOME:
        run = started(make_project("undisturbed", trainer=WALK))
        assert ended(run).state == "finished"
        OUTCOME.append(outcome(run))
    return OUTCOME[0]


OUTCOME = []


def test_a_worker_killed_at_random_moments_is_resumed_each_time_to_the_same_end(
    make_project, undisturbed, kills, chance
):
    project = make_project("disturbed", trainer=WALK)
    killed = 0
    while killed < kills:
        run, attempt = started(project), 1
        while True:
            pid = worker_of(run, attempt)
            time.sleep(chance.uniform(0.0, 1.2))
            hit = killed < kills and read_state(run).state in LIVE and kill(pid)
            state = ended(run)
            if state.state == "finished":
                break
            assert hit
            killed += 1
            assert state.state == "interrupted"
            assert state.reason.startswith("The worker was ended by signal 9 (SIGKILL).")
            for folder in list_checkpoints(run.checkpoints):
                verify(folder)
            attempt = resumed(run)
        assert outcome(run) == undisturbed
        assert not (run.path / "quarantine").exists()
        assert [p.name for p in run.checkpoints.iterdir() if p.name.startswith(".")] == []


def test_a_killed_supervisor_makes_its_worker_commit_and_leave(make_project):
    run = started(make_project(trainer={**WALK, "max_steps": 2000}))
    pid = worker_of(run)
    at_step(run, 5)
    kill(read_state(run).pid)
    until(lambda: lock_holder(run.worker_lock) is None, "the end of the worker")
    state = ended(run)
    until(lambda: gone(pid), "the end of the worker's process")
    last = [e for e in read_events(run.events) if e.kind == "state"][-1]
    assert last.data["state"] == "interrupted"
    assert last.data["reason"].endswith("its supervisor is gone.")
    step = [e for e in read_events(run.events) if e.kind == "metrics"][-1].step
    assert int(list_checkpoints(run.checkpoints)[-1].name) == step
    assert (state.state, state.reason) == ("interrupted", f"Stopped at step {step}: its supervisor is gone.")
    attempt = resumed(run)
    worker_of(run, attempt)
    ask(run, "stop", attempt)
    assert ended(run).state == "stopped"
    assert [e.data["resumed_from"] for e in read_events(run.events) if "resumed_from" in e.data] == [step]


@pytest.mark.parametrize("how", ["deaf", "stopped"])
def test_a_worker_without_a_supervisor_that_does_not_leave_is_ended(make_project, settings_file, how):
    """One that never looks, and one that cannot: both are bounded as a stop is, without their help."""
    settings_file("stop_seconds = 1.0")
    run = started(make_project(trainer={**WALK, "max_steps": 20_000, "deaf": True}))
    pid = worker_of(run)
    at_step(run, 4)
    if how == "stopped":
        kill(pid, signal.SIGSTOP)
    kill(read_state(run).pid)
    assert state_is(run, "stopping").reason == ORPHANED
    state = ended(run, 20)
    until(lambda: gone(pid), "the end of the worker", 5)
    assert (state.state, state.reason) == (
        "interrupted",
        "Its supervisor was killed, and its worker did not leave within 1 s and was ended by force: "
        "what came after its last checkpoint is lost.",
    )
    verify(list_checkpoints(run.checkpoints)[-1])
    attempt = resumed(run)
    ask(run, "kill", attempt)
    assert ended(run).reason == "Killed on request."


def test_a_worker_whose_supervisor_lives_is_not_ended_though_its_lock_was_deleted(make_project, settings_file):
    settings_file("stop_seconds = 1.0")
    run = started(make_project(trainer=SLOWLY))
    worker_of(run)
    at_step(run, 3)
    run.lock.unlink()
    until(lambda: 'state = "finished"' in run.state.read_text(), "the end of the run", 20)
    assert read_state(run).attempt == 1
    assert {e.attempt for e in read_events(run.events)} == {1}


def test_no_attempt_begins_while_the_worker_of_an_earlier_one_still_commits(make_project):
    """A supervisor may have written the last state of a worker that is not gone."""
    run = RunFolder(make_project() / "runs" / "0001")
    run.path.mkdir(parents=True)
    run.record.write_text("format = 1\n[settings]\n")
    before = 'state = "interrupted"\nattempt = 1\n'
    run.state.write_text(before)
    run.worker_lock.touch()
    hold = "import fcntl, sys; file = open(sys.argv[1], 'r+'); fcntl.lockf(file, fcntl.LOCK_EX); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(run.worker_lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout.readline() == b"\n"
        with pytest.raises(InputError) as refused:
            resume(run)
        assert str(refused.value) == (
            f"A worker of an earlier attempt of lab:0001 (process {worker.pid}) still commits its checkpoint. "
            "Try again in a moment."
        )
        assert run.state.read_text() == before
        assert lock_holder(run.lock) is None
        worker.stdin.close()


@pytest.mark.parametrize("how", ["deaf", "stopped"])
def test_a_worker_without_a_supervisor_is_killed_on_request(make_project, ftstudio, how):
    run = started(make_project(trainer={**WALK, "max_steps": 20_000, "deaf": True}))
    pid = worker_of(run)
    at_step(run, 4)
    if how == "stopped":
        kill(pid, signal.SIGSTOP)
    supervisor = read_state(run).pid
    kill(supervisor)
    until(lambda: gone(supervisor), "the end of the supervisor")
    stop = ftstudio("stop", run.path)
    assert (stop.code, stop.err) == (
        0,
        f"{run.title}: Its supervisor was killed, so its worker commits a checkpoint and leaves, or is ended when it "
        f"does not. End it at once: ftstudio kill {run.title}\n",
    )
    assert not gone(pid)
    done = ftstudio("kill", run.path)
    assert (done.code, done.err) == (
        0,
        f"{run.title}: Its supervisor was killed already; its worker (process {pid}) was ended. Its last checkpoint stays.\n",
    )
    assert gone(pid)
    state = read_state(run)
    assert (state.state, state.reason) == ("interrupted", "Its supervisor was killed.")
    again = ftstudio("kill", run.path)
    assert again.code == 2
    assert "is not running. It is interrupted" in again.err


def test_the_whole_group_killed_goes_on_from_the_last_commit(make_project, undisturbed):
    run = started(make_project("disturbed", trainer=WALK))
    at_step(run, 10)
    kill_both(run)
    state = ended(run)
    assert (state.state, state.reason) == ("interrupted", "Its supervisor was killed.")
    resumed(run)
    assert ended(run).state == "finished"
    assert outcome(run) == undisturbed


def assert_goes_on_undisturbed(run, worker, undisturbed):
    """Whoever followed it is gone: the run is live, in the same process, trains on and ends as if nothing had been."""
    step = newest_step(run)
    state = read_state(run)
    assert (state.state, state.worker_pid, step < WALK["max_steps"]) == ("running", worker, True)
    at_step(run, step + 5)
    assert not gone(worker)
    assert not (run.control / "stop").exists()
    state = ended(run)
    assert (state.state, state.attempt) == ("finished", 1)
    assert {e.attempt for e in read_events(run.events)} == {1}
    assert outcome(run) == undisturbed


def newest_step(run):
    return max(e.step or 0 for e in read_events(run.events))


SLOWLY = {**WALK, "step_seconds": 0.05}


def test_a_killed_follower_changes_nothing_about_the_run(make_project, undisturbed):
    project = make_project("disturbed", trainer=SLOWLY)
    follower = subprocess.Popen([sys.executable, "-m", "ftstudio", "run", str(project)], stderr=subprocess.PIPE)
    run = RunFolder(project / "runs" / "0001")
    until(run.state.exists, "the run's state")
    at_step(run, 3)
    worker = worker_of(run)
    follower.kill()
    follower.wait()
    follower.stderr.close()
    assert_goes_on_undisturbed(run, worker, undisturbed)


def test_a_closed_terminal_changes_nothing_about_the_run(make_project, undisturbed):
    project = make_project("disturbed", trainer=SLOWLY)
    pid, master = os.forkpty()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "ftstudio", "run", str(project)])
    run = RunFolder(project / "runs" / "0001")
    until(run.state.exists, "the run's state")
    at_step(run, 3)
    worker = worker_of(run)
    os.close(master)
    os.waitpid(pid, 0)
    assert_goes_on_undisturbed(run, worker, undisturbed)


@pytest.mark.parametrize("whom", ["supervisor", "worker"])
def test_a_hang_up_means_nothing(make_project, whom):
    run = started(make_project(trainer=WALK))
    worker = worker_of(run)
    at_step(run, 3)
    kill(worker if whom == "worker" else read_state(run).pid, signal.SIGHUP)
    assert ended(run).state == "finished"


@pytest.mark.parametrize("whom", ["supervisor", "worker"])
def test_sigterm_is_a_notice_of_preemption(make_project, whom):
    run = started(make_project(trainer={**WALK, "max_steps": 2000}))
    worker = worker_of(run)
    at_step(run, 5)
    kill(worker if whom == "worker" else read_state(run).pid, signal.SIGTERM)
    state = ended(run)
    assert state.state == "interrupted"
    assert state.reason.endswith("preempted by SIGTERM.")
    last = [e for e in read_events(run.events) if e.kind == "metrics"][-1].step
    assert int(list_checkpoints(run.checkpoints)[-1].name) == last


def test_sigkill_on_the_heels_of_sigterm_leaves_the_last_commit(make_project, chance):
    for _ in range(3):
        run = started(make_project(trainer={**WALK, "max_steps": 2000}))
        worker = worker_of(run)
        at_step(run, 7)
        kill(worker, signal.SIGTERM)
        time.sleep(chance.uniform(0, 0.03))
        kill(worker)
        state = ended(run)
        assert state.state == "interrupted"
        assert state.reason.endswith("preempted by SIGTERM.") or state.reason.startswith(
            "The worker was ended by signal 9 (SIGKILL)."
        )
        for folder in list_checkpoints(run.checkpoints):
            verify(folder)
        attempt = resumed(run)
        worker_of(run, attempt)
        ask(run, "stop", attempt)
        assert ended(run).state == "stopped"


def test_a_run_with_auto_resume_goes_on_by_itself(make_project, undisturbed):
    run = started(make_project("disturbed", trainer=WALK), auto_resume=True)
    at_step(run, 8)
    kill(worker_of(run))
    worker_of(run, 2)
    state = ended(run)
    assert (state.state, state.attempt) == ("finished", 2)
    assert outcome(run) == undisturbed


WISHES = {
    "stop": ("stopped", r"Stopped at step \d+: asked\."),
    "stop and SIGKILL": (
        "interrupted",
        r"The worker was ended by signal 9 \(SIGKILL\)\. .* It had been asked to stop\.",
    ),
    "kill": ("interrupted", r"Killed on request\."),
    "SIGTERM to the supervisor": ("interrupted", r"Stopped at step \d+: preempted by SIGTERM\."),
    "SIGTERM to the worker": ("interrupted", r"Stopped at step \d+: preempted by SIGTERM\."),
}


@pytest.mark.parametrize("wish", WISHES)
def test_auto_resume_does_nothing_against_a_wish(make_project, wish):
    deaf = wish == "stop and SIGKILL"
    run = started(make_project(trainer={**WALK, "max_steps": 20_000, "deaf": deaf}), auto_resume=True)
    worker = worker_of(run)
    at_step(run, 8)  # a checkpoint was committed, so that it would go on
    match wish:
        case "SIGTERM to the supervisor":
            kill(read_state(run).pid, signal.SIGTERM)
        case "SIGTERM to the worker":
            kill(worker, signal.SIGTERM)
        case _:
            ask(run, wish.split()[0], 1)
    if deaf:
        kill(worker)
    state = ended(run, 20)
    assert (state.state, state.attempt) == (WISHES[wish][0], 1)
    assert re.fullmatch(WISHES[wish][1], state.reason)
    assert {e.attempt for e in read_events(run.events)} == {1}


def test_auto_resume_does_not_go_round_without_progress(make_project):
    run = started(make_project(trainer={**WALK, "save_steps": 5, "ending": "kill"}), auto_resume=True)
    state = ended(run)
    assert state.state == "interrupted"
    assert state.attempt == 2  # the first one committed step 5; the second died at step 6 again


@pytest.mark.parametrize("how", ["lost", "edited"])
def test_a_state_that_is_lost_or_edited_makes_no_attempt_count_twice(make_project, undisturbed, how):
    """An attempt that was numbered like an earlier one would be hidden behind it."""
    run = started(make_project("disturbed", trainer=WALK))
    for attempt in (1, 2):
        at_step(run, 8 * attempt)
        kill(worker_of(run, attempt))
        assert ended(run).attempt == attempt
        if attempt == 1:
            resumed(run)
    if how == "lost":
        run.state.unlink()
        assert read_state(run).reason == "Its state.toml is missing."
    else:
        run.state.write_text(run.state.read_text().replace("attempt = 2", "attempt = 1"))
    assert resumed(run) == 3
    state = ended(run)
    assert (state.state, state.attempt) == ("finished", 3)
    assert outcome(run) == undisturbed


def test_a_run_without_a_number_for_another_attempt_says_so(make_project):
    run = started(make_project(trainer={**WALK, "max_steps": 2000}))
    at_step(run, 4)
    ask(run, "stop", 1)
    ended(run)
    run.state.write_text(run.state.read_text().replace("attempt = 1", f"attempt = {(1 << 31) - 1}"))
    before = run.state.read_text()
    with pytest.raises(InputError, match="has no number left for another attempt.* Correct `attempt` in "):
        resumed(run)
    assert run.state.read_text() == before


def test_a_copy_of_a_live_run_is_interrupted_and_goes_on_by_itself(
    make_project, undisturbed, ftstudio, tmp_path, settings_file
):
    settings_file("slots = { cpu = 2 }")  # both go on at one time
    run = started(make_project("disturbed", trainer={**SLOWLY, "step_seconds": 0.1}))
    worker = worker_of(run)
    at_step(run, 8)
    shutil.copytree(run.project, tmp_path / "copied")
    copy = RunFolder(tmp_path / "copied" / "runs" / run.name)
    state = read_state(copy)
    assert (state.state, state.reason) == ("interrupted", COPIED)
    refused = ftstudio("stop", copy.path)
    assert refused.code == 2
    assert refused.err.endswith(" is not running. It is interrupted; see ftstudio status.\n")
    assert not (copy.control / "stop").exists()
    assert (read_state(run).state, read_state(run).worker_pid, gone(worker)) == ("running", worker, False)
    assert resumed(copy) == 2
    for one in (run, copy):
        assert ended(one).state == "finished"
        assert outcome(one) == undisturbed


def test_a_reboot_ends_a_run_and_nothing_starts_by_itself(make_project):
    run = started(make_project(trainer={**WALK, "max_steps": 2000}), auto_resume=True)
    at_step(run, 4)
    kill_both(run)
    until(lambda: lock_holder(run.worker_lock) is None, "the end of the worker")
    text = run.state.read_text()
    run.state.write_text(text.replace(boot_id(), "another-boot"))
    time.sleep(1.0)
    state = read_state(run)
    assert (state.state, state.reason) == ("interrupted", "The machine was restarted.")
    assert lock_holder(run.lock) is None


def pids_in(place):
    """The pids that a worker's trainer left in a file."""
    return [
        int(pid)
        for pid in until(
            lambda: place.exists() and place.read_text().endswith("\n") and place.read_text().split(), "the children"
        )
    ]


def test_what_a_worker_started_does_not_outlive_it(make_project, tmp_path):
    """Neither a child of its process group, nor one that made a session of its own."""
    marker = tmp_path / "children"
    run = started(make_project(trainer={**WALK, "max_steps": 2000, "children": str(marker)}))
    children = pids_in(marker)
    kill(worker_of(run))
    assert ended(run).state == "interrupted"
    until(lambda: all(map(gone, children)), "the end of the worker's children", 10)


def test_processes_that_a_worker_forked_end_with_it_though_its_supervisor_died_too(make_project, tmp_path):
    """And what made a session of its own ends, at the latest, when the run goes on."""
    marker, pool = tmp_path / "children", tmp_path / "pool"
    pool.mkdir()
    trainer = {**WALK, "max_steps": 2000, "children": str(marker), "pool": str(pool)}
    run = started(make_project(trainer=trainer))
    until(lambda: len(list(pool.iterdir())) == 2, "the processes of the pool")
    forked = [int(path.name) for path in pool.iterdir()]
    child, apart = pids_in(marker)
    assert not any(map(gone, [*forked, child, apart]))
    worker = kill_both(run)
    until(lambda: all(map(gone, [worker, *forked, child])), "the end of what the worker started", 10)
    assert (lock_holder(run.lock), lock_holder(run.worker_lock)) == (None, None)
    state = ended(run)
    assert (state.state, state.reason) == ("interrupted", "Its supervisor was killed.")
    assert not gone(apart)
    attempt = resumed(run)
    until(lambda: gone(apart), "the end of the child in a session of its own", 10)
    ask(run, "kill", attempt)
    assert ended(run).reason == "Killed on request."


def test_a_run_killed_on_request_says_so(make_project):
    run = started(make_project(trainer={**WALK, "max_steps": 2000}))
    at_step(run, 4)
    ask(run, "kill", 1)
    state = ended(run)
    assert (state.state, state.reason) == ("interrupted", "Killed on request.")


def test_an_unanswered_stop_is_enforced_and_says_so(make_project, settings_file):
    settings_file("stop_seconds = 1.0")
    run = started(make_project(trainer={**WALK, "max_steps": 2000, "deaf": True}))
    at_step(run, 4)
    ask(run, "stop", 1)
    assert state_is(run, "stopping").reason == "Finishing the step and committing a checkpoint."
    state = ended(run)
    assert state.state == "stopped"
    assert state.reason == (
        "It did not answer the request to stop within 1 s and was ended by force: what came after its last checkpoint is lost."
    )
