"""The models that a run has: its committed checkpoints, and the finished one."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from ftstudio.errors import InputError
from ftstudio.files import read_toml
from ftstudio.runs.checkpoints import best_of, list_checkpoints, read_manifest
from ftstudio.runs.folder import RunFolder
from ftstudio.text import quote


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


def model_of(run: RunFolder, which: str = "") -> RunModel:
    """The model that a step, "best" or "last" means; "" the finished one, else the newest checkpoint.

    Raises InputError when there is none.
    """
    found = models_of(run)
    committed = [model for model in found if model.step is not None]
    if not which:
        if found:
            return found[0]
        raise InputError(
            f"{run.title} has no model yet: neither final/ nor a checkpoint.", "Wait for its first checkpoint."
        )
    for model in committed:
        meant = {"best": model.best, "last": model is committed[0]}
        if meant.get(which, which.isdecimal() and int(which) == model.step):
            return model
    steps = ", ".join(str(model.step) for model in reversed(committed))
    words = "best or last" if any(model.best for model in committed) else "last"
    raise InputError(
        f"{run.title} has no checkpoint {quote(which)}.",
        f"It has: {steps}; or say {words}." if steps else "It has none.",
    )


def shape_of_run(run: RunFolder) -> str:
    """The shape of the rows that a run trains on; "text" where that is not known yet."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return str(read_toml(run.inputs)["data"]["shape"])
    with contextlib.suppress(OSError, ValueError, IndexError):
        return read_manifest(list_checkpoints(run.checkpoints)[-1]).shape
    return "text"
