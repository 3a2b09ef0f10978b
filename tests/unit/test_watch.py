"""The one thread that reads run folders: what it finds, what it says changed, and how soon."""

import os
import shutil

from ftstudio.files import write_toml
from ftstudio.project import load
from ftstudio.runs.record import create_run
from ftstudio.tui.watch import TURNS, Watcher


def made(folder, state="finished"):
    run = create_run(load(folder), ["test"])
    written(run, state)
    run.events.write_text('{"t":1.0,"attempt":1,"kind":"metrics","step":7,"metrics":{"loss":2.5}}\n')
    return run


def written(run, state):
    write_toml(run.state, {"state": state, "attempt": 1, "host": "gpu03", "boot_id": "b"})


def whole(watcher):
    while not (seen := watcher.look()).found.whole:
        pass
    return seen.found


def test_the_first_look_reads_no_events_and_the_next_tells_what_it_changed(fakes, make_project, tmp_path):
    run = made(make_project())
    watcher = Watcher(tmp_path)
    first = watcher.look(quickly=True).found
    assert (first.statuses[run.path].state, first.statuses[run.path].metrics, first.whole) == ("finished", {}, False)
    seen = watcher.look()
    assert seen.found.statuses[run.path].metrics == {"loss": 2.5}
    assert (seen.changed, seen.found.whole) == ({run.path}, True)
    assert not watcher.look().changed


def test_a_run_that_goes_on_is_seen_in_its_turn_and_at_once_when_it_was_resumed_here(fakes, make_project, tmp_path):
    folder = make_project()
    runs = [made(folder) for _ in range(2 * TURNS)]
    watcher = Watcher(tmp_path)
    whole(watcher)
    for run in runs:
        written(run, "running")
    asked = [watcher.look().changed for _ in range(TURNS)]
    assert [len(changed) for changed in asked] == [2] * TURNS
    assert frozenset().union(*asked) == {run.path for run in runs}

    for run in runs:
        written(run, "stopped")
    whole(watcher)
    written(runs[3], "running")
    watcher.again(runs[3].path)
    assert watcher.look().changed == {runs[3].path}


def test_what_is_gone_changed_too(fakes, make_project, tmp_path):
    folder = make_project()
    run, other = made(folder), made(folder)
    watcher = Watcher(tmp_path)
    assert set(whole(watcher).statuses) == {run.path, other.path}
    run.path.rename(tmp_path / "elsewhere")
    seen = watcher.look()
    assert (set(seen.found.statuses), seen.changed) == ({other.path}, {run.path})


def test_a_project_that_is_a_link_is_known_by_its_real_path(fakes, make_project, tmp_path):
    folder, root = make_project(), tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(folder)
    (tmp_path / "way").symlink_to(root)
    assert Watcher(tmp_path / "way").look().found.projects == (folder.resolve(),)
    assert Watcher(folder).look().found.projects == (folder.resolve(),)


def test_of_a_run_that_got_a_deleted_ones_number_nothing_of_the_deleted_one_is_said(fakes, make_project, tmp_path):
    folder = make_project()
    run, watcher = made(folder, "running"), Watcher(tmp_path)
    assert whole(watcher).statuses[run.path].metrics == {"loss": 2.5}
    shutil.rmtree(run.path)
    again = create_run(load(folder), ["test"])
    assert again.path == run.path
    written(again, "running")
    again.events.write_text(
        '{"t":2.0,"attempt":1,"kind":"metrics","step":1,"metrics":{"accuracy":0.5}}\n'
        '{"t":3.0,"attempt":1,"kind":"metrics","step":2,"metrics":{"accuracy":0.6}}\n'
    )
    seen = watcher.look()
    assert seen.changed == {run.path}
    assert seen.found.statuses[run.path].metrics == {"accuracy": 0.6}


def test_a_run_that_got_a_deleted_ones_number_is_another_also_where_it_says_the_same(fakes, make_project, tmp_path):
    folder = make_project()
    run, watcher = made(folder, "running"), Watcher(tmp_path)
    whole(watcher)
    assert not watcher.look().changed
    shutil.rmtree(run.path)
    assert made(folder, "running").path == run.path
    assert watcher.look().changed == {run.path}


def test_a_run_that_was_just_made_is_starting_until_its_supervisor_speaks(fakes, make_project, tmp_path):
    run = create_run(load(make_project()), ["test"])
    watcher = Watcher(tmp_path)
    for quickly in (True, False, False):
        status = watcher.look(quickly=quickly).found.statuses[run.path]
        assert (status.state, status.reason) == ("starting", "")
    written(run, "running")
    assert watcher.look().found.statuses[run.path].state == "running"
    run.state.unlink()
    os.utime(run.record, (1.0, 1.0))
    assert watcher.look().found.statuses[run.path].reason == "It never started."


def test_a_run_that_never_started_says_so_and_is_asked_at_each_look_whether_it_does(fakes, make_project, tmp_path):
    folder = make_project()
    runs = [create_run(load(folder), ["test"]) for _ in range(TURNS)]
    for run in runs:
        os.utime(run.record, (1.0, 1.0))
    watcher = Watcher(tmp_path)
    found = whole(watcher)
    assert {found.statuses[run.path].reason for run in runs} == {"It never started."}
    for run in runs:
        written(run, "running")
    assert {s.state for s in watcher.look().found.statuses.values()} == {"running"}
