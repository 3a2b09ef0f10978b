"""Training GPT-2 (124M) on short rows, a speech and its answer, packed and not, beside TRL packed.

Rows are pairs of neighbouring speeches of the plays, the short ones, so that their median is some 50 tokens.
"""

from pathlib import Path

import numpy as np

from tests.benchmarks.harness import Benchmark, Goal
from tests.benchmarks.lab import Lab

STEPS = 10
ROOM = 256
"""Tokens of a packed row."""
_LONGEST = 260
"""Characters of a pair."""


def _pairs(path: str) -> str:
    speeches = Path(path).read_text().strip().split("\n\n")
    pairs = (f"{speech}\n{answer}" for speech, answer in zip(speeches[::2], speeches[1::2], strict=False))
    return "\n\n".join(pair for pair in pairs if len(pair) <= _LONGEST)


def prepare(folder):
    lab = Lab(folder)
    data = folder / "pairs.txt"
    data.write_text(_pairs("projects/shakespeare/plays.txt"))
    settings = {
        "dataset.path": str(data), "dataset.split_by": "blank_line", "tokenizer.max_length": ROOM, "trainer.max_steps": STEPS,
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
