"""The studio's first frame, beside that of an app of one word: 50 projects and 1,000 runs, 120x36, from exec on.

The frame is there when the words of it have come through the terminal; the list is whole when the figures of the run
that is read last have.
"""

from tests.benchmarks.harness import Benchmark, Goal
from tests.benchmarks.studio import NEWEST, lab, own_folders, studio, window

BARE, STUDIO, WHOLE = "a bare Textual app", "the studio", "whole list"
APP = """
from textual.app import App
from textual.widgets import Static

class Bare(App):
    def compose(self):
        yield Static("one word")

Bare().run()
"""
FRAME = ("ftstudio", "project-0", "finished")
TIMES = 2.0


def prepare(folder, projects=50, runs=20):
    root, environment = lab(folder, projects, runs), own_folders(folder)

    def bare():
        with window("-c", APP, env=environment) as opened:
            return {"wall": opened.seconds_until("one word"), "CPU": opened.cpu()}

    def whole():
        with studio(root, env=environment) as opened:
            found = {"wall": opened.seconds_until(*FRAME), "CPU": opened.cpu()}
            return found | {WHOLE: opened.seconds_until(f"{NEWEST}/{NEWEST}")}

    return {BARE: bare, STUDIO: whole}


def goals(medians):
    ratio = medians[f"{STUDIO}: wall"] / medians[f"{BARE}: wall"]
    yield Goal("the studio's first frame, times a bare app's", ratio, TIMES)


BENCHMARK = Benchmark(prepare, goals, rounds=9)
