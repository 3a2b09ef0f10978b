"""Sampling from GPT-2 (124M), one text and eight at once, beside generate() in float32.

A token of one text costs reading every matrix: 11 ms in bfloat16 laid out once, 17 in float32. The other 9 ms are nearly the
same for both: a forward pass of many small operations, and drawing from 50,257 logits.
"""

import json
import subprocess
import sys

from ftstudio.process import heavy
from tests.benchmarks.harness import Benchmark, Goal
from tests.benchmarks.lab import Lab

TOKENS = 64
_SCRIPT = """
import json, sys, time
from pathlib import Path
import torch
from transformers import AutoTokenizer
from ftstudio.api import Checkpoint
from ftstudio.testing import FakeRun
from ftstudio_generators.options import SampleOptions
from ftstudio_generators.sample import Sample
from ftstudio_kit.loading import load_model

folder, who, texts, tokens = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
ids = AutoTokenizer.from_pretrained(folder)("My lord, the queen would speak with you, and presently.", return_tensors="pt")
if who == "generate":
    model = load_model(Checkpoint(folder, 0), dtype=torch.float32)
    def write():
        model.generate(**ids, do_sample=True, num_return_sequences=texts, max_new_tokens=tokens, min_new_tokens=tokens,
                       pad_token_id=0)
else:
    options = SampleOptions(do_sample=True, num_return_sequences=texts, max_new_tokens=tokens, min_new_tokens=tokens)
    sampler, run = Sample(options), FakeRun(Path(sys.argv[5]))
    def write():
        list(sampler.generate(Checkpoint(folder, 0), ["My lord, the queen would speak with you, and presently."], run))
write()
times = []
for _ in range(3):
    began = time.perf_counter(); write(); times.append(time.perf_counter() - began)
print(json.dumps(texts * tokens / sorted(times)[1]))
"""


def prepare(folder):
    lab = Lab(folder)

    def rate(who, texts):
        command = [sys.executable, "-c", _SCRIPT, lab.gpt2, who, str(texts), str(TOKENS), folder / "scratch"]
        kept = heavy.environment() if who == "sample" else {}  # as processes of ours that hold torch are started
        done = subprocess.run(command, check=True, text=True, capture_output=True, env=kept | lab.environment)
        return float(json.loads(done.stdout.splitlines()[-1]))

    return {
        f"{name}, {texts} at once": lambda who=who, texts=texts: rate(who, texts)
        for texts in (1, 8)
        for name, who in (("generate() in float32", "generate"), ("sample", "sample"))
    }


def goals(medians):
    for texts, limit in ((1, 1.4), (8, 2)):
        ratio = medians[f"sample, {texts} at once"] / medians[f"generate() in float32, {texts} at once"]
        yield Goal(f"sample to generate(), {texts} at once, tokens a second", ratio, limit, at_least=True)


BENCHMARK = Benchmark(prepare, goals, unit="tokens/s", rounds=3)
