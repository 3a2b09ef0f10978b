"""How much of state.toml a reader believes, and what it derives when nobody is left to write it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftstudio.files import toml_text
from ftstudio.locks import RecordLock
from ftstudio.runs import state as module
from ftstudio.runs.events import EventWriter
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.state import (
    COPIED,
    KILLED,
    MOVED,
    ORPHANED,
    RESTARTED,
    UNTRUSTED_LOCKS,
    StateFile,
    boot_id,
    folder_identity,
    path_key,
    process_start,
    read_state,
    state_before,
)

HOLD = """
import sys, time
from pathlib import Path
from ftstudio.locks import RecordLock
locks = [RecordLock(Path(path)) for path in sys.argv[1:]]
assert all(lock.acquire() for lock in locks)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "lab" / "runs" / "0001"
    folder.mkdir(parents=True)
    return RunFolder(folder)


@contextlib.contextmanager
def held(*paths):
    """Another process holds these locks."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, *map(str, paths)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        try:
            assert holder.stdout.readline() == b"held\n"
            yield holder
        finally:
            holder.kill()


def write(run, **values):
    known = {"state": "running", "attempt": 2, "boot_id": boot_id(), "host": os.uname().nodename, "worker_pid": 7}
    run.state.write_text(toml_text({**known, **values}))


def a_dead_pid():
    with subprocess.Popen(["/bin/true"]) as done:
        done.wait()
    return done.pid


def test_a_held_lock_is_a_live_run(run):
    write(run, state="queued", reason="Waits for cpu.", queued=5.5)
    with held(run.lock):
        known = read_state(run)
    assert (known.state, known.reason, known.queued) == ("queued", "Waits for cpu.", 5.5)
    assert read_state(run).state == "interrupted"


def test_a_live_state_without_anybody_to_write_it_is_interrupted(run):
    write(run, pid=a_dead_pid(), pid_started=1.0)
    known = read_state(run)
    assert known == StateFile(
        state="interrupted", reason="Its supervisor was killed.", attempt=2, pid=known.pid, pid_started=1.0,
        boot_id=boot_id(), host=os.uname().nodename,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("word", "attempt", "after", "believed"),
    [
        ({"state": "finished", "exit_code": 0}, 2, (), ("finished", "", 0)),
        ({"state": "interrupted", "reason": "Stopped at step 3: its supervisor is gone.", "exit_code": 3}, 2, (),
         ("interrupted", "Stopped at step 3: its supervisor is gone.", 3)),
        ({"state": "finished"}, 1, (), None),
        ({"state": "finished"}, 2, ("metrics",), None),
        ({"state": "running"}, 2, (), None),
        ({"state": "splendid"}, 2, (), None),
    ],
    ids=["finished", "interrupted", "of-an-older-attempt", "not-the-last-line", "no-end", "no-state"],
)  # fmt: skip
def test_when_its_supervisor_died_the_workers_last_word_says_how_it_ended(run, word, attempt, after, believed):
    write(run)
    events = EventWriter(run.events, attempt)
    events.write("state", **word)
    for kind in after:
        events.write(kind, 4)
    events.close()
    known = read_state(run)
    assert (known.state, known.reason, known.exit_code) == (
        believed or ("interrupted", "Its supervisor was killed.", None)
    )


def test_a_run_whose_folder_is_gone_says_so(run):
    assert read_state(run).reason == "It never started."
    run.path.rmdir()
    assert (read_state(run).state, read_state(run).reason) == (
        "interrupted", "Its run folder is gone: it was deleted or moved."
    )  # fmt: skip


@pytest.mark.parametrize("state", ["finished", "stopped", "failed", "interrupted"])
def test_a_last_word_is_believed_whoever_holds_what(run, state):
    write(run, state=state, reason="So it was.", exit_code=-9)
    with held(run.lock, run.worker_lock):
        known = read_state(run)
    assert (known.state, known.reason, known.exit_code) == (state, "So it was.", -9)


def test_a_run_that_ends_while_it_is_looked_at_has_ended(run, monkeypatch):
    write(run)

    def ends_now(path):
        monkeypatch.setattr(module, "lock_holder", lambda path: None)
        write(run, state="finished", worker_pid=None)

    monkeypatch.setattr(module, "lock_holder", ends_now)
    assert read_state(run).state == "finished"


def test_a_new_attempt_that_takes_the_lock_while_it_is_looked_at_is_live(run, monkeypatch):
    write(run)
    answers = [None, 4711]
    monkeypatch.setattr(module, "lock_holder", lambda path: answers.pop(0))
    assert read_state(run).state == "running"
    assert answers == []


def test_another_boot_is_an_interruption_whatever_its_pid_does_now(run):
    write(run, boot_id="another", pid=os.getpid(), pid_started=process_start(os.getpid()))
    known = read_state(run)
    assert (known.state, known.reason, known.worker_pid) == ("interrupted", RESTARTED, None)


@pytest.mark.parametrize("missing", ["here", "there"])
def test_a_boot_that_has_no_name_is_no_other_boot(run, monkeypatch, missing):
    write(run, boot_id="" if missing == "there" else "x", pid=os.getpid(), pid_started=process_start(os.getpid()))
    if missing == "here":
        monkeypatch.setattr(module, "boot_id", lambda: "")
    assert read_state(run).state == "running"


def test_a_worker_whose_supervisor_was_killed_is_stopping_until_it_has_left(run):
    write(run)
    with held(run.worker_lock):
        known = read_state(run)
        assert (known.state, known.reason, known.worker_pid) == ("stopping", ORPHANED, 7)
    assert read_state(run).state == "interrupted"


def test_locks_that_lie_are_found_out_by_the_process_itself(run):
    write(run, pid=os.getpid(), pid_started=process_start(os.getpid()), reason="Fine.")
    known = read_state(run)
    assert (known.state, known.reason) == ("running", f"Fine. {UNTRUSTED_LOCKS}")


@pytest.mark.parametrize(("place", "state"), [("here", "running"), ("1.2", "interrupted"), ("", "running")])
def test_a_copy_of_a_live_run_accuses_no_file_system(run, place, state):
    place = folder_identity(run.path) if place == "here" else place
    write(run, pid=os.getpid(), pid_started=process_start(os.getpid()), reason="Fine.", folder=place)
    known = read_state(run)
    reason = COPIED if state == "interrupted" else f"Fine. {UNTRUSTED_LOCKS}"
    assert (known.state, known.reason) == (state, reason)
    moved = RunFolder(run.path.rename(run.path.with_name("0002")))  # which is no copy
    assert read_state(moved) == known


@pytest.mark.parametrize(("killed", "reason"), [(False, MOVED), (True, KILLED)])
def test_a_run_that_was_moved_accuses_nobody_of_having_killed_its_supervisor(run, tmp_path, killed, reason):
    write(
        run, state="queued", pid=a_dead_pid(), pid_started=1.5, folder=folder_identity(run.path), path_key=path_key(run)
    )
    (tmp_path / "link").symlink_to(run.project)
    found = RunFolder(tmp_path / "link" / "runs" / "0001")
    if not killed:
        found = RunFolder(run.project.rename(tmp_path / "moved") / "runs" / "0001")
    assert (read_state(found).state, read_state(found).reason) == ("interrupted", reason)


@pytest.mark.parametrize("started", [None, 0.25, "elsewhen"])
def test_a_stranger_with_the_same_pid_keeps_no_run_alive(run, started):
    write(run, pid=os.getpid(), pid_started=started)
    assert read_state(run).state == "interrupted"


def test_a_zombie_is_no_process(run):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        started = process_start(child.pid)
        assert started is not None
        write(run, pid=child.pid, pid_started=started)
        assert read_state(run).state == "running"
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_start(child.pid) is None
        assert read_state(run).state == "interrupted"


def test_a_process_is_told_by_its_start_whatever_it_is_called(tmp_path):
    name = tmp_path / "a) Z (b"
    name.symlink_to(sys.executable)
    with subprocess.Popen([name, "-c", "input()"], stdin=subprocess.PIPE) as child:
        try:
            before = process_start(child.pid)
            time.sleep(0.05)
            assert before is not None
            assert process_start(child.pid) == before
            assert process_start(os.getpid()) < before + 0.02
        finally:
            child.kill()
    assert process_start(child.pid) is None
    assert process_start(-1) is None


def test_without_proc_the_start_of_a_process_is_asked_of_psutil(monkeypatch):
    import psutil

    monkeypatch.setattr(module.sys, "platform", "darwin")
    assert process_start(os.getpid()) == pytest.approx(psutil.Process().create_time(), abs=1)
    assert process_start(a_dead_pid()) is None


def test_a_run_of_another_host_is_shown_and_not_judged(run):
    write(run, host="gpu03", pid=a_dead_pid(), pid_started=1.0, boot_id="its own")
    known = read_state(run)
    assert (known.state, known.host, known.worker_pid) == ("running", "gpu03", 7)


def test_a_run_without_a_state_never_started_or_is_starting(run):
    assert (read_state(run).state, read_state(run).reason) == ("interrupted", "It never started.")
    with held(run.lock):
        assert read_state(run).state == "starting"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "says 'None', which is no state that we know"),
        (b'state = "paused"\n', "says 'paused', which is no state that we know"),
        (b"state = 3\n", "says '3', which is no state"),
        (b"state = [1]\n", "no state that we know"),
        (b'state = "running', "is damaged"),
        (b"\x00\x00\x00", "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (b"a = " + b"[" * 3000, "is damaged"),
        (b'state = "running"\nstate = "running"\n', "is damaged"),
        (b'state = "finished"\nattempt = 01\n', "is damaged"),
    ],
)
def test_a_state_that_cannot_be_understood_is_a_reason_and_never_an_exception(run, content, words):
    run.state.write_bytes(content)
    events = EventWriter(run.events, attempt=5)
    events.write("message", text="hello")
    events.close()
    with run.events.open("ab") as file:
        file.write(b'{"torn')
    known = read_state(run)
    assert known.state == "interrupted"
    assert words in known.reason
    assert known.attempt == 5, "a resume must not use an attempt's number twice"
    with held(run.lock):
        assert (read_state(run).state, read_state(run).attempt) == ("running", 5)


def test_keys_of_other_versions_and_values_of_other_types_are_passed_over(run):
    write(
        run, state="failed", attempt="two", pid=True, started="now", reason=5, new={"a": 1}, device="cpu", exit_code=1
    )
    known = read_state(run)
    assert known == StateFile(
        state="failed", worker_pid=7, boot_id=boot_id(), host=os.uname().nodename, device="cpu", exit_code=1
    )


def test_a_state_file_cut_at_every_byte_is_never_an_exception(run):
    write(run, reason='said "so" \\ é\n', pid=3, pid_started=12.5, ended=1e300)
    whole = run.state.read_bytes()
    for cut in range(len(whole)):
        run.state.write_bytes(whole[:cut])
        assert read_state(run).state == "interrupted"


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become somebody else")
def test_a_state_that_may_not_be_read_says_so(run):
    write(run)
    run.state.chmod(0)
    run.path.parents[4].chmod(0o755)
    code = "import os, sys; from pathlib import Path; from ftstudio.runs.folder import RunFolder\n"
    code += (
        "from ftstudio.runs.state import read_state; os.setuid(65534); print(read_state(RunFolder(Path(sys.argv[1]))))"
    )
    for parent in list(run.path.parents)[:-1]:
        parent.chmod(parent.stat().st_mode | 0o755)
    done = subprocess.run([sys.executable, "-c", code, str(run.path)], capture_output=True, text=True, check=False)
    assert "No permission for" in done.stdout, done.stderr
    assert "interrupted" in done.stdout


def test_the_lock_is_not_disturbed_by_being_asked(run):
    lock = RecordLock(run.lock)
    write(run)
    assert lock.acquire()
    assert read_state(run).state == "running"
    with held(run.worker_lock):
        assert read_state(run).state == "running"
    lock.release()


SCALARS = st.one_of(
    st.text(max_size=20), st.integers(-(10**20), 10**20), st.booleans(), st.floats(allow_nan=False), st.just(-0.0)
)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), SCALARS, max_size=6))
def test_the_fast_reading_of_a_flat_file_is_what_tomllib_reads(values):
    text = toml_text(values)
    assert repr(module._parse(text.encode())) == repr(tomllib.loads(text))


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet='ab_=" .0123456789-\n\\\r\t[]#', max_size=40))
def test_what_tomllib_refuses_is_refused(text):
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(tomllib.TOMLDecodeError):
            module._parse(text.encode())
    else:
        assert repr(module._parse(text.encode())) == repr(expected)


@pytest.mark.parametrize("attempt", [-7, 0, 99_999_999_999_999_999_999], ids=str)
def test_an_attempt_that_can_be_none_is_that_of_the_last_event(run, attempt):
    events = EventWriter(run.events, attempt=4)
    events.write("message", text="Long. " * 20_000)  # longer than what is read of the stream at first
    events.close()
    write(run, attempt=attempt, state="stopped", reason="Stopped.")
    known = read_state(run)
    assert (known.state, known.reason, known.attempt) == ("stopped", "Stopped.", 4)


def test_a_state_that_is_missing_leaves_the_attempt_to_the_events(run):
    assert read_state(run) == StateFile(state="interrupted", reason="It never started.")
    events = EventWriter(run.events, attempt=4)
    events.write("phase", name="training")
    events.close()
    assert read_state(run) == StateFile(state="interrupted", reason="Its state.toml is missing.", attempt=4)


def test_how_the_attempt_before_ended_is_what_its_last_word_says(run):
    for attempt, words in ((1, ["finished"]), (2, ["running", "stopped"]), (3, ["running"]), (4, ["running"])):
        with contextlib.closing(EventWriter(run.events, attempt)) as events:
            for word in words:
                events.write("state", state=word)
            events.write("message", text="x")
    assert [state_before(run, attempt) for attempt in (2, 3, 4, 5)] == [
        "finished",
        "stopped",
        "interrupted",
        "interrupted",
    ]
