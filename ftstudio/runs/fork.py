"""Forks: a new run that goes out from another run's checkpoint.

The checkpoint is copied into the new run as `origin/`, by hard links where the file system has them, so the parent may
be pruned, moved or deleted afterwards. run.toml holds the lineage.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftstudio.errors import InputError, UnknownNameError
from ftstudio.explain import explained
from ftstudio.files import copy_file, read_toml
from ftstudio.runs import staging
from ftstudio.runs.checkpoints import Manifest, best_of, list_checkpoints, verify
from ftstudio.runs.find import find_run, names_run
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.record import read_record
from ftstudio.text import quote

WEIGHTS_ONLY = "--weights-only, in the studio ctrl+w"
"""How a person says that of a checkpoint the weights alone are taken."""

WORDS = ("last", "best")


@dataclass(frozen=True)
class Parent:
    """A checkpoint to go out from, verified."""

    run: RunFolder
    folder: Path
    manifest: Manifest
    weights_only: bool = False

    @property
    def lineage(self) -> Mapping[str, Any]:
        """What run.toml says of it."""
        return {
            "run": self.run.title,
            "path": str(self.run.path),
            "step": self.manifest.step,
            "weights_only": self.weights_only,
            **self._trained_on(),
        }

    def _trained_on(self) -> Mapping[str, Any]:
        """The fingerprint of the data and the hashes of the base model that it was trained on, where they are known."""
        try:
            inputs = read_toml(self.run.inputs)
            return {"data": str(inputs["data"]["fingerprint"]), "base": dict(inputs["model"]["sha256"])}
        except (OSError, ValueError, KeyError, TypeError):
            return {}


def find_parent(text: str, root: Path, within: Path | None = None, *, weights_only: bool = False) -> Parent:
    """The checkpoint that RUN, RUN:STEP, RUN:best or RUN:last means; without a step the last.

    A number alone is that run of the project `within`.
    Raises UnknownNameError when there is none, InputError when it is damaged, or when its optimizer state was dropped
    and more than its weights is wanted.
    """
    run, which = _split(text, root, within)
    committed = list_checkpoints(run.checkpoints)
    if not committed:
        raise InputError(f"{run.title} has no checkpoint to go out from.", "Wait for its first one.")
    if which == "best":
        folder = _best(run, committed)
    elif which in {"", "last"}:
        folder = committed[-1]
    else:
        folder = _at_step(run, committed, which)
    try:
        manifest = verify(folder)
    except ValueError as error:
        raise InputError(
            f"Checkpoint {folder.name} of {run.title} is damaged: {error}.", "Name another one."
        ) from error
    if manifest.dropped and not weights_only:
        raise InputError(
            f"Checkpoint {manifest.step} of {run.title} has no optimizer state any more: nothing can go on from it.",
            f"Take only its weights ({WEIGHTS_ONLY}), or name another one.",
        )
    return Parent(run, folder, manifest, weights_only)


def _split(text: str, root: Path, within: Path | None) -> tuple[RunFolder, str]:
    """Run and step. A word that names a run as a whole has no step, so "poetry:0007" is one also where ./poetry is."""
    try:
        return find_run(text, root, within), ""
    except UnknownNameError:
        head, _, last = text.rpartition(":")
        of_project = last in WORDS or (last.isdigit() and not last.startswith("0"))  # 0009 is a run that is not there
        if head and (names_run(head) or of_project):
            return find_run(head, root, within), last
        raise


def _best(run: RunFolder, committed: list[Path]) -> Path:
    best = best_of(run.checkpoints)
    if best is None:
        raise UnknownNameError(f"{run.title} has no best checkpoint.", f"It has: {_steps(committed)}; or say last.")
    return best


def _at_step(run: RunFolder, committed: list[Path], which: str) -> Path:
    for folder in committed:
        if which.isdigit() and int(folder.name) == int(which):
            return folder
    raise UnknownNameError(
        f"{run.title} has no checkpoint {quote(which)}.", f"It has: {_steps(committed)}; or say best or last."
    )


def _steps(committed: list[Path]) -> str:
    return ", ".join(str(int(folder.name)) for folder in committed)


def copy_origin(parent: Parent, run: RunFolder) -> None:
    """Copy the parent's checkpoint into the new run. Raises InputError when it cannot be written."""
    with explained(run.origin):
        staged = staging.make(run.origin)
        for name in [*parent.manifest.files, "MANIFEST.json"]:
            target = staged / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(parent.folder / name, target, follow_symlinks=False)
            except OSError:
                copy_file(parent.folder / name, target)
        staging.sync(staged)
        staging.put_in_place(staged, run.origin)


def lineage_text(run: RunFolder) -> str:
    """Where a run came from, in words; "" for a run that started at the beginning. Raises InputError."""
    lineage = read_record(run).lineage
    if not lineage:
        return ""
    what = "the weights of " if lineage.get("weights_only") else ""
    return f"from {what}{lineage.get('run')} at step {lineage.get('step')}"
