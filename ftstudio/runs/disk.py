"""What projects and runs hold on the disk, by what it is for.

Sizes are bytes of content. A file with several hard links counts once, where it is met first: final/ shares its
weights with a checkpoint, so the checkpoint's figure is what it takes besides. Symbolic links are not followed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ftstudio.runs.checkpoints import best_of, list_checkpoints
from ftstudio.runs.find import list_runs
from ftstudio.runs.folder import RunFolder

TRASH = ".trash"
QUARANTINE = "quarantine"

What = Literal["final", "checkpoint", "origin", "quarantine", "logs", "other"]


@dataclass(frozen=True, kw_only=True)
class Held:
    """One thing that a run holds. `optimizer_bytes` is the part of `bytes` that only a resume needs."""

    what: What
    path: Path
    bytes: int
    step: int | None = None
    best: bool = False
    last: bool = False
    optimizer_bytes: int = 0

    def as_json(self) -> dict[str, Any]:
        """The value that `disk --json` prints for it."""
        return {**self.__dict__, "path": str(self.path)}


@dataclass(frozen=True, kw_only=True)
class RunUse:
    """What a run holds: the final model, checkpoints by step, a fork's origin, quarantine, logs, the rest."""

    run: RunFolder
    held: tuple[Held, ...]

    @property
    def bytes(self) -> int:
        """Size of all of it."""
        return sum(h.bytes for h in self.held)

    def of(self, what: What) -> int:
        """Size of all that is of one kind."""
        return sum(h.bytes for h in self.held if h.what == what)

    def as_json(self) -> dict[str, Any]:
        """The value that `disk --json` prints for a run."""
        parts = [h.as_json() for h in self.held]
        return {"run": self.run.name, "path": str(self.run.path), "bytes": self.bytes, "held": parts}


@dataclass(frozen=True, kw_only=True)
class ProjectUse:
    """What a project holds: its runs (largest first), its trash by name, its own files."""

    project: Path
    runs: tuple[RunUse, ...]
    trash: tuple[tuple[str, int], ...]
    files_bytes: int

    @property
    def bytes(self) -> int:
        """Size of all of it."""
        return sum(r.bytes for r in self.runs) + sum(size for _, size in self.trash) + self.files_bytes

    def as_json(self) -> dict[str, Any]:
        """The value that `disk --json` prints for a project."""
        return {
            "project": self.project.name,
            "path": str(self.project),
            "bytes": self.bytes,
            "runs": [r.as_json() for r in self.runs],
            "trash": [{"name": name, "bytes": size} for name, size in self.trash],
            "files_bytes": self.files_bytes,
        }


class Meter:
    """Adds up files, each inode once in the meter's life."""

    def __init__(self) -> None:
        self._met: set[tuple[int, int]] = set()

    def add(self, *paths: Path) -> int:
        """Bytes of the files in these places that were not met before."""
        total = 0
        for path in paths:
            for info in files_below(path):
                if (info.st_dev, info.st_ino) not in self._met:
                    self._met.add((info.st_dev, info.st_ino))
                    total += info.st_size
        return total


def files_below(path: Path) -> Iterator[os.stat_result]:
    """The status of a file, or of every file below a folder. What vanishes or may not be read is left out."""
    with contextlib.suppress(OSError):
        info = path.lstat()
        if not stat.S_ISDIR(info.st_mode):
            yield info
            return
    folders = [str(path)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        yield entry.stat(follow_symlinks=False)


def freed_by(paths: Iterable[Path]) -> int:
    """Bytes that deleting these files and folders frees: a file with a link elsewhere frees nothing."""
    links: dict[tuple[int, int], int] = {}
    freed = 0
    for path in paths:
        for info in files_below(path):
            inode = (info.st_dev, info.st_ino)
            links[inode] = links.get(inode, 0) + 1
            freed += info.st_size if links[inode] == info.st_nlink else 0
    return freed


def is_optimizer(name: str) -> bool:
    """Whether a file or folder of a checkpoint is optimizer state: what only a resume needs."""
    return name.startswith("optimizer")


def optimizer_files(checkpoint: Path) -> list[Path]:
    """The files and folders of a checkpoint that are optimizer state."""
    try:
        return sorted(p for p in checkpoint.iterdir() if is_optimizer(p.name))
    except OSError:
        return []


def run_use(run: RunFolder, meter: Meter | None = None) -> RunUse:
    """What a run holds. A meter that others used leaves out what was met there."""
    meter = meter or Meter()
    held = [Held(what="final", path=run.final, bytes=meter.add(run.final))]
    committed, best = list_checkpoints(run.checkpoints), best_of(run.checkpoints)
    for folder in committed:
        optimizer = meter.add(*optimizer_files(folder))
        held.append(
            Held(
                what="checkpoint",
                path=folder,
                bytes=optimizer + meter.add(folder),
                step=int(folder.name),
                best=folder == best,
                last=folder == committed[-1],
                optimizer_bytes=optimizer,
            )
        )
    quarantine = run.path / QUARANTINE
    held += [
        Held(what="origin", path=run.origin, bytes=meter.add(run.origin)),
        Held(what="quarantine", path=quarantine, bytes=meter.add(quarantine)),
        Held(what="logs", path=run.events, bytes=meter.add(run.events, run.console)),
        Held(what="other", path=run.path, bytes=meter.add(run.path)),
    ]
    return RunUse(run=run, held=tuple(held))


def project_use(project: Path, meter: Meter | None = None) -> ProjectUse:
    """What a project holds. A meter that others used leaves out what was met there."""
    meter = meter or Meter()
    runs = [run_use(run, meter) for run in list_runs(project)]
    trash = [(path.name, meter.add(path)) for path in in_trash(project)]
    return ProjectUse(
        project=project,
        runs=tuple(sorted(runs, key=lambda r: -r.bytes)),
        trash=tuple(sorted(trash, key=lambda t: -t[1])),
        files_bytes=meter.add(project),
    )


def in_trash(project: Path) -> list[Path]:
    """Everything in a project's trash, left-overs of an interrupted purge included, by name."""
    try:
        return sorted((project / TRASH).iterdir())
    except OSError:
        return []


def use_of(projects: Iterable[Path]) -> list[ProjectUse]:
    """What each project holds, the largest first; what two of them share counts for the first."""
    meter = Meter()
    return sorted((project_use(p, meter) for p in projects), key=lambda u: -u.bytes)
