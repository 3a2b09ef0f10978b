"""Checkpoints: committed folders. Staged beside the target, fsynced, manifest last, then one rename.

    checkpoints/.000100.4711.staging/   being written; nobody reads it
    checkpoints/000100/                 committed: MANIFEST.json holds size and sha256 of every file
    quarantine/000100-.../              found damaged; kept with the reason, never deleted by us

A folder without a manifest that verifies is no checkpoint. Rotation goes by step, after the commit.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftstudio.api import Checkpoint, ContractError, ModelRef
from ftstudio.files import fsync_folder, quote, write_atomic

MANIFEST = "MANIFEST.json"
FORMAT = 1
_STEP = re.compile(r"[0-9]{6,}\Z")


@dataclass
class StagedDraft:
    """The `Draft` that a trainer writes into."""

    path: Path
    committed: Checkpoint | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The committed checkpoint. Raises ContractError before the context was left."""
        if self.committed is None:
            raise ContractError("draft.checkpoint was read before the checkpoint was committed.")
        return self.committed


@dataclass(frozen=True)
class Manifest:
    """MANIFEST.json, read."""

    step: int
    files: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, float] = field(default_factory=dict)
    best: bool = False
    shape: str = "text"
    base: ModelRef | None = None
    t: float = 0.0

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(int(f["size"]) for f in self.files.values())


def stage(checkpoints: Path, step: int) -> StagedDraft:
    """Make the staging folder for a step."""
    checkpoints.mkdir(parents=True, exist_ok=True)
    path = checkpoints / f".{step:06d}.{os.getpid()}-{secrets.token_hex(3)}.staging"
    path.mkdir()
    return StagedDraft(path)


def check_content(folder: Path, who: str) -> None:
    """Raise ContractError when a staged folder has no config or no weights."""
    weights = [*folder.glob("*.safetensors")]
    models = [p for p in weights if p.name.startswith(("model", "adapter_model"))]
    configs = [folder / name for name in ("config.json", "adapter_config.json") if (folder / name).is_file()]
    if not models or not configs:
        missing = "config.json" if not configs else "model.safetensors or adapter_model.safetensors"
        found = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
        raise ContractError(f"{who} wrote a checkpoint without {missing}; it holds {found}.")


def commit(
    draft: StagedDraft,
    step: int,
    *,
    metrics: Mapping[str, float],
    best: bool,
    shape: str,
    base: ModelRef | None,
) -> Checkpoint:
    """Make a staged checkpoint durable and give it its name. Raises OSError; the staging folder is then removed."""
    target = draft.path.parent / f"{step:06d}"
    try:
        manifest = {
            "format": FORMAT,
            "step": step,
            "t": time.time(),
            "best": best,
            "shape": shape,
            "metrics": {k: v if math.isfinite(v) else str(v) for k, v in metrics.items()},
            "base": _base_table(base),
            "versions": versions(),
            "files": _hash_and_sync(draft.path),
        }
        write_atomic(draft.path / MANIFEST, json.dumps(manifest, indent=1) + "\n")
        _put_in_place(draft.path, target)
    except BaseException:
        shutil.rmtree(draft.path, ignore_errors=True)
        raise
    draft.committed = Checkpoint(path=target, step=step, base=base, metrics=dict(metrics), shape=shape)
    return draft.committed


def versions() -> dict[str, str]:
    """Versions of what computes, as they are installed here; what is not installed is left out."""
    found = {}
    for name in ("ftstudio", "torch", "transformers", "datasets", "tokenizers", "peft"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _put_in_place(staged: Path, target: Path) -> None:
    """Rename into place; a commit of the same step by an earlier attempt makes room first, and goes last."""
    old = None
    if target.exists():
        old = target.with_name(f".{target.name}.{secrets.token_hex(3)}.replaced")
        target.rename(old)
    staged.rename(target)
    fsync_folder(target.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _hash_and_sync(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of every file, each made durable, and the folders that hold them."""
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fsync(descriptor)
            with os.fdopen(os.dup(descriptor), "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            files[str(path.relative_to(folder))] = {"size": os.fstat(descriptor).st_size, "sha256": digest}
        finally:
            os.close(descriptor)
    for inner in [folder, *(p for p in folder.rglob("*") if p.is_dir())]:
        fsync_folder(inner)
    return files


def _base_table(base: ModelRef | None) -> dict[str, Any] | None:
    if base is None:
        return None
    return {"path": str(base.path), "weights": base.weights, "name": base.name, "revision": base.revision}


# -------------------------------------------------------------------------------------------------- read


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint. Raises ValueError with the reason when there is none that can be read."""
    try:
        raw = json.loads((folder / MANIFEST).read_bytes())
        if raw["format"] != FORMAT:
            raise ValueError(f"its format {raw['format']!r} is unknown")
        base = raw.get("base")
        return Manifest(
            step=int(raw["step"]),
            files=dict(raw["files"]),
            metrics={k: float(v) for k, v in raw.get("metrics", {}).items()},
            best=bool(raw.get("best")),
            shape=str(raw.get("shape", "text")),
            base=ModelRef(Path(base["path"]), bool(base["weights"]), base["name"], base["revision"]) if base else None,
            t=float(raw.get("t", 0.0)),
        )
    except FileNotFoundError:
        raise ValueError(f"it has no {MANIFEST}") from None
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its {MANIFEST} cannot be read: {error}") from error


def verify(folder: Path) -> Manifest:
    """Compare every file of a checkpoint with its manifest. Raises ValueError naming the first that differs."""
    manifest = read_manifest(folder)
    for name, expected in manifest.files.items():
        path = folder / name
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size != expected["size"]:
                    raise ValueError(f"{name} has {size:,} bytes instead of {expected['size']:,}")
                if hashlib.file_digest(file, "sha256").hexdigest() != expected["sha256"]:
                    raise ValueError(f"{name} is not what was written: its sha256 differs")
        except OSError as error:
            raise ValueError(f"{name} cannot be read: {error.strerror}") from error
    return manifest


def list_checkpoints(checkpoints: Path) -> list[Path]:
    """The committed folders by step, oldest first; damaged ones are among them."""
    try:
        found = [p for p in checkpoints.iterdir() if _STEP.match(p.name) and p.is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda p: int(p.name))


def open_checkpoint(folder: Path) -> Checkpoint:
    """A committed checkpoint as components see it. Raises ValueError with the reason when it is damaged."""
    manifest = verify(folder)
    return Checkpoint(
        path=folder, step=manifest.step, base=manifest.base, metrics=manifest.metrics, shape=manifest.shape
    )


def best_of(checkpoints: Path) -> Path | None:
    """The checkpoint that was committed as the best so far last."""
    for folder in reversed(list_checkpoints(checkpoints)):
        with contextlib.suppress(ValueError):
            if read_manifest(folder).best:
                return folder
    return None


def newest(checkpoints: Path, quarantine: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that verifies, and a sentence for each newer one that did not and was set aside."""
    said: list[str] = []
    for folder in reversed(list_checkpoints(checkpoints)):
        try:
            return open_checkpoint(folder), said
        except ValueError as error:
            place = set_aside(folder, quarantine, str(error))
            said.append(f"Checkpoint {int(folder.name)} is damaged: {error}. It was moved to {quote(place, 200)}.")
    return None, said


def set_aside(folder: Path, quarantine: Path, reason: str) -> Path:
    """Move a damaged checkpoint to the quarantine, with the reason beside it."""
    quarantine.mkdir(exist_ok=True)
    place = quarantine / f"{folder.name}-{secrets.token_hex(3)}"
    folder.rename(place)
    write_atomic(quarantine / f"{place.name}.reason.txt", reason + "\n")
    return place


def rotate(checkpoints: Path, limit: int) -> list[Path]:
    """Delete the oldest checkpoints beyond `limit` (at least 1), never the best, and return what was deleted."""
    folders = list_checkpoints(checkpoints)
    best = best_of(checkpoints)
    doomed = [f for f in folders[: -max(1, limit)] if f != best]
    for folder in doomed:
        gone = folder.with_name(f".{folder.name}.{secrets.token_hex(3)}.rotated")
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    return doomed


def clean(checkpoints: Path) -> None:
    """Remove what a crash left behind. Only the holder of the run's lock may call this."""
    if not checkpoints.is_dir():
        return
    for folder in checkpoints.iterdir():
        if not folder.name.startswith("."):
            continue
        target = checkpoints / folder.name.split(".")[1]
        if folder.name.endswith(".replaced") and not target.exists():
            folder.rename(target)  # the crash came between the two renames: the old commit of this step is good
        elif folder.name.endswith((".staging", ".rotated", ".replaced")):
            shutil.rmtree(folder, ignore_errors=True)
