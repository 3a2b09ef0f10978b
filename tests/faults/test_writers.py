"""Every other writer: events, state, project.toml, requests, new runs. What is left is the old state or the new one."""

import errno
import os
import subprocess
import sys
import tomllib

import pytest

from ftstudio.runs.events import EventReader, read_events
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.record import list_runs, read_record

NUMBERS = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS]
WORDS = {
    errno.ENOSPC: "The disk is full",
    errno.EDQUOT: "The disk is full for you (quota)",
    errno.EIO: "The disk reported an error",
    errno.EROFS: "a file system that is read-only",
}


def tree(folder):
    """What a folder holds, without the temporary file that a killed process could not remove."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.suffix != ".tmp"
    }


def each_point(shim, points, make, operation, *arguments, **fault):
    """Run an operation in a folder of its own for each point: (folder, before, outcome)."""
    folder = make()
    total = shim.operate(operation, folder, *arguments, prefix=folder).total
    for at in points(total):
        folder = make()
        before = tree(folder)
        yield folder, before, shim.operate(operation, folder, *arguments, prefix=folder, at=at, **fault)


@pytest.fixture
def projects(make_project):
    count = iter(range(1000))
    return lambda: make_project(f"lab-{next(count)}", trainer={"max_steps": 3})


@pytest.fixture
def runs(projects):
    def make():
        run = projects() / "runs" / "0001"
        run.mkdir(parents=True)
        (run / "state.toml").write_text('state = "running"\n')
        return run

    return make


@pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)
def test_project_toml_is_the_old_file_byte_for_byte_or_the_new_one(shim, points, projects, number):
    for project, before, outcome in each_point(shim, points, projects, "edit", 9, error=number):
        assert WORDS[number] in outcome.said, outcome
        assert f"{project}/project.toml" in outcome.said
        now = tree(project)
        assert list(now) == ["project.toml"]
        renamed = outcome.calls[-1] == f"fsync {project}"
        assert (now == before) is not renamed
        assert tomllib.loads(now["project.toml"].decode())["trainer"]["max_steps"] == (9 if renamed else 3)


@pytest.mark.parametrize("mode", ["before", "after"])
def test_project_toml_survives_a_kill_at_any_call(shim, points, projects, mode):
    for project, before, outcome in each_point(shim, points, projects, "edit", 9, mode=mode):
        assert outcome.killed
        now = tree(project)
        assert now == before or tomllib.loads(now["project.toml"].decode())["trainer"]["max_steps"] == 9
        assert shim.operate("edit", project, 12, prefix=project).error == ""


@pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)
def test_state_toml_is_the_old_file_or_the_new_one(shim, points, runs, number):
    for run, before, outcome in each_point(shim, points, runs, "state", "finished", error=number):
        assert WORDS[number] in outcome.said
        assert f"{run}/state.toml" in outcome.said
        now = tree(run)
        assert now == before or tomllib.loads(now["state.toml"].decode())["state"] == "finished"
        assert [p.name for p in run.iterdir()] == ["state.toml"]


@pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)
def test_a_run_that_cannot_be_made_leaves_no_folder(shim, points, projects, number):
    for project, before, outcome in each_point(shim, points, projects, "create", error=number):
        assert WORDS[number] in outcome.said, outcome
        assert tree(project) == before
        assert not list((project / "runs").glob("*")) if (project / "runs").exists() else True


@pytest.mark.parametrize("mode", ["before", "after"])
def test_a_kill_while_a_run_is_made_leaves_no_run_or_a_whole_one(shim, points, projects, mode):
    for project, _, outcome in each_point(shim, points, projects, "create", mode=mode):
        assert outcome.killed
        for run in list_runs(project):
            assert read_record(run).settings["trainer"]["max_steps"] == 3
        made = shim.operate("create", project, prefix=project)
        assert made.error == ""
        assert list_runs(project)[-1].path.as_posix() == made.value


@pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)
def test_a_request_that_cannot_be_left_is_said(shim, points, runs, number):
    for run, _, outcome in each_point(shim, points, runs, "request", "stop", error=number):
        assert WORDS[number] in outcome.said
        assert not list(run.rglob("*.tmp"))


@pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)
def test_an_event_that_cannot_be_written_is_said_and_the_next_one_is_whole(shim, points, runs, number):
    for run, _, outcome in each_point(shim, points, runs, "events", 6, error=number):
        if outcome.calls[-1].startswith("open"):
            assert WORDS[number] in outcome.said
            continue
        ((lost, said),) = outcome.value
        assert WORDS[number] in said
        assert f"{run}/events.jsonl" in said
        reader = EventReader(run / "events.jsonl")
        assert [e.step for e in reader.read()] == [step for step in range(6) if step != lost]
        assert reader.skipped == 0


def test_short_writes_of_events_are_gone_on_with(shim, points, runs):
    for run, _, outcome in each_point(shim, points, runs, "events", 6, mode="short"):
        assert outcome.value == []
        assert [e.step for e in read_events(run / "events.jsonl")] == list(range(6))


@pytest.mark.parametrize("mode", ["before", "after"])
def test_a_kill_while_events_are_written_loses_at_most_the_last_line(shim, points, runs, mode):
    for run, _, outcome in each_point(shim, points, runs, "events", 6, mode=mode):
        assert outcome.killed
        written = sum(call.startswith("write") for call in outcome.calls) - (mode == "before")
        assert len(read_events(run / "events.jsonl")) == max(0, written)


def test_without_descriptors_the_sentence_says_so_and_the_state_is_intact(shim, run, projects):
    project = projects()
    before = tree(project), tree(run)
    for operation, folder, arguments in [("edit", project, (9,)), ("create", project, ()), ("commit", run, (3,))]:
        outcome = shim.operate(operation, folder, *arguments, prefix=folder, descriptors=3)
        assert "No more files may be open" in outcome.said, outcome
        assert "ulimit -n" in outcome.said
    (run / "events.jsonl").unlink(missing_ok=True)
    before[1].pop("events.jsonl", None)
    assert (tree(project), tree(run)) == before


def test_a_name_that_is_too_long_is_said(shim, projects):
    project = projects()
    outcome = shim.operate("request", project, "x" * 300, prefix=project)
    assert "is too long for this file system" in outcome.said
    assert "Choose a shorter one" in outcome.said


def test_a_symbolic_link_is_written_through_by_nobody(shim, run, projects, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("checkpoints", "quarantine"):
        place = run / name
        if place.exists():
            place.rename(outside / name)
        else:
            (outside / name).mkdir()
        place.symlink_to(outside / name)
    before = tree(outside)
    outcome = shim.operate("commit", run, 3, prefix=run)
    assert outcome.error == "InputError"
    assert f"{run}/checkpoints' is a symbolic link" in outcome.said
    assert tree(outside) == before
    (run / "checkpoints").unlink()
    (outside / "checkpoints").rename(run / "checkpoints")
    (run / "checkpoints" / "000002" / "config.json").write_text("?")
    outcome = shim.operate("newest", run, prefix=run)
    assert f"{run}/quarantine' is a symbolic link" in outcome.said
    assert not list((outside / "quarantine").iterdir())
    (run / "events.jsonl").rename(outside / "events")
    (run / "events.jsonl").symlink_to(outside / "events")
    assert "events.jsonl' is a symbolic link" in shim.operate("events", run, 1, prefix=run).said
    project = projects()
    (project / "runs").symlink_to(outside)
    assert "runs' is a symbolic link" in shim.operate("create", project, prefix=project).said
    (project / "project.toml").rename(outside / "project.toml")
    (project / "project.toml").symlink_to(outside / "project.toml")
    assert "project.toml' is a symbolic link" in shim.operate("edit", project, 9, prefix=project).said


def test_a_loop_of_symbolic_links_is_said(shim, tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for operation in ("newest", "events"):
        arguments = (1,) if operation == "events" else ()
        outcome = shim.operate(operation, tmp_path / "a", *arguments, prefix=tmp_path)
        assert "loop of symbolic links" in outcome.said, outcome


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_without_permission_path_and_mode_are_named(shim, run, projects, open_folder):
    import shutil

    from shim import NOBODY

    project = open_folder / "lab"
    shutil.copytree(projects(), project)
    shutil.copytree(run, open_folder / "lab" / "runs" / "0001")
    run = open_folder / "lab" / "runs" / "0001"
    before = tree(project)
    for operation, folder, arguments, named in [
        ("edit", project, (9,), f"{project}/project.toml' (project.toml has mode 0644)"),
        ("create", project, (), f"{project}/runs' (runs has mode 0755)"),
        ("events", run, (1,), f"{run}/events.jsonl"),
        ("request", run, ("accept-changed-data",), f"{run}/control' (0001 has mode 0755)"),
    ]:
        outcome = shim.operate(operation, folder, *arguments, prefix=folder, uid=NOBODY)
        assert "No permission for" in outcome.said, outcome
        assert named in outcome.said, outcome
        assert "Change its mode or owner" in outcome.said
    (run / "checkpoints" / "000002" / "model.safetensors").chmod(0o600)
    outcome = shim.operate("newest", run, prefix=run, uid=NOBODY)
    assert (
        f"No permission for '{run}/checkpoints/000002/model.safetensors' (model.safetensors has mode 0600)"
        in outcome.said
    )
    (run / "checkpoints").chmod(0o700)
    assert "checkpoints' (checkpoints has mode 0700)" in shim.operate("newest", run, prefix=run, uid=NOBODY).said
    assert not (run / "quarantine").exists(), "what may not be read is not damaged"
    assert tree(project) == before


AS_NOBODY = """
import os, sys
import ftstudio.cli.runs, ftstudio.cli.status
from ftstudio.cli.main import run
os.setgroups([]), os.setgid(65534), os.setuid(65534), os.chdir("/")
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def as_nobody(open_folder):
    """Run the command line as another user, with its modules loaded before."""

    def run(*arguments):
        command = [sys.executable, "-c", AS_NOBODY, *map(str, arguments)]
        env = {**os.environ, "FTSTUDIO_PROJECTS": str(open_folder)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def of_root(open_folder):
    """A live run, as far as its files say, in a project that everybody may look at."""
    run = RunFolder(open_folder / "lab" / "runs" / "0002")
    run.control.mkdir(parents=True)
    (run.project / "project.toml").write_text("format = 1\n")
    run.record.write_text("format = 1\n")
    run.state.write_text('state = "running"\nattempt = 1\nhost = "another"\n')
    for place in (run.project, run.project / "runs", run.path):
        place.chmod(0o755)
    return run


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("closed", ["run", "runs", "project"])
def test_a_run_that_may_not_be_looked_at_is_not_said_to_be_missing(of_root, as_nobody, closed):
    place = {"run": of_root.path, "runs": of_root.path.parent, "project": of_root.project}[closed]
    place.chmod(0o700)
    names = [of_root.path] if closed == "project" else [of_root.path, f"{of_root.project}:0002"]
    for name in names:
        code, out, err = as_nobody("status", name)
        assert (code, out) == (2, "")
        assert err.startswith(f"✗ No permission for '{of_root.path}"), name
        assert err.endswith(f"' ({place.name} has mode 0700). Change its mode or owner.\n"), name


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("request_", ["stop", "kill", "checkpoint"])
def test_a_request_that_does_not_count_is_refused_and_not_left(of_root, as_nobody, request_):
    of_root.control.chmod(0o777)  # as with a group that may write
    assert as_nobody(request_, of_root.path) == (
        2,
        "",
        "✗ lab:0002 belongs to 'root': it takes requests of nobody else. Nothing was asked for.\n",
    )
    assert list(of_root.control.iterdir()) == []
