"""What an error of the file system means, in a sentence that names the path and what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ftstudio.errors import InputError
from ftstudio.text import quote, words_of

NO_PLAIN_FILE = "is no plain file"
"""What an EINVAL of `files.open_plain` says."""


def explain(error: OSError, path: Path | None = None) -> InputError:
    """The sentence for an error of the file system, with the path and what to do."""
    if path is None and isinstance(error.filename, (str, bytes)):
        path = Path(os.fsdecode(error.filename))
    where = quote(path or "a file", 200)
    number = error.errno or 0
    match number:
        case errno.ENOSPC | errno.EDQUOT:
            return _explain_full(error, where, path)
        case errno.EROFS:
            return InputError(f"{where} lies on a file system that is read-only.", "Use a folder that you can write.")
        case errno.EACCES | errno.EPERM:
            return InputError(f"No permission for {where}{_mode_of(path)}.", "Change its mode or owner.")
        case errno.ENOENT:
            return InputError(f"There is no {where}.", "Mend the path, or make what it names.")
        case errno.EEXIST:
            what = "exists already" if path is not None and path.is_dir() else "exists already and is no folder"
            return InputError(f"{where} {what}.", "Choose another name or place.")
        case errno.EIO:
            return InputError(
                f"The disk reported an error at {where}: {os.strerror(number)}.",
                "What was being written cannot be relied on. Look at the disk (dmesg) before going on.",
            )
        case errno.EISDIR:
            return InputError(f"{where} is a folder, not a file.", "Name a file.")
        case errno.ENOTDIR:
            return InputError(f"{where} is not inside a folder: part of its path is a file.", "Choose another place.")
        case errno.ELOOP:
            return InputError(f"{where} is a symbolic link, or a loop of symbolic links.", "Use a real file.")
        case errno.ENAMETOOLONG:
            return InputError(f"The name {where} is too long for this file system.", "Choose a shorter one.")
        case errno.EMFILE | errno.ENFILE:
            return InputError(f"No more files may be open: {where}.", "Raise the limit (ulimit -n) or close programs.")
        case errno.EAGAIN:
            return InputError("No more processes may be started.", "Raise the limit (ulimit -u) or close programs.")
        case errno.EINVAL if error.strerror == NO_PLAIN_FILE:
            return InputError(f"{where} is no plain file.", "Move it away, or put the file back that was there.")
    return InputError(f"{where}: {error.strerror or error}.")


def _explain_full(error: OSError, where: str, path: Path | None) -> InputError:
    """Space, inodes or a quota; whoever raised it may have said what is needed and what is free."""
    said = "" if error.strerror in {None, os.strerror(error.errno or 0)} else f": {error.strerror}"
    if error.errno == errno.EDQUOT:
        return InputError(f"The disk is full for you (quota): {where} could not be written{said}.", "Delete something.")
    with contextlib.suppress(OSError):
        info = os.statvfs(path.parent if path is not None else "")
        if info.f_files and not info.f_favail:
            return InputError(
                f"The disk is full: {where} could not be written, since no more files fit on it (inodes).",
                "Delete some files and try again.",
            )
    return InputError(f"The disk is full: {where} could not be written{said}.", "Free some space and try again.")


def is_disk_full(error: BaseException) -> bool:
    """Whether the disk, or a quota, is full: libraries wrap the OSError into errors of their own."""
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return True
    return any(os.strerror(number) in words_of(error) for number in (errno.ENOSPC, errno.EDQUOT))


def _mode_of(path: Path | None) -> str:
    if path is None:
        return ""
    for place in (path, *path.parents):  # the nearest that may be looked at
        with contextlib.suppress(OSError):
            return f" ({place.name or place} has mode {stat.S_IMODE(place.stat().st_mode):04o})"
    return ""


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError inside into the sentence of `explain`."""
    try:
        yield
    except OSError as error:
        raise explain(error, path) from error


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Say in an OSError inside which path it is about: write and fsync know only a descriptor, a rename two names."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
