"""The first picture of a run with 10^6 events of 8 metrics, and the rest in the background."""

import subprocess
import sys

from tests.benchmarks.folders import make_run, metrics_lines
from tests.benchmarks.harness import Benchmark, Goal, cpu_seconds, program

EVENTS = 1_000_000
START, STATUS, PICTURE = "python -c pass", "status of the run", "first picture, in a new process"
REST, LONGEST, MEMORY = "rest: CPU seconds", "rest: longest step of 10 ms", "rest: MB"

IMPORTS = """
import sys
from pathlib import Path
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.history import History
from ftstudio.runs.series import Series
from ftstudio.runs.status import read_status
run = RunFolder(Path(sys.argv[1]))
"""
DRAW = "assert read_status(run).step\nassert len(History(run.events, Series).sketch().tracks['loss'].steps) > 1000\n"
READ = """
import time
history = History(run.events, Series)
history.sketch()
longest, done = 0.0, False
while not done:
    start = time.process_time()
    done = history.advance(0.01)
    longest = max(longest, time.process_time() - start)
assert len(history.best.tracks["loss"].steps) == int(sys.argv[2])
print(longest)
"""


# Not ru_maxrss: a child's begins with what its parent had at the fork.
PEAK = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"


def prepare(folder):
    run = make_run(folder / "lab" / "runs" / "0001", metrics_lines(EVENTS))
    return {
        START: program("-c", "pass"),
        STATUS: program("-m", "ftstudio", "status", run),
        PICTURE: program("-c", IMPORTS + DRAW, run),
        "rest": lambda: read_the_rest(run),
    }


def read_the_rest(run):
    """CPU time and memory of a process of its own that reads all events in steps of 10 ms."""
    before = cpu_seconds()
    code = IMPORTS + READ + PEAK
    done = subprocess.run([sys.executable, "-c", code, run, str(EVENTS)], stdout=subprocess.PIPE, text=True, check=True)
    spent = cpu_seconds() - before
    longest, memory = done.stdout.split()
    return {"CPU seconds": spent, "longest step of 10 ms": float(longest), "MB": int(memory) / 1000}


def goals(medians):
    beyond = medians[f"{PICTURE}: CPU"] - medians[f"{START}: CPU"]
    yield Goal("the first picture, CPU seconds beyond interpreter start", beyond, 1.0)
    yield Goal("one step of reading the rest, CPU seconds", medians[LONGEST], 0.05)
    yield Goal("all points in memory, MB", medians[MEMORY], 250.0)


BENCHMARK = Benchmark(prepare, goals, rounds=3)
