"""Runs made by hand: the files that a supervisor and a worker would leave, with checkpoints that verify."""

import json

from ftstudio.files import write_toml
from ftstudio.project import load
from ftstudio.runs import checkpoints
from ftstudio.runs.record import create_run


def made(
    folder, state="finished", *, losses=(3.0, 2.0), overrides=(), steps=(), best=None, optimizer=0, data="d", **values
):
    """A run of a project: a loss a step, committed checkpoints at `steps` with `optimizer` bytes of state each."""
    run = create_run(load(folder, overrides), ["test"])
    write_toml(run.state, {"state": state, "attempt": 1, "host": "gpu03", "boot_id": "b", **values})
    write_toml(run.inputs, {"data": {"fingerprint": data, "shape": "text"}, "model": {"name": "m", "revision": "r"}})
    lines = []
    for step, loss in enumerate(losses, start=1):
        lines.append({"kind": "progress", "step": None, "done": step, "total": len(losses), "unit": "step"})
        lines.append({"kind": "metrics", "step": step, "metrics": {"loss": loss}})
    run.events.write_text("".join(json.dumps({"t": 1.0 + i, "attempt": 1, **e}) + "\n" for i, e in enumerate(lines)))
    for step in steps:
        commit(run, step, best=step == best, optimizer=optimizer)
    return run


def commit(run, step, *, best=False, optimizer=0):
    """A checkpoint of a run, committed as a worker would."""
    draft = checkpoints.stage(run.checkpoints, step)
    (draft.path / "config.json").write_text("{}")
    (draft.path / "model.safetensors").write_bytes(b"w" * 20_000)
    if optimizer:
        (draft.path / "optimizer.pt").write_bytes(b"o" * optimizer)
    return checkpoints.commit(draft, step, metrics={}, best=best, shape="text", base=None).path
