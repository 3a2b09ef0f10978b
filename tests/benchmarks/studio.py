"""What the benchmarks of the studio share: it in a real terminal, processes that write live runs, and what each costs."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.folders import START, make_projects, make_run, run_lines

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))  # as pytest does: its helpers import each other by name
from terminal import SEQUENCES, Terminal

WIDE = (120, 36)
SSH = {"SSH_CONNECTION": "10.0.0.2 50000 10.0.0.1 22"}
POLL = 0.0005
TICKS = os.sysconf("SC_CLK_TCK")
NEWEST = 777
"""Steps of the run that ended last: it is the first of its folder, so its figures are the last to be read."""

WRITER = """
import os, sys, time
from pathlib import Path
from ftstudio.files import write_toml
from ftstudio.locks import RecordLock
from ftstudio.runs.events import EventWriter
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.state import boot_id, host_name, process_start

run, rate = RunFolder(Path(sys.argv[1])), float(sys.argv[2])
lock = RecordLock(run.lock)
assert lock.acquire()
now = time.time()
write_toml(run.state, {
    "state": "running", "reason": "", "attempt": 1, "pid": os.getpid(), "pid_started": process_start(os.getpid()),
    "started": now, "boot_id": boot_id(), "host": host_name(), "device": "cpu",
})
events = EventWriter(run.events, 1)
events.write("phase", name="training")
begun, step = time.monotonic(), 0
while True:
    step += 1
    if step % 2:
        metrics = {"loss": 2 + 100 / (step + 50), "learning_rate": 5e-5, "grad_norm": 1.5, "tokens_per_second": 9e4}
        events.write("metrics", step, metrics=metrics)
    else:
        events.write("progress", step, done=step, total=1_000_000, unit="step")
    time.sleep(max(0.0, begun + step / rate - time.monotonic()))
"""


def lab(folder: Path, projects: int, runs: int, steps: int = 100) -> Path:
    """Projects with ended runs, and among them one whose figures say that all were read."""
    root = make_projects(folder / "lab", projects, runs, steps)
    make_run(root / "aaa-newest" / "runs" / "0001", run_lines(NEWEST, 1, START + 3600))
    (root / "aaa-newest" / "project.toml").write_bytes((root / "project-000" / "project.toml").read_bytes())
    return root


def own_folders(folder: Path) -> dict[str, str]:
    """Settings, state and caches that are this benchmark's alone."""
    return {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}


class Window(Terminal):
    """A terminal that is asked when something came, and what its program costs."""

    def __init__(self, arguments, **more):
        self.begun = time.perf_counter()
        super().__init__(arguments, **more)

    def seconds_until(self, *texts, start=None, limit=60.0):
        """When all of these texts had come since `clear()`, in seconds from `start`, else from its own beginning."""
        begun, wanted = self.begun if start is None else start, list(texts)
        while True:
            size, now = len(self.raw), time.perf_counter()
            if wanted and all(text in self.shown for text in wanted):
                return now - begun
            if now - begun > limit:
                raise AssertionError(f"{wanted} did not come; shown:\n{self.shown[-3000:]}")
            while len(self.raw) == size and time.perf_counter() - begun <= limit:
                time.sleep(POLL)

    def cpu(self):
        """CPU seconds that the program has used so far."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / TICKS

    def waited(self):
        """Seconds that its main thread was ready to run so far and had no core, because others had them all."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9

    def memory(self, what="VmRSS"):
        """MB that it holds now, or with "VmHWM" at most since `forget_peak`."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1000

    def forget_peak(self):
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


@contextlib.contextmanager
def window(*arguments, **more):
    """A Python program in a terminal, ended at the end."""
    opened = Window([sys.executable, *map(str, arguments)], size=WIDE, **more)
    try:
        yield opened
    finally:
        opened.kill()


def studio(root, env, **more):
    """The studio on a folder, in a wide terminal, as if it was never open before."""
    (Path(env["XDG_STATE_HOME"]) / "ftstudio" / "ui.toml").unlink(missing_ok=True)
    return window("-m", "ftstudio", root, env=env, **more)


@contextlib.contextmanager
def live_runs(root: Path, count: int, rate: float):
    """Processes that each hold the lock of a run and write `rate` events a second into it; yields their pids.

    They are so cheap (about a hundredth of a core each, mostly asleep) that they take no time from what is
    measured; they are niced all the same.
    """
    writers = []
    try:
        for number in range(count):
            run = root / f"live-{number}" / "runs" / "0001"
            if not run.is_dir():
                make_run(run, ())
                (root / f"live-{number}" / "project.toml").write_bytes((run / "run.toml").read_bytes())
            (run / "events.jsonl").write_text("")
            command = ["nice", sys.executable, "-c", WRITER, str(run), str(rate)]
            writers.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        deadline = time.monotonic() + 30
        while not all((root / f"live-{n}/runs/0001/events.jsonl").stat().st_size for n in range(count)):
            assert time.monotonic() < deadline, "a writer did not begin"
            time.sleep(0.02)
        yield [writer.pid for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def plain(raw: bytes) -> str:
    """What bytes for a terminal say, without its sequences."""
    return SEQUENCES.sub(b" ", raw).decode("utf-8", "replace")
