"""A checkpoint's commit: whatever fails or dies in it, the newest one that verifies is used and nothing is mended by hand."""

import errno
import os
import time
from pathlib import Path

import pytest
from operations import commit_one, worker_run

from ftstudio.errors import InterruptedRunError
from ftstudio.runs import checkpoints as commits
from ftstudio.runs import manifest
from ftstudio.runs.events import EventReader
from ftstudio.runs.folder import RunFolder

WORDS = {
    errno.ENOSPC: "disk is full",
    errno.EDQUOT: "disk is full",
    errno.EIO: "disk reported an error",
    errno.EROFS: "read-only",
    errno.EACCES: "No permission",
    errno.EMFILE: "No more files may be open",
}


def recovered(path):
    """What the next attempt would go on from; asserts that it needed no help."""
    run = RunFolder(path)
    commits.clean(run.checkpoints)
    found, said = commits.newest(run.checkpoints, path / "quarantine")
    assert said == []
    assert not [p for p in [*run.checkpoints.iterdir(), *path.iterdir()] if p.name.startswith(".")]
    reader = EventReader(run.events)
    reader.read()
    assert reader.skipped <= 1
    return found


def weights(checkpoint):
    return (checkpoint.path / "model.safetensors").read_text()[:20].strip()


@pytest.mark.parametrize("mode", ["before", "after"])
def test_a_process_killed_at_any_call_of_a_commit_leaves_the_old_or_the_new_one(shim, run, fresh, points, mode):
    total = shim.operate("commit", copy := fresh(run), 3, prefix=copy).total
    seen = set()
    for at in points(total):
        path = fresh(run)
        outcome = shim.operate("commit", path, 3, prefix=path, at=at, mode=mode)
        assert outcome.killed, outcome
        found = recovered(path)
        assert found.step in {2, 3}, outcome.calls[-1]
        seen.add(found.step)
        assert shim.operate("commit", path, 4, prefix=path).error == ""
        assert recovered(path).step == 4
    assert seen == {2, 3}


@pytest.mark.parametrize("mode", ["before", "after"])
def test_a_process_killed_while_a_step_is_committed_again_leaves_one_of_the_two(shim, run, fresh, points, mode):
    total = shim.operate("commit_again", copy := fresh(run), 2, "anew", prefix=copy).total
    seen = set()
    for at in points(total):
        path = fresh(run)
        assert shim.operate("commit_again", path, 2, "anew", prefix=path, at=at, mode=mode).killed
        found = recovered(path)
        assert found.step == 2
        assert [p.name for p in commits.list_checkpoints(path / "checkpoints")] == ["000001", "000002"]
        seen.add("anew" in (found.path / "model.safetensors").read_text())
    assert seen == {False, True}


@pytest.mark.parametrize("number", WORDS, ids=errno.errorcode.get)
def test_when_any_call_fails_it_is_said_and_the_state_is_the_old_or_the_new_one(shim, run, fresh, points, number):
    total = shim.operate("commit", copy := fresh(run), 3, prefix=copy).total
    failures = 0
    for at in points(total):
        path = fresh(run)
        outcome = shim.operate("commit", path, 3, prefix=path, at=at, error=number)
        assert not outcome.killed
        left = [p.name for p in (path / "checkpoints").iterdir() if p.name.endswith(".staging")]
        assert left == [], (left, outcome.calls[at - 1])
        if outcome.error:
            failures += 1
            assert WORDS[number] in outcome.said, (outcome.said, outcome.calls[at - 1])
            assert str(path) in outcome.said or "runs/0001" in outcome.said, outcome.said
        found = recovered(path)
        assert found.step == 3 or (outcome.error and found.step == 2), outcome
    assert failures


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
def test_when_every_call_fails_from_one_point_on_the_old_or_the_new_one_is_left(shim, run, fresh, points, number):
    total = shim.operate("commit", copy := fresh(run), 3, prefix=copy).total
    for at in points(total - 1):
        path = fresh(run)
        outcome = shim.operate("commit", path, 3, prefix=path, at=at, mode="last", error=number)
        found = recovered(path)
        assert found.step == 3 or (WORDS[number] in outcome.said and found.step == 2), outcome


def test_all_that_is_written_is_durable_before_the_rename_and_the_rename_before_the_next_step(shim, run):
    outcome = shim.operate("commit", run, 3, prefix=run)
    calls = [call for call in outcome.calls if "/checkpoints" in call]
    renamed = calls.index(f"rename {run}/checkpoints/000003")
    assert f"fsync {run}/checkpoints" in calls[renamed:]
    written = {call.split()[1]: i for i, call in enumerate(calls) if call.startswith("write")}
    assert len(written) == 4
    for path, place in written.items():
        assert f"fsync {path}" in calls[place:renamed], path
    folders = {call.split()[1] for call in calls if call.startswith("mkdir")}
    assert len(folders) == 2
    assert all(f"fsync {folder}" in calls[:renamed] for folder in folders)


def test_short_writes_are_gone_on_with(shim, run, fresh, points):
    total = shim.operate("commit", copy := fresh(run), 3, prefix=copy, calls="write").total
    for at in points(total):
        path = fresh(run)
        assert shim.operate("commit", path, 3, prefix=path, at=at, mode="short", calls="write").error == ""
        assert recovered(path).step == 3


def test_a_trainer_that_tries_again_after_an_error_of_fsync_does_not_seem_to_succeed(shim, run, fresh, points):
    total = shim.operate("commit", copy := fresh(run), 3, prefix=copy, calls="fsync").total
    for at in points(total):
        path = fresh(run)
        outcome = shim.operate("commit_stubbornly", path, 3, prefix=path, at=at, calls="fsync")
        assert "The disk reported an error at" in outcome.said
        assert sum(call.startswith("fsync") for call in outcome.calls) == at, "it asked the disk again"
        assert recovered(path).step in {2, 3}


def test_space_is_asked_for_before_the_first_byte(run, monkeypatch):
    real = os.statvfs

    class Full:
        def __init__(self, info):
            self.f_blocks, self.f_bavail, self.f_frsize, self.f_files, self.f_favail = info.f_blocks, 1, 512, 0, 0

    monkeypatch.setattr(os, "statvfs", lambda path: Full(real(path)))
    with pytest.raises(OSError, match=r"a checkpoint takes 962 B, and 512 B are free") as caught:
        commits.stage(run / "checkpoints", 3)
    assert caught.value.errno == errno.ENOSPC
    (run / "fork").mkdir()
    with pytest.raises(OSError, match="a checkpoint takes 962 B"):
        commits.stage(run / "fork" / "checkpoints", 3, like=run / "checkpoints" / "000002")
    with pytest.raises(OSError, match="a checkpoint takes 700 B, and 512 B are free"):
        commits.stage(run / "fork" / "checkpoints", 3, planned=700)
    at_work = worker_run(run.parent / run.name / "fork")
    at_work.checkpoint_bytes = 800
    with pytest.raises(OSError, match="a checkpoint takes 800 B"):
        commit_one(at_work, 3)
    at_work.close()
    assert not list((run / "fork" / "checkpoints").iterdir())
    with pytest.raises(OSError, match="a checkpoint takes 962 B"):
        commits.stage(run / "checkpoints", 3, planned=100)
    assert commits.stage(run / "fork" / "checkpoints", 3).path.is_dir()
    assert [p.name for p in commits.list_checkpoints(run / "checkpoints")] == ["000001", "000002"]
    assert len(list((run / "checkpoints").iterdir())) == 2


def test_a_run_folder_that_was_deleted_is_not_made_again(run):
    at_work = worker_run(run)
    moved = run.rename(run.with_name("moved"))
    with pytest.raises(InterruptedRunError, match="it was deleted or moved while the run went on"):
        commit_one(at_work, 3)
    at_work.close()
    assert not run.exists()
    assert [p.name for p in commits.list_checkpoints(moved / "checkpoints")] == ["000001", "000002"]


def test_rotation_hashes_nothing_that_this_process_committed(run, monkeypatch):
    hashed = []

    def hash_it(file, *more):
        hashed.append(Path(f"/proc/self/fd/{file.fileno()}").readlink().relative_to(run / "checkpoints").parts[0])
        return real(file, *more)

    real = manifest._sha256
    monkeypatch.setattr(manifest, "_sha256", hash_it)
    manifest._hashed.clear()  # as in a process that begins
    at_work = worker_run(run)
    for step in (3, 4, 5, 6):
        commit_one(at_work, step)
    at_work.close()
    assert [name for name in hashed if not name.startswith(".")] == ["000002"] * 3
    assert [p.name for p in commits.list_checkpoints(run / "checkpoints")] == ["000005", "000006"]


def test_rotation_sets_a_damaged_one_aside_and_keeps_two_that_verify_and_the_best(run):
    at_work = worker_run(run)
    commit_one(at_work, 3, best=True)
    at_work.keep = 1
    (run / "checkpoints" / "000003" / "config.json").write_text("{} ")
    commit_one(at_work, 4)
    assert [p.name for p in commits.list_checkpoints(run / "checkpoints")] == ["000002", "000004"]
    (reason,) = (run / "quarantine").glob("000003-*.reason.txt")
    assert reason.read_text() == "config.json has 3 bytes instead of 2\n"
    assert "Checkpoint 3 is damaged: config.json has 3 bytes" in (run / "events.jsonl").read_text()
    commit_one(at_work, 5, best=True)
    for step in (6, 7, 8):
        commit_one(at_work, step)
    at_work.close()
    assert [p.name for p in commits.list_checkpoints(run / "checkpoints")] == ["000005", "000007", "000008"]


@pytest.mark.parametrize("seconds", [-3600, 365 * 86400])
def test_a_clock_that_jumps_changes_neither_order_nor_rotation(run, monkeypatch, seconds):
    real = time.time
    at_work = worker_run(run)
    commit_one(at_work, 3)
    monkeypatch.setattr(time, "time", lambda: real() + seconds)
    for folder in commits.list_checkpoints(run / "checkpoints"):
        os.utime(folder, (real() - seconds, real() - seconds))
    for step in (4, 5):
        commit_one(at_work, step)
    at_work.close()
    assert [p.name for p in commits.list_checkpoints(run / "checkpoints")] == ["000004", "000005"]
    assert recovered(run).step == 5


def test_a_full_disk_that_a_library_wraps_into_its_own_error_is_said_as_one_and_names_the_checkpoint(run):
    at_work = worker_run(run)
    for _ in range(2):
        with (
            pytest.raises(OSError, match=f"No space left on device: '{run}/checkpoints/000003'"),
            at_work.checkpoint(3),
        ):
            raise RuntimeError("I/O error: No space left on device (os error 28)")
    at_work.close()
    assert recovered(run).step == 2
