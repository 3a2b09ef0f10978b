"""LoRA beside full fine-tuning in the same trainer, GPT-2 (124M) on dense text: time and memory."""

from tests.benchmarks.harness import Benchmark, Goal
from tests.benchmarks.lab import Lab


def prepare(folder):
    lab = Lab(folder)
    settings = {
        "dataset.split_by": "document", "tokenizer.max_length": 256, "trainer.per_device_train_batch_size": 4,
        "trainer.max_steps": 12, "trainer.dropout": 0.0,
    }  # fmt: skip
    return {
        "full": lambda: lab.trained(settings),
        "LoRA, rank 8": lambda: lab.trained({**settings, "trainer.lora_rank": 8}),
    }


def goals(medians):
    full, lora = (lambda name: medians[f"full: {name}"]), (lambda name: medians[f"LoRA, rank 8: {name}"])
    yield Goal("LoRA to full, tokens a second", lora("tokens/s") / full("tokens/s"), 1.4, at_least=True)
    yield Goal("LoRA to full, peak of memory", lora("peak GB") / full("peak GB"), 0.5)


BENCHMARK = Benchmark(prepare, goals, unit="as named", rounds=2, warm=False)
