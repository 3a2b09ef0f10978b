"""Benchmarks of the real program: `make bench`, or `python -m tests.benchmarks --rounds 5`.

Training speed of the trainers on the starter and real text, and how long the commands that only look take. Cases
alternate, because machines drift by a fifth: only ratios within one call mean anything. The best round is shown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAINING = {
    "native": ["trainer.use=native", "trainer.packing=false"],
    "native, packed": ["trainer.use=native", "trainer.packing=true"],
    "hf": ["trainer.use=hf", "trainer.packing=false"],
    "hf, packed": ["trainer.use=hf", "trainer.packing=true"],
}
LOOKING = {
    "--version": ["--version"],
    "status": ["status"],
    "plugins list": ["plugins", "list"],
    "check": ["check", "lab"],
}


def ftstudio(scratch: Path, *arguments: str) -> str:
    """What a command says on stdout. Raises CalledProcessError."""
    folders = {f"XDG_{name}_HOME": str(scratch / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}
    environment = {**os.environ, **folders, "FTSTUDIO_PROJECTS": str(scratch)}
    command = [sys.executable, "-m", "ftstudio", *arguments]
    return subprocess.run(command, cwd=scratch, env=environment, check=True, text=True, capture_output=True).stdout


def training(scratch: Path, settings: list[str], steps: int) -> float:
    """Tokens a second of a short run."""
    sets = [f"--set={s}" for s in (*settings, f"trainer.max_steps={steps}", "trainer.eval_strategy=no")]
    quiet = ["--set=generator.prompts=[]", "--set=trainer.eval_steps=1000000", "--set=dataset.validation_fraction=0"]
    return float(json.loads(ftstudio(scratch, "run", "lab", "--json", *sets, *quiet))["metrics"]["tokens_per_second"])


def looking(scratch: Path, arguments: list[str]) -> float:
    """Seconds of a command."""
    started = time.perf_counter()
    ftstudio(scratch, *arguments)
    return time.perf_counter() - started


def main() -> None:
    """Run all cases in turn, `--rounds` times, and print the best of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    wanted = parser.parse_args()
    speeds: dict[str, list[float]] = {name: [] for name in TRAINING}
    seconds: dict[str, list[float]] = {name: [] for name in LOOKING}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        ftstudio(scratch, "new", "lab", "--from", "shakespeare", "--root", str(scratch))
        for number in range(wanted.rounds):
            print(f"round {number + 1} of {wanted.rounds}", file=sys.stderr)
            for name, settings in TRAINING.items():
                speeds[name].append(training(scratch, settings, wanted.steps))
            for name, arguments in LOOKING.items():
                seconds[name].append(looking(scratch, arguments))
    for name, found in speeds.items():
        print(f"{name:<16} {max(found):>9,.0f} tokens/s")
    for name, found in seconds.items():
        print(f"{name:<16} {min(found):>9.2f} s")


if __name__ == "__main__":
    main()
