"""The tutorial's ten sentences on GPT-2 (124M): the whole pipeline to sampled text, and training alone, beside its script.

A step here has 30 tokens: what it costs is GPT-2's 124 million weights, not its text. Of 0.26 s (profile: where_a_step_goes) AdamW
takes 0.07 (28 bytes a weight at 50 GB/s), products 0.08, most of them gradients of weights, which are written in float32, copies
of weights into bfloat16 0.04, the norm 0.02, small operations the rest. Fifteen steps of AdamW and copies alone are 1.7 s
of the 3.0 that the goal leaves.
The seconds of each phase are by the run's events: the imports of torch and transformers, 3.6 s by themselves, are within the first
four. A checkpoint of 1.5 GB takes 4.8 s: 3.0 to write it into memory that a virtual machine gives for the first time (a second one
takes 0.4), 0.7 until the disk has it, 0.9 its hashes; the script writes one, too, but waits for no disk. These two
alone are 8.4 s, where the goal leaves 7.7. The base is sampled as well as the result, where the script samples its result alone.
Ours also learns where each text ends, 30 tokens that the script masks: so the mean losses differ.
"""

import statistics
import time
import tomllib
from pathlib import Path

from tests.benchmarks.harness import Benchmark, Goal
from tests.benchmarks.lab import Lab, events_of, phases


def prepare(folder):
    lab = Lab(folder)
    tutorial = tomllib.loads(Path("projects/tutorial/project.toml").read_text())
    texts, prompt = tutorial["dataset"]["texts"], tutorial["generator"]["prompts"][0]
    settings = {
        "dataset.use": "inline", "dataset.texts": texts, "tokenizer.max_length": 128, "trainer.num_train_epochs": 3,
        "trainer.per_device_train_batch_size": 2, "trainer.weight_decay": 0.01, "trainer.learning_rate": 5e-5,
        "generator.prompts": [prompt], "generator.max_length": 50, "generator.do_sample": True, "generator.temperature": 0.7,
    }  # fmt: skip

    def own():
        began = time.time()
        run = lab.run(settings, without=("dataset.path",))
        whole, events = time.time() - began, events_of(run)
        begin = next(e["t"] for e in events if e["kind"] == "phase" and e["name"] == "training")
        logged = [e for e in events if e["kind"] == "metrics"]
        last = logged[-1]
        training = last["t"] - begin
        return {
            "whole": whole, "training": training, "tokens/s in training": last["metrics"]["tokens"] / training,
            "peak GB": last["metrics"]["peak_memory_bytes"] / 1e9, "mean loss": statistics.mean(e["metrics"]["loss"] for e in logged),
            **phases(run, began),
        }  # fmt: skip

    def script():
        told = lab.peer_says("tutorial", texts=texts, prompt=prompt)
        return {
            "whole": told["whole"], "training": told["training"], "tokens/s in training": told["tokens"] / told["training"],
            "peak GB": told["peak_bytes"] / 1e9, "mean loss": told["loss"],
        }  # fmt: skip

    return {"its script": script, "ftstudio": own}


def goals(medians):
    yield Goal(
        "whole pipeline, its script to ftstudio", medians["its script: whole"] / medians["ftstudio: whole"], 4,
        at_least=True,
    )  # fmt: skip
    yield Goal(
        "training alone, its script to ftstudio", medians["its script: training"] / medians["ftstudio: training"], 7,
        at_least=True,
    )  # fmt: skip


BENCHMARK = Benchmark(prepare, goals, unit="s, or as named", rounds=3)
