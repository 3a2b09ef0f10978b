"""What a process keeps between its jobs: generators with their models, and tokenised data.

An errand keeps it for its one job, a workbench until it is idle. What is kept is found by all that it was made of: a
checkpoint that was written again, a setting, a data file that changed make it anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftstudio.api import Checkpoint, ComponentError, ModelRef
from ftstudio.process.calling import built, call
from ftstudio.process.data import Prepared
from ftstudio.process.listing import Listing
from ftstudio.process.stages import base_model, tokenise
from ftstudio.process.worker_run import WorkerRun
from ftstudio.project import Project
from ftstudio.runs import measured
from ftstudio.runs.checkpoints import MANIFEST, open_checkpoint
from ftstudio.text import quote

GENERATORS = 2
"""Models held at one time: one before and one after, side by side."""


@dataclass
class _Kept:
    generator: Any
    options: Any


@dataclass(frozen=True)
class _Model:
    """What a generator's model was made of. `checkpoint` without its metrics, which are no part of the model."""

    use: str
    checkpoint: str
    device: str
    written: int


class Warm:
    """Generators and tokenised data, the last used ones."""

    def __init__(self) -> None:
        self._generators: dict[_Model, _Kept] = {}
        self._listing: tuple[str, Listing] | None = None
        self._bases: dict[str, ModelRef] = {}
        self._opened: dict[tuple[Path, int], Checkpoint] = {}

    @property
    def devices(self) -> frozenset[str]:
        """Where models are held, in torch's words."""
        return frozenset(model.device for model in self._generators)

    def generator(self, project: Project, checkpoint: Checkpoint, device: str) -> Any:
        """The generator of a checkpoint, with the project's options: the one that is there, changed, or a new one."""
        use, options = project.parts["generator"].use, project.parts["generator"].options
        named = repr(dataclasses.replace(checkpoint, metrics={}))
        model = _Model(use, named, device, _written(checkpoint.path))
        kept = self._generators.pop(model, None)
        if kept is not None and kept.options != options:
            if hasattr(kept.generator, "change"):
                call(project.offer("generator"), "change()", kept.generator.change, options)
                kept.options = options
            else:
                _close(kept)
                kept = None
        if kept is None:
            while len(self._generators) >= GENERATORS:
                _close(self._generators.pop(next(iter(self._generators))))
            kept = _Kept(built(project, "generator"), options)
        self._generators[model] = kept
        return kept.generator

    def base(self, project: Project, run: WorkerRun) -> ModelRef:
        """The project's model before fine-tuning, fetched once."""
        part = project.parts["model"]
        key = repr((project.folder, part.use, part.options))
        if key not in self._bases:
            self._bases[key] = base_model(project, run)
        return self._bases[key]

    def checkpoint(self, folder: Path, shape: str) -> Checkpoint:
        """A checkpoint, verified once, or a folder with a model. Raises ComponentError when it is damaged."""
        if not (folder / MANIFEST).is_file():
            if not folder.is_dir():
                raise ComponentError(f"There is no {quote(folder, 200)} any more.", "Choose another model.")
            return Checkpoint(folder, 0, shape=shape)
        key = (folder, _written(folder))
        if key not in self._opened:
            try:
                self._opened[key] = open_checkpoint(folder)
            except ValueError as error:
                raise ComponentError(f"Checkpoint {folder.name} is damaged: {error}.", "Choose another.") from error
        return self._opened[key]

    def listing(self, project: Project, run: WorkerRun, *, again: bool = False) -> Listing:
        """The tokenised rows of a project. `again` makes them anew whatever is kept."""
        key = measured.data_key(project)
        if again or self._listing is None or self._listing[0] != key:
            self._listing = None  # what is replaced need not lie in memory beside what comes
            prepared: Prepared = tokenise(project, run)
            self._listing = (key, Listing(prepared.encoded, run))
        return self._listing[1]

    def close(self) -> None:
        """Let go of all models."""
        while self._generators:
            _close(self._generators.popitem()[1])


def _close(kept: _Kept) -> None:
    with contextlib.suppress(Exception):  # it is let go of either way, and what comes next must not fail for it
        kept.generator.close()


def _written(folder: Path) -> int:
    """When a folder's model was written, in ns."""
    times = []
    for path in folder.glob("*.json"):
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime_ns)
    return max(times, default=0)
