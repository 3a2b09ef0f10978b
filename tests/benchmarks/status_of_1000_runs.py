"""`ftstudio status` over 1,000 runs in 50 projects, from the shell to its last line."""

from tests.benchmarks.folders import make_projects
from tests.benchmarks.harness import Benchmark, Goal, program

START, ONE, ALL = "python -c pass", "status of 1 run", "status of 1,000 runs"


def prepare(folder):
    many = make_projects(folder / "many", projects=50, runs=20, steps=500)
    one = make_projects(folder / "one", projects=1, runs=1, steps=500)
    return {
        START: program("-c", "pass"),
        ONE: program("-m", "ftstudio", "status", one),
        ALL: program("-m", "ftstudio", "status", many),
    }


def goals(medians):
    beyond = medians[f"{ALL}: CPU"] - medians[f"{START}: CPU"]
    yield Goal("1,000 runs, CPU seconds beyond interpreter start", beyond, 0.5)


BENCHMARK = Benchmark(prepare, goals, rounds=9)
