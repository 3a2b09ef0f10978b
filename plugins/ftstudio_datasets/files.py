"""Which files a source reads, and what identifies their content."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ftstudio_datasets.options import FileOptions
from ftstudio_datasets.words import DataError, did_you_mean, name_of, plural, quote

HASHED_WHOLE = 64 * 2**20
"""Bytes up to which a file's identity is the hash of all of it (40 ms); beyond, that of three blocks."""

OPTION_OF = {"train": "path", "validation": "validation_path"}
"""Table -> the option that names its files."""

_BLOCK = 1 << 20
_READER = 2
"""Raise it when the same bytes are read differently: cached tables of an older reader are then not used."""


@dataclass(frozen=True)
class DataFile:
    """A regular file that is not empty, as it was when it was found. `name` is how sentences call it."""

    path: Path
    name: str
    size: int
    mtime_ns: int

    def check_unchanged(self) -> None:
        """Raise DataError when somebody wrote the file since it was found."""
        now = self.path.stat()
        if (now.st_size, now.st_mtime_ns) != (self.size, self.mtime_ns):
            raise DataError(f"{self.name} was changed while it was read.", "Start again once it is written.")


def find(patterns: Sequence[str], folder: Path, option: str = "path") -> list[DataFile]:
    """The files that paths and patterns name, each once; a pattern's files by name.

    Relative ones start at `folder`. Of several files the empty ones are left out. Raises DataError for what is
    missing, no regular file, or empty.
    """
    paths: dict[Path, None] = {}
    for pattern in patterns:
        paths.update(dict.fromkeys(_expand(pattern, folder, option)))
    found = [_stat(path, folder, option) for path in paths]
    filled = [file for file in found if file.size]
    if not filled and len(found) == 1 and os.statvfs(found[0].path).f_blocks == 0:
        raise DataError(
            f"{found[0].name} lies on no disk: the system writes it anew for whoever reads it.",
            "Copy it into a file, and name that.",
            option,
        )
    if not filled:
        which = f"{found[0].name} is empty: it holds 0 bytes."
        raise DataError(
            which if len(found) == 1 else f"All {plural(len(found), 'file')} are empty; the first: {found[0].name}.",
            "Put text into it, or name another file.",
            option,
        )
    return filled


def find_all(options: FileOptions, folder: Path) -> dict[str, list[DataFile]]:
    """Table -> its files, from `path` and `validation_path`."""
    found = {"train": find(options.path, folder)}
    if options.validation_path:
        found["validation"] = find(options.validation_path, folder, OPTION_OF["validation"])
    return found


def _expand(pattern: str, folder: Path, option: str) -> list[Path]:
    if not pattern or "\0" in pattern:
        raise DataError(f"{quote(pattern)} is not a path.", "Name a file.", option)
    expanded = os.path.expanduser(pattern)  # noqa: PTH111 - Path.expanduser raises for a user that is not there
    path = folder / expanded
    if os.path.exists(path) or not glob.has_magic(pattern):  # noqa: PTH110 - Path.exists raises for a name too long
        return [path]
    # The project's folder is no part of the pattern: its name may hold brackets. glob, unlike Path.glob, leaves hidden
    # files out and takes absolute patterns.
    files = [folder / match for match in sorted(glob.glob(expanded, root_dir=folder, recursive=True))]  # noqa: PTH207
    files = [file for file in files if file.is_file()]
    if not files:
        raise DataError(
            f"No file matches {quote(pattern)} in {name_of(folder)}.",
            "Check the pattern: ** goes into folders.",
            option,
        )
    return files


def _stat(path: Path, folder: Path, option: str) -> DataFile:
    given = path.relative_to(folder) if path.is_relative_to(folder) else path
    name = name_of(given)
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            path.open("rb").close()
    except PermissionError as error:
        raise DataError(
            f"{name} may not be read: permission denied.", "Change its mode, or copy it.", option
        ) from error
    except OSError as error:
        raise _missing(path, name, option) from error
    if stat.S_ISDIR(found.st_mode):
        raise DataError(f"{name} is a folder.", f"Name its files: {name_of(given.joinpath('*.txt'))}.", option)
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{name} is not a regular file.", "Write its data into a file first.", option)
    return DataFile(path, name, found.st_size, found.st_mtime_ns)


def _missing(path: Path, name: str, option: str) -> DataError:
    """There is no such file; the nearest name beside it may be what was meant."""
    try:
        with os.scandir(path.parent) as found:
            beside = [entry.name for entry in islice(found, 1000)]
    except OSError:
        return DataError(
            f"There is no {name}: its folder does not exist.", "Relative paths start at the project.", option
        )
    hint = did_you_mean(path.name, beside) or "Relative paths start at the project's folder."
    return DataError(f"There is no file {name}.", hint, option)


# --------------------------------------------------------------------------------------------- identity


def fingerprint(source: str, options: Any, tables: Mapping[str, Iterable[DataFile]]) -> str:
    """32 hexadecimal digits that are the same while the content and the options that shape it are.

    Up to 64 MiB a file counts by the sha256 of its content alone, wherever it lies and whenever it was written.
    A larger one counts by size, mtime and the sha256 of 1 MiB at its head, middle and tail.
    """
    shaping = {k: v for k, v in asdict(options).items() if k not in {"path", "validation_path"}}
    digest = hashlib.sha256(json.dumps([_READER, source, shaping], sort_keys=True).encode())
    for table, files in tables.items():
        digest.update(f"\n{table}".encode())
        for file in files:
            # The suffix counts because it may decide how the file is read.
            digest.update(f"\n{file.path.suffix.lower()} {_identity(file)}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def identities(folder: Path) -> dict[str, str]:
    """Name within the folder -> identity, of each file that is no hidden one."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            size = path.stat()
            found[os.fsencode(name).hex()] = _identity(DataFile(path, str(name), size.st_size, size.st_mtime_ns))
    return found


def _identity(file: DataFile) -> str:
    with file.path.open("rb") as stream:
        if file.size <= HASHED_WHOLE:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        digest = hashlib.sha256(f"{file.size} {file.mtime_ns}".encode())
        for start in (0, file.size // 2, file.size - _BLOCK):
            stream.seek(start)
            digest.update(stream.read(_BLOCK))
    return digest.hexdigest()
