"""What runs hold, making room in them, removing them: nothing in use is touched, nothing good is lost."""

import json
import os
import shutil
import socket
import subprocess
import sys
from threading import Thread

import pytest

from ftstudio.errors import InputError, UnknownNameError
from ftstudio.files import toml_text
from ftstudio.locks import RecordLock
from ftstudio.project import load
from ftstudio.runs import checkpoints as commits
from ftstudio.runs import housekeeping, notes, trash
from ftstudio.runs.disk import freed_by, project_use, run_use
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.fork import find_parent
from ftstudio.runs.housekeeping import Keep, parse_keep, prune
from ftstudio.runs.models import model_of
from ftstudio.runs.record import create_run, list_runs
from ftstudio.runs.status import boot_id

WEIGHTS, MOMENTS = b"w" * 1000, b"m" * 2000


@pytest.fixture
def run(make_project):
    return make_run(make_project("lab"))


def make_run(project, name="0001", steps=(1, 2, 3, 4), best=2, state="finished", **more):
    """A finished run with a checkpoint a step, whose final/ shares the weights of the last."""
    run = RunFolder(project / "runs" / name)
    run.control.mkdir(parents=True)
    run.record.write_text(toml_text({"format": 1, "settings": {"trainer": {"use": "fake-walk"}}, "components": {}}))
    write_state(run, state, **more)
    run.events.write_text('{"t":1,"attempt":1,"kind":"message","step":null,"text":"x"}\n')
    for step in steps:
        commit(run, step, best=step == best)
    if steps:
        run.final.mkdir()
        os.link(run.checkpoints / f"{steps[-1]:06d}" / "model.safetensors", run.final / "model.safetensors")
    return run


def write_state(run, state, **more):
    values = {"state": state, "attempt": 1, "host": socket.gethostname(), "boot_id": boot_id(), **more}
    run.state.write_text(toml_text(values))


def commit(run, step, *, best=False):
    draft = commits.stage(run.checkpoints, step)
    (draft.path / "config.json").write_text("{}")
    (draft.path / "model.safetensors").write_bytes(WEIGHTS + bytes([step]))
    (draft.path / "optimizer.safetensors").write_bytes(MOMENTS)
    return commits.commit(draft, step, metrics={"loss": 1.0}, best=best, shape="text", base=None)


def steps_of(run):
    return [int(p.name) for p in commits.list_checkpoints(run.checkpoints)]


def all_verify(run):
    for folder in commits.list_checkpoints(run.checkpoints):
        commits.verify(folder)
    return True


def held_by_another_process(path):
    """A process that holds a record lock until its stdin closes."""
    code = (
        "import sys; from pathlib import Path; from ftstudio.locks import RecordLock;"
        "lock = RecordLock(Path(sys.argv[1])); print(lock.acquire(), flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"True\n"
    return child


# --------------------------------------------------------------------------------------------------- disk


def test_sizes_count_a_hard_link_once_and_add_up(run):
    use = run_use(run)
    inodes = {(i.st_dev, i.st_ino): i.st_size for i in map(os.lstat, (p for p in run.path.rglob("*") if p.is_file()))}
    assert use.bytes == sum(inodes.values())
    assert use.of("final") == 1001
    checkpoints = [h for h in use.held if h.what == "checkpoint"]
    assert [(h.step, h.best, h.last) for h in checkpoints] == [
        (1, False, False), (2, True, False), (3, False, False), (4, False, True),
    ]  # fmt: skip
    assert [h.optimizer_bytes for h in checkpoints] == [2000] * 4
    manifests = [(h.path / "MANIFEST.json").stat().st_size for h in checkpoints]
    own = [h.bytes - size for h, size in zip(checkpoints, manifests, strict=True)]
    assert own == [3003, 3003, 3003, 2002]  # the weights of the last are counted in final/


def test_a_project_is_the_sum_of_its_runs_its_trash_and_its_own_files(run):
    other = make_run(run.project, "0002", steps=(1,))
    (run.project / "data.txt").write_text("x" * 50)
    trash.remove(other)
    (run.path / "quarantine").mkdir()
    (run.checkpoints / "000001").rename(run.path / "quarantine" / "000001-abc")
    use = project_use(run.project)
    assert [name for name, _ in use.trash] == ["0002"]
    assert use.files_bytes == 50 + (run.project / "project.toml").stat().st_size
    assert use.runs[0].of("quarantine") > 3000
    assert use.bytes == sum(p.lstat().st_size for p in run.project.rglob("*") if p.is_file()) - 2 * 1001


def test_a_fork_counts_what_it_shares_with_its_parent_once(run):
    fork = make_run(run.project, "0002", steps=())
    shutil.copytree(run.checkpoints / "000004", fork.origin, copy_function=os.link)
    assert run_use(fork).of("origin") > 3000
    uses = {u.run.name: u for u in project_use(run.project).runs}
    assert uses["0002"].of("origin") == 0
    assert trash.remove(fork).bytes > 3000
    assert trash.purge(run.project) < 1000


def test_nothing_is_counted_through_a_symbolic_link(run, tmp_path):
    (tmp_path / "huge").write_bytes(b"x" * 10_000)
    before = run_use(run).bytes
    (run.path / "link").symlink_to(tmp_path / "huge")
    (run.path / "loop").symlink_to(run.path)
    assert run_use(run).bytes < before + 1000


def test_what_is_linked_elsewhere_is_not_freed(run):
    last = commits.list_checkpoints(run.checkpoints)[-1]
    manifest = (last / "MANIFEST.json").stat().st_size
    assert freed_by([last]) == 2000 + 2 + manifest
    assert freed_by([last, run.final]) == 2000 + 2 + manifest + 1001


# -------------------------------------------------------------------------------------------------- prune


def test_a_prune_keeps_the_best_and_the_last_and_says_what_it_freed(run):
    told = prune(run, Keep(), dry_run=True)
    assert steps_of(run) == [1, 2, 3, 4]
    done = prune(run, Keep())
    assert steps_of(run) == [2, 4]
    assert (done.kept, done.changed, done.said) == ((2, 4), (1, 3), ())
    assert (told.before, told.after, told.freed) == (done.before, done.after, done.freed)
    assert done.before - done.after == done.freed > 2 * 3000
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["000002", "000004"]
    assert prune(run, Keep()).changed == ()


@pytest.mark.parametrize(
    ("keep", "left"),
    [("best", [2]), ("last", [4]), ("best,last", [2, 4]), ("1, 3", [1, 3]), ("last,1", [1, 4]), ("none", [4])],
)
def test_what_is_kept_is_what_was_named_and_never_nothing(run, keep, left):
    prune(run, parse_keep(keep))
    assert steps_of(run) == left


@pytest.mark.parametrize("text", ["", "bst", "best;last", "-1", "1.5", "none,best", "²", "9" * 30, "a\x1b[31m"])
def test_what_cannot_be_kept_is_refused(text):
    with pytest.raises(InputError, match="nothing that --keep knows") as refused:
        parse_keep(text)
    assert "\x1b" not in str(refused.value)


def test_a_step_that_is_not_there_is_refused_and_nothing_is_deleted(run):
    with pytest.raises(InputError, match=r"lab:0001 has no checkpoint 7. It has: 1, 2, 3, 4."):
        prune(run, parse_keep("7"))
    assert steps_of(run) == [1, 2, 3, 4]


def test_damaged_checkpoints_are_left_alone_and_the_newest_good_one_takes_the_place_of_the_last(run):
    (run.checkpoints / "000004" / "model.safetensors").write_bytes(b"x")
    done = prune(run, parse_keep("last"))
    assert done.kept == (3,)
    assert steps_of(run) == [3, 4]
    assert done.said == ("Checkpoint 4 was left where it is: model.safetensors has 1 bytes instead of 1,001.",)


def test_the_last_one_that_verifies_is_never_deleted(run):
    (run.checkpoints / "000002" / "model.safetensors").write_bytes(b"x")  # the best
    done = prune(run, parse_keep("best"))
    assert done.kept == (4,)
    assert steps_of(run) == [2, 4]


def test_where_nothing_verifies_nothing_is_deleted(run):
    for folder in commits.list_checkpoints(run.checkpoints):
        (folder / "model.safetensors").unlink()
    assert prune(run, Keep()).changed == ()
    assert steps_of(run) == [1, 2, 3, 4]


def test_a_checkpoint_without_its_optimizer_state_still_verifies_and_says_so(run):
    done = prune(run, Keep(), drop_optimizer=True)
    assert done.changed == (1, 3)
    assert steps_of(run) == [1, 2, 3, 4]
    assert all_verify(run)
    assert done.freed >= 4000
    assert abs((done.before - done.after) - 4000) < 500  # the manifests differ by a few lines
    manifest = json.loads((run.checkpoints / "000001" / "MANIFEST.json").read_text())
    assert manifest["dropped"] == ["optimizer.safetensors"]
    assert "optimizer.safetensors" not in manifest["files"]
    assert (run.checkpoints / "000004" / "optimizer.safetensors").exists()


@pytest.mark.usefixtures("fakes")
def test_a_fork_of_a_checkpoint_without_optimizer_state_makes_no_run(run, ftstudio):
    prune(run, parse_keep("4"), drop_optimizer=True)
    refused = ftstudio("run", run.project, "--from", f"{run.path}:2")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        "✗ Checkpoint 2 of lab:0001 has no optimizer state any more: nothing can go on from it. "
        "Take only its weights (--weights-only, in the studio ctrl+w), or name another one.\n"
    )
    assert [entry.name for entry in (run.project / "runs").iterdir()] == ["0001"]
    assert find_parent(f"{run.path}:2", run.project.parent, weights_only=True).manifest.step == 2
    assert find_parent(f"{run.path}:4", run.project.parent).manifest.step == 4


@pytest.mark.parametrize(
    ("text", "name", "step"),
    [("0001", "0001", 4), ("1:2", "0001", 2), ("0001:best", "0001", 2), ("0002:last", "0002", 7), ("2:7", "0002", 7)],
)
def test_a_number_alone_is_a_run_of_the_project_that_is_named(run, tmp_path, text, name, step):
    make_run(run.project, "0002", steps=(5, 7), best=0)
    parent = find_parent(text, tmp_path / "elsewhere", run.project)
    assert (parent.run.path.name, parent.run.project, parent.manifest.step) == (name, run.project, step)


def test_a_number_that_is_no_run_of_the_project_says_which_there_are(run, tmp_path, monkeypatch):
    for text in ("60", "0060", "60:2"):
        with pytest.raises(UnknownNameError, match=r"'lab' has no run '(00)?60'\. It has: 0001\."):
            find_parent(text, tmp_path, run.project)
    with pytest.raises(InputError, match="lab:0001 has no checkpoint '60'. It has: 1, 2, 3, 4; or say best or last"):
        find_parent("0001:60", tmp_path, run.project)
    other = make_run(tmp_path / "other", steps=(9,))
    monkeypatch.chdir(other.path.parent)  # an existing path wins
    assert find_parent("0001", tmp_path, run.project).run == other


def test_a_model_is_named_by_step_best_or_last(run):
    assert model_of(run).step is None
    assert [model_of(run, which).step for which in ("1", "000003", "best", "last")] == [1, 3, 2, 4]
    with pytest.raises(InputError, match="has no checkpoint '9'. It has: 1, 2, 3, 4; or say best or last"):
        model_of(run, "9")
    prune(run, parse_keep("last"))
    with pytest.raises(InputError, match="has no checkpoint 'best'. It has: 4; or say last"):
        model_of(run, "best")


def test_optimizer_state_can_be_dropped_everywhere_and_twice(run):
    assert prune(run, parse_keep("none"), drop_optimizer=True).changed == (1, 2, 3, 4)
    assert prune(run, parse_keep("none"), drop_optimizer=True).changed == ()
    assert not list(run.path.rglob("optimizer*"))
    assert all_verify(run)
    assert commits.best_of(run.checkpoints).name == "000002"


class StopHereError(Exception):
    pass


@pytest.mark.parametrize("drop", [True, False])
def test_a_prune_that_is_interrupted_anywhere_leaves_a_valid_run(make_project, monkeypatch, drop):
    """The Nth call that changes the file system never returns, for every N; then the next one finishes."""
    for stop_at in range(1, 200):
        run = make_run(make_project(f"lab{stop_at}"))
        with monkeypatch.context() as patch:
            calls = count_calls(patch, stop_at)
            try:
                prune(run, Keep(), drop_optimizer=drop)
                finished = True
            except StopHereError:
                finished = False
        assert all_verify(run)
        assert {2, 4} <= set(steps_of(run))
        assert commits.best_of(run.checkpoints).name == "000002"
        prune(run, Keep(), drop_optimizer=drop)
        assert all_verify(run)
        if drop:
            assert {p.parent.name for p in run.path.rglob("optimizer*")} == {"000002", "000004"}
        else:
            assert sorted(p.name for p in run.checkpoints.iterdir()) == ["000002", "000004"]
        if finished:
            assert calls[0] >= 6
            return
    pytest.fail("it never finished")


def count_calls(patch, stop_at):
    calls = [0]

    def wrap(original):
        def stopping(*args, **kwargs):
            calls[0] += 1
            if calls[0] == stop_at:
                raise StopHereError
            return original(*args, **kwargs)

        return stopping

    for name in ("rename", "replace", "unlink", "rmdir", "fsync"):
        patch.setattr(os, name, wrap(getattr(os, name)))
    return calls


@pytest.mark.parametrize("kind", ["staging", "deleted"])
def test_left_overs_of_a_crash_go_with_the_next_prune(run, kind):
    staging = run.checkpoints / f".000005.1-abc.{kind}"
    staging.mkdir()
    (staging / "model.safetensors").write_bytes(b"x" * 500)
    assert prune(run, parse_keep("1,2,3,4"), dry_run=True).freed == 500
    assert staging.exists()
    assert prune(run, parse_keep("1,2,3,4")).freed == 500
    assert not staging.exists()


# ------------------------------------------------------------------------------------------------ at rest


def actions(run):
    return [lambda: prune(run, Keep()), lambda: trash.remove(run)]


@pytest.mark.parametrize("action", [0, 1])
@pytest.mark.parametrize("lock", ["lock", "worker.lock"])
def test_a_run_whose_lock_is_held_is_left_alone(run, action, lock):
    child = held_by_another_process(run.path / lock)
    try:
        with pytest.raises(InputError, match=rf"lab:0001 is in use by process {child.pid}"):
            actions(run)[action]()
    finally:
        child.communicate()
    assert steps_of(run) == [1, 2, 3, 4]
    actions(run)[action]()
    assert not run.path.exists() or steps_of(run) == [2, 4]


@pytest.mark.parametrize("action", [0, 1])
def test_a_live_run_is_left_alone(run, action):
    write_state(run, "running")
    child = held_by_another_process(run.lock)
    try:
        with pytest.raises(InputError, match="lab:0001 is running."):
            actions(run)[action]()
    finally:
        child.communicate()
    assert steps_of(run) == [1, 2, 3, 4]


@pytest.mark.parametrize("action", [0, 1])
def test_a_run_that_another_host_may_still_run_is_left_alone(run, action):
    write_state(run, "running", host="gpu03\x1b[31m")
    with pytest.raises(InputError, match=r"running on 'gpu03\\x1b\[31m', as far as can be seen from here"):
        actions(run)[action]()
    assert steps_of(run) == [1, 2, 3, 4]


def test_nothing_can_start_a_run_while_it_is_pruned(run):
    with housekeeping.at_rest(run):
        code = "import sys; from pathlib import Path; from ftstudio.locks import RecordLock; print(RecordLock(Path(sys.argv[1])).acquire())"
        said = subprocess.run([sys.executable, "-c", code, str(run.lock)], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
    assert RecordLock(run.lock).acquire()


@pytest.mark.parametrize("action", [0, 1])
@pytest.mark.parametrize("part", ["runs", "runs/0001"])
def test_nothing_is_changed_through_a_symbolic_link(run, tmp_path, action, part):
    elsewhere = tmp_path / "elsewhere"
    (run.project / part).rename(elsewhere)
    (run.project / part).symlink_to(elsewhere)
    with pytest.raises(InputError, match="is a symbolic link"):
        actions(run)[action]()
    assert steps_of(run) == [1, 2, 3, 4]


def test_a_linked_checkpoint_is_not_deleted(run, tmp_path):
    folder = run.checkpoints / "000001"
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is a symbolic link"):
        prune(run, Keep())
    assert (tmp_path / "elsewhere" / "model.safetensors").exists()
    assert steps_of(run) == [1, 2, 3, 4]


# -------------------------------------------------------------------------------------------------- trash


def files_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "lock"}


def test_of_several_runs_none_is_removed_when_one_cannot_be(run, tmp_path):
    live = make_run(run.project, "0002", state="running", host="gpu03")
    homeless = make_run(tmp_path / "folder", "0003")
    for bad, sentence in ((live, "lab:0002 is running on 'gpu03'"), (homeless, "is in no project")):
        with pytest.raises(InputError, match=sentence):
            trash.remove_all([run, bad])
        assert run.record.exists()
    other = make_run(run.project, "0003")
    assert [removed.path.name for removed in trash.remove_all([run, other])] == ["0001", "0003"]


def test_a_removed_run_comes_back_as_it_was(run):
    before, size = files_of(run.path), run_use(run).bytes
    removed = trash.remove(run)
    assert removed == trash.Removed(run.project / ".trash" / "0001", size)
    assert not run.path.exists()
    assert trash.restore(removed.path) == run
    assert files_of(run.path) == before
    assert trash.removed_runs(run.project) == []


def test_names_in_the_trash_never_clash_and_a_restore_overwrites_nothing(run):
    project = run.project
    trash.remove(run)
    trash.remove(make_run(project, "0001", steps=(1,)))
    trash.remove(make_run(project, "0001", steps=()))
    assert [p.name for p in trash.removed_runs(project)] == ["0001", "0001.2", "0001.3"]
    assert trash.restore(trash.find_removed(project, "1.2")).name == "0001"
    before = files_of(run.path)
    with pytest.raises(InputError, match=rf"lab:0001 exists; nothing was overwritten. .*ftstudio rm {run.path}"):
        trash.restore(trash.find_removed(project, "0001"))
    assert files_of(run.path) == before
    assert [p.name for p in trash.removed_runs(project)] == ["0001", "0001.3"]


@pytest.mark.parametrize("name", ["../runs/0001", "0001/../0001", "x", "0001.", ".x.purged", "a\x1b[31m"])
def test_a_name_that_is_not_in_the_trash_is_said(run, name):
    trash.remove(run)
    with pytest.raises(InputError, match="The trash of 'lab' has no run .* It has: 0001") as refused:
        trash.find_removed(run.project, name)
    assert "\x1b" not in str(refused.value)


def test_a_purge_deletes_what_is_in_the_trash_with_its_notes_and_nothing_else(run):
    other = make_run(run.project, "0002", steps=(1,))
    notes.write_note(run, "gone soon")
    notes.write_note(other, "stays")
    trash.remove(run)
    (run.project / ".trash" / "stray").write_text("x" * 10)
    assert notes.note_of(run).text == "gone soon"
    assert trash.purge(run.project) > 4 * 3000 + 10
    assert list((run.project / ".trash").iterdir()) == []
    assert list(notes.read_notes(run.project)) == ["0002"]
    assert steps_of(other) == [1]


@pytest.mark.usefixtures("fakes")
def test_a_number_is_given_out_once_whatever_is_purged_meanwhile(make_project):
    project, given = load(make_project("lab")), []

    def make():
        given.append([create_run(project, ["test"]).name for _ in range(8)])

    def clear():
        trash.remove_all(run for run in list_runs(project.folder) if run.control.exists())
        trash.purge(project.folder)

    makers = [Thread(target=make) for _ in range(2)]
    for thread in makers:
        thread.start()
    while len(given) < 2 and any(thread.is_alive() for thread in makers):
        clear()
    for thread in makers:
        thread.join()
    clear()
    assert list_runs(project.folder) == []
    given.append([create_run(project, ["test"]).name])
    assert sorted(name for names in given for name in names) == [f"{number:04d}" for number in range(1, 18)]


def test_a_purge_that_was_interrupted_leaves_nothing_to_restore_and_the_next_one_finishes(run, monkeypatch):
    trash.remove(run)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda path: (_ for _ in ()).throw(StopHereError()))
        with pytest.raises(StopHereError):
            trash.purge(run.project)
    assert trash.removed_runs(run.project) == []
    assert len(list((run.project / ".trash").iterdir())) == 1
    trash.purge(run.project)
    assert list((run.project / ".trash").iterdir()) == []


def test_a_purge_deletes_through_no_link_and_nothing_in_use(run, tmp_path):
    trash.remove(run)
    (tmp_path / "precious").mkdir()
    (run.project / ".trash" / "0009").symlink_to(tmp_path / "precious")
    with pytest.raises(InputError, match="is a symbolic link"):
        trash.purge(run.project)
    (run.project / ".trash" / "0009").unlink()
    child = held_by_another_process(run.project / ".trash" / "0001" / "lock")
    try:
        with pytest.raises(InputError, match="in use by process"):
            trash.purge(run.project)
    finally:
        child.communicate()
    assert len(trash.removed_runs(run.project)) == 1
    assert (tmp_path / "precious").exists()


def test_a_copied_run_outside_any_project_is_measured_and_pruned_but_not_removed(run, tmp_path):
    copy = RunFolder(shutil.copytree(run.path, tmp_path / "backup" / "old" / "0001"))
    assert run_use(copy).of("checkpoint") > 0
    assert prune(copy, Keep()).changed == (1, 3)
    with pytest.raises(InputError, match="is in no project, so it has no .trash. Nothing was moved"):
        trash.remove(copy)
    with pytest.raises(InputError, match="is in no project"):
        notes.write_note(copy, "x")
    assert steps_of(run) == [1, 2, 3, 4]
    assert not (tmp_path / "backup" / ".trash").exists()


def test_a_copy_inside_another_project_is_that_projects_run(run, make_project):
    other = make_project("other")
    copy = RunFolder(shutil.copytree(run.path, other / "runs" / "0001"))
    assert trash.remove(copy).path == other / ".trash" / "0001"
    assert run.path.exists()


def test_a_run_in_the_trash_is_not_removed_again(run):
    place = trash.remove(run).path
    with pytest.raises(InputError, match=r"lies in .trash already"):
        trash.remove(RunFolder(place))
