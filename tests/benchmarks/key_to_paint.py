"""From a key to what it changes on the terminal, while four live runs write 100 events a second each.

Home: the cursor goes up and down among runs that have ended, so that only a key paints their lines, and the time ends
with the name of the line that it comes to. Train: the cursor goes along a chart of a live run, and the time ends with
the first byte; there what the run writes is painted too, so a few of these are too short.

Writers are processes of their own with a real lock each. They sleep between two events; how much of a core the four
take is measured beside the rest. On a busy machine the wall clock measures the neighbours: the goals are those of the
time without that in which the studio's main thread was ready and had no core. All else counts, the waiting of its other
threads and of this program too. An app that answers each key with another word shows what there is at least.
"""

import statistics
import time

from tests.benchmarks.harness import Benchmark, Goal
from tests.benchmarks.studio import NEWEST, POLL, cpu_of, lab, live_runs, own_folders, plain, studio, window

LIVE, RATE = 4, 100.0
KEYS, PAUSE = 150, 0.08
BUDGET_MS = 50.0
BARE, STUDIO, HOME, TRAIN = "a bare Textual app", "the studio", "Home", "Train"
OWN = "95th percentile without waiting for a core"
APP = """
from textual.app import App
from textual.widgets import Static

class Bare(App):
    count = 0
    def compose(self):
        yield Static("word 0.")
    def on_key(self):
        self.count += 1
        self.query_one(Static).update(f"word {self.count}.")

Bare().run()
"""


def prepare(folder, projects=50, runs=20, keys=KEYS):
    root, environment = lab(folder, projects, runs), own_folders(folder)

    def bare():
        with live_runs(root, LIVE, RATE), window("-c", APP, env=environment) as opened:
            opened.seconds_until("word 0.")
            return figures("", [press(opened, "x", f"word {n}.") for n in paced(range(1, keys + 1))])

    def both():
        with live_runs(root, LIVE, RATE) as writers, studio(root, env=environment) as opened:
            opened.seconds_until(f"{NEWEST}/{NEWEST}", "running")
            begun, before = time.perf_counter(), sum(map(cpu_of, writers))
            found = figures(f"{HOME}, ", list(home(opened, keys)))
            opened.press("g", "enter")
            opened.seconds_until("learning_rate")
            time.sleep(1.0)
            found |= figures(f"{TRAIN}, ", list(train(opened, keys)))
            spent = (sum(map(cpu_of, writers)) - before) / (time.perf_counter() - begun)
            return found | {"the writers, % of a core": 100 * spent}

    return {BARE: bare, STUDIO: both}


def home(opened, keys):
    """Milliseconds of each key: down and up between two lines below the live ones."""
    names = shown_runs(opened)
    opened.press("g", *["down"] * LIVE)
    at = LIVE
    for _ in paced(range(keys)):
        key, at = ("down", LIVE + 1) if at == LIVE else ("up", LIVE)
        yield press(opened, key, names[at])


def train(opened, keys):
    """Milliseconds of each key: along the chart, and back."""
    for number in paced(range(keys)):
        yield press(opened, "left" if number % 40 < 20 else "right", "")


def paced(numbers):
    """Numbers one after the other, not in step with anything that happens at even times."""
    for number in numbers:
        yield number
        time.sleep(PAUSE + number % 7 / 100)


def press(opened, key, name):
    """Milliseconds from a key to the first bytes that hold a name, and how many of them it waited for a core."""
    seen, waited, begun = len(opened.raw), opened.waited(), time.perf_counter()
    opened.press(key, pause=0)
    while len(opened.raw) == seen or name not in plain(bytes(opened.raw[seen:])):
        assert time.perf_counter() - begun < 20, f"{key} changed nothing"
        time.sleep(POLL)
    took = time.perf_counter() - begun
    return 1000 * took, 1000 * (opened.waited() - waited)


def shown_runs(opened):
    """The names of runs on Home, from top to bottom: live first, then the newest."""
    return [f"live-{n}:0001" for n in range(LIVE)] + ["aaa-newest:0001", "project-000:0001"]


def figures(where, times):
    wall, own = sorted(took for took, _ in times), sorted(max(0.0, took - waited) for took, waited in times)
    at = min(len(times) - 1, int(0.95 * len(times)))
    return {
        f"{where}median": statistics.median(wall),
        f"{where}95th percentile": wall[at],
        f"{where}{OWN}": own[at],
    }


def goals(medians):
    for where in (HOME, TRAIN):
        yield Goal(f"{where}, key to paint, ms, {OWN}", medians[f"{STUDIO}: {where}, {OWN}"], BUDGET_MS)


BENCHMARK = Benchmark(prepare, goals, unit="ms", rounds=2)
