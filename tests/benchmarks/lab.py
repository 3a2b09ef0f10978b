"""What trainers are compared on: GPT-2 at its own size with random weights, rows of real text, and peers in processes.

Every trainer gets the same rows: ftstudio tokenises them, and its cache is what the peers read. They come in the same
order, but for TRL's, which packs them in an order of its own: its losses can be compared with none but themselves.
"""

import itertools
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import tomlkit

from ftstudio.process import heavy

PEERS = Path(__file__).parent / "peers"
ENVIRONMENTS = Path("build/benchmarks/environments")
PARAMETERS = 123_653_376
"""Of GPT-2 without its positions, as the rule of 6 N counts."""

_PLAYS = Path("projects/shakespeare/plays.txt").resolve()
_PROJECT = """
format = 1
name = "lab"
[model]
use = "hub"
name = "{model}"
[dataset]
use = "text"
path = "{data}"
[tokenizer]
use = "pretrained"
[trainer]
use = "native"
train_sampling_strategy = "sequential"
learning_rate = 3e-4
logging_steps = 1
[generator]
use = "sample"
"""
_SAVE = """
import sys, torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel
folder, tokenizer, blocks, width = sys.argv[1:]
torch.manual_seed(0)
shape = {"n_layer": int(blocks), "n_embd": int(width), "n_head": int(width) // 64}
GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=0, **shape)).save_pretrained(folder)
AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
"""


def flops_a_token(length: int) -> float:
    """6 N + 12 L H Q T of GPT-2, forward and backward, for rows of `length` tokens."""
    return 6 * PARAMETERS + 12 * 12 * 12 * 64 * length


class Lab:
    """A folder with GPT-2's weights, a project on real text, and state of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folders = {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}
        self.environment = {**os.environ, **folders, "HF_HUB_OFFLINE": "1"}
        self.gpt2 = self.model(12, 768)
        (folder / "lab").mkdir()

    def model(self, blocks: int, width: int) -> Path:
        """The folder of a GPT-2 of that many blocks, with its vocabulary and random weights."""
        folder = self.folder / f"gpt2-{blocks}-{width}"
        starter = Path("plugins/ftstudio_models/starter_gpt2").resolve()
        command = [sys.executable, "-c", _SAVE, folder, starter, str(blocks), str(width)]
        subprocess.run(command, check=True, capture_output=True)
        return folder

    def ftstudio(self, *arguments: str) -> str:
        """What a command prints; its failure is one here."""
        command = [sys.executable, "-m", "ftstudio", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, check=True, text=True, capture_output=True
        )
        return done.stdout

    def run(self, settings: dict, *, without: tuple[str, ...] = ()) -> Path:
        """The folder of a run of the project with these settings laid over it."""
        project = tomlkit.parse(_PROJECT.format(model=self.gpt2, data=_PLAYS))
        for name in without:
            table, _, key = name.partition(".")
            project[table].pop(key)
        for name, value in settings.items():
            table, _, key = name.partition(".")
            project[table][key] = value
        (self.folder / "lab" / "project.toml").write_text(tomlkit.dumps(project))
        told = json.loads(self.ftstudio("run", "lab", "--json"))
        return self.folder / "lab" / "runs" / told["run"].rpartition(":")[2]

    def losses(self, settings: dict) -> dict[int, float]:
        """Of such a run: the loss of each step."""
        return {event["step"]: event["metrics"]["loss"] for event in _logged(self.run(settings))}

    def trained(self, settings: dict) -> dict:
        """Of such a run: real tokens a second, the losses by step, the peak of memory."""
        events = _logged(self.run(settings))
        rates = [event["metrics"]["tokens_per_second"] for event in events[min(2, len(events) - 1) :]]
        return {
            "tokens/s": float(np.median(rates)),
            "peak GB": events[-1]["metrics"]["peak_memory_bytes"] / 1e9,
            **{f"loss {event['step']}": event["metrics"]["loss"] for event in events if event["step"] in SHOWN},
        }

    def rows(self, settings: dict) -> Path:
        """The rows that a run with these settings trains on, as a file for the peers."""
        path = self.folder / f"rows-{abs(hash(json.dumps(settings)))}.npz"
        before = set(self._tokens())
        self.trained({**settings, "trainer.max_steps": 3})
        (cache,) = set(self._tokens()) - before
        script = (
            "import sys, datasets, numpy as np; t = datasets.Dataset.from_file(sys.argv[1]).with_format('numpy')\n"
            "ids, labels = (np.concatenate(list(t[name])) for name in ('input_ids', 'labels'))\n"
            "starts = np.cumsum([0, *(len(row) for row in t['input_ids'])])\n"
            "np.savez(sys.argv[2], ids=ids, labels=labels, starts=starts)"
        )
        subprocess.run([sys.executable, "-c", script, cache, path], check=True, capture_output=True)
        return path

    def _tokens(self) -> list[Path]:
        return sorted((self.folder / "cache").rglob("rows.arrow"))

    def peer(self, script: str, rows: Path, **work: object) -> dict:
        """What a peer measured of itself on these rows."""
        answer = self.peer_says(script, rows=str(rows), **work)
        seconds, losses = answer["seconds"], answer["losses"]
        return {
            "tokens/s": answer["tokens"] / len(seconds) / float(np.median(seconds[2:])),
            "peak GB": answer["peak_bytes"] / 1e9,
            **{f"loss {step}": losses[step - 1] for step in SHOWN if step <= len(losses)},
        }

    def peer_says(self, script: str, *, as_ours: bool = False, **work: object) -> dict:
        """The answer of a peer's script to this work; `as_ours`: started with the settings of our own workers."""
        told = {"model": str(self.gpt2), "learning_rate": 3e-4, "threads": os.cpu_count(), **work}
        file = self.folder / "work.json"
        file.write_text(json.dumps(told))
        python = environment("trl", "trl==1.16.0") if script == "sft" else Path(sys.executable)
        done = subprocess.run(
            [python, PEERS / f"{script}.py", file], check=True, text=True, capture_output=True,
            env={**heavy.environment(), **self.environment} if as_ours else self.environment,
        )  # fmt: skip
        return json.loads(done.stdout.splitlines()[-1])


def events_of(run: Path) -> list[dict]:
    """All events of a run."""
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def phases(run: Path, began: float) -> dict[str, float]:
    """Seconds of each phase of a run that was asked for at `began`, by its events; what comes after its last step is its
    checkpoint's until the next phase.
    """
    events = events_of(run)
    last = max((event for event in events if event["kind"] == "metrics"), key=lambda event: event["t"])
    marks = [("until its worker runs", began), ("the checkpoint", last["t"]), ("", events[-1]["t"])]
    marks = sorted([*marks, *((e["name"], e["t"]) for e in events if e["kind"] == "phase")], key=lambda mark: mark[1])
    took: dict[str, float] = {}
    for (name, begin), (_, end) in itertools.pairwise(marks):
        took[name] = took.get(name, 0.0) + end - begin
    return {f"s of {name}": value for name, value in took.items()}


def _logged(run: Path) -> list[dict]:
    return [event for event in events_of(run) if event["kind"] == "metrics" and "loss" in event["metrics"]]


SHOWN = (1, 5, 10, 20, 50, 100)
"""Steps whose loss is told."""


def environment(name: str, *packages: str) -> Path:
    """The interpreter of an environment that has this one's packages and these, without what they would change."""
    folder = (ENVIRONMENTS / name).resolve()
    python = folder / "bin" / "python"
    if not (folder / "made").is_file():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        site = folder / "lib" / version / "site-packages"
        (site / "beneath.pth").write_text(sysconfig.get_path("purelib") + "\n")
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), *packages]
        subprocess.run(install, check=True, capture_output=True, text=True)
        (folder / "made").touch()
    return python


def matmul_rate(dtype: str, size: int = 4096) -> float:
    """GFLOP/s of a square product in a process of its own: the fourth best of twelve."""
    script = (
        "import time, torch\n"
        f"a, b = (torch.randn({size}, {size}).to(torch.{dtype}) for _ in range(2))\n"
        "times = []\n"
        "for _ in range(12):\n"
        "    start = time.perf_counter(); a @ b; times.append(time.perf_counter() - start)\n"
        f"print(2 * {size} ** 3 / sorted(times)[3] / 1e9)"
    )
    return float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)
