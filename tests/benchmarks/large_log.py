"""A log of 1 GB in the Logs pane: until its last line is on the terminal, and what memory that takes.

Both files of a run: console.log as it is, and events.jsonl, of which progress is left out. The memory is the highest
that the process had from the key on, until some seconds after, beyond what it had before.
"""

import time

from tests.benchmarks.folders import line, metrics_lines
from tests.benchmarks.harness import Benchmark, Goal
from tests.benchmarks.studio import lab, own_folders, studio

BYTES = 1_000_000_000
CONSOLE, EVENTS = "console.log", "events.jsonl"
SECONDS, PEAK = "seconds", "MB more at most"
LAST = "the very last line"


def prepare(folder, size=BYTES, watched=5.0):
    root, environment = lab(folder, 2, 1), own_folders(folder)
    printed = root / "project-000" / "runs" / "0001" / CONSOLE
    fill(printed, (f"{n:06d} a line that some library printed, as they do\n" for n in range(20_000)), size)
    with printed.open("a") as file:
        file.write(f"{LAST} of {CONSOLE}\n")
    reported = root / "project-001" / "runs" / "0001" / EVENTS
    fill(reported, metrics_lines(20_000), size)
    with reported.open("a") as file:
        file.write(line(1_790_003_600.0, "progress", done=20_000, total=20_000, unit="step"))
        file.write(line(1_790_003_600.0, "message", text=f"{LAST} of {EVENTS}"))

    def opens(project, name, *keys):
        """The last key is the one that shows the file. The screen is that of the project, on its first pane."""
        with studio(root / project, env=environment) as opened:
            opened.seconds_until("What this means")
            for key in keys[:-1]:
                opened.press(key)
                opened.seconds_until("following")
            time.sleep(watched / 5)
            opened.clear()
            before = opened.memory()
            opened.forget_peak()
            begun = time.perf_counter()
            opened.press(keys[-1], pause=0)
            took = opened.seconds_until(f"{LAST} of {name}", start=begun)
            time.sleep(watched)
            return {SECONDS: took, PEAK: opened.memory("VmHWM") - before}

    return {
        CONSOLE: lambda: opens("project-000", CONSOLE, "4", "t"),
        EVENTS: lambda: opens("project-001", EVENTS, "4"),
    }


def fill(path, lines, size):
    """Write the same lines again and again."""
    block = "".join(lines).encode()
    with path.open("wb") as file:
        while file.tell() < size:
            file.write(block)


def goals(medians):
    for name in (CONSOLE, EVENTS):
        yield Goal(f"{name}, seconds until its end is shown", medians[f"{name}: {SECONDS}"], 1.0)
        yield Goal(f"{name}, MB more", medians[f"{name}: {PEAK}"], 80.0)


BENCHMARK = Benchmark(prepare, goals, unit="s or MB", rounds=3)
