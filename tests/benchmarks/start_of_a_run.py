"""From the command to the first finished step of GPT-2 (124M), beside importing torch and the model's class alone.

Memory is touched while torch is imported (ftstudio/process/memory_ahead.py). The phases are by the run's events: torch and transformers
are imported within "fetching the model" (with the hash of its weights) and "tokenising"; beside them the command and its supervisor
take 0.5 s, datasets with pandas 0.5, the model 0.9, read into memory of its own and probed for the fast way, and the first step 0.6.
These four alone are 2.5 s, where the goal leaves 1.8.
"""

import time

from tests.benchmarks.harness import Benchmark, Goal, program, seconds
from tests.benchmarks.lab import Lab, events_of, phases


def prepare(folder):
    lab = Lab(folder)
    settings = {
        "dataset.split_by": "blank_line", "tokenizer.max_length": 64, "trainer.per_device_train_batch_size": 2,
        "trainer.max_steps": 1,
    }  # fmt: skip

    def first_step():
        began = time.time()
        run = lab.run(settings)
        first = next(event["t"] for event in events_of(run) if event["kind"] == "metrics")
        ended = ("s of the checkpoint", "s of writing", "s of sampling")
        return {"s": first - began} | {
            name: took for name, took in phases(run, began).items() if not name.startswith(ended)
        }

    imports = program("-c", "import torch; from transformers import GPT2LMHeadModel")
    return {"imports alone": lambda: {"s": seconds(imports)}, "first step": first_step}


def goals(medians):
    yield Goal("first step to imports", medians["first step: s"] / medians["imports alone: s"], 1.5)


BENCHMARK = Benchmark(prepare, goals, unit="as named", rounds=5)
