"""Steps a second of a run whose studio's terminal stopped reading, beside those of the same run without a studio.

The run is a real one, with its supervisor and a torch-free trainer. The studio shows the run in Train; its terminal
reads until the charts are there, and then never again, as over a link that hangs. At the end it reads on, and the studio
must still be there.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from ftstudio.files import toml_text
from ftstudio.runs.events import EventReader
from ftstudio.runs.folder import RunFolder
from tests.benchmarks.harness import Benchmark, Goal
from tests.benchmarks.studio import own_folders, studio

PLUGIN = Path(__file__).parents[1] / "fake_plugin"
SECONDS, STEP_SECONDS = 15.0, 0.002
ALONE, STALLED = "no studio", "a studio whose terminal reads nothing"
STEPS, CPU = "steps a second", "its CPU, % of a core"
AT_LEAST = 0.95
PROJECT = {
    "format": 1,
    "model": {"use": "fake-model"},
    "dataset": {"use": "fake-data"},
    "tokenizer": {"use": "fake-bytes"},
    "trainer": {"use": "fake-walk", "max_steps": 10_000_000, "save_steps": 10_000_000, "step_seconds": STEP_SECONDS},
    "generator": {"use": "fake-echo", "prompts": []},
}


def prepare(folder, seconds=SECONDS):
    path = os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH", "")]))
    environment = {**own_folders(folder), "PYTHONPATH": path}
    project = folder / "lab" / "walk"
    project.mkdir(parents=True)
    (project / "project.toml").write_text(toml_text(PROJECT))

    def alone():
        with a_run(project, environment) as run:
            return {STEPS: steps_a_second(run, seconds)}

    def stalled():
        with a_run(project, environment) as run, studio(project.parent, env=environment) as opened:
            opened.seconds_until("walk:0")
            opened.press("g", "enter")
            opened.seconds_until("tokens_per_second")
            opened.reading.clear()
            time.sleep(min(2.0, seconds))  # what it writes until its terminal is full
            spent, begun = opened.cpu(), time.perf_counter()
            found = {STEPS: steps_a_second(run, seconds)}
            found[CPU] = 100 * (opened.cpu() - spent) / (time.perf_counter() - begun)
            opened.clear()
            opened.reading.set()
            opened.press("4")
            opened.seconds_until("following")
            return found

    return {ALONE: alone, STALLED: stalled}


@contextlib.contextmanager
def a_run(project, environment):
    """A run that is training; killed at the end."""
    environment = {**os.environ, **environment}

    def ftstudio(*arguments):
        command = [sys.executable, "-m", "ftstudio", *map(str, arguments)]
        subprocess.run(command, env=environment, check=True, stdin=subprocess.DEVNULL, capture_output=True)

    ftstudio("run", project, "--detach")
    run = RunFolder(max((project / "runs").glob("[0-9]*")))
    try:
        reader, deadline = EventReader(run.events), time.monotonic() + 60
        while not any(event.kind == "metrics" for event in reader.read()):
            assert time.monotonic() < deadline, "the run did not begin"
            time.sleep(0.05)
        yield run
    finally:
        ftstudio("kill", run.path)
        while 'state = "running"' in run.state.read_text():
            time.sleep(0.05)


def steps_a_second(run, seconds):
    """The pace of its steps in the time from now on, by its own events."""
    reader = EventReader(run.events, run.events.stat().st_size)
    time.sleep(seconds)
    events = []
    while more := reader.read():
        events += [event for event in more if event.kind == "metrics"]
    return (events[-1].step - events[0].step) / (events[-1].t - events[0].t)


def goals(medians):
    share = medians[f"{STALLED}: {STEPS}"] / medians[f"{ALONE}: {STEPS}"]
    yield Goal("the pace of a run beside a stalled studio, of that without one", share, AT_LEAST, at_least=True)


BENCHMARK = Benchmark(prepare, goals, unit="steps/s or %", rounds=3)
