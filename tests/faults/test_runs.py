"""A whole worker, torch-free: whatever call of it dies or fails, the next attempt ends with the undisturbed weights."""

import errno
import json

import pytest

from ftstudio.runs.checkpoints import list_checkpoints, newest
from ftstudio.runs.events import EventReader, Series, read_events
from ftstudio.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("fakes")


@pytest.fixture
def start(make_project, ftstudio):
    """Makes runs that have not begun, each in a project of its own."""
    from ftstudio.project import load
    from ftstudio.runs.record import create_run

    count = iter(range(10_000))

    def make(**trainer):
        folder = make_project(f"lab-{next(count)}", trainer={"max_steps": 5, "save_steps": 2, **trainer})
        return create_run(load(folder), ["ftstudio", "run"]).path

    return make


def ended(path):
    """What a finished run comes to: weights, the model in final/, losses by step."""
    run = RunFolder(path)
    (last,) = list_checkpoints(run.checkpoints)[-1:]
    series, reader = Series(), EventReader(run.events)
    while events := reader.read():
        series.add(events)
    assert reader.skipped <= 1
    sums = json.loads((last / "MANIFEST.json").read_text())["files"]["model.safetensors"]["sha256"]
    final = {p.name: p.read_bytes() for p in run.final.iterdir() if p.name != "README.md"}
    return last.name, sums, final, series.values("loss")


def last_word(path):
    return [e for e in read_events(path / "events.jsonl") if e.kind == "state"][-1].data


def assert_goes_on(shim, path, undisturbed, outcome):
    again = shim.operate("work", path, 2, prefix=path)
    assert again.value == 0, (outcome.calls[-1], last_word(path), (path / "console.log").read_text())
    assert ended(path) == undisturbed, outcome.calls[-1]
    assert not [
        p
        for p in [*path.iterdir(), *(path / "checkpoints").iterdir()]
        if p.name.endswith((".staging", ".replaced", ".deleted"))
    ]
    assert not (path / "quarantine").exists()


@pytest.fixture
def undisturbed(shim, start):
    path = start()
    outcome = shim.operate("work", path, 1, prefix=path)
    assert outcome.value == 0, (path / "console.log").read_text()
    return path, outcome.total, ended(path)


@pytest.mark.parametrize("mode", ["before", "after"])
def test_a_worker_killed_at_any_call_goes_on_to_the_undisturbed_weights(shim, start, points, undisturbed, mode):
    for at in points(undisturbed[1]):
        path = start()
        outcome = shim.operate("work", path, 1, prefix=path, at=at, mode=mode)
        assert outcome.killed or outcome.total < at, "progress is written by the clock: a quick run makes fewer calls"
        if outcome.killed:
            assert_goes_on(shim, path, undisturbed[2], outcome)


def test_a_notice_of_preemption_and_a_kill_inside_its_save_lose_no_commit(shim, start, points, undisturbed):
    path = start()
    whole = shim.operate("work_preempted", path, 1, prefix=path)
    assert whole.value == 3
    assert last_word(path) == {
        "state": "interrupted", "reason": "Stopped at step 3: preempted by SIGTERM.", "exit_code": 3
    }  # fmt: skip
    assert_goes_on(shim, path, undisturbed[2], whole)
    save = [i for i, call in enumerate(whole.calls, 1) if "/.000003." in call or call.endswith("/000003")]
    for place in points(len(save)):
        path = start()
        outcome = shim.operate("work_preempted", path, 1, prefix=path, at=save[place - 1], mode="before")
        assert outcome.killed
        assert newest(path / "checkpoints", path / "quarantine")[0].step in {2, 3}
        assert_goes_on(shim, path, undisturbed[2], outcome)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT], ids=errno.errorcode.get)
def test_when_any_call_of_a_worker_fails_the_attempt_ends_named_or_was_not_touched(
    shim, start, points, undisturbed, number
):
    word = "The disk reported an error" if number == errno.EIO else "The disk is full"
    for at in points(undisturbed[1]):
        path = start()
        outcome = shim.operate("work", path, 1, prefix=path, at=at, error=number)
        assert not outcome.killed
        if outcome.value == 0:
            assert ended(path) == undisturbed[2], outcome.calls[at - 1]
            continue
        said = outcome.said or last_word(path)["reason"]
        assert word in said, (said, outcome.calls[at - 1])
        if not outcome.said and number != errno.EIO:
            assert last_word(path)["state"] == "interrupted"
        assert_goes_on(shim, path, undisturbed[2], outcome)
