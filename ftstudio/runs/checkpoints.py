"""Checkpoints: committed folders. Staged beside the target, fsynced, manifest last, then one rename.

    checkpoints/.000100.4711-ab12cd.staging/    being written (see `staging`); nobody reads it
    checkpoints/000100/                         committed: MANIFEST.json (see `manifest`) holds size and sha256 of all
    quarantine/000100-.../                      found damaged; kept, with the reason beside it, never deleted by us

A folder without a manifest that verifies is no checkpoint. Order is by step, never by a clock. Rotation comes after
the commit and leaves two that verify, and the best.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ftstudio.api import Checkpoint, ContractError, ModelRef
from ftstudio.errors import InputError
from ftstudio.explain import explained, named
from ftstudio.files import fsync_folder, refuse_symlinks, write_atomic
from ftstudio.runs import staging
from ftstudio.runs.manifest import (
    MANIFEST,
    Manifest,
    forget,
    mark_best,
    read_manifest,
    verify,
    versions,
    write_manifest,
)
from ftstudio.text import quote, size_text

__all__ = [
    "KEPT", "MANIFEST", "Manifest", "StagedDraft", "best_of", "check_best", "check_content", "clean", "commit",
    "list_checkpoints", "newest", "open_checkpoint", "read_manifest", "rotate", "sound", "stage", "verify", "versions",
]  # fmt: skip

KEPT = 2
"""Checkpoints that verify and that rotation always leaves: the newest may turn out damaged."""
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


# ------------------------------------------------------------------------------------------------ commit


def stage(checkpoints: Path, step: int, *, like: Path | None = None, planned: int = 0) -> StagedDraft:
    """Make the staging folder for a step, when there is room for a checkpoint like the newest one.

    Where there is none yet, `like` is a checkpoint to go by, and without it `planned` the bytes that one will take.
    Raises InputError for a symbolic link, InterruptedRunError when the run's folder is gone, OSError (ENOSPC, saying
    what is needed and free).
    """
    refuse_symlinks(checkpoints, checkpoints.parent)
    try:
        with named(checkpoints):
            if not checkpoints.is_dir():
                checkpoints.mkdir()
                fsync_folder(checkpoints.parent)
    except FileNotFoundError:
        raise staging.gone(checkpoints.parent) from None
    _ask_for_space(checkpoints, _size_of([*([like] if like else []), *list_checkpoints(checkpoints)]) or planned)
    return StagedDraft(staging.make(checkpoints / f"{step:06d}"))


def _size_of(folders: list[Path]) -> int:
    """Bytes of the last of some checkpoints whose manifest can be read, or 0."""
    for folder in reversed(folders):
        with contextlib.suppress(ValueError, InputError):
            return read_manifest(folder).bytes
    return 0


def _ask_for_space(folder: Path, needed: int) -> None:
    """A quota is not asked for here: where there is one, the write itself says so."""
    info = os.statvfs(folder)
    free = info.f_bavail * info.f_frsize
    if info.f_blocks and free < needed:  # some file systems tell nothing: all zero
        said = f"a checkpoint takes {size_text(needed)}, and {size_text(free)} are free"
        raise OSError(errno.ENOSPC, said, str(folder))


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
    """Make a staged checkpoint durable and give it its name; a commit of this step by an earlier attempt goes last.

    Raises OSError naming the file; the staging folder is then removed and all earlier commits are as they were.
    """
    target = draft.path.parent / f"{step:06d}"
    try:
        write_manifest(draft.path, step, metrics=metrics, best=best, shape=shape, base=base)
        staging.put_in_place(draft.path, target)
    except BaseException:
        staging.discard(draft.path)
        raise
    draft.committed = Checkpoint(path=target, step=step, base=base, metrics=dict(metrics), shape=shape)
    return draft.committed


def rotate(checkpoints: Path, quarantine: Path, limit: int) -> list[str]:
    """Delete the oldest checkpoints beyond `limit` (never the last two that verify, never the best).

    Returns a sentence for each damaged one that was found and set aside. Raises OSError.
    """
    said = check_best(checkpoints, quarantine)
    good: list[Path] = []
    best: Path | None = None
    doomed: list[Path] = []
    for folder in reversed([p for p in list_checkpoints(checkpoints) if not p.is_symlink()]):
        try:
            first_best = read_manifest(folder).best and best is None
            if len(good) >= max(KEPT, limit) and not first_best:
                doomed.append(folder)
                continue
            verify(folder, again=False)
            good.append(folder)
            best = folder if first_best else best
        except ValueError as error:
            said.append(_set_aside(folder, quarantine, str(error)))
        except InputError:  # of another version, or not for us to read: neither counted nor deleted
            continue
    for folder in doomed:
        forget(folder)
        with named(folder):
            staging.delete(folder)
    return said


def clean(checkpoints: Path) -> None:
    """Finish or undo what a crash left of a run's checkpoints and of its final/. Only the holder of the run's lock may
    call this. Raises InputError for a symbolic link, OSError.
    """
    refuse_symlinks(checkpoints, checkpoints.parent)
    for folder in (checkpoints, checkpoints.parent):
        with named(folder):
            staging.settle(folder)


# -------------------------------------------------------------------------------------------------- read


def list_checkpoints(checkpoints: Path) -> list[Path]:
    """The committed folders by step, oldest first; damaged ones are among them. Raises InputError."""
    try:
        with explained(checkpoints):
            found = [p for p in checkpoints.iterdir() if _STEP.match(p.name) and p.is_dir()]
    except InputError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return []
        raise
    return sorted(found, key=lambda p: int(p.name))


def open_checkpoint(folder: Path) -> Checkpoint:
    """A committed checkpoint as components see it.

    Raises ValueError with the reason when it is damaged, InputError when its format is unknown or it may not be read.
    """
    manifest = verify(folder)
    return Checkpoint(
        path=folder, step=manifest.step, base=manifest.base, metrics=manifest.metrics, shape=manifest.shape
    )


def best_of(checkpoints: Path) -> Path | None:
    """The checkpoint that was committed as the best so far last."""
    for folder in reversed(list_checkpoints(checkpoints)):
        with contextlib.suppress(ValueError, InputError):
            if read_manifest(folder).best:
                return folder
    return None


def newest(checkpoints: Path, quarantine: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that can be resumed, and a sentence for each newer one that cannot.

    One that does not verify is set aside; one whose optimizer state was dropped is passed over. Raises InputError when
    none is left but such, and when one that would be used has an unknown format, or may not be read.
    """
    said: list[str] = []
    passed_over = 0
    for folder in reversed(list_checkpoints(checkpoints)):
        try:
            found = open_checkpoint(folder)
            if not read_manifest(folder).dropped:
                return found, said
        except ValueError as error:
            said.append(_set_aside(folder, quarantine, str(error)))
        else:
            passed_over += 1
            said.append(f"Checkpoint {found.step} has no optimizer state any more: it was passed over.")
    if passed_over:
        raise InputError(
            "No checkpoint of this run can be resumed: their optimizer state was dropped.",
            "Start a new run from one: --from RUN:STEP --weights-only, in the studio a fork, with ctrl+w.",
        )
    return None, said


def check_best(checkpoints: Path, quarantine: Path, *, lost: bool = False) -> list[str]:
    """Look whether the best checkpoint verifies, hashing nothing that this process hashed before.

    A damaged one is set aside, and of those that verify the one with the lowest eval_loss takes its place; so it does
    when the best is `lost` already. Returns a sentence for each. Raises InputError, OSError.
    """
    said: list[str] = []
    for folder in reversed([p for p in list_checkpoints(checkpoints) if not p.is_symlink()]):
        try:
            if read_manifest(folder).best:
                verify(folder, again=False)
                break
        except ValueError as error:
            said.append(_set_aside(folder, quarantine, str(error)))
        except InputError:  # of another version, or not for us to read
            continue
    return said + (_mark_lowest(checkpoints, quarantine) if said or lost else [])


def _mark_lowest(checkpoints: Path, quarantine: Path) -> list[str]:
    """Mark the checkpoint of the lowest eval_loss among those that verify as the best, unless it is that already."""
    said: list[str] = []
    scores: list[tuple[float, Path]] = []
    for folder in list_checkpoints(checkpoints):
        with contextlib.suppress(ValueError, InputError, KeyError):
            scores.append((read_manifest(folder).metrics["eval_loss"], folder))
    for _, folder in sorted(pair for pair in scores if not math.isnan(pair[0])):
        try:
            if not verify(folder, again=False).best:
                mark_best(folder)
                said.append(f"The best checkpoint that is left is that of step {int(folder.name)}.")
            break
        except ValueError as error:
            said.append(_set_aside(folder, quarantine, str(error)))
    return said


def sound(result: Checkpoint, quarantine: Path) -> tuple[Checkpoint, list[str]]:
    """A committed checkpoint when it verifies, else it is set aside and another takes its place: of the newest the one
    before, of another one the best that is left. And what is to be said. Raises InputError when none is left, OSError.
    """
    try:
        verify(result.path, again=False)
    except ValueError as error:
        reason = str(error)
    else:
        return result, []
    checkpoints = result.path.parent
    was_newest = not any(int(folder.name) > result.step for folder in list_checkpoints(checkpoints))
    said = [_set_aside(result.path, quarantine, reason)] if result.path.is_dir() else []
    said += check_best(checkpoints, quarantine, lost=True)
    best = None if was_newest else best_of(checkpoints)
    for folder in [*([best] if best else []), *reversed(list_checkpoints(checkpoints))]:
        try:
            found = verify(folder, again=False)
        except ValueError as error:
            said.append(_set_aside(folder, quarantine, str(error)))
        else:
            said.append(f"The result is checkpoint {found.step} instead.")
            return replace(result, path=folder, step=found.step, metrics=found.metrics), said
    raise InputError(
        f"Checkpoint {result.step}, with which training ended, is damaged, and no other one verifies.",
        "Resume the run: it starts at the beginning.",
    )


def _set_aside(folder: Path, quarantine: Path, reason: str) -> str:
    """Move a damaged checkpoint to the quarantine, the reason first, and say so. Raises InputError, OSError."""
    refuse_symlinks(quarantine, quarantine.parent)
    place = quarantine / f"{folder.name}-{secrets.token_hex(3)}"
    with named(place):
        quarantine.mkdir(exist_ok=True)
        write_atomic(quarantine / f"{place.name}.reason.txt", reason + "\n")
        folder.rename(place)
        for parent in (quarantine, folder.parent):
            fsync_folder(parent)
    return f"Checkpoint {int(folder.name)} is damaged: {reason}. It was moved to {quote(place, 200)}."
