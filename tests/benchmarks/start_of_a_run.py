"""From the command to the first finished step of GPT-2 (124M), beside importing torch and the model's class alone.

Memory is touched while torch is imported (ftstudio/process/memory_ahead.py). Of what comes on top of the imports, by the events of a
run: 0.6 s until the worker runs (command, supervisor), 0.4 s to load the data (datasets, pandas), 0.7 s the first step. The rest, 0.9 s,
is the tokenizer, the hash of the weights, and the model, read into memory of its own and probed for the fast way.
"""

import json
import time

from tests.benchmarks.harness import Benchmark, Goal, program, seconds
from tests.benchmarks.lab import Lab


def prepare(folder):
    lab = Lab(folder)
    settings = {
        "dataset.split_by": "blank_line", "tokenizer.max_length": 64, "trainer.per_device_train_batch_size": 2,
        "trainer.max_steps": 1,
    }  # fmt: skip

    def first_step():
        began = time.time()
        run = lab.run(settings)
        events = map(json.loads, (run / "events.jsonl").read_text().splitlines())
        return next(event["t"] for event in events if event["kind"] == "metrics") - began

    imports = program("-c", "import torch; from transformers import GPT2LMHeadModel")
    return {"imports alone": lambda: seconds(imports), "first step": first_step}


def goals(medians):
    yield Goal("first step to imports", medians["first step"] / medians["imports alone"], 1.5)


BENCHMARK = Benchmark(prepare, goals, rounds=5)
