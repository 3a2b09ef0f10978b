"""Folders of projects and runs as ftstudio writes them, made in moments: what benchmarks read."""

import json
import os
import random
import socket
from pathlib import Path

from ftstudio.files import toml_text
from ftstudio.runs.state import boot_id

START = 1_790_000_000.0
PROJECT = {
    "format": 1,
    "model": {"use": "starter"},
    "dataset": {"use": "inline", "texts": ["one", "two"]},
    "tokenizer": {"use": "pretrained"},
    "trainer": {"use": "native"},
    "generator": {"use": "sample", "prompts": ["AI research is important because"]},
}
TRAINING = ("learning_rate", "grad_norm", "tokens", "tokens_per_second", "epoch", "peak_memory_bytes", "perplexity")


def line(t, kind, step=None, attempt=1, **data):
    return json.dumps({"t": t, "attempt": attempt, "kind": kind, "step": step, **data}, separators=(",", ":")) + "\n"


def metrics_lines(count, metrics=8, seed=0, start=START):
    """Training metrics, one line a step."""
    rng = random.Random(seed)
    names = ("loss", *TRAINING[: metrics - 1])
    for step in range(1, count + 1):
        values = {name: rng.random() for name in names}
        values["loss"] += 3.0
        yield line(start + step / 10, "metrics", step, metrics=values)


def run_lines(steps, seed, start=START):
    """The whole life of a finished run."""
    yield line(start, "state", state="running", devices=["cpu"])
    for phase in ("fetching the model", "loading the data", "tokenising"):
        yield line(start, "phase", name=phase)
    yield line(start, "phase", name="training")
    for step, metrics in enumerate(metrics_lines(steps, 5, seed, start), start=1):
        yield metrics
        if step % 3 == 0 or step == steps:
            yield line(start + step / 10, "progress", done=step, total=steps, unit="step")
    yield line(start + steps, "metrics", steps, metrics={"eval_loss": 3.1, "perplexity": 22.2})
    yield line(start + steps, "checkpoint", steps, path=f"{steps:06d}", best=False, metrics={"eval_loss": 3.1})
    yield line(start + steps, "phase", name="sampling")
    for model in ("base", "final"):
        yield line(start + steps, "sample", steps, prompt="AI research", text="is important " * 40, model=model)
    yield line(start + steps, "state", state="finished", reason="", exit_code=0)


def make_run(folder: Path, lines, state="finished", record=None):
    folder.mkdir(parents=True)
    (folder / "run.toml").write_text(toml_text({"format": 1, "created": START, "settings": record or PROJECT}))
    (folder / "state.toml").write_text(
        toml_text({
            "state": state, "reason": "", "attempt": 1, "pid": os.getpid(), "started": START,
            "boot_id": boot_id(), "host": socket.gethostname(), "device": "cpu", "ended": START + 100, "exit_code": 0,
        })
    )  # fmt: skip
    with (folder / "events.jsonl").open("w") as file:
        file.writelines(lines)
    return folder


def make_projects(root: Path, projects: int, runs: int, steps: int):
    """Projects with finished runs: `projects` times `runs`, of `steps` steps each."""
    for number in range(projects):
        folder = root / f"project-{number:03d}"
        folder.mkdir(parents=True)
        (folder / "project.toml").write_text(toml_text(PROJECT))
        for index in range(1, runs + 1):
            make_run(folder / "runs" / f"{index:04d}", run_lines(steps, number * runs + index))
    return root
