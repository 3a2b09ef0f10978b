"""A full disk, for real: a small tmpfs in a private mount namespace, and jobs on it. Prints what came of each as JSON.

`unshare -m python small_disk.py MODE FOLDER`: mounts over FOLDER, which holds a project folder `lab` with a run, and
whose content is copied into the small disk first.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import operations

from ftstudio.errors import FtstudioError
from ftstudio.explain import explain
from ftstudio.process.devices import devices_of
from ftstudio.process.supervisor import Supervisor
from ftstudio.runs.events import EventReader, read_events
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.state import read_state
from ftstudio.settings import Settings

RESERVED = 8 << 10


def mount(folder, options):
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept, symlinks=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
    shutil.copytree(kept, folder, symlinks=True, dirs_exist_ok=True)


def fill(folder, leave=0):
    """Take all the room but `leave` bytes."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC
    os.truncate(filler, filler.stat().st_size - leave)
    return filler


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes().hex() for p in folder.rglob("*") if p.is_file()}


def tried(job, *arguments):
    """(value, sentence) of a job."""
    try:
        return job(*arguments), ""
    except FtstudioError as error:
        return None, str(error)
    except OSError as error:
        return None, str(explain(error))


def space(folder, leave=0):
    """Each writer on a full disk, and again when there is room."""
    mount(folder, "size=1m")
    project, run = folder / "lab", folder / "lab" / "runs" / "0001"
    jobs = {
        "commit": (operations.commit, run, 3),
        "project.toml": (operations.edit, project, 9),
        "state.toml": (operations.state, run, "finished"),
        "new run": (operations.create, project),
        "request": (operations.request, run, "stop"),
    }
    answers = {}
    for name, (job, *arguments) in jobs.items():
        filler = fill(folder, leave)
        before = tree(folder / "lab")
        _, said = tried(job, *arguments)
        untouched = tree(folder / "lab") == before
        filler.unlink()
        answers[name] = {"said": said, "untouched": untouched, "again": tried(job, *arguments)[1]}
    return answers


def events(folder):
    """Events until the disk is full, then some more, then with room again."""
    mount(folder, "size=1m")
    run = folder / "lab" / "runs" / "0001"
    (run / "events.jsonl").unlink(missing_ok=True)
    writer = operations.EventWriter(run / "events.jsonl", 1)
    filler, written, failed = fill(folder, leave=RESERVED), [], []
    for step in range(400):
        try:
            writer.write("metrics", step, metrics={"loss": step / 7}, text="x" * 70)
            written.append(step)
        except OSError as error:
            failed.append(str(explain(error)))
            if len(failed) == 3:
                filler.unlink()
    reader = EventReader(run / "events.jsonl")
    read = []
    while batch := reader.read():
        read += [event.step for event in batch]
    return {"written": written, "read": read, "skipped": reader.skipped, "failed": failed}


def worker(folder):
    """Workers whose console, events, checkpoints and final model meet the full disk, each sooner or later; then with room."""
    mount(folder, "size=4m")
    answers = []
    for pages in range(14):
        run = Path(operations.create(folder / "lab"))
        filler = fill(folder, leave=pages * 4096)
        first = forked(operations.work, run, 1)
        filler.unlink()
        last = [e.data for e in read_events(run / "events.jsonl") if e.kind == "state"][-1:]
        second = forked(operations.work, run, 2)
        answers.append({"first": first, "last": last, "second": second, "console": console_of(run)})
    return answers


def tokenizer(folder):
    """A commit whose tokenizer does not fit; what is copied lies on another disk that has room."""
    mount(folder, "size=1m")
    run, words = folder / "lab" / "runs" / "0001", folder.with_name("tokenizer")
    words.mkdir()
    (words / "tokenizer.json").write_text("x" * (300 << 10))
    fill(folder, leave=200 << 10)
    with_run = operations.worker_run(run)
    before = tree(run)
    with_run.tokenizer = words
    said = tried(operations.commit_one, with_run, 3)[1]
    return {"said": said, "untouched": tree(run) == before}


def ending(folder):
    """A supervisor that has to say how its run ended when there is no room left; what the file holds, and a reader says."""
    mount(folder, "size=1m")
    run = RunFolder(Path(operations.create(folder / "lab")))
    supervisor = Supervisor(run, 1, devices_of("cpu"), Settings())
    supervisor.begin()
    fill(folder)
    try:
        supervisor.write("interrupted", "Too late.")
    except OSError as error:
        refused = str(explain(error))
    supervisor.end("interrupted", "The worker said so.", 75)
    supervisor.turn.leave()
    known = read_state(run)
    left = [p.name for p in run.path.iterdir() if p.name.startswith(".")]
    return {"refused": refused, "state": known.state, "reason": known.reason, "code": known.exit_code, "left": left}


def console_of(run):
    return (run / "console.log").read_text(errors="replace")[-300:]


def forked(job, *arguments):
    """Exit code and sentence of a job in a process of its own, since it takes stdout for its console."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code, said = tried(job, *arguments)
        os.write(writer, json.dumps([code, said]).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        return json.loads(pipe.read())


def inodes(folder):
    """No more names, though there is room."""
    mount(folder, "size=4m,nr_inodes=120")
    project, run = folder / "lab", folder / "lab" / "runs" / "0001"
    (folder / "filler").mkdir()
    try:
        for number in range(200):
            (folder / "filler" / str(number)).touch()
    except OSError as error:
        assert error.errno == errno.ENOSPC
    before = tree(project)
    answers = {
        "commit": tried(operations.commit, run, 3)[1],
        "project.toml": tried(operations.edit, project, 9)[1],
        "new run": tried(operations.create, project)[1],
    }
    return {"said": answers, "untouched": tree(project) == before}


def read_only(folder):
    """The file system becomes read-only under a run."""
    mount(folder, "size=1m")
    project, run = folder / "lab", folder / "lab" / "runs" / "0001"
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    before = tree(project)
    answers = {
        "commit": tried(operations.commit, run, 3)[1],
        "events": tried(operations.events, run, 1)[1],
        "project.toml": tried(operations.edit, project, 9)[1],
        "new run": tried(operations.create, project)[1],
        "newest": tried(operations.newest, run),
    }
    return {"said": answers, "untouched": tree(project) == before}


if __name__ == "__main__":
    mode, place = sys.argv[1:]
    print(json.dumps(globals()[mode](Path(place))))
