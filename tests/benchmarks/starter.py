"""Training the starter (4 million parameters, its own weights) on dense rows of 256 tokens, beside its peers."""

from pathlib import Path

from tests.benchmarks.dense_text import PEERS
from tests.benchmarks.harness import Benchmark, Goal
from tests.benchmarks.lab import Lab

STEPS = 20
_STARTER = Path("plugins/ftstudio_models/starter_gpt2").resolve()


def prepare(folder):
    lab = Lab(folder)
    settings = {
        "model.name": str(_STARTER), "dataset.split_by": "document", "tokenizer.max_length": 256,
        "trainer.per_device_train_batch_size": 8, "trainer.max_steps": STEPS,
    }  # fmt: skip
    rows = lab.rows(settings)
    work = {"model": str(_STARTER), "batch_size": 8, "steps": STEPS, "dropout": 0.0, "packed": 256}
    return {"native": lambda: lab.trained(settings)} | {
        name: lambda script=script, more=more: lab.peer(script, rows, **work, **more)
        for name, (script, more) in PEERS.items()
    }


def goals(medians):
    own = medians["native: tokens/s"]
    for name, value in medians.items():
        peer, _, measured = name.partition(": ")
        if measured == "tokens/s" and peer != "native":
            yield Goal(f"native to {peer}", own / value, 1.0, at_least=True)


BENCHMARK = Benchmark(prepare, goals, unit="as named", rounds=3, warm=False)
