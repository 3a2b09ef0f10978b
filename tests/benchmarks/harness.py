"""What a benchmark is, how its variants take turns, and how its outcome is told."""

import gc
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

Measure = Callable[[], float | Mapping[str, float]]
"""Runs a variant once and returns what was measured, or several such values by name."""


@dataclass(frozen=True)
class Goal:
    """A sentence with a limit: the value must stay below it, or with `at_least` reach it."""

    says: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def met(self):
        return self.value >= self.limit if self.at_least else self.value < self.limit


@dataclass(frozen=True)
class Benchmark:
    """`prepare` makes what the variants need in a folder of their own and returns them by name, the baseline first;
    `goals` judges the medians. `unit` is that of a bare number; a value of several is called "variant: value". Without
    `warm`, for what warms up by itself and takes long, the first round counts.
    """

    prepare: Callable[[Path], Mapping[str, Measure]]
    goals: Callable[[Mapping[str, float]], Iterable[Goal]] = lambda medians: ()
    unit: str = "s"
    rounds: int = 7
    warm: bool = True


def seconds(work: Callable[[], object]) -> float:
    """How long a piece of work takes by the wall clock."""
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cpu_seconds() -> float:
    """CPU time of the processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def program(*arguments, env=None) -> Measure:
    """A Python process from start to end, as a variant: its wall and its CPU time. Its failure is one here."""

    def run():
        before = cpu_seconds()
        wall = seconds(
            lambda: subprocess.run(
                [sys.executable, *map(str, arguments)],
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                check=True,
            )
        )
        return {"CPU": cpu_seconds() - before, "wall": wall}

    return run


def measure(benchmark: Benchmark, folder: Path, rounds: int | None = None) -> dict[str, list[float]]:
    """All values of all variants, round by round, by turns; a first round that warms the caches does not count."""
    variants = benchmark.prepare(folder)
    values: dict[str, list[float]] = {}
    for number in range(0 if benchmark.warm else 1, (rounds or benchmark.rounds) + 1):
        for variant, run in variants.items():
            measured = run()
            for name, value in measured.items() if isinstance(measured, Mapping) else [("", measured)]:
                if number:
                    values.setdefault(f"{variant}: {name}" if name else variant, []).append(value)
    return values


def outcome(title: str, benchmark: Benchmark, values: Mapping[str, list[float]]) -> dict:
    """Medians, their ratio to the first of the same measure, the spread, and the goals."""
    medians = {name: statistics.median(found) for name, found in values.items()}
    first: dict[str, float] = {}
    for name, median in medians.items():
        first.setdefault(_measure_of(name), median)
    return {
        "title": title,
        "unit": benchmark.unit,
        "results": {
            name: {
                "median": medians[name],
                "ratio": medians[name] / first[_measure_of(name)] if first[_measure_of(name)] else None,
                "lowest": min(found),
                "highest": max(found),
                "rounds": len(found),
            }
            for name, found in values.items()
        },
        "goals": [
            {"says": g.says, "value": g.value, "limit": g.limit, "at_least": g.at_least, "met": g.met}
            for g in benchmark.goals(medians)
        ],
    }


def _measure_of(name: str) -> str:
    """What was measured: the part behind the variant, where one measures several things."""
    return name.rpartition(": ")[2] if ": " in name else ""


def machine() -> dict:
    """Where it was measured, and how busy that was when it began."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "date": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def table(outcomes: Mapping[str, Mapping]) -> str:
    """Everything as Markdown. An outcome says itself where it was measured."""
    lines = []
    for name, found in outcomes.items():
        where = found["machine"]
        lines += ["", f"### {name}: {found['title']}", ""]
        lines += [
            f"{where['cpu']}, {where['cores']} cores, {where['memory_gb']} GB, {where['system']}, Python "
            f"{where['python']}; load {where['load'][0]} at the beginning; {where['date']}.",
            "",
        ]
        lines += [
            f"| variant | median ({found['unit']}) | ratio | lowest to highest | rounds |",
            "|---|---|---|---|---|",
        ]
        for variant, r in found["results"].items():
            told = r["ratio"] is not None and "loss" not in _measure_of(variant)  # which has no ratio
            ratio = f"{r['ratio']:.2f}" if told else ""
            spread = f"{r['lowest']:.4g} to {r['highest']:.4g}"
            lines.append(f"| {variant} | {r['median']:.4g} | {ratio} | {spread} | {r['rounds']} |")
        lines += ["", found["about"]] if found.get("about") else []
        lines += [""] if found["goals"] else []
        for goal in found["goals"]:
            bound = "at least" if goal["at_least"] else "under"
            met = "met" if goal["met"] else "MISSED"
            lines.append(f"- {goal['says']}: {goal['value']:.3g}, wanted {bound} {goal['limit']:g}: **{met}**")
    return "\n".join(lines[1:]) + "\n"
