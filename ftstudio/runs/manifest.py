"""MANIFEST.json: what a checkpoint consists of, so that damage is found before anything trusts it.

It is the last file of a commit and holds the size and sha256 of every other one, and a seal over itself. What does
not agree with it is *damage*, a ValueError with the reason: the checkpoint is set aside and the one before is used.
A format that this version does not know is no damage but an InputError: the checkpoint is left where it is. So are
the troubles of the reader (no permission, no more descriptors): an OSError says nothing against the checkpoint.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any

from ftstudio.api import ContractError, ModelRef
from ftstudio.errors import InputError
from ftstudio.explain import explain, named
from ftstudio.files import fsync_folder, plain_file, settle_file, write_atomic
from ftstudio.text import quote, safe_text

MANIFEST = "MANIFEST.json"
FORMAT = 1
_LIMIT = 16 << 20
_DAMAGE = {
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EIO, errno.ENAMETOOLONG, errno.EINVAL
}  # fmt: skip
"""Errors of opening and reading that speak against the file, not against the reader."""

_hashed: dict[tuple[int, int], tuple[int, int, str]] = {}
"""Device and inode of each file that this process hashed -> (size, mtime_ns, sha256): rotation comes after every
commit, and hashing 1.5 GB again each time would cost a second."""


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
    dropped: tuple[str, ...] = ()
    """Files that were taken out later: optimizer state. Such a checkpoint cannot be resumed."""

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(int(f["size"]) for f in self.files.values())


# ------------------------------------------------------------------------------------------------- write


def write_manifest(
    folder: Path, step: int, *, metrics: Mapping[str, float], best: bool, shape: str, base: ModelRef | None
) -> None:
    """Make every file of a staged checkpoint durable and write down what it is.

    Raises OSError naming the file, ContractError for what is no regular file. After an error of fsync nobody knows
    what the disk holds, so the caller must give the whole folder up.
    """
    manifest = {
        "format": FORMAT,
        "step": step,
        "t": time.time(),
        "best": best,
        "shape": shape,
        "metrics": {k: v if math.isfinite(v) else str(v) for k, v in metrics.items()},
        "base": _base_table(base),
        "versions": versions(),
        "files": _hash_and_sync(folder),
    }
    _write(folder, manifest)


def leave_out(folder: Path, unwanted: Callable[[str], bool]) -> None:
    """Take files out of the manifest of a checkpoint, which may be deleted afterwards; `dropped` names them.

    The other files keep the hashes that they were committed with, so damage to them is still found. Raises what
    `read_manifest` raises, and OSError; the manifest is then the old one.
    """
    files = read_manifest(folder).files
    manifest = _read_json(folder / MANIFEST)
    before = manifest.get("dropped")
    dropped = {name for name in files if unwanted(name)} | set(before if isinstance(before, list) else ())
    manifest["files"] = {name: entry for name, entry in files.items() if name not in dropped}
    manifest["dropped"] = sorted(dropped)
    _write(folder, manifest)


def mark_best(folder: Path) -> None:
    """Have the manifest of a checkpoint say that it is the best. Raises what `leave_out` raises."""
    read_manifest(folder)
    _write(folder, {**_read_json(folder / MANIFEST), "best": True})


def _write(folder: Path, manifest: Mapping[str, Any]) -> None:
    with named(folder / MANIFEST):
        write_atomic(folder / MANIFEST, json.dumps({**manifest, "seal": _seal(manifest)}, indent=1) + "\n")


def versions() -> dict[str, str]:
    """Versions of what computes, as they are installed here; what is not installed is left out."""
    found = {}
    for name in ("ftstudio", "torch", "transformers", "datasets", "tokenizers", "peft"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _seal(manifest: Mapping[str, Any]) -> str:
    content = {k: v for k, v in manifest.items() if k != "seal"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _hash_and_sync(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of every file, each made durable, and the folders that hold them."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            with named(path):
                fsync_folder(path)
        elif name != MANIFEST:
            if path.is_symlink() or not path.is_file():
                raise ContractError(f"A checkpoint holds plain files only; {quote(name)} is none.")
            with named(path):
                files[name] = _hash_and_sync_file(path)
    with named(folder):
        fsync_folder(folder)
    return files


def _hash_and_sync_file(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        settle_file(file.fileno(), path.parent)
        return {"size": os.fstat(file.fileno()).st_size, "sha256": _sha256(file)}


class _Told:
    """A file that tells how many bytes were read each time."""

    def __init__(self, file: BufferedReader, told: Callable[[int], None]) -> None:
        self._file, self._told = file, told
        self.readable = file.readable

    def readinto(self, buffer: bytearray) -> int:
        count = self._file.readinto(buffer)
        self._told(count)
        return count


def _sha256(file: BufferedReader, told: Callable[[int], None] | None = None) -> str:
    info = os.fstat(file.fileno())
    digest = hashlib.file_digest(file if told is None else _Told(file, told), "sha256").hexdigest()
    _hashed[info.st_dev, info.st_ino] = (info.st_size, info.st_mtime_ns, digest)
    return digest


def _base_table(base: ModelRef | None) -> dict[str, Any] | None:
    if base is None:
        return None
    return {"path": str(base.path), "weights": base.weights, "name": base.name, "revision": base.revision}


# -------------------------------------------------------------------------------------------------- read


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint.

    Raises ValueError when it is damaged, InputError when its format is unknown or it may not be read.
    """
    raw = _read_json(folder / MANIFEST)
    unknown = raw.get("format") != FORMAT
    if raw.get("seal") != _seal(raw) and not (unknown and "format" in raw and "seal" not in raw):
        raise ValueError(f"its {MANIFEST} is not what was written: its seal differs")
    if unknown:
        raise InputError(
            f"The checkpoint {quote(folder, 200)} has the unknown format {quote(raw.get('format'))}.",
            f"This version reads format {FORMAT}: use the one that wrote it. The checkpoint was left as it is.",
        )
    if folder.name.isdigit() and raw.get("step") != int(folder.name):
        raise ValueError(f"its {MANIFEST} is that of step {quote(raw.get('step'))}")
    try:
        return _manifest(raw)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"its {MANIFEST} cannot be read: {safe_text(error, one_line=True)[:200]}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with plain_file(path, through_links=False) as file:
            raw = json.loads(file.read(_LIMIT))
    except FileNotFoundError:
        raise ValueError(f"it has no {MANIFEST}") from None
    except OSError as error:
        raise _judged(error, path, f"its {MANIFEST}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its {MANIFEST} cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"its {MANIFEST} is no table")
    return raw


def _manifest(raw: Mapping[str, Any]) -> Manifest:
    base = raw.get("base")
    files = {str(name): {"size": int(f["size"]), "sha256": str(f["sha256"])} for name, f in raw["files"].items()}
    return Manifest(
        step=int(raw["step"]),
        files=files,
        metrics={k: float(v) for k, v in raw.get("metrics", {}).items()},
        best=bool(raw.get("best")),
        shape=str(raw.get("shape", "text")),
        base=ModelRef(Path(base["path"]), bool(base["weights"]), base["name"], base["revision"]) if base else None,
        t=float(raw.get("t", 0.0)),
        dropped=tuple(map(str, raw.get("dropped", ()))),
    )


def verify(folder: Path, *, again: bool = True, told: Callable[[int], None] | None = None) -> Manifest:
    """Compare every file of a checkpoint with its manifest.

    `told` hears how many bytes were read, each time some were; what it raises ends the comparison.
    `again=False` does not hash a file once more that this process hashed, unless its size, mtime or inode changed.
    Raises ValueError naming the first file that differs, InputError for an unknown format or what may not be read.
    """
    manifest = read_manifest(folder)
    for name, expected in manifest.files.items():
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or name == MANIFEST:
            raise ValueError(f"its {MANIFEST} names {quote(name)}, which is no file of a checkpoint")
        try:
            _compare(folder, name, expected, again=again, told=told)
        except OSError as error:
            raise _judged(error, folder / name, quote(name)) from error
    return manifest


def forget(folder: Path) -> None:
    """Forget what was hashed in a folder that is about to be deleted."""
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            info = path.lstat()
            _hashed.pop((info.st_dev, info.st_ino), None)


def _compare(
    folder: Path, name: str, expected: Mapping[str, Any], *, again: bool, told: Callable[[int], None] | None
) -> None:
    place = folder
    for part in PurePosixPath(name).parts[:-1]:
        place /= part
        if place.is_symlink():
            raise OSError(errno.ELOOP, "is reached through a symbolic link")
    with plain_file(folder / name, through_links=False) as file:
        info = os.fstat(file.fileno())
        if info.st_size != expected["size"]:
            raise ValueError(f"{name} has {info.st_size:,} bytes instead of {expected['size']:,}")
        known = (info.st_size, info.st_mtime_ns, expected["sha256"])
        if not again and _hashed.get((info.st_dev, info.st_ino)) == known:
            return
        if _sha256(file, told) != expected["sha256"]:
            raise ValueError(f"{name} is not what was written: its sha256 differs")


def _judged(error: OSError, path: Path, what: str) -> Exception:
    """Damage where the error speaks against the file, else the sentence about the reader's trouble."""
    if error.errno in _DAMAGE:
        return ValueError(f"{what} cannot be read: {error.strerror}")
    return explain(error, path)
