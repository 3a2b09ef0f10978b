"""A run on an ext4 whose disk breaks under it. `unshare -m python broken_disk.py PROJECT MOUNT`; prints JSON.

`mount -o remount,abort` does to an ext4 what an error of its disk does: nothing can be written any more, to open files
neither. A remount to read-only would be refused while a run has files open.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from lab import at_step, ended, resumed, started, until, worker_of
from terminal import Terminal

from ftstudio.locks import lock_holder
from ftstudio.runs.checkpoints import list_checkpoints, verify
from ftstudio.runs.control import ask
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.observers import ObserverFiles
from ftstudio.runs.status import LIVE, read_state

FTSTUDIO = [sys.executable, "-m", "ftstudio"]


def sh(*command):
    subprocess.run(command, check=True, capture_output=True)


def mount(image, place):
    try:
        sh("mount", "-o", "loop,errors=remount-ro", image, place)
    except subprocess.CalledProcessError as error:
        sys.exit(f"cannot mount: {error.stderr.decode()}")


def main(project, place):
    image = place.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(16 << 20)
    sh("mkfs.ext4", "-q", image)
    mount(image, place)
    try:
        answer = broken(Path(shutil.copytree(project, place / "lab")), place)
    finally:
        unmount(place)
    subprocess.run(["fsck.ext4", "-y", "-f", image], capture_output=True, check=False)  # 1: there was something to mend
    mount(image, place)
    try:
        answer |= mended(RunFolder(place / "lab" / "runs" / "0001"))
    finally:
        unmount(place)
    sys.stdout.write(json.dumps(answer))


def unmount(place):
    """The last process of a run is gone a moment after its lock."""
    until(lambda: subprocess.run(["umount", place], capture_output=True, check=False).returncode == 0, "umount", 20)


def broken(project, place):
    run = started(project)
    follower = subprocess.Popen([*FTSTUDIO, "attach", run.path], stderr=subprocess.PIPE, text=True)
    worker_of(run)
    at_step(run, 12)
    sh("mount", "-o", "remount,abort", place)
    _, said = follower.communicate(timeout=120)
    until(lambda: read_state(run).state not in LIVE, "the end of the run")
    shown = subprocess.run([*FTSTUDIO, "status", run.path, "--json"], capture_output=True, text=True, check=True)
    refused = subprocess.run([*FTSTUDIO, "resume", run.path], capture_output=True, text=True, check=False)
    return {
        "status": json.loads(shown.stdout),
        "follower": [follower.returncode, said],
        "written": run.state.read_text().splitlines()[0],
        "verified": [verify(folder).step for folder in list_checkpoints(run.checkpoints)],
        "refused": [refused.returncode, refused.stderr],
        "studio": studio_on(place),
    }


def studio_on(place):
    """The studio on what can only be read: it shows all, and says to a start and to a note why it takes none."""
    shown = Terminal([*FTSTUDIO, str(place)], size=(120, 36))
    try:
        pictures = [shown.sees("lab:0001", "interrupted")]
        shown.press("enter")
        pictures.append(shown.sees("3 Train", "loss", "checkpoint"))
        shown.press("S")
        shown.sees("Start a run of lab", "in all")
        shown.press("enter")
        pictures.append(shown.sees("Start a run of lab", "file system", "read-only"))
        shown.press("esc", "N")
        shown.sees("Note on")
        shown.press("words", "enter")
        pictures.append(shown.sees("Note on", "file system", "read-only"))
        shown.press("esc", "q")
        return [pictures, shown.ended()]
    finally:
        shown.kill()


def mended(run):
    """The same disk, writable again: the run goes on, and its last word is its own."""
    attempt = resumed(run)
    worker_of(run, attempt)
    ask(run, "stop", attempt)
    state = ended(run)
    left = [p.name for p in run.checkpoints.iterdir() if p.name.startswith(".")]
    files = ObserverFiles(run, "fake-watch")
    until(lambda: lock_holder(files.lock) is None, "the end of the observer")
    return {"after": [state.state, state.attempt], "left": left, "told": files.read().state}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
