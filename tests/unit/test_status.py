"""What is shown of a run: from the end of its events, in bounded time, whatever the clock does."""

import json
import math
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftstudio.files import toml_text
from ftstudio.locks import RecordLock
from ftstudio.runs import status as module
from ftstudio.runs.events import EventWriter
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.state import boot_id
from ftstudio.runs.status import SILENT_SECONDS, StatusReader, age_text, ago, read_status


class Lab:
    """A run folder, and a writer whose clock is ours."""

    def __init__(self, path):
        path.mkdir(parents=True)
        self.run = RunFolder(path)
        self.now = time.time() - 1000
        self.attempt = 1

    def state(self, state="running", **values):
        known = {"state": state, "attempt": self.attempt, "boot_id": boot_id(), "host": os.uname().nodename}
        self.run.state.write_text(toml_text({**known, **values}))
        os.utime(self.run.state, (self.now, self.now))

    def line(self, kind, step=None, **data):
        record = {"t": self.now, "attempt": self.attempt, "kind": kind, "step": step, **data}
        with self.run.events.open("a") as file:
            file.write(json.dumps(record, separators=(",", ":")) + "\n")

    def steps(self, first, last, total=1000, seconds=1.0, **metrics):
        for step in range(first, last + 1):
            self.now += seconds
            self.line("metrics", step, metrics={"loss": 5.0 - step / 1000, "norm": 1.0, **metrics})
            self.line("progress", done=step, total=total, unit="step")


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "lab" / "runs" / "0001")


@pytest.fixture
def live(lab):
    """A run that is going on; its supervisor is this process."""
    lock = RecordLock(lab.run.lock)
    assert lock.acquire()
    lab.state()
    yield lab
    lock.release()


@pytest.mark.usefixtures("its_clock")
def test_a_live_run_shows_how_far_it_is_and_how_long_it_takes(live):
    live.line("phase", name="training")
    live.steps(1, 100, seconds=2.0)
    live.line("metrics", 100, metrics={"eval_loss": 4.5})
    status = read_status(live.run)
    assert (status.state, status.step, status.total_steps, status.phase) == ("running", 100, 1000, "training")
    assert status.metrics == {"loss": 4.9, "norm": 1.0, "eval_loss": 4.5}
    assert status.eta_s == pytest.approx(1800.0)
    assert status.last_event_t == live.now


def test_only_the_end_of_a_long_stream_is_read(live, monkeypatch):
    live.line("phase", name="training")
    live.line("metrics", 0, metrics={"eval_loss": 9.0})
    live.steps(1, 5000)
    assert live.run.events.stat().st_size > 700_000
    read = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *a: read.append(a[1]) or pread(*a))
    status = read_status(live.run)
    assert (status.step, status.metrics["loss"], status.phase) == (5000, 0.0, "training")
    assert sum(read) <= module.TAIL_LIVE
    live.state("finished")
    read.clear()
    assert read_status(live.run).step == 5000
    assert sum(read) <= module.TAIL


def test_more_is_read_where_the_end_says_too_little(lab):
    lab.state("finished")
    lab.steps(1, 20)
    lab.line("sample", 20, prompt="p", text="x" * 300_000)
    status = read_status(lab.run)
    assert (status.step, status.metrics["loss"]) == (20, 4.98)


def test_a_line_longer_than_all_that_is_read_is_survived(lab, monkeypatch):
    monkeypatch.setattr(module, "TAIL_LIMIT", 100_000)
    lab.state("finished")
    lab.steps(1, 20)
    lab.line("sample", 20, prompt="p", text="x" * 300_000)
    assert read_status(lab.run).step is None
    lab.steps(21, 21)
    assert read_status(lab.run).step == 21


def test_the_end_is_told_as_the_whole_stream_tells_it(lab):
    lab.state("failed")
    for kind in ("a", "b"):
        lab.line("phase", name=kind)
        lab.line("progress", done=3, total=9, unit="row")
        lab.steps(1, 8)
        lab.line("metrics", 8, metrics={"eval_loss": 4.0, "bad": "nan"})
        lab.line("checkpoint", 8, path="000008", metrics={"eval_loss": 77.0})
        lab.line("progress", done=3, total=3, unit="sample")
    lab.line("state", state="failed")
    status = read_status(lab.run)
    assert (status.step, status.total_steps, status.phase) == (8, 1000, "b")
    assert status.metrics["eval_loss"] == 4.0
    assert math.isnan(status.metrics["bad"])
    assert json.loads(json.dumps(status.as_json(), allow_nan=False))["metrics"]["bad"] == "nan"


def test_a_resumed_run_forgets_what_its_older_attempt_said_beyond(live):
    live.steps(1, 50)
    live.attempt = 2
    live.state()
    live.line("state", state="running", resumed_from=30)
    assert read_status(live.run).metrics["loss"] == 4.97
    live.steps(31, 32)
    assert (read_status(live.run).step, read_status(live.run).metrics["loss"]) == (32, 4.968)


def test_a_torn_line_at_the_end_of_an_attempt_hides_nothing(lab):
    lab.state("interrupted")
    lab.steps(1, 5)
    with lab.run.events.open("a") as file:
        file.write('{"t":1,"attempt":1,"kind":"metrics","step":6,"metrics":{"loss":3')
    writer = EventWriter(lab.run.events, 1)
    writer.write("state", state="interrupted", reason="killed")
    writer.close()
    status = read_status(lab.run)
    assert (status.step, status.metrics["loss"]) == (5, 4.995)


@pytest.mark.parametrize("content", [b"", b"\n", b"\n\n", b"garbage", b"garbage\n", b"\0" * 5000])
def test_a_stream_that_says_nothing_shows_nothing(lab, content):
    lab.state("finished")
    lab.run.events.write_bytes(content)
    status = read_status(lab.run)
    assert (status.step, status.metrics, status.last_event_t) == (None, {}, None)


@pytest.mark.usefixtures("its_clock")
def test_values_of_another_shape_are_passed_over(live):
    for done, total in ((True, 3), ("1", 3), (None, None), (10**400, 3), (4, 10**400), (5, "many")):
        live.line("progress", done=done, total=total, unit="step")
    live.line("phase", name=["x"])
    live.line("metrics", 5, metrics=[1])
    status = read_status(live.run)
    assert (status.step, status.total_steps, status.eta_s) == (5, None, None)


@pytest.fixture
def its_clock(live, monkeypatch):
    """It is a second after the last event."""
    monkeypatch.setattr(time, "time", lambda: live.now + 1)


# -------------------------------------------------------------------------------------------- watching


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("steps"), st.integers(1, 5)),
        st.tuples(st.just("eval"), st.floats(0, 9)),
        st.tuples(st.just("phase"), st.sampled_from(["a", "b"])),
        st.tuples(st.just("resume"), st.integers(0, 5)),
        st.tuples(st.just("torn"), st.integers(1, 40)),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(OPERATIONS)
def test_who_looks_again_and_again_sees_what_one_who_comes_now_sees(tmp_path_factory, operations):
    lab = Lab(tmp_path_factory.mktemp("lab") / "lab" / "runs" / "0001")
    lab.now = time.time()
    lab.state(host="gpu03")
    watcher, step = StatusReader(lab.run), 0
    for what, value in operations:
        if what == "steps":
            lab.steps(step + 1, step + value)
            step += value
        elif what == "eval":
            lab.line("metrics", step, metrics={"eval_loss": value})
        elif what == "phase":
            lab.line("phase", name=value)
        elif what == "resume":
            lab.attempt, step = lab.attempt + 1, max(0, step - value)
            lab.state(host="gpu03")
            lab.line("state", state="running", resumed_from=step)
        else:
            with lab.run.events.open("a") as file:
                file.write('{"t":1,"attempt":1,"kind":"metrics","step":1,"metrics":{"loss":1'[:value] + "\n")
        seen, now = watcher.read(), read_status(lab.run)
        assert seen == now


def test_a_watcher_reads_only_what_is_new(live, monkeypatch):
    live.steps(1, 3000)
    watcher = StatusReader(live.run)
    watcher.read()
    monkeypatch.setattr(os, "pread", None)
    live.steps(3001, 3001)
    assert watcher.read().step == 3001


def test_a_run_that_has_ended_is_not_read_again_until_it_is_resumed(live):
    live.steps(1, 5)
    live.state("interrupted")
    watcher = StatusReader(live.run)
    assert watcher.read().step == 5
    live.run.events.unlink()
    assert watcher.read().step == 5
    live.attempt = 2
    live.state()
    live.steps(6, 6)
    assert (watcher.read().state, watcher.read().step) == ("running", 6)


# ------------------------------------------------------------------------------------------- the clock


@pytest.mark.usefixtures("its_clock")
@pytest.mark.parametrize("jump", [-3600, 365 * 86400, -365 * 86400, 3600, -2])
def test_a_clock_that_was_set_in_mid_run_leaves_the_estimate_alone(live, jump):
    live.steps(1, 40, seconds=2.0)
    live.now += jump
    live.steps(41, 80, seconds=2.0)
    assert read_status(live.run).eta_s == pytest.approx(2 * 920, rel=0.05)


@pytest.mark.usefixtures("its_clock")
def test_a_pause_to_evaluate_is_part_of_the_pace(live):
    for block in range(4):
        live.steps(block * 10 + 1, block * 10 + 10)
        live.now += 20
    assert read_status(live.run).eta_s > 960 * 1.4


@pytest.mark.usefixtures("its_clock")
@pytest.mark.parametrize(
    ("first", "last", "total"), [(1, 1, 100), (1, 5, None), (1, 5, 0)], ids=["one point", "no total", "a total of 0"]
)
def test_without_a_pace_there_is_no_estimate(live, first, last, total):
    live.steps(first, last, total=total)
    assert read_status(live.run).eta_s is None


@pytest.mark.usefixtures("its_clock")
def test_a_run_beyond_its_total_is_about_to_end(live):
    live.steps(1, 12, total=10)
    assert read_status(live.run).eta_s == 0.0


@pytest.mark.usefixtures("its_clock")
def test_an_older_attempt_has_no_say_in_the_estimate(live):
    live.steps(1, 40, seconds=100.0)
    live.attempt = 2
    live.state()
    live.line("state", state="running", resumed_from=40)
    assert read_status(live.run).eta_s is None
    live.steps(41, 50)
    assert read_status(live.run).eta_s == pytest.approx(950)


def test_silence_is_a_word_and_no_state(live):
    live.now = time.time() - SILENT_SECONDS - 600
    live.steps(1, 5, seconds=0.0)
    status = read_status(live.run)
    assert (status.state, status.silent_since, status.eta_s) == ("running", live.now, None)
    assert status.note == "stalled: last event 15 min ago"
    assert "silent_since" not in status.as_json()
    live.now = time.time() - SILENT_SECONDS + 60
    live.steps(6, 9, seconds=0.0)
    assert (read_status(live.run).silent_since, read_status(live.run).note) == (None, "")
    live.now -= 9000
    live.state("starting")
    live.line("message", text="")
    assert read_status(live.run).silent_since is None


def test_a_run_that_never_said_anything_is_silent_since_its_start(live):
    live.state(started=live.now)
    assert read_status(live.run).note == "stalled: no event yet"


def test_a_run_that_was_resumed_after_a_day_is_not_silent_since_yesterday(live):
    live.now = yesterday = time.time() - 86400
    live.steps(1, 5, seconds=0.0)
    live.state()
    watcher = StatusReader(live.run)
    assert watcher.read().silent_since == yesterday
    live.now, live.attempt = time.time(), 2
    live.state()
    assert watcher.read().silent_since is None
    assert read_status(live.run).silent_since is None


def test_a_watcher_counts_silence_by_a_clock_that_nobody_sets(live, monkeypatch):
    live.now = time.time()
    live.steps(1, 5, seconds=0.0)
    watcher = StatusReader(live.run)
    assert watcher.read().silent_since is None
    a_year_on, later = time.time() + 365 * 86400, time.monotonic() + SILENT_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: a_year_on)
    assert watcher.read().silent_since is None
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert watcher.read().silent_since == live.now
    live.steps(6, 6)
    assert watcher.read().silent_since is None


def test_a_queued_run_says_since_when_it_waits(live):
    live.state("queued", queued=live.now, reason="Waits for cpu.")
    assert read_status(live.run).waits_since == live.now
    assert "waits_since" not in read_status(live.run).as_json()
    live.state("running", queued=live.now)
    assert read_status(live.run).waits_since is None


def test_a_run_of_another_host_says_where_it_is_and_when_it_was_last_heard(lab):
    lab.state(host="gpu03")
    assert read_status(lab.run).note == "on gpu03, no event yet"
    lab.now = time.time() - 600
    lab.steps(1, 5, seconds=0.0)
    assert read_status(lab.run).note == "on gpu03, last event 10 min ago"
    assert read_status(lab.run).state == "running"
    lab.state("finished", host="gpu03")
    assert read_status(lab.run).note == ""


def test_ages_are_sane_or_absent():
    now = time.time()
    assert ago(None) == ""
    assert ago(now + 3600) == ""
    assert ago(now + 5) == "0 s ago"
    assert ago(now - 365 * 86400 - 5) == "365 d ago"
    assert [age_text(s) for s in (-5, 4, 600, 7560, 47 * 3600, 49 * 3600, math.nan, math.inf)] == [
        "0 s", "4 s", "10 min", "2 h 06", "47 h 00", "2 d", "", "",
    ]  # fmt: skip
