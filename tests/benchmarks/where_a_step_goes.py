"""Where the time of a step of the native trainer goes, GPT-2 (124M), by torch's profiler, for batches of several kinds.

Each operation's own time, without what it calls; "all" is a step by the clock. The operations are those of the trainer's
own way through the model and of its optimizer, in this order: forward, loss, backward, norm, AdamW, copies refreshed.
"""

import json
import subprocess
import sys

from ftstudio.process import heavy
from tests.benchmarks.harness import Benchmark
from tests.benchmarks.lab import Lab

_STEPS = """
import json, sys, time
from pathlib import Path
import numpy as np, torch
from torch.profiler import ProfilerActivity, profile
from ftstudio.api import ModelRef
from ftstudio_kit.batching import join
from ftstudio_kit.token_rows import Rows
from ftstudio_kit.lean import way_through
from ftstudio_kit.loading import leave_file, load_model
from ftstudio_kit.matrices import gradient_norm

folder, dropout, rows, length, steps = sys.argv[1], float(sys.argv[2]), *map(int, sys.argv[3:])
model = load_model(ModelRef(Path(folder), weights=True, name="gpt2"), dropout=dropout)
leave_file(model)
way = way_through(model, "cpu", bf16=True)
assert way.flat
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
parameters = list(model.parameters())
ids = np.random.default_rng(0).integers(0, 50257, rows * length).astype(np.int32)
batch = join(Rows([(ids, ids)], np.full(rows, length)), [(row,) for row in range(rows)])
model.train()

def step():
    way.learn(batch, 1 / batch.trained)
    optimizer.grad_scale = gradient_norm([p.grad for p in parameters]).clamp(min=1.0)
    optimizer.step()
    way.clear(parameters)
    way.refresh()

for _ in range(4):
    step()
began = time.perf_counter()
for _ in range(steps):
    step()
took = {"all": 1000 * (time.perf_counter() - began) / steps}
with profile(activities=[ProfilerActivity.CPU]) as watched:
    for _ in range(steps):
        step()
found = sorted(watched.key_averages(), key=lambda one: -one.self_cpu_time_total)
took.update({one.key: one.self_cpu_time_total / 1000 / steps for one in found[:14]})
print(json.dumps(took))
"""


def prepare(folder):
    lab = Lab(folder)

    def steps(rows, length, dropout=0.0):
        command = [sys.executable, "-c", _STEPS, lab.gpt2, dropout, rows, length, 8]
        done = subprocess.run(
            [str(word) for word in command], env=heavy.environment(), check=True, text=True, capture_output=True
        )
        return json.loads(done.stdout.splitlines()[-1])

    return {
        "4 rows of 256": lambda: steps(4, 256), "4 rows of 256, dropout 0.1": lambda: steps(4, 256, 0.1),
        "1 row of 1,024": lambda: steps(1, 1024), "2 rows of 15": lambda: steps(2, 15),
    }  # fmt: skip


BENCHMARK = Benchmark(prepare, unit="ms a step", rounds=1, warm=False)
