"""Runs the benchmarks that are named, or all, and writes what came of them."""

import argparse
import importlib
import json
import pkgutil
import sys
import tempfile
from pathlib import Path

from tests import benchmarks
from tests.benchmarks import harness

_PAGE = """# Benchmarks

Made by `make bench` and `python -m tests.benchmarks --page docs/benchmarks.md`. Every variant runs by turns, round after
round: ratios of medians travel from machine to machine, times do not. `python -m tests.benchmarks NAME` runs one anew,
and keeps the results of the others, which lie beside this page as JSON; it ends with an error where a goal is missed, as some
are here, each with what bounds it. A ratio is that to the first variant of the same
measure. Each trainer runs as a person starts it: ours by its own command, which starts its worker with settings of the C
library, of OpenMP and of oneDNN (ftstudio/process/heavy.py); peers as a script, with what these do by themselves. All learn from the
same rows in the same order, but TRL, which packs them in one of its own: its losses can be compared with none but themselves.

"""


def known() -> dict:
    """The benchmarks by their modules' names."""
    modules = {
        m.name: importlib.import_module(f"tests.benchmarks.{m.name}")
        for m in pkgutil.iter_modules(benchmarks.__path__)
        if m.name != "__main__"
    }
    return {name: module for name, module in modules.items() if hasattr(module, "BENCHMARK")}


def main(arguments: list[str], found: dict) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=benchmarks.__doc__.partition("\n")[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(found))
    parser.add_argument("--rounds", type=int, help="how often each variant runs; each benchmark has its own number")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"), help="where the results are kept")
    parser.add_argument("--page", type=Path, help="make this page of all results that are kept; alone, run nothing")
    asked = parser.parse_args(arguments)
    unknown = [name for name in asked.names if name not in found]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(found)}")
    beside = asked.page.with_suffix(".json") if asked.page else asked.out / "results.json"
    outcomes, failed = _newest(_kept(beside), _kept(asked.out / "results.json")), []
    names = asked.names or ([] if asked.page else list(found))
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in names:
        sys.stderr.write(f"{name} ...\n")
        try:
            outcomes[name] = _run(name, found[name], asked.rounds)
        except Exception as error:  # noqa: BLE001 - the others' hours of work are not lost for it
            failed.append(name)
            sys.stderr.write(f"{name} failed: {error}\n{getattr(error, 'stderr', None) or ''}\n")
        (asked.out / "results.json").write_text(json.dumps(outcomes, indent=2) + "\n")
    now = {name: outcomes[name] for name in names if name not in failed}
    (asked.out / "results.md").write_text(harness.table(outcomes))
    if asked.page is not None:
        shown = {name: {**outcomes[name], "about": _about(found[name])} for name in found if name in outcomes}
        asked.page.write_text(_PAGE + harness.table(shown))
        beside.write_text(json.dumps(shown, indent=1) + "\n")
    sys.stdout.write(harness.table(now) if now else "")
    return 0 if not failed and all(goal["met"] for found in now.values() for goal in found["goals"]) else 1


def _kept(file: Path) -> dict:
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        return {}


def _newest(one: dict, other: dict) -> dict:
    """Of each benchmark the later outcome."""
    both = [*one.items(), *other.items()]
    return dict(sorted(both, key=lambda item: item[1]["machine"]["date"]))


def _run(name: str, module, rounds: int | None) -> dict:
    where = harness.machine()
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
        values = harness.measure(module.BENCHMARK, Path(folder), rounds)
    title = module.__doc__.partition("\n")[0]
    return {**harness.outcome(title, module.BENCHMARK, values), "about": _about(module), "machine": where}


def _about(module) -> str:
    """What a benchmark says of itself beneath its table; on the page as it stands now."""
    return module.__doc__.partition("\n")[2].strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], known()))
