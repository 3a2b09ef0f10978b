"""What a chart of four runs of a million points each costs: feeding, redrawing, zooming, one more point.

Milliseconds of CPU time, the least of several drawings (others on the machine only add to it). Every drawing is a whole
one: nothing is kept from the one before.
"""

import math
import random
import time
import tracemalloc
from array import array

from ftstudio.tui.canvas import ASCII, BLOCK, BRAILLE
from ftstudio.tui.chart import draw
from ftstudio.tui.scene import View, catch_up
from ftstudio.tui.series import Series, Timeline
from tests.benchmarks.harness import Benchmark, Goal

POINTS, RUNS, SIZE = 1_000_000, 4, (120, 36)
BUDGET_MS = 50.0
FIGURES = "4 runs"
BATCH = 10_000  # points an event reader hands over at a time


def make_run(number, points):
    """A falling, noisy loss with a spike of one point, and how long feeding it took in seconds."""
    source = random.Random(number)
    values = array("d", (2 + number / 5 + 2 * math.exp(-4 * i / points) + source.gauss(0, 0.1) for i in range(points)))
    values[points // 2] = 9.0
    timeline = Timeline(f"{number:04d}")
    series = Series("loss", timeline.run_label, timeline)
    for step in range(0, points, 50_000):
        timeline.mark("checkpoint", step)
    started = time.process_time()
    for at in range(0, points, BATCH):
        series.extend(range(at, min(at + BATCH, points)), values[at : at + BATCH])
    fed = time.process_time() - started
    timeline.tokens.extend(range(0, points, 10), range(0, points * 1024, 10 * 1024))
    return series, fed


def milliseconds(action, times=9):
    """The least of several calls."""
    spent = []
    for _ in range(times):
        started = time.process_time()
        action()
        spent.append((time.process_time() - started) * 1000)
    return round(min(spent), 2)


def measure(points=POINTS, runs=RUNS, size=SIZE):
    """All figures in milliseconds, by name."""
    tracemalloc.start()
    made = [make_run(number, points) for number in range(1, runs + 1)]
    series = [one for one, _ in made]
    found = {"bytes_a_point": round(tracemalloc.get_traced_memory()[0] / points / runs, 1)}
    tracemalloc.stop()
    found["feed_a_million"] = round(min(make_run(9, points)[1] for _ in range(3)) * 1000 * 1e6 / points, 1)
    smooth = View(smoothing=0.99)
    started = time.process_time()
    for one in series:
        while catch_up(one, smooth, 50_000):
            pass
    found["smooth_all_once"] = round((time.process_time() - started) * 1000, 1)
    views = {
        "redraw": View(),
        "redraw_smoothed": smooth,
        "redraw_log": View(log=True),
        "redraw_tokens": View(axis="tokens"),
        "redraw_zoomed": View(width=points / 50, end=points / 2),
        "redraw_cursor": View(cursor=points / 2),
    }
    for name, view in views.items():
        found[name] = milliseconds(lambda view=view: draw(series, view, size))
    for glyphs in (BLOCK, ASCII):
        found[f"redraw_{glyphs.name}"] = milliseconds(lambda glyphs=glyphs: draw(series, View(), size, glyphs=glyphs))
    started = time.process_time()
    for step in range(points, points + 10_000):
        series[0].extend((step,), (2.0,))
    found["append_one_us"] = round((time.process_time() - started) * 100, 2)
    assert "9" in draw(series, View(), size, glyphs=BRAILLE).text(), "the spike of one point is not on the chart"
    return found


def prepare(folder):
    return {FIGURES: measure}


def goals(medians):
    for name, value in medians.items():
        if ": redraw" in name:
            yield Goal(f"{name.partition(': ')[2]}, ms of CPU at 120x36", value, BUDGET_MS)


BENCHMARK = Benchmark(prepare, goals, unit="ms", rounds=3)
