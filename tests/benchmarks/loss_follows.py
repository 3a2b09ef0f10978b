"""The loss of the native trainer in bfloat16 beside Trainer's in float32: a hundred steps, same weights, same order."""

from tests.benchmarks.harness import Benchmark, Goal
from tests.benchmarks.lab import SHOWN, Lab

STEPS = 100


def prepare(folder):
    lab = Lab(folder)
    settings = {
        "dataset.split_by": "document", "tokenizer.max_length": 256, "trainer.per_device_train_batch_size": 4,
        "trainer.max_steps": STEPS, "trainer.dropout": 0.0,
    }  # fmt: skip
    rows = lab.rows(settings)
    work = {"batch_size": 4, "steps": STEPS, "dropout": 0.0, "bf16": False}
    own: dict[int, float] = {}

    def apart():
        theirs = lab.peer_says("trainer", rows=str(rows), **work)["losses"]
        return max(abs(own[step] / loss - 1) for step, loss in enumerate(theirs, start=1))

    def native():
        own.update(lab.losses(settings))
        return {f"loss {step}": own[step] for step in SHOWN}

    return {"native bf16": native, "Trainer fp32": lambda: {"farthest apart, as a share": apart()}}


def goals(medians):
    yield Goal("farthest apart of all steps", medians["Trainer fp32: farthest apart, as a share"], 0.01)


BENCHMARK = Benchmark(prepare, goals, unit="as named", rounds=1, warm=False)
