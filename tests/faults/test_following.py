"""Who follows a run, at a real terminal: what Ctrl+C does, what is left when the terminal goes, what stdout holds."""

import json
import shutil

import pytest
from lab import at_step, ended, gone, started, state_is, until, worker_of

from ftstudio.cli.run import _followed
from ftstudio.locks import RecordLock
from ftstudio.process.launch import resume
from ftstudio.runs.checkpoints import list_checkpoints
from ftstudio.runs.control import ask, see_stop, stop_asked, take_back_stop
from ftstudio.runs.events import read_events
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.record import list_runs
from ftstudio.runs.status import read_state, read_status

pytestmark = pytest.mark.usefixtures("fakes")

LONG = {"max_steps": 5000, "save_steps": 50, "step_seconds": 0.01}


def stop(run):
    ask(run, "stop", 1)
    assert ended(run).state == "stopped"


# ----------------------------------------------------------------------------------------------- Ctrl+C


def test_ctrl_c_stops_the_run_with_a_checkpoint(make_project, terminal):
    project = make_project(trainer=LONG)
    shown = terminal("run", project)
    shown.until("step 7 ")
    shown.press("ctrl+c")
    shown.until("Stopping after this step, with a checkpoint. Ctrl+C again leaves it running.")
    assert shown.ended() == 3
    assert "■ lab:0001 stopped: Stopped at step " in shown.shown
    (run,) = list_runs(project)
    assert f"resume {run.path}" in shown.shown
    last = [e.step for e in read_events(run.events) if e.kind == "metrics"][-1]
    assert ended(run).state == "stopped"
    assert int(list_checkpoints(run.checkpoints)[-1].name) == last
    assert read_status(run).step == last


@pytest.mark.alone
def test_ctrl_c_twice_leaves_the_run_running_and_says_how_to_come_back(make_project, terminal):
    """The first one is taken back: the run does not stop after its long step."""
    project = make_project(trainer={"max_steps": 500, "step_seconds": 2.0})
    shown = terminal("run", project)
    shown.until("training")
    (run,) = list_runs(project)
    worker = worker_of(run)
    shown.press("ctrl+c")
    shown.until("Ctrl+C again leaves it running.")
    state_is(run, "stopping")
    shown.press("ctrl+c")
    assert shown.ended() == 130
    assert "lab:0001 goes on. Come back with: " in shown.shown
    assert f"attach {run.path}" in shown.shown
    state_is(run, "running")
    at_step(run, 2)
    assert not gone(worker)
    assert read_state(run).state == "running"
    stop(run)


@pytest.mark.alone
def test_ctrl_c_twice_after_the_worker_saw_it_says_that_it_stops(make_project, terminal):
    """The commit that answers the first one takes so long that the second one comes meanwhile."""
    project = make_project(trainer={**LONG, "commit_seconds": 2.0, "save_steps": 5000})
    shown = terminal("run", project)
    shown.until("step 7 ")
    (run,) = list_runs(project)
    shown.press("ctrl+c")
    until((run.control / "stopping").exists, "the worker's look")
    shown.press("ctrl+c")
    assert shown.ended() == 130
    assert "lab:0001 had seen the request already: it commits a checkpoint and stops." in shown.shown
    assert "Go on with it then: " in shown.shown
    assert f"resume {run.path}" in shown.shown
    assert "lab:0001 goes on" not in shown.shown
    assert state_is(run, "stopping").reason == "Finishing the step and committing a checkpoint."
    state = ended(run)
    assert (state.state, state.reason.endswith(": asked.")) == ("stopped", True)
    assert list(run.control.iterdir()) == []


def test_a_stop_is_taken_back_or_seen_and_never_both(make_project):
    run = RunFolder(make_project() / "runs" / "0001")
    run.path.mkdir(parents=True)
    ask(run, "stop", 1)
    assert (stop_asked(run, 1), stop_asked(run, 2)) == (True, False)
    assert take_back_stop(run)
    assert (see_stop(run, 1), stop_asked(run, 1), take_back_stop(run)) == (False, False, False)
    ask(run, "stop", 1)
    assert see_stop(run, 1)
    assert not take_back_stop(run)
    assert (see_stop(run, 1), stop_asked(run, 1), see_stop(run, 2)) == (True, True, False)


def test_ctrl_c_while_it_waits_takes_it_out_of_the_queue(make_project, terminal):
    first = started(make_project("first", trainer=LONG))
    worker_of(first)
    project = make_project(trainer={"max_steps": 3})
    shown = terminal("run", project)
    shown.until("Waits for cpu, behind first:0001.")
    shown.press("ctrl+c")
    assert shown.ended() == 3
    assert "Taking it out of the queue. Ctrl+C again leaves it waiting." in shown.shown
    assert "Withdrawn from the queue." in shown.shown
    assert "with a checkpoint" not in shown.shown
    stop(first)
    assert read_state(list_runs(project)[0]).state == "stopped"


@pytest.mark.parametrize(
    ("seen", "said"), [(True, "had seen the request already: it leaves the queue."), (False, "goes on.")]
)
def test_ctrl_c_twice_while_it_waits_is_taken_back_or_too_late(make_project, monkeypatch, capsys, seen, said):
    """The second one comes before its supervisor has looked, or after."""
    run = RunFolder(make_project() / "runs" / "0001")
    run.path.mkdir(parents=True)
    lock = RecordLock(run.lock)
    assert lock.acquire()
    run.state.write_text('state = "queued"\nreason = "Waits for cpu."\nattempt = 1\n')
    moments = [lambda: None, lambda: see_stop(run, 1) if seen else None]

    def press(seconds):
        moments.pop(0)()
        raise KeyboardInterrupt

    monkeypatch.setattr("ftstudio.cli.follow.time.sleep", press)
    assert _followed(run, None, 1, detach=False, as_json=False) == 130
    assert f"lab:0001 {said}" in capsys.readouterr().err
    assert stop_asked(run, 1) == seen
    lock.release()


def test_an_inline_run_waits_for_its_place_and_ctrl_c_gives_up_the_wait(make_project, terminal):
    first = started(make_project("first", trainer=LONG))
    worker_of(first)
    project = make_project(trainer={"max_steps": 3})
    shown = terminal("run", project, "--inline")
    shown.until("◌ Waits for cpu, behind first:0001.")
    leaving = terminal("run", project, "--inline")
    leaving.until("◌ Waits for cpu, behind first:0001, lab:0001.")
    leaving.press("ctrl+c")
    assert leaving.ended() == 3
    assert "■ lab:0002 stopped: Withdrawn from the queue." in leaving.shown
    assert "Traceback" not in leaving.shown
    assert "training" not in shown.shown + leaving.shown
    stop(first)
    assert shown.ended() == 0
    assert [read_state(run).state for run in list_runs(project)] == ["finished", "stopped"]


def test_an_inline_run_holds_its_place_while_it_works(make_project, terminal):
    project = make_project(trainer={"max_steps": 500, "step_seconds": 0.02})
    shown = terminal("run", project, "--inline")
    shown.until("step 3 ")
    behind = started(project)
    assert (read_state(behind).state, read_state(behind).reason) == ("queued", "Waits for cpu, behind lab:0001.")
    shown.press("ctrl+c")
    assert shown.ended() == 3
    assert "lab:0001 interrupted: Interrupted from the keyboard." in shown.shown
    worker_of(behind)
    stop(behind)


def test_an_inline_run_ends_with_its_terminal_and_can_be_resumed(make_project, terminal):
    """It commits, though its trainer prints, and gives its place back."""
    project = make_project(trainer={**LONG, "save_steps": 5000, "chatty": True})
    shown = terminal("run", project, "--inline")
    shown.until("step 3 ")
    shown.close()
    assert shown.ended(20) == 3
    (run,) = list_runs(project)
    step = [e.step for e in read_events(run.events) if e.kind == "metrics"][-1]
    state = read_state(run)
    assert (state.state, state.reason) == ("interrupted", f"Stopped at step {step}: its terminal was closed.")
    assert [int(folder.name) for folder in list_checkpoints(run.checkpoints)] == [step]
    resume(run)
    worker_of(run, 2)
    ask(run, "stop", 2)
    assert ended(run).state == "stopped"
    assert [e.data["resumed_from"] for e in read_events(run.events) if "resumed_from" in e.data] == [step]


def test_an_inline_run_that_waits_ends_with_its_terminal_too(make_project, terminal):
    first = started(make_project("first", trainer=LONG))
    worker_of(first)
    project = make_project(trainer={"max_steps": 3})
    shown = terminal("run", project, "--inline")
    shown.until("Waits for cpu, behind first:0001.")
    shown.close()
    assert shown.ended(20) == 3
    state = read_state(list_runs(project)[0])
    assert (state.state, state.reason) == ("interrupted", "Its terminal was closed while it waited.")
    stop(first)


def test_an_inline_run_under_nohup_stays(make_project, terminal, tmp_path):
    project = make_project(trainer={"max_steps": 60, "step_seconds": 0.03})
    shown = terminal("run", project, "--inline", before=("nohup",), cwd=tmp_path)  # nohup.out
    (run,) = until(lambda: list_runs(project), "the run")
    at_step(run, 3)
    shown.close()
    assert shown.ended(20) == 0
    assert read_state(run).state == "finished"


@pytest.mark.parametrize(
    ("command", "sign"),
    [(("attach",), "step "), (("logs", "-f"), "words of the trainer"), (("status", "--watch"), "lab:0001")],
    ids=["attach", "logs", "watch"],
)
def test_who_only_looks_only_leaves(make_project, terminal, command, sign):
    run = started(make_project(trainer={**LONG, "note": "words of the trainer"}))
    worker = worker_of(run)
    at_step(run, 3)
    shown = terminal(*command, run.path)
    shown.until(sign)
    shown.press("ctrl+c")
    assert shown.ended() == 130
    assert "Traceback" not in shown.shown
    assert not (run.control / "stop").exists()
    assert not gone(worker)
    assert read_state(run).state == "running"
    stop(run)


def test_who_follows_a_run_whose_project_is_deleted_is_told_and_nothing_is_made_again(make_project, terminal):
    project = make_project(trainer=LONG)
    shown = terminal("run", project)
    shown.until("step 3 ")
    (run,) = list_runs(project)
    worker, supervisor = worker_of(run), read_state(run).pid
    until(lambda: shutil.rmtree(project, ignore_errors=True) or not project.exists(), "the deletion")
    assert shown.ended() == 3
    assert "✗ lab:0001 interrupted: Its run folder is gone: it was deleted or moved." in shown.shown
    assert "Go on with it" not in shown.shown
    until(lambda: gone(worker) and gone(supervisor), "the end of the run's processes", 20)
    assert not project.exists()


def test_logs_are_followed_to_the_end_of_the_run(make_project, terminal):
    run = started(make_project(trainer={"max_steps": 60, "step_seconds": 0.02, "note": "words of the trainer"}))
    shown = terminal("logs", "-f", run.path)
    shown.until("words of the trainer")
    assert shown.ended() == 0
    assert ended(run).state == "finished"


def test_the_log_of_a_run_without_one_is_empty_also_when_followed(make_project, ftstudio):
    project = make_project(trainer={"max_steps": 2})
    assert ftstudio("run", project, "--inline").code == 0
    done = ftstudio("logs", "-f", project)
    assert (done.code, done.out, done.err) == (0, "", "")


# -------------------------------------------------------------------------------------- stdout is data


@pytest.mark.parametrize(
    ("trainer", "code", "state", "reason"),
    [
        ({"max_steps": 3}, 0, "finished", ""),
        ({"ending": "nan"}, 1, "failed", "The loss is nan at step 6. Lower learning_rate."),
        ({"ending": "kill"}, 3, "interrupted", "The worker was ended by signal 9 (SIGKILL). Somebody killed it, or it"),
        ({"ending": "full"}, 3, "interrupted", "The disk is full: '/somewhere/file' could not be written."),
    ],
)
def test_run_json_is_one_value_with_the_exit_code_of_the_end(make_project, ftstudio, trainer, code, state, reason):
    project = make_project(trainer=trainer)
    done = ftstudio("run", project, "--json")
    assert done.code == code, done.err
    assert set(done.json) == {"run", "state", "reason", "checkpoint", "metrics", "samples"}
    assert done.json["state"] == state
    assert done.json["reason"].startswith(reason)
    assert done.json["run"] == str(project / "runs" / "0001")
    if code:
        assert done.json["checkpoint"].endswith("checkpoints/000004")


def test_run_json_of_an_input_that_only_the_worker_can_judge_is_exit_code_2(make_project, ftstudio):
    done = ftstudio("run", make_project(dataset={"behaviour": "component-error"}), "--json")
    assert done.code == 2
    assert done.json["state"] == "failed"
    assert done.json["reason"] == "Line 3 of data.jsonl is not JSON. Mend that line."


def test_json_of_what_goes_on_is_one_value_each(make_project, ftstudio):
    project = make_project(trainer=LONG)
    begun = ftstudio("run", project, "--detach", "--json")
    assert begun.code == 0
    assert begun.json["state"] in {"starting", "running", "queued"}
    run = RunFolder(project / "runs" / "0001")
    worker_of(run)
    at_step(run, 3)
    queued = ftstudio("run", project, "--detach", "--json").json
    assert queued["state"] == "queued"
    keys = {
        "project", "run", "path", "state", "reason", "attempt", "host", "device", "step", "total_steps", "metrics",
        "eta_s", "last_event_t", "note", "pinned",
    }  # fmt: skip
    listed = ftstudio("status", project, "--json").json
    assert [set(row) for row in listed] == [keys] * 2
    assert [row["state"] for row in listed] == ["running", "queued"]
    assert set(ftstudio("status", run.path, "--json").json) == keys
    (row,) = ftstudio("queue", "list", "--json").json
    assert row["run"] == "lab:0002"
    ambiguous = ftstudio("stop", project)
    assert ambiguous.code == 2
    assert "has 2 live runs" in ambiguous.err
    assert ftstudio("queue", "withdraw", "lab:0002", env={"FTSTUDIO_PROJECTS": str(project.parent)}).code == 0
    assert ended(RunFolder(project / "runs" / "0002")).reason == "Withdrawn from the queue."
    assert ftstudio("checkpoint", project).code == 0
    until(lambda: list_checkpoints(run.checkpoints), "the checkpoint")
    assert ftstudio("kill", project).code == 0
    assert ended(run).reason == "Killed on request."
    resumed = ftstudio("resume", run.path, "--detach", "--json").json
    assert resumed["state"] in {"starting", "running"}
    assert json.loads(json.dumps(resumed))["checkpoint"] == str(list_checkpoints(run.checkpoints)[-1])
    ask(run, "stop", 2)
    assert ended(run).attempt == 2
