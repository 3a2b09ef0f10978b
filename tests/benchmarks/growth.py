"""What the native trainer's time and memory grow with: rows in a batch, tokens in a row, the size of the model.

Growth in data is in tokenising. A batch of twice the rows should take no more time a token, rows of twice the length
only attention's share more, a larger model no more time a parameter than a smaller one.
"""

import itertools

from tests.benchmarks.harness import Benchmark, Goal
from tests.benchmarks.lab import Lab

STEPS = 6
BATCHES = (1, 2, 4, 8, 16)
LENGTHS = (64, 128, 256, 512, 1024)
TOKENS = 2048
"""In a batch where rows grow."""
MODELS = {"39 million": (4, 512), "51 million": (8, 512), "124 million": (12, 768)}
"""Blocks and width of models with GPT-2's vocabulary."""


def prepare(folder):
    lab = Lab(folder)
    models = {name: lab.model(*shape) if shape != (12, 768) else lab.gpt2 for name, shape in MODELS.items()}

    def trained(length, batch, **more):
        return lab.trained({
            "dataset.split_by": "document", "tokenizer.max_length": length, "trainer.dropout": 0.0,
            "trainer.per_device_train_batch_size": batch, "trainer.max_steps": STEPS, **more,
        })  # fmt: skip

    def measured(found):
        return {"ms a token": 1000 / found["tokens/s"], "peak GB": found["peak GB"]}

    return (
        {f"batch of {size}": lambda size=size: measured(trained(128, size)) for size in BATCHES}
        | {f"rows of {n}": lambda n=n: measured(trained(n, TOKENS // n)) for n in LENGTHS}
        | {
            name: lambda path=path: measured(trained(256, 4, **{"model.name": str(path)}))
            for name, path in models.items()
        }
    )


def goals(medians):
    def times(one, other, measure="ms a token"):
        return medians[f"{one}: {measure}"] / medians[f"{other}: {measure}"]

    for small, large in itertools.pairwise(BATCHES):
        yield Goal(f"time a token, batch of {large} to {small}", times(f"batch of {large}", f"batch of {small}"), 1.1)
        peak = times(f"batch of {large}", f"batch of {small}", "peak GB")
        yield Goal(f"peak of memory, batch of {large} to {small}", peak, 2)
    yield Goal("time a token, rows of 1024 to 64", times("rows of 1024", "rows of 64"), 1.5)
    yield Goal("peak of memory, rows of 1024 to 64", times("rows of 1024", "rows of 64", "peak GB"), 1.5)
    small, _, large = MODELS
    yield Goal("peak of memory, 124 million parameters to 39 million", times(large, small, "peak GB"), 124 / 39)
    yield Goal("time a token, 124 million parameters to 39 million", times(large, small), 124 / 39)


BENCHMARK = Benchmark(prepare, goals, unit="as named", rounds=1, warm=False)
