"""Tokenising, packing and caching 100 MB of text beside datasets.map with the same tokenizer; again; and 1 GB.

Both make a row of each line, some fourteen tokens; packing is ours alone, and is counted. Memory is what processes hold themselves,
with their children: pages of the files that they map, Arrow's, are the system's to take back. Tokens are all tokens of all
rows; ours end each row with one more. Tokenising is the same library's work on both sides; the rest is how rows get from it to a file.
What grows with the data when rows are packed is what has to say how long each row is and where it is packed: 8 bytes a row, and as
many a bin (kit/token_rows.py, kit/bins.py). Lines are the shortest rows that text comes in: a gigabyte is 39 million of them, more
than 0.31 GB, and four million rows of 128 tokens, some 0.05 GB. The goal would leave 2 bytes a line.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.harness import Benchmark, Goal

SIZES = {"100 MB": 10**8, "1 GB": 10**9}
_PLAYS = Path("projects/shakespeare/plays.txt").resolve()
_STARTER = Path("plugins/ftstudio_models/starter_gpt2").resolve()
_WATCH = """
import json, os, pathlib, sys, threading, time

most = 0
def held(pid):
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    own = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")), 0)
    return own + sum(map(held, children))
def watch():
    global most
    while True:
        most = max(most, held(os.getpid()))
        time.sleep(0.1)
threading.Thread(target=watch, daemon=True).start()
"""
_OWN = """
from pathlib import Path
import ftstudio_datasets.text, ftstudio_tokenizers.pretrained
from ftstudio.api import ModelRef
from ftstudio.testing import FakeRun
from ftstudio_kit.bins import pack
from ftstudio_kit.token_rows import Rows
from ftstudio_datasets.options import TextOptions
from ftstudio_tokenizers.options import PretrainedOptions

run = FakeRun(Path(sys.argv[3]))
began = time.perf_counter()
data = ftstudio_datasets.text.Text(TextOptions(path=(sys.argv[1],), split_by="line")).load(run)
tokenizer = ftstudio_tokenizers.pretrained.Pretrained(PretrainedOptions(max_length=256))
encoded = tokenizer.encode(data, ModelRef(Path(sys.argv[2]), weights=True, name="starter"), run)
told = {"s": time.perf_counter() - began, "peak GB": most / 1e6}
rows = Rows.of(encoded.train)
pack(rows.lengths, 256, 0)
told |= {"s with packing": time.perf_counter() - began, "million tokens": rows.lengths.sum() / 1e6}
time.sleep(0.2)  # until memory was looked at once more
told |= {"peak GB with packing": most / 1e6, "million rows": len(rows) / 1e6}
print(json.dumps(told))
"""
_MAP = """
import os
from datasets import load_dataset
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])
began = time.perf_counter()
rows = load_dataset("text", data_files=sys.argv[1], split="train", cache_dir=sys.argv[3])
rows = rows.map(lambda some: {"input_ids": tokenizer(some["text"])["input_ids"]}, batched=True, remove_columns="text",
                num_proc=os.cpu_count())
took = time.perf_counter() - began
tokens = sum(len(part.flatten()) for part in rows.data.column("input_ids").chunks)
print(json.dumps({"s": took, "peak GB": most / 1e6, "million tokens": tokens / 1e6}))
"""


def prepare(folder):
    plays = _PLAYS.read_bytes()
    for name, size in SIZES.items():
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
        return json.loads(done.stdout.splitlines()[-1])

    return {
        "datasets.map, 100 MB": lambda: took(_MAP, "100 MB"),
        "ftstudio, 100 MB": lambda: took(_OWN, "100 MB"),
        "ftstudio, 100 MB again": lambda: took(_OWN, "100 MB", again=True),
        "ftstudio, 1 GB": lambda: took(_OWN, "1 GB"),
    }


def goals(medians):
    ratio = medians["datasets.map, 100 MB: s"] / medians["ftstudio, 100 MB: s with packing"]
    yield Goal("datasets.map's time to ftstudio's with packing, 100 MB", ratio, 1.0, at_least=True)
    yield Goal("again from the cache, with packing, seconds", medians["ftstudio, 100 MB again: s with packing"], 1.0)
    for what, limit in (("peak GB", 1.2), ("peak GB with packing", 1.2), ("s with packing", 11)):
        grown = medians[f"ftstudio, 1 GB: {what}"] / medians[f"ftstudio, 100 MB: {what}"]
        yield Goal(f"{what}, 1 GB to 100 MB", grown, limit)


BENCHMARK = Benchmark(prepare, goals, unit="as named", rounds=2, warm=False)
