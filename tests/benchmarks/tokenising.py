"""Tokenising, joining and caching 100 MB of text beside datasets.map with the same tokenizer; again; and 1 GB.

Memory is what the process itself holds: pages of the files that it maps, Arrow's, are the system's to take back.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.harness import Benchmark, Goal

_PLAYS = Path("projects/shakespeare/plays.txt").resolve()
_STARTER = Path("plugins/ftstudio_models/starter_gpt2").resolve()
_WATCH = """
import json, sys, threading, time

most = 0
def watch():
    global most
    while True:
        with open("/proc/self/status") as file:
            most = max(most, next(int(line.split()[1]) for line in file if line.startswith("RssAnon")))
        time.sleep(0.1)
threading.Thread(target=watch, daemon=True).start()
"""
_OWN = """
from pathlib import Path
import ftstudio_datasets.text, ftstudio_tokenizers.pretrained
from ftstudio.api import ModelRef
from ftstudio.testing import FakeRun
from ftstudio_datasets.options import TextOptions
from ftstudio_tokenizers.options import PretrainedOptions

run = FakeRun(Path(sys.argv[3]))
began = time.perf_counter()
data = ftstudio_datasets.text.Text(TextOptions(path=(sys.argv[1],))).load(run)
tokenizer = ftstudio_tokenizers.pretrained.Pretrained(PretrainedOptions(max_length=256))
rows = tokenizer.encode(data, ModelRef(Path(sys.argv[2]), weights=True, name="starter"), run)
print(json.dumps([time.perf_counter() - began, most / 1e6]))
"""
_MAP = """
import os
from datasets import load_dataset
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])
began = time.perf_counter()
rows = load_dataset("text", data_files=sys.argv[1], split="train", cache_dir=sys.argv[3])
rows.map(lambda some: {"input_ids": tokenizer(some["text"])["input_ids"]}, batched=True, remove_columns="text",
         num_proc=os.cpu_count())
print(json.dumps([time.perf_counter() - began, most / 1e6]))
"""


def prepare(folder):
    plays = _PLAYS.read_bytes()
    sizes = {"100 MB": 10**8, "1 GB": 10**9}
    for name, size in sizes.items():
        with (folder / name).open("wb") as file:
            for number in range(size // len(plays) + 1):  # each time other lines: equal ones would be found in a cache
                file.write(plays.replace(b"\n", b" %d\n" % number))
    count = 0

    def took(script, name, *, again=False):
        nonlocal count
        count += not again
        scratch = folder / f"scratch-{count}"
        environment = {
            **os.environ,
            "XDG_CACHE_HOME": str(scratch),
            "HF_HOME": str(scratch),
            "TOKENIZERS_PARALLELISM": "true",
        }
        done = subprocess.run(
            [sys.executable, "-c", _WATCH + script, folder / name, _STARTER, scratch],
            check=True, text=True, capture_output=True, env=environment,
        )  # fmt: skip
        time_taken, peak = json.loads(done.stdout.splitlines()[-1])
        return {"s": time_taken, "peak GB": peak}

    return {
        "datasets.map, 100 MB": lambda: took(_MAP, "100 MB"),
        "ftstudio, 100 MB": lambda: took(_OWN, "100 MB"),
        "ftstudio, 100 MB again": lambda: took(_OWN, "100 MB", again=True),
        "ftstudio, 1 GB": lambda: took(_OWN, "1 GB"),
    }


def goals(medians):
    ratio = medians["datasets.map, 100 MB: s"] / medians["ftstudio, 100 MB: s"]
    yield Goal("datasets.map's time to ftstudio's, 100 MB", ratio, 1.0, at_least=True)
    yield Goal("again from the cache, seconds", medians["ftstudio, 100 MB again: s"], 1.0)
    grown = medians["ftstudio, 1 GB: peak GB"] / medians["ftstudio, 100 MB: peak GB"]
    yield Goal("peak of memory, 1 GB to 100 MB", grown, 1.2)
    yield Goal("time, 1 GB to 100 MB", medians["ftstudio, 1 GB: s"] / medians["ftstudio, 100 MB: s"], 11)


BENCHMARK = Benchmark(prepare, goals, unit="as named", rounds=2, warm=False)
