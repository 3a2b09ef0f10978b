"""Making room in a run that is at rest: deleting checkpoints, dropping optimizer state.

Whoever changes a run's files holds its lock (`at_rest`), so no attempt can start meanwhile. Whatever interrupts a
prune leaves a valid run: a checkpoint is renamed away before it is deleted, and one that loses its optimizer state
gets a new manifest, which no longer lists those files, before they are deleted. What was to be kept and turns out to
be damaged is left where it is, and the newest checkpoint that verifies is only given up for another one that verifies.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ftstudio.errors import InputError
from ftstudio.explain import explained
from ftstudio.files import fsync_folder, refuse_symlinks
from ftstudio.locks import RecordLock, lock_holder
from ftstudio.runs import staging
from ftstudio.runs.checkpoints import best_of, clean, list_checkpoints, read_manifest, verify
from ftstudio.runs.disk import Meter, freed_by, is_optimizer, optimizer_files
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.manifest import forget, leave_out
from ftstudio.runs.status import LIVE, read_state
from ftstudio.text import quote


def why_busy(run: RunFolder) -> str:
    """Why a run's files must be left alone now, as a sentence; "" when it is at rest."""
    known = read_state(run)
    if known.state in LIVE:
        elsewhere = known.host not in {"", socket.gethostname()}
        return f"{run.title} is {known.state}" + (
            f" on {quote(known.host)}, as far as can be seen from here." if elsewhere else "."
        )
    holder = lock_holder(run.worker_lock) or lock_holder(run.lock)
    return f"{run.title} is in use by process {holder}." if holder is not None else ""


@contextlib.contextmanager
def at_rest(run: RunFolder) -> Iterator[None]:
    """Keep a run at rest. Raises InputError when it is live, in use, or maybe live on another host."""
    busy = why_busy(run)
    if busy:
        raise InputError(busy, "Wait for its end, or stop it first; nothing was changed.")
    lock = RecordLock(run.lock)
    with explained(run.path):
        taken = lock.acquire()
    if not taken:
        raise InputError(f"{run.title} was just taken by another process.", "Nothing was changed; try again.")
    try:
        yield
    finally:
        lock.release()


# -------------------------------------------------------------------------------------------------- prune


@dataclass(frozen=True)
class Keep:
    """Which checkpoints a prune leaves as they are."""

    best: bool = True
    last: bool = True
    steps: frozenset[int] = frozenset()


def parse_keep(text: str) -> Keep:
    """Read "best,last,400", or "none". Raises InputError."""
    words = [word.strip() for word in text.split(",")]
    if words == ["none"]:
        return Keep(best=False, last=False)
    named = {"best", "last"}
    for word in words:
        if word not in named and not (word.isascii() and word.isdigit() and len(word) < 19):
            raise InputError(
                f"{quote(word)} is nothing that --keep knows.", "Write best, last, steps as 400, or none: best,last."
            )
    return Keep("best" in words, "last" in words, frozenset(int(w) for w in words if w not in named))


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What a prune did, or would do. Sizes are bytes of the whole run; `freed` leaves out what is linked elsewhere."""

    run: RunFolder
    kept: tuple[int, ...]
    changed: tuple[int, ...]
    before: int
    after: int
    freed: int
    said: tuple[str, ...] = ()


@dataclass
class _Choice:
    """Which folders stay, which go, and what has to be said about it."""

    kept: set[Path] = field(default_factory=set)
    going: list[Path] = field(default_factory=list)
    damaged: set[Path] = field(default_factory=set)
    said: list[str] = field(default_factory=list)

    def is_good(self, folder: Path) -> bool:
        """Whether a checkpoint verifies; one that does not, or has an unknown format, is neither kept nor deleted."""
        if folder in self.damaged:
            return False
        try:
            verify(folder)
        except (ValueError, InputError) as error:
            self.damaged.add(folder)
            self.said.append(f"Checkpoint {int(folder.name)} was left where it is: {str(error).rstrip('.')}.")
            return False
        return True


def prune(run: RunFolder, keep: Keep, *, drop_optimizer: bool = False, dry_run: bool = False) -> Pruned:
    """Delete the checkpoints of a run that `keep` does not name, or only drop their optimizer state.

    Raises InputError when the run is not at rest, when it has no such step, or when a path is a symbolic link.
    """
    with at_rest(run), explained(run.checkpoints):
        refuse_symlinks(run.checkpoints, run.project)
        before, freed = Meter().add(run.path), freed_by(_left_over(run))
        if not dry_run:
            clean(run.checkpoints)
        choice = _choose(run, keep, at_least_one=not drop_optimizer)
        going = [f for f in choice.going if _has_optimizer(f)] if drop_optimizer else choice.going
        freed += freed_by(p for f in going for p in (optimizer_files(f) if drop_optimizer else [f]))
        for folder in [] if dry_run else going:
            drop_optimizer_state(folder) if drop_optimizer else _delete(folder)
        return Pruned(
            run=run,
            kept=tuple(sorted(int(f.name) for f in choice.kept)),
            changed=tuple(int(f.name) for f in going),
            before=before,
            after=before - freed if dry_run else Meter().add(run.path),
            freed=freed,
            said=tuple(choice.said),
        )


def _choose(run: RunFolder, keep: Keep, *, at_least_one: bool) -> _Choice:
    folders, choice = list_checkpoints(run.checkpoints), _Choice()
    by_step = {int(f.name): f for f in folders}
    unknown = sorted(keep.steps - by_step.keys())
    if unknown:
        have = ", ".join(map(str, sorted(by_step)[-8:])) or "none"
        raise InputError(f"{run.title} has no checkpoint {unknown[0]}.", f"It has: {have}.")
    for folder in folders:
        refuse_symlinks(folder, run.project)
    newest = next((f for f in reversed(folders) if choice.is_good(f)), None)
    if newest is None:
        return choice  # nothing verifies: whatever is left may still be worth something to a person
    wanted = {by_step[step] for step in keep.steps}
    best = best_of(run.checkpoints) if keep.best else None
    choice.kept = {f for f in sorted(wanted | ({best} if best else set())) if choice.is_good(f)}
    if keep.last or (at_least_one and not choice.kept):
        choice.kept.add(newest)
    choice.going = [f for f in folders if f not in choice.kept and f not in choice.damaged]
    return choice


def _left_over(run: RunFolder) -> list[Path]:
    """What `clean` will remove: staging of a crash, and deletions that were interrupted."""
    if not run.checkpoints.is_dir():
        return []
    return [p for p in run.checkpoints.iterdir() if p.name.startswith(".") and p.suffix != ".replaced"]


def _has_optimizer(folder: Path) -> bool:
    """Whether there is optimizer state that can be dropped, which needs a manifest to take it out of."""
    with contextlib.suppress(ValueError, InputError):
        read_manifest(folder)
        return bool(optimizer_files(folder))
    return False


def _delete(folder: Path) -> None:
    """Delete a checkpoint; from the first rename on it is none any more, and `clean` would finish the rest."""
    forget(folder)
    staging.delete(folder)


def drop_optimizer_state(folder: Path) -> None:
    """Delete the optimizer state of a checkpoint, which still verifies at every moment of it.

    It can be sampled from and be the start of a new run, but not be resumed; `dropped` in its manifest says so.
    Raises ValueError when there is no manifest that can be read, InputError for an unknown format, OSError.
    """
    leave_out(folder, is_optimizer)
    for path in optimizer_files(folder):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    fsync_folder(folder)
