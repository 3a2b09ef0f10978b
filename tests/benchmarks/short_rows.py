"""Training GPT-2 (124M) on short rows, questions and answers of some 40 tokens, packed and not, beside TRL packed."""

import numpy as np

from tests.benchmarks.harness import Benchmark, Goal
from tests.benchmarks.lab import Lab

STEPS = 10
ROOM = 256
"""Tokens of a packed row."""


def prepare(folder):
    lab = Lab(folder)
    settings = {
        "dataset.split_by": "blank_line", "tokenizer.max_length": ROOM, "trainer.max_steps": STEPS,
        "trainer.dropout": 0.0,
    }  # fmt: skip
    rows = lab.rows(settings)
    packed = {**settings, "trainer.per_device_train_batch_size": 4, "trainer.packing": True}
    single = {**settings, "trainer.per_device_train_batch_size": 16}
    work = {"steps": STEPS, "dropout": 0.0, "packed": ROOM}
    median = float(np.median(np.diff(np.load(rows)["starts"])))
    return {
        "native packed": lambda: {
            **lab.trained({**packed, "trainer.packing_length": ROOM}),
            "median tokens of a row": median,
        },
        "native, 16 rows a batch": lambda: lab.trained(single),
        "TRL packed bf16": lambda: lab.peer("sft", rows, batch_size=4, **work),
        "Trainer bf16, 16 rows a batch": lambda: lab.peer("trainer", rows, batch_size=16, bf16=True, **work),
    }


def goals(medians):
    own, peer = medians["native packed: tokens/s"], medians["TRL packed bf16: tokens/s"]
    yield Goal("native packed to TRL packed, real tokens a second", own / peer, 2.5, at_least=True)


BENCHMARK = Benchmark(prepare, goals, unit="as named", rounds=2, warm=False)
