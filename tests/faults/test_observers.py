"""Observers that are killed, hang, raise, exit or print: the run is as it would be without, and nothing is lost."""

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise

import pytest
from lab import at_step, ended, gone, kill, resumed, started, until, worker_of

from ftstudio.locks import lock_holder
from ftstudio.runs.control import ask
from ftstudio.runs.events import read_events
from ftstudio.runs.observers import STARTED, ObserverFiles, troubles

pytestmark = pytest.mark.usefixtures("fakes")

QUICK = {"max_steps": 20, "save_steps": 10}
LONG = {"max_steps": 5000, "save_steps": 10, "step_seconds": 0.01}


def watched(make_project, *, trainer=QUICK, **options):
    return make_project(trainer=trainer, observers=[{"use": "fake-watch", **options}])


def files_of(run, name="fake-watch"):
    return ObserverFiles(run, name)


def told(run):
    """What the observer wrote down, a dict a call; the last line may be torn."""
    lines = (run.path / "told.jsonl").read_bytes().split(b"\n")[:-1] if (run.path / "told.jsonl").exists() else []
    return [json.loads(line) for line in lines]


def seqs(run):
    return [call["seq"] for call in told(run) if call["call"] == "event"]


def opened_by(run):
    return {call["pid"] for call in told(run) if call["call"] == "open"}


def everything(run):
    return [event.seq for event in read_events(run.events)]


def cursor_is(run, state, name="fake-watch"):
    files = files_of(run, name)
    until(lambda: (c := files.read()) is not None and c.state == state, f"an observer that is {state}")
    until(lambda: lock_holder(files.lock) is None, "the end of the observer")
    return files.read()


def dead(run, name="fake-watch"):
    """Wait until a process held the observer's lock and is gone."""
    files = files_of(run, name)
    until(lambda: files.read() is not None and lock_holder(files.lock) is None, "the end of the observer")


def test_an_observer_is_told_every_event_once_and_in_order_and_closed_at_the_end(make_project):
    run = started(watched(make_project))
    assert ended(run).state == "finished"
    cursor = cursor_is(run, "done")
    assert seqs(run) == everything(run)
    assert (told(run)[0]["call"], told(run)[0]["after"], told(run)[0]["run"]) == ("open", 0, "lab:0001")
    assert told(run)[0]["loaded"] == []  # of plugins only its own
    assert told(run)[-1]["call"] == "close"
    assert cursor.seq == seqs(run)[-1]
    assert told(run)[-2]["state"] == "finished"
    assert troubles(run) == []


def test_the_end_of_a_worker_that_was_killed_is_told_too(make_project):
    run = started(watched(make_project, trainer=LONG))
    at_step(run, 5)
    kill(worker_of(run))
    assert ended(run).state == "interrupted"
    cursor_is(run, "done")
    assert told(run)[-2]["state"] == "interrupted"
    assert seqs(run) == everything(run)


def test_an_observer_ends_when_worker_and_supervisor_are_both_killed(make_project):
    from ftstudio.runs.state import read_state

    run = started(watched(make_project, trainer=LONG))
    worker = worker_of(run)
    at_step(run, 5)
    kill(read_state(run).pid)
    kill(worker)
    cursor_is(run, "done")
    assert seqs(run) == everything(run)


def test_an_observer_is_in_nobody_elses_group_and_outlives_none_of_its_promises(make_project):
    run = started(watched(make_project, trainer=LONG))
    worker = worker_of(run)
    at_step(run, 3)
    pid = until(lambda: lock_holder(files_of(run).lock), "the observer")
    assert os.getpgid(pid) == pid != os.getpgid(worker)
    assert os.getsid(pid) == pid
    ask(run, "kill", 1)
    ended(run)
    cursor_is(run, "done")
    until(lambda: gone(pid), "the end of the process")


@pytest.mark.alone
def test_a_killed_observer_misses_nothing_after_a_replay(make_project, ftstudio):
    run = started(watched(make_project, trainer={**QUICK, "max_steps": 200, "step_seconds": 0.01}))
    until(lambda: len(seqs(run)) > 50, "fifty events")
    kill(until(lambda: lock_holder(files_of(run).lock), "the observer"))
    assert ended(run).state == "finished"
    (trouble,) = troubles(run)
    assert trouble.words == "Observer fake-watch ended without a word; see observers/fake-watch.log."
    assert trouble.step == f"ftstudio replay {run.path} --to fake-watch"
    before = len(seqs(run))
    assert before < len(everything(run))
    done = ftstudio("replay", run.path, "--to", "fake-watch")
    assert done.code == 0, done.err
    assert sorted(set(seqs(run))) == everything(run)
    again = seqs(run)[before:]
    assert again == list(range(again[0], again[-1] + 1))
    assert told(run)[-1]["call"] == "close"
    assert troubles(run) == []


def test_events_told_after_the_cursor_was_written_are_told_again(make_project, ftstudio):
    run = started(watched(make_project))
    ended(run)
    cursor = cursor_is(run, "done")
    files_of(run).write(type(cursor)(seq=7, t=1.0, state="running"))
    assert ftstudio("replay", run.path, "--to", "fake-watch").code == 0
    opened = [call for call in told(run) if call["call"] == "open"]
    assert [call["after"] for call in opened] == [0, 7]
    assert seqs(run) == [*everything(run), *everything(run)[7:]]


@pytest.mark.alone
def test_a_resume_is_not_held_up_and_each_attempt_is_told_to_its_own_process(make_project):
    run = started(watched(make_project, trainer={**LONG, "step_seconds": 0.003}, event_seconds=0.01))
    at_step(run, 60)
    ask(run, "stop", 1)
    ended(run)
    assert lock_holder(files_of(run).lock) is not None  # it lags, and still has events to tell
    resumed(run)
    at_step(run, 100)
    ask(run, "stop", 2)
    ended(run)
    until(lambda: seqs(run) and seqs(run)[-1] == everything(run)[-1], "the last event")
    cursor_is(run, "done")
    assert seqs(run) == everything(run)
    opened = [call for call in told(run) if call["call"] == "open"]
    assert [call["attempt"] for call in opened] == [1, 2]
    at = told(run).index(opened[1])
    assert {call["attempt"] for call in told(run)[:at] if call["call"] == "event"} == {1}
    assert told(run)[at - 1]["call"] == "close"


def test_a_run_that_resumes_by_itself_has_an_observer_for_each_attempt(make_project):
    project = watched(make_project, trainer={**LONG, "max_steps": 60})
    run = started(project, auto_resume=True)
    at_step(run, 15)
    kill(worker_of(run))
    assert ended(run).attempt == 2
    until(lambda: seqs(run) and seqs(run)[-1] == everything(run)[-1], "the last event")
    cursor_is(run, "done")
    assert seqs(run) == everything(run)
    assert [call["attempt"] for call in told(run) if call["call"] == "open"] == [1, 2]
    ends = [(c["attempt"], c["state"]) for c in told(run) if c["call"] == "event" and c["kind"] == "state"]
    assert ends == [(1, "running"), (1, "interrupted"), (2, "running"), (2, "finished")]


def test_an_observer_that_raises_is_named_with_the_next_step_and_the_run_goes_on(make_project, ftstudio):
    run = started(watched(make_project, at=5, behaviour="raise", once=True))
    assert ended(run).state == "finished"
    cursor = cursor_is(run, "failed")
    assert "observer fake-watch of ftstudio-fakes 1.0 failed in on_event with event 5" in cursor.reason
    assert "ZeroDivisionError: a bug in the observer" in cursor.reason
    assert cursor.seq == 4
    log = files_of(run).log.read_text()
    assert "Traceback" in log
    assert "_misbehave" in log
    said = ftstudio("status", run.path).err
    assert "! Observer fake-watch failed: " in said
    assert "ftstudio replay lab:0001 --to fake-watch" in said
    assert ftstudio("replay", run.path, "--to", "fake-watch").code == 0
    assert sorted(set(seqs(run))) == everything(run)
    assert "Observer" not in ftstudio("status", run.path).err


@pytest.mark.parametrize(
    ("at", "behaviour", "said"),
    [
        (-1, "raise", "failed in open: ZeroDivisionError"),
        (-2, "raise", "failed in close: ZeroDivisionError"),
        (5, "component-error", "Observer fake-watch failed: Its server is away. Start it."),
        (5, "sys-exit", "observer fake-watch of ftstudio-fakes 1.0 ended itself with sys.exit(4)."),
        (5, "exit", "Observer fake-watch ended without a word; see observers/fake-watch.log."),
        (5, "segfault", "Observer fake-watch ended without a word; see observers/fake-watch.log."),
    ],
)
def test_whatever_an_observer_does_to_its_process_is_said(make_project, at, behaviour, said):
    run = started(watched(make_project, at=at, behaviour=behaviour))
    assert ended(run).state == "finished"
    dead(run)
    (trouble,) = troubles(run)
    assert said in trouble.words
    assert ("Traceback" in files_of(run).log.read_text()) == (behaviour in {"raise", "sys-exit"})


@pytest.mark.alone
@pytest.mark.parametrize("behaviour", ["hang", "hang-held"])
def test_a_hanging_observer_is_cut_off_and_the_speed_of_the_run_is_untouched(make_project, settings_file, behaviour):
    settings_file("observer_seconds = 2.0")
    run = started(watched(make_project, trainer={**LONG, "max_steps": 200}, at=30, behaviour=behaviour))
    assert ended(run).state == "finished"
    dead(run)
    (trouble,) = troubles(run)
    assert "was cut off: it did not come back from a call within 2 s; see observers/fake-watch.log" in trouble.words
    assert "_misbehave" in files_of(run).log.read_text()
    assert seqs(run)[-1] == 30
    steps = [event.t for event in read_events(run.events) if event.kind == "metrics"]
    pauses = [after - before for before, after in pairwise(steps)]
    assert max(pauses) < 1.5  # it waited for nobody: the observer hung for longer


def test_the_log_of_an_observer_that_prints_100_mb_is_bounded(make_project):
    run = started(watched(make_project, at=5, behaviour="print"))
    assert ended(run).state == "finished"
    cursor_is(run, "done")
    log = files_of(run).log
    assert log.stat().st_size < 8 << 20
    assert "bytes were cut out here" in log.read_text()
    assert log.read_text().startswith(STARTED)
    assert seqs(run) == everything(run)


def test_no_secret_is_in_any_file_of_an_observer_that_tells_it(make_project, monkeypatch):
    monkeypatch.setenv("FAKE_TOKEN", "s3cr3t-token")
    project = make_project(trainer=QUICK, observers=[{"use": "fake-secret-watch", "at": 5, "behaviour": "tell"}])
    run = started(project)
    ended(run)
    cursor = cursor_is(run, "failed", "fake-secret-watch")
    assert "https://example.org/<FAKE_TOKEN>" in cursor.reason
    for file in run.path.rglob("*"):
        assert file.is_dir() or b"s3cr3t" not in file.read_bytes(), file


def test_a_missing_plugin_is_said_and_keeps_neither_the_run_nor_its_resume(make_project, tmp_path):
    run = started(watched(make_project, trainer=LONG))
    at_step(run, 12)
    ask(run, "stop", 1)
    ended(run)
    cursor_is(run, "done")
    text = run.record.read_text()
    run.record.write_text(text.replace('use = "fake-watch"', 'use = "gone-watch"'))
    resumed(run)
    at_step(run, 30)
    ask(run, "stop", 2)
    assert ended(run).state == "stopped"
    assert "There is no observer 'gone-watch'" in cursor_is(run, "failed", "gone-watch").reason


def test_a_run_folder_that_is_read_only_is_said_by_replay(make_project, namespaces):
    run = started(watched(make_project))
    ended(run)
    cursor_is(run, "done")
    script = f"mount --bind {run.path} {run.path} && mount -o remount,ro,bind {run.path} && "
    script += f"{sys.executable} -m ftstudio replay {run.path} --to fake-watch --from-start"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "read-only" in done.stderr
    assert seqs(run) == everything(run)


def test_replay_waits_for_the_observer_that_has_the_run_and_sigterm_ends_it_with_a_close(make_project):
    run = started(watched(make_project, trainer=LONG))
    at_step(run, 5)
    pid = until(lambda: lock_holder(files_of(run).lock), "the observer")
    command = [sys.executable, "-m", "ftstudio", "replay", str(run.path), "--to", "fake-watch"]
    replay = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while f"Process {pid} tells it the events now." not in replay.stderr.readline():
        assert replay.poll() is None
    until(lambda: opened_by(run) == {pid}, "the observer's first words")
    kill(pid, signal.SIGTERM)
    until(lambda: len(opened_by(run)) == 2, "the replay's observer")
    ask(run, "stop", 1)
    ended(run)
    _, said = replay.communicate(timeout=60)
    assert replay.returncode == 0, said
    assert seqs(run) == everything(run)
