"""What an open studio costs while nobody touches it: CPU, and bytes to the terminal, with one live run.

50 projects and 1,000 runs lie beside it; it writes 20 events a second. Over SSH means that SSH_CONNECTION is set. Measuring
begins six seconds after the last key, when files are looked at half as often.
"""

import time

from tests.benchmarks.harness import Benchmark, Goal
from tests.benchmarks.studio import NEWEST, SSH, lab, live_runs, own_folders, studio

SECONDS, SETTLE = 30.0, 6.0
RATE = 20.0
HOME, TRAIN, SSH_HOME, SSH_TRAIN = "Home", "Train", "Home over SSH", "Train over SSH"
CPU, BYTES = "% of a core", "kB a second"
MOST_CPU, MOST_BYTES = 2.0, 10.0


def prepare(folder, projects=50, runs=20, seconds=SECONDS, settle=SETTLE):
    root, environment = lab(folder, projects, runs), own_folders(folder)

    def attached(train, more):
        with live_runs(root, 1, RATE), studio(root, env=environment | more) as opened:
            opened.seconds_until(f"{NEWEST}/{NEWEST}", "running")
            if train:
                opened.press("g", "enter")
                opened.seconds_until("learning_rate")
            time.sleep(settle)
            begun, spent, sent = time.perf_counter(), opened.cpu(), len(opened.raw)
            time.sleep(seconds)
            took = time.perf_counter() - begun
            return {CPU: 100 * (opened.cpu() - spent) / took, BYTES: (len(opened.raw) - sent) / 1000 / took}

    return {
        HOME: lambda: attached(False, {}),
        TRAIN: lambda: attached(True, {}),
        SSH_HOME: lambda: attached(False, SSH),
        SSH_TRAIN: lambda: attached(True, SSH),
    }


def goals(medians):
    for where in (HOME, TRAIN, SSH_HOME, SSH_TRAIN):
        yield Goal(f"{where}, % of a core", medians[f"{where}: {CPU}"], MOST_CPU)
    for where in (SSH_HOME, SSH_TRAIN):
        yield Goal(f"{where}, kB a second to the terminal", medians[f"{where}: {BYTES}"], MOST_BYTES)


BENCHMARK = Benchmark(prepare, goals, unit="% or kB/s", rounds=1, warm=False)
