"""The models that a run has: its committed checkpoints, and the finished one."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from ftstudio.errors import InputError
from ftstudio.files import read_toml
from ftstudio.runs.checkpoints import best_of, list_checkpoints, read_manifest
from ftstudio.runs.folder import RunFolder


@dataclass(frozen=True)
class RunModel:
    """A folder with a model of a run. `step` is None for the finished one."""

    run: RunFolder
    folder: Path
    step: int | None
    best: bool = False

    @property
    def title(self) -> str:
        """How sentences call it: "poetry:0007 at 1,200, best"."""
        if self.step is None:
            return f"{self.run.title}, finished"
        return f"{self.run.title} at {self.step:,}{', best' if self.best else ''}"


def models_of(run: RunFolder) -> list[RunModel]:
    """The models of a run, the one to look at first first: the finished one, then the newest checkpoints."""
    best = best_of(run.checkpoints)
    found = [RunModel(run, path, int(path.name), path == best) for path in reversed(list_checkpoints(run.checkpoints))]
    return [RunModel(run, run.final, None), *found] if run.final.is_dir() else found


def model_of(run: RunFolder, step: int | None) -> RunModel:
    """The model of a step; of none: the finished one, or the newest checkpoint. Raises InputError."""
    found = models_of(run)
    if step is None and found:
        return found[0]
    if step is None:
        raise InputError(
            f"{run.title} has no model yet: neither final/ nor a checkpoint.", "Wait for its first checkpoint."
        )
    for model in found:
        if model.step == step:
            return model
    steps = ", ".join(str(m.step) for m in reversed(found) if m.step is not None)
    raise InputError(f"{run.title} has no checkpoint {step}.", f"It has: {steps}." if steps else "It has none.")


def shape_of_run(run: RunFolder) -> str:
    """The shape of the rows that a run trains on; "text" where that is not known yet."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return str(read_toml(run.inputs)["data"]["shape"])
    with contextlib.suppress(OSError, ValueError, IndexError):
        return read_manifest(list_checkpoints(run.checkpoints)[-1]).shape
    return "text"
