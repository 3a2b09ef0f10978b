"""The queue while it is used: several GPUs, places that change while everybody looks, tickets of the dead."""

import os
import subprocess
import threading
import time

import pytest
from lab import ended, kill, resumed, started, until, worker_of

from ftstudio.errors import InputError
from ftstudio.files import toml_text
from ftstudio.locks import lock_holder
from ftstudio.process.asking import request
from ftstudio.process.devices import Device, Tenant
from ftstudio.process.launch import start
from ftstudio.process.waiting import Turn
from ftstudio.process.wanted import Wanted
from ftstudio.runs import queue
from ftstudio.runs.checkpoints import list_checkpoints
from ftstudio.runs.control import ask
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.record import list_runs
from ftstudio.runs.status import LIVE, read_state

pytestmark = pytest.mark.usefixtures("fakes")

LONG = {"max_steps": 5000, "save_steps": 50, "step_seconds": 0.01}
GPUS = tuple(Device(f"cuda:{i}", f"gpu{i}") for i in range(3))


@pytest.fixture
def waiting(make_project):
    """Makes turns of runs whose locks this process holds, as their supervisors would."""
    held = []

    def make(name, devices):
        from ftstudio.locks import RecordLock

        run = RunFolder(make_project(name) / "runs" / "0001")
        run.path.mkdir(parents=True)
        lock = RecordLock(run.lock)
        assert lock.acquire()
        held.append(lock)
        turn = Turn(run, devices, {})
        turn.join()
        held.append(turn)
        return turn

    yield make
    for one in held:
        one.leave() if isinstance(one, Turn) else one.release()


def test_a_run_that_may_use_any_gpu_takes_one_that_no_stranger_holds(waiting, monkeypatch):
    strangers = {"gpu0": [Tenant(os.getpid(), "somebody", 38 << 30)]}
    monkeypatch.setattr("ftstudio.process.waiting.tenants", lambda: strangers)
    first, second, third = (waiting(name, GPUS) for name in ("a", "b", "c"))
    assert first.come()
    assert first.device == GPUS[1]
    assert second.come()
    assert second.device == GPUS[2]
    assert not third.come()
    assert third.reason == f"Waits for gpu0: process {os.getpid()} of somebody uses 41 GB of its memory."
    strangers.clear()
    third._asked = float("-inf")
    assert third.come()
    assert third.device == GPUS[0]


def test_a_run_in_the_process_of_its_supervisor_is_no_stranger_to_the_one_beside_it(waiting, monkeypatch):
    """As `run --inline` is: nobody but its supervisor holds the GPU's memory."""
    tenants = {}
    monkeypatch.setattr("ftstudio.process.waiting.tenants", lambda: tenants)
    first, second = (waiting(name, GPUS[:1]) for name in ("a", "b"))
    first.slots = second.slots = {"gpu0": 2}
    assert first.come()
    with subprocess.Popen(["sleep", "100"]) as inline:
        try:
            tenants["gpu0"] = [Tenant(inline.pid, "somebody", 38 << 30)]
            assert not second.come()
            assert second.reason.startswith(f"Waits for gpu0: process {inline.pid} of somebody uses")
            first.run.state.write_text(toml_text({"state": "running", "pid": inline.pid}))
            assert second.come()
        finally:
            inline.kill()


def test_a_run_does_not_come_before_itself_and_keeps_its_place(waiting):
    first, second = waiting("a", GPUS[:1]), waiting("b", GPUS[:1])
    with pytest.raises(InputError, match=r"^b:0001 cannot come before itself\. Name another run that waits"):
        queue.move(second.run, second.run)
    assert [ticket.run.title for ticket in queue.tickets()] == [first.run.title, second.run.title]


def test_a_run_that_waits_is_promised_no_checkpoint(make_project):
    first = started(make_project("first", trainer=LONG))
    run = started(make_project(trainer={"max_steps": 3}))
    with pytest.raises(InputError, match=r"^lab:0001 waits in the queue: there is nothing to commit yet\."):
        request(run, "checkpoint")
    assert not (run.control / "checkpoint").exists()
    assert request(run, "stop") == "It will leave the queue."
    assert ended(run).state == "stopped"
    ask(first, "stop", 1)
    ended(first)


def test_a_gpu_that_nobody_ahead_may_use_is_not_waited_for(waiting):
    first = waiting("first", GPUS[:1])
    assert first.come()
    behind_it, elsewhere = waiting("behind", GPUS[:1]), waiting("elsewhere", GPUS[:2])
    assert not behind_it.come()
    assert behind_it.reason == "Waits for gpu0, behind first:0001."
    assert elsewhere.come()
    assert elsewhere.device == GPUS[1]


def test_a_run_is_passed_by_none_that_came_later(waiting):
    first, second = waiting("a", GPUS[:1]), waiting("b", GPUS[:1])
    assert not second.come()
    assert second.reason == "Waits for gpu0, behind a:0001."
    assert first.come()


def test_a_device_that_is_no_word_is_refused_before_a_run_is_made(make_project, ftstudio):
    project = make_project()
    refused = ftstudio("run", project, "--device", "tpu:0")
    assert (refused.code, refused.err.strip()) == (
        2, "✗ 'tpu:0' is no device. Write cpu, cuda, cuda:0 ... or mps."
    )  # fmt: skip
    assert list_runs(project) == []


def test_a_ticket_that_is_moved_while_another_looks_is_not_passed(waiting, monkeypatch):
    """The place is free, and who looks has read which tickets there are, but not yet what they say, when the first moves."""
    first, second = waiting("a", GPUS[:1]), waiting("b", GPUS[:1])
    movers, read = [], queue.read_toml

    def read_late(path):
        if not movers:
            movers.append(threading.Thread(target=queue.move, args=(first.run, second.run)))
            movers[0].start()
            movers[0].join(0.5)  # a move that is kept waiting does not end in this time
        return read(path)

    monkeypatch.setattr(queue, "read_toml", read_late)
    assert not second.come()
    assert second.reason == "Waits for gpu0, behind a:0001."
    movers[0].join()
    assert [ticket.run.title for ticket in queue.tickets()] == ["a:0001", "b:0001"]
    assert first.come()
    assert not second.come()


def test_places_that_change_all_the_time_lose_nobody(make_project, request):
    """Each supervisor looks for its ticket, every 0.5 s, while the tickets are being renamed."""
    seconds = 4.0 if request.config.getoption("--faults") == "full" else 1.5
    first = started(make_project("first", trainer=LONG))
    worker_of(first)
    project = make_project(trainer={"max_steps": 3})
    runs = [started(project) for _ in range(3)]
    over = threading.Event()

    def look():
        while not over.is_set():
            missed.extend(run.title for run in runs if queue.ticket_of(run) is None)
            seen.add(len(queue.tickets()))

    missed, seen = [], set()
    looking = threading.Thread(target=look)
    looking.start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        queue.move(runs[0], None)
        queue.move(runs[0], runs[1])
    over.set()
    looking.join()
    assert missed == []
    assert seen == {3}
    assert {read_state(run).state for run in runs} == {"queued"}
    ask(first, "stop", 1)
    assert ended(first).state == "stopped"
    assert [ended(run).state for run in runs] == ["finished"] * 3


def test_a_ticket_of_the_dead_keeps_nobody_waiting_and_is_not_listed(make_project, ftstudio):
    first = started(make_project("first", trainer=LONG))
    worker_of(first)
    dead, living = (started(make_project(name, trainer={"max_steps": 3})) for name in ("dead", "living"))
    kill(read_state(dead).pid)
    until(lambda: lock_holder(dead.lock) is None, "the end of the waiting supervisor")
    assert queue.ticket_of(dead) is not None
    assert [row["run"] for row in ftstudio("queue", "list", "--json").json] == ["living:0001"]
    refused = ftstudio("queue", "move", dead.path, "first")
    assert refused.code == 2
    assert "dead:0001 does not wait in the queue." in refused.err
    ask(first, "stop", 1)
    assert ended(living).state == "finished"
    assert (read_state(dead).state, read_state(dead).reason) == ("interrupted", "Its supervisor was killed.")
    resumed(dead)
    assert ended(dead).state == "finished"


def test_a_queued_run_says_whom_it_waits_for_and_leaves_at_sigterm(make_project, ftstudio):
    first = started(make_project("first", trainer=LONG))
    worker_of(first)
    run = started(make_project(trainer={"max_steps": 3}))
    assert "Waits for cpu, behind first:0001." in ftstudio("status", run.path).out
    assert "Waits for cpu, behind first:0001." in ftstudio("queue", "list").out
    kill(read_state(run).pid, 15)
    state = ended(run)
    assert (state.state, state.reason) == ("interrupted", "Ended by SIGTERM while it waited.")
    ask(first, "stop", 1)
    ended(first)


def test_an_attempt_that_ended_before_the_other_starter_came_is_not_run_again(make_project):
    run = started(make_project(trainer={"max_steps": 2}))
    assert ended(run).state == "finished"
    before = run.events.read_bytes()
    with pytest.raises(InputError, match=r"^Attempt 1 of lab:0001 was started by somebody else meanwhile\."):
        start(run)
    assert read_state(run).state == "finished"
    assert run.events.read_bytes() == before


def test_each_queues_one_run_a_value_and_none_when_one_is_wrong(make_project, ftstudio, settings_file):
    project = make_project(trainer={"max_steps": 3})
    refused = ftstudio("run", project, "--each", "trainer.max_steps=2,none")
    assert refused.code == 2
    assert list_runs(project) == []
    done = ftstudio("run", project, "--each", "trainer.max_steps=2,4,6", "--json")
    assert done.code == 0, done.err
    assert [row["state"] in LIVE | {"finished"} for row in done.json] == [True] * 3
    runs = list_runs(project)
    assert {ended(run).state for run in runs} == {"finished"}
    steps = sorted(int(list_checkpoints(run.checkpoints)[-1].name) for run in runs)
    assert steps == [2, 4, 6]


def test_a_wish_that_no_supervisor_takes_leaves_no_run(make_project, settings_file):
    project = make_project()
    wanted = Wanted(project=project)
    run = wanted.create(wanted.outlook(), ["test"])
    settings_file("slots = { cpu = 0 }")
    with pytest.raises(InputError, match="must be a whole number from 1"):
        wanted.start(run)
    assert list_runs(project) == []


def test_two_slots_of_one_gpu_are_both_used_and_not_a_third(waiting, monkeypatch):
    monkeypatch.setattr("ftstudio.process.waiting.tenants", dict)
    turns = [waiting(name, GPUS[:1]) for name in ("a", "b", "c")]
    for turn in turns:
        turn.slots = {"gpu0": 2}
    assert [turn.come() for turn in turns] == [True, True, False]
