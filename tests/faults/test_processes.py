"""Runs, queues and machines that misbehave: what is left, and what is said."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from lab import at_step, ended, gone, kill, kill_both, resumed, started, state_is, until, worker_of

from ftstudio.cli.runs import _live
from ftstudio.errors import InputError
from ftstudio.files import state_dir
from ftstudio.locks import lock_holder
from ftstudio.process import devices, endings, supervisor
from ftstudio.process.launch import resume, start
from ftstudio.process.outlive import what_ends_it
from ftstudio.process.wanted import Wanted
from ftstudio.runs import queue
from ftstudio.runs.checkpoints import list_checkpoints
from ftstudio.runs.control import ask
from ftstudio.runs.events import read_events
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.record import list_runs
from ftstudio.runs.status import LIVE, read_state
from ftstudio.settings import Settings

pytestmark = pytest.mark.usefixtures("fakes")

LONG = {"max_steps": 5000, "save_steps": 50, "step_seconds": 0.01}


def stop(run, attempt=1):
    ask(run, "stop", attempt)
    return ended(run)


# ---------------------------------------------------------------------------------------------- starting


@pytest.mark.alone
def test_a_run_started_twice_at_once_has_one_winner_and_the_other_is_told(make_project, request):
    rounds = 100 if request.config.getoption("--faults") == "full" else 5
    project = make_project(trainer={**LONG, "max_steps": 1})
    wanted = Wanted(project=project)

    def attempt(run):
        try:
            start(run)
        except InputError as error:
            return str(error)
        return "ok"

    with ThreadPoolExecutor(2) as pool:
        for _ in range(rounds):
            run = wanted.create(wanted.outlook(), ["test"])
            said = sorted(pool.map(attempt, [run, run]))
            assert said[1] == "ok"
            assert said[0].startswith(f"{run.title} is running already.")
            ask(run, "kill", 1)
            ended(run)
            shutil.rmtree(run.path)


def test_the_supervisor_is_small(make_project):
    run = started(make_project(trainer=LONG))
    worker_of(run)
    status = Path(f"/proc/{read_state(run).pid}/status").read_text()
    assert int(status.split("VmHWM:")[1].split()[0]) < 30_000
    assert stop(run).state == "stopped"


def test_nothing_of_the_terminal_is_inherited(make_project):
    run = started(make_project(trainer=LONG))
    worker = worker_of(run)
    for pid in (read_state(run).pid, worker):
        assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")
        assert Path(f"/proc/{pid}/fd/1").readlink() == run.console
        assert Path(f"/proc/{pid}/fd/2").readlink() == run.console
        assert os.getsid(pid) != os.getsid(0)
    stop(run)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SLURM_JOB_ID", "417", "This shell belongs to Slurm job 417: the run ends with that allocation"),
        ("PBS_JOBID", "8.pbs", "This shell belongs to PBS job 8.pbs: the run ends with that allocation"),
    ],
)
def test_what_takes_a_run_along_is_said_before_it_starts(make_project, ftstudio, name, value, said):
    done = ftstudio("run", make_project(trainer={"max_steps": 2}), "--detach", env={name: value})
    assert done.code == 0
    assert said in done.err
    assert done.err.index(said) < done.err.index("▸ run lab:0001")


def test_a_login_that_kills_its_processes_is_recognised(monkeypatch, tmp_path):
    answers = {"KillUserProcesses": "yes", "Linger": "no"}
    loginctl = tmp_path / "loginctl"
    lines = [f'case "$*" in *{name}*) echo {name}={value};; esac' for name, value in answers.items()]
    loginctl.write_text("#!/bin/sh\n" + "\n".join(lines))
    loginctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    cgroup = tmp_path / "cgroup"
    cgroup.write_text("0::/user.slice/user-1000.slice/session-4.scope\n")
    monkeypatch.setattr("ftstudio.process.outlive.CGROUP", cgroup)
    assert "loginctl enable-linger" in what_ends_it()
    loginctl.write_text("#!/bin/sh\n" + "\n".join(line.replace("Linger=no", "Linger=yes") for line in lines))
    assert "linger" not in what_ends_it()


def test_a_container_is_said_to_end_with_its_runs(monkeypatch, tmp_path):
    mark = tmp_path / ".dockerenv"
    monkeypatch.setattr("ftstudio.process.outlive.CONTAINER_MARKS", (mark,))
    for name in ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("ftstudio.process.outlive.CGROUP", tmp_path / "none")
    assert what_ends_it() == ""
    mark.touch()
    assert what_ends_it() == "This is a container: the run goes on without this terminal, but ends with the container."


# ----------------------------------------------------------------------------------------------- the queue


def test_queued_runs_get_the_slot_one_by_one_in_order_though_waiting_ones_are_killed(make_project, request):
    count = 24 if request.config.getoption("--faults") == "full" else 5
    project = make_project(trainer={"max_steps": 10, "save_steps": 5, "step_seconds": 0.01})
    first = started(make_project("first", trainer=LONG))
    worker_of(first)
    runs = [started(project) for _ in range(count)]
    assert {read_state(run).state for run in runs} == {"queued"}
    assert read_state(runs[1]).reason == "Waits for cpu, behind first:0001, lab:0001."
    for run in runs[1::3]:
        kill(read_state(run).pid)
    stop(first)
    survivors = [run for index, run in enumerate(runs) if index % 3 != 1]
    for run in survivors:
        assert ended(run).state == "finished"
    for run in runs[1::3]:
        assert (read_state(run).state, read_state(run).reason) == ("interrupted", "Its supervisor was killed.")
    spans = [[e.t for e in read_events(run.events) if e.kind == "state"] for run in survivors]
    for (_, end), (start_, _) in pairwise(spans):
        assert end <= start_
    assert queue.tickets() == []
    attempt = resumed(runs[1])
    assert ended(runs[1]).attempt == attempt == 2
    assert read_state(runs[1]).state == "finished"


def test_two_slots_are_two_runs_at_one_time(make_project, settings_file):
    settings_file("slots = { cpu = 2 }")
    project = make_project(trainer=LONG)
    runs = [started(project) for _ in range(3)]
    state_is(runs[0], "running")
    state_is(runs[1], "running")
    assert read_state(runs[2]).state == "queued"
    for run in runs:
        ask(run, "stop", 1)
    assert [ended(run).state for run in runs] == ["stopped"] * 3


def test_a_withdrawn_run_can_be_resumed(make_project, ftstudio):
    first = started(make_project("first", trainer=LONG))
    worker_of(first)
    run = started(make_project(trainer={"max_steps": 3}))
    words = (("queue", "withdraw"), ("stop",), ("kill",))
    for attempt, word in enumerate(words, start=1):
        assert read_state(run).state == "queued"
        asked = ftstudio(*word, run.path)
        assert (asked.code, asked.err) == (0, f"{run.title}: It will leave the queue.\n")
        assert (ended(run).state, read_state(run).reason) == ("stopped", "Withdrawn from the queue.")
        if attempt == len(words):
            stop(first)
        resumed(run)
    assert ended(run).state == "finished"


def test_moving_changes_who_is_next(make_project, ftstudio):
    first = started(make_project("first", trainer=LONG))
    worker_of(first)
    project = make_project(trainer={"max_steps": 3})
    runs = [started(project) for _ in range(3)]
    moved = ftstudio("queue", "move", runs[2].path, "first", "--json")
    assert [(row["run"], row["reason"]) for row in moved.json] == [  # as it is now, not as it was at the last look
        ("lab:0003", "Waits for cpu, behind first:0001."),
        ("lab:0001", "Waits for cpu, behind first:0001, lab:0003."),
        ("lab:0002", "Waits for cpu, behind first:0001, lab:0003 and 1 more."),
    ]
    moved = ftstudio("queue", "move", runs[1].path, runs[0].path, "--json")
    assert [row["run"] for row in moved.json] == ["lab:0003", "lab:0002", "lab:0001"]
    stop(first)
    ends = [ended(run) for run in runs]
    assert [end.state for end in ends] == ["finished"] * 3
    began = [next(e.t for e in read_events(run.events) if e.kind == "state") for run in runs]
    assert sorted(range(3), key=lambda i: began[i]) == [2, 1, 0]


def test_a_gpu_that_a_stranger_holds_is_taken(make_project, monkeypatch, tmp_path):
    smi = tmp_path / "nvidia-smi"
    smi.write_text(
        "#!/bin/sh\n"
        'case "$1" in --query-gpu*) echo "0, GPU-a";; '
        f'--query-compute-apps*) test -e {tmp_path}/busy && echo "GPU-a, {os.getpid()}, 38000";; esac\n'
    )
    smi.chmod(0o755)
    (tmp_path / "busy").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(devices, "torch_has_cuda", lambda: True)
    run = started(make_project(trainer={"max_steps": 3}), device="cuda:0")
    state = read_state(run)
    assert state.state == "queued"
    assert state.reason == f"Waits for gpu0: process {os.getpid()} of root uses 40 GB of its memory."
    (tmp_path / "busy").unlink()
    assert ended(run).state == "finished"
    assert read_state(run).device == "cuda:0"


# ------------------------------------------------------------------------------- the worker's own troubles


@pytest.mark.parametrize(
    ("ending", "state", "code", "reason"),
    [
        ("exit", "failed", 1, "The worker exited without finishing: a plugin may have ended the process."),
        ("segfault", "interrupted", 3, "The worker was ended by signal 11 (SIGSEGV)."),
        ("nan", "failed", 1, "The loss is nan at step 6. Lower learning_rate."),
        ("memory", "failed", 1, "Out of memory: try a smaller per_device_train_batch_size or max_length."),
        ("raise", "failed", 1, "trainer fake-walk of ftstudio-fakes 1.0 failed in train(): ZeroDivisionError"),
    ],
)
def test_how_a_worker_ends_is_said_and_its_last_checkpoint_stays(make_project, ftstudio, ending, state, code, reason):
    folder = make_project(trainer={"ending": ending})
    done = ftstudio("run", folder)
    run = RunFolder(folder / "runs" / "0001")
    assert done.code == code
    assert read_state(run).state == state
    assert read_state(run).reason.startswith(reason)
    assert reason in done.err
    assert [p.name for p in list_checkpoints(run.checkpoints)] == ["000004"]


def test_a_kill_for_lack_of_memory_is_recognised(make_project, monkeypatch, tmp_path):
    """By the kernel's counter of such kills, which here is a file of ours that rises while the worker lives."""
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("nr_free_pages 5\noom_kill 3\n")
    monkeypatch.setattr(endings, "VMSTAT", vmstat)
    wanted = Wanted(project=make_project(trainer={**LONG, "ending": "kill"}))
    run = wanted.create(wanted.outlook(), ["test"])
    under_test = supervisor.Supervisor(run, 1, (devices.Device("cpu", "cpu"),), Settings())
    look = under_test._look
    monkeypatch.setattr(under_test, "_look", lambda: vmstat.write_text("oom_kill 4\n") and look())
    state, reason, code = under_test._one_attempt()
    assert (state, code) == ("interrupted", -9)
    assert reason == (
        "The worker was ended by signal 9 (SIGKILL). The kernel ran out of memory meanwhile: "
        "try a smaller per_device_train_batch_size or max_length."
    )
    vmstat.unlink()
    assert endings.oom_kills() == 0


def test_a_log_of_any_size_is_bounded_and_keeps_head_and_tail(make_project):
    run = started(make_project(trainer={"max_steps": 3, "note": "first words", "flood": 90}))
    assert ended(run).state == "finished"
    text = run.console.read_bytes()
    assert len(text) <= 64 << 20
    assert text.startswith(b"first words\n")
    assert b"bytes were cut out here" in text
    assert text.rstrip().endswith(b"the last of 90 MB")


def test_a_project_folder_that_vanishes_ends_the_run_and_is_not_made_again(make_project, tmp_path):
    project = make_project(trainer=LONG)
    run = started(project)
    worker_of(run)
    at_step(run, 3)
    project.rename(tmp_path / "moved")
    until(lambda: lock_holder(tmp_path / "moved/runs/0001/worker.lock") is None, "the worker's end")
    until(lambda: lock_holder(tmp_path / "moved/runs/0001/lock") is None, "the supervisor's end")
    assert not project.exists()
    assert (read_state(run).state, read_state(run).reason) == (
        "interrupted", "Its run folder is gone: it was deleted or moved."
    )  # fmt: skip
    moved = RunFolder(tmp_path / "moved" / "runs" / "0001")
    assert ended(moved).state == "interrupted"
    assert ended(moved).reason == (
        f"'{run.path}' is not there any more: it was deleted or moved while the run went on. "
        "Nothing was made again in its place."
    )
    attempt = resumed(moved)
    worker_of(moved, attempt)
    assert stop(moved, attempt).state == "stopped"


@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_a_queued_run_whose_project_vanishes_leaves_the_queue_and_is_not_made_again(
    make_project, ftstudio, tmp_path, how
):
    first = started(make_project("first", trainer=LONG))
    worker_of(first)
    project = make_project(trainer={"max_steps": 3})
    run = started(project)
    supervisor = read_state(run).pid
    if how == "moved":
        project.rename(tmp_path / "moved")
    else:
        shutil.rmtree(project)
    until(lambda: gone(supervisor), "the end of the supervisor", 10)
    assert read_state(run).reason == "Its run folder is gone: it was deleted or moved."
    assert not project.exists()
    assert not list((state_dir() / "queue").glob(f"*.{run.key}.toml"))
    if how == "moved":
        moved = RunFolder(tmp_path / "moved" / "runs" / "0001")
        assert (read_state(moved).state, read_state(moved).reason) == (
            "interrupted",
            "Its folder was moved since it started, and its supervisor is gone: a run that is moved while it is live "
            "ends.",
        )
        refused = ftstudio("queue", "withdraw", moved.path)
        assert (refused.code, "does not wait: it is interrupted." in refused.err) == (2, True)
        resumed(moved)
        assert read_state(moved).state == "queued"
    stop(first)
    if how == "moved":
        assert ended(moved).state == "finished"


# ------------------------------------------------------------------------------------------ who is believed


def test_a_reused_pid_is_never_signalled_and_the_dead_run_stays_dead(make_project):
    run = started(make_project(trainer=LONG))
    worker = worker_of(run)
    at_step(run, 2)
    kill_both(run)
    ended(run)
    stranger = subprocess.Popen(["sleep", "1000"])
    try:
        text = run.state.read_text()
        for pid in (read_state(run).pid, worker):
            text = text.replace(f"pid = {pid}\n", f"pid = {stranger.pid}\n")
        run.state.write_text(text)
        assert read_state(run).state == "interrupted"
        with pytest.raises(InputError, match="is not running"):
            _live(str(run.path))
        attempt = resumed(run)
        worker_of(run, attempt)
        assert stop(run, attempt).state == "stopped"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_another_hosts_run_is_shown_and_neither_judged_nor_taken(make_project, ftstudio):
    run = started(make_project(trainer={"max_steps": 3}))
    ended(run)
    text = run.state.read_text().replace(f'host = "{os.uname().nodename}"', 'host = "gpu03"')
    run.state.write_text(text.replace('state = "finished"', 'state = "running"'))
    shown = ftstudio("status", run.path, "--json").json
    assert (shown["state"], shown["host"]) == ("running", "gpu03")
    assert "on gpu03" in ftstudio("status", run.path).out
    with pytest.raises(InputError, match="is running on gpu03, as far as can be seen from here"):
        resume(run)


def test_changed_data_are_refused_unless_accepted(make_project, ftstudio):
    project = make_project(trainer={"ending": "kill"})
    assert ftstudio("run", project).code == 3
    run = list_runs(project)[0]
    text = run.record.read_text().replace('ending = "kill"', 'ending = "good"')
    run.record.write_text(text.replace('"one"', '"uno"'))
    done = ftstudio("resume", run.path)
    assert done.code == 2
    assert "The data changed since this run began" in done.err
    assert "--accept-changed-data" in done.err
    done = ftstudio("resume", run.path, "--accept-changed-data")
    assert done.code == 0, done.err


def test_an_unknown_format_is_refused(make_project, ftstudio):
    project = make_project(trainer={"ending": "kill"})
    ftstudio("run", project)
    run = list_runs(project)[0]
    run.record.write_text(run.record.read_text().replace("format = 1", "format = 9", 1))
    done = ftstudio("resume", run.path)
    assert done.code == 2
    assert "has the unknown format 9" in done.err


def test_a_project_edited_after_the_start_leaves_the_run_as_it_was_and_the_difference_is_shown(make_project, ftstudio):
    project = make_project(trainer=LONG)
    run = started(project)
    worker_of(run)
    make_project(trainer={**LONG, "max_steps": 7})
    assert "max_steps = 5000" in ftstudio("show", run.path).out
    shown = ftstudio("show", run.path, "--changes")
    assert "trainer.max_steps" in shown.out
    assert "5000" in shown.out
    assert "7" in shown.out
    assert stop(run).state == "stopped"


def test_a_resume_under_other_versions_says_what_will_differ(make_project, ftstudio):
    project = make_project(trainer={"ending": "kill"})
    ftstudio("run", project)
    run = list_runs(project)[0]
    run.record.write_text(run.record.read_text().replace('ending = "kill"', 'ending = "good"'))
    inputs = run.inputs.read_text()
    version = inputs.split('torch = "')[1].split('"')[0]
    run.inputs.write_text(inputs.replace(f'torch = "{version}"', 'torch = "1.0"'))
    done = ftstudio("resume", run.path)
    assert done.code == 0
    said = f"Not the same to the bit as without the interruption: torch 1.0 is now {version}."
    assert said in done.err
    assert done.err.index(said) < done.err.index("step 5 ")


def test_no_more_descriptors_is_an_error_and_the_state_is_whole(make_project):
    project = make_project(trainer={"max_steps": 3})
    wanted = Wanted(project=project)
    run = wanted.create(wanted.outlook(), ["test"])
    limit = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12));"
    code = (
        f"{limit} from pathlib import Path; from ftstudio.process.launch import start;"
        "from ftstudio.runs.folder import RunFolder; from ftstudio.errors import InputError\n"
        "held = [open('/dev/null') for _ in range(6)]\n"
        f"try:\n    start(RunFolder(Path({str(run.path)!r})))\nexcept (InputError, OSError) as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "oo many open files" in done.stdout or "No more files may be open" in done.stdout
    assert read_state(run).state not in LIVE
    start(run)
    assert ended(run).state == "finished"


def hidden(run):
    return [entry.name for entry in run.path.iterdir() if entry.name.startswith(".")]


def test_the_room_for_the_last_state_is_given_back_also_by_who_was_killed_or_refused(make_project):
    run = started(make_project(trainer={"max_steps": 2000, "step_seconds": 0.01}))
    for attempt in (1, 2):
        worker_of(run, attempt)
        assert hidden(run) == [".state.reserve"]
        kill_both(run, attempt)
        assert ended(run).reason == "Its supervisor was killed."
        if attempt == 1:
            resumed(run)
    assert hidden(run) == [".state.reserve"]  # one, however many were killed
    waiting = state_dir() / "queue"
    waiting.rename(waiting.with_name("kept"))
    waiting.touch()
    with pytest.raises(InputError) as refused:
        resumed(run)
    assert str(refused.value) == f"'{waiting}' exists already and is no folder. Choose another name or place."
    assert hidden(run) == []
    assert (read_state(run).state, read_state(run).attempt) == ("interrupted", 2)
    waiting.unlink()
    attempt = resumed(run)
    ask(run, "stop", attempt)
    assert ended(run).state == "stopped"
    assert hidden(run) == []


def test_what_keeps_a_run_from_starting_is_named_and_nothing_else(make_project, ftstudio):
    run = started(make_project(trainer={"max_steps": 2}))
    assert ended(run).state == "finished"
    again = RunFolder(shutil.copytree(run.path, run.path.with_name("0002")))
    again.state.unlink()
    again.state.mkdir()
    refused = ftstudio("resume", again.path)
    assert (refused.code, refused.err) == (2, f"✗ '{again.state}' is a folder, not a file. Name a file.\n")
    assert [entry.name for entry in again.state.parent.iterdir() if entry.name.startswith(".")] == []
    with pytest.raises(InputError) as taken:
        start(run, attempt=1)
    assert str(taken.value) == (
        f"Attempt 1 of {run.title} was started by somebody else meanwhile. See: ftstudio status {run.path}"
    )
