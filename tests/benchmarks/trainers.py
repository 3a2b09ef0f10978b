"""Training speed of both trainers on the starter and real text, packed and not, in tokens a second."""

import json
import os
import subprocess
import sys

from tests.benchmarks.harness import Benchmark

STEPS = 40
VARIANTS = {
    "native": ["trainer.use=native", "trainer.packing=false"],
    "native, packed": ["trainer.use=native", "trainer.packing=true"],
    "hf": ["trainer.use=hf", "trainer.packing=false"],
    "hf, packed": ["trainer.use=hf", "trainer.packing=true"],
}
SHORT = [
    f"trainer.max_steps={STEPS}",
    'trainer.eval_strategy="no"',
    "dataset.validation_fraction=0",
    "generator.prompts=[]",
]


def prepare(folder):
    folders = {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}
    environment = {**os.environ, **folders}

    def ftstudio(*arguments):
        command = [sys.executable, "-m", "ftstudio", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, check=True, text=True, capture_output=True)
        return done.stdout

    def speed(settings):
        sets = [f"--set={setting}" for setting in (*settings, *SHORT)]
        return float(json.loads(ftstudio("run", "lab", "--json", *sets))["metrics"]["tokens_per_second"])

    ftstudio("new", "lab", "--from", "shakespeare", "--root", str(folder))
    return {name: lambda settings=settings: speed(settings) for name, settings in VARIANTS.items()}


BENCHMARK = Benchmark(prepare, unit="tokens/s", rounds=3)
