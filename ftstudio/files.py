"""Every write that ftstudio makes, and what makes writes safe.

A file is replaced whole or not at all (`write_atomic`), or grows by whole lines (`LineAppender`). Nothing else
in ftstudio opens a file for writing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from platformdirs.unix import Unix

from ftstudio.errors import InputError
from ftstudio.explain import NO_PLAIN_FILE, explain, explained, named
from ftstudio.text import expanded, quote

# ------------------------------------------------------------------------------------------------ places


def config_dir() -> Path:
    """Where the user's settings are: $XDG_CONFIG_HOME/ftstudio."""
    return Unix("ftstudio").user_config_path


def state_dir() -> Path:
    """Queue tickets, slot locks, ui.toml: $XDG_STATE_HOME/ftstudio."""
    return Unix("ftstudio").user_state_path


def cache_dir() -> Path:
    """What can be made again: $XDG_CACHE_HOME/ftstudio."""
    return Unix("ftstudio").user_cache_path


def hub_home() -> Path:
    """Where the Hub's libraries keep what they fetched: $HF_HOME, $XDG_CACHE_HOME/huggingface.

    In the home of a user who is not there it stays "~name/...".
    """
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return expanded(os.environ.get("HF_HOME") or Path(cache, "huggingface"))


# ------------------------------------------------------------------------------------------------ writing


def refuse_symlinks(path: Path, root: Path) -> None:
    """Raise InputError when `path` is not inside `root` or is reached through a symbolic link below it."""
    try:
        parts = path.relative_to(root).parts
    except ValueError:
        raise InputError(f"{quote(path, 200)} is outside {quote(root, 200)}; nothing is written there.") from None
    place = root
    for part in parts:
        place = place / part
        if part == ".." or place.is_symlink():
            raise InputError(
                f"{quote(place, 200)} is a symbolic link; ftstudio does not write or delete through one.",
                "Replace it by a real file or folder.",
            )


def make_usable(folder: Path, what: str, variable: str) -> None:
    """Make one of our own folders where it is not there, and try whether it can be written.

    Raises InputError naming the folder and the environment variable that puts it elsewhere.
    """
    probe = folder / f".{os.getpid()}-{os.urandom(4).hex()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"The {what} cannot be used. {explain(error, folder).message}",
            f"Set {variable} to a folder that you can write.",
        ) from error


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle_file(descriptor: int, folder: Path) -> None:
    """Make an open file of a folder durable, and readable for whoever may read the folder. Raises OSError.

    Some libraries write for the owner alone, whatever the umask says; the folder's own mode followed it.
    """
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    wanted = mode | (folder.stat().st_mode & 0o666)
    if mode != wanted:
        with contextlib.suppress(PermissionError):  # a link to a file that is somebody else's
            os.fchmod(descriptor, wanted)
    os.fsync(descriptor)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace a file by new content, durably: readers see the old file or the new one, never a part.

    Keeps the mode of a file that is replaced. Raises OSError that names the file; it is then the old one, unless only
    its new name could not be made durable.
    """
    with named(path):
        _write_atomic(path, content.encode() if isinstance(content, str) else content)


def _write_atomic(path: Path, data: bytes) -> None:
    staging = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
        write_all(descriptor, data)
        os.fsync(descriptor)
        os.close(descriptor)
        descriptor = -1
        os.replace(staging, path)  # noqa: PTH105 - named as the system call that makes this atomic
    except BaseException:
        if descriptor >= 0:
            os.close(descriptor)
        with contextlib.suppress(OSError):
            staging.unlink()
        raise
    fsync_folder(path.parent)


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to write into, which becomes `folder` at the end: whole, or not at all.

    Raises InputError when `folder` exists, or when something in it cannot be written.
    """
    if os.path.lexists(folder):
        raise InputError(f"{quote(folder, 200)} exists already.", "Choose another name.")
    staging = folder.with_name(f".{folder.name[:40]}.{os.urandom(4).hex()}.new")
    with explained(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with explained(folder):
        staging.mkdir()
        try:
            yield staging
            staging.rename(folder)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise


class Reserve:
    """Room on the disk for one last small file, so that how a run ended can be written when the disk is full.

    The file is made of blank lines, which mean nothing to TOML; `replace` fills it and gives it its name, which takes
    no new block.
    """

    SIZE = 4096

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            write_all(descriptor, b"\n" * self.SIZE)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, target: Path, content: str) -> None:
        """Make `target` of the reserved room. Raises OSError, also when the content is too large for it."""
        data = content.encode()
        if len(data) > self.SIZE:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(target))
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(self.path, target)  # noqa: PTH105 - named as the system call that makes this atomic

    def drop(self) -> None:
        """Give the room back."""
        with contextlib.suppress(OSError):
            self.path.unlink()


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's content, following no link. Raises OSError that names the one of the two that it is about."""
    try:
        shutil.copyfile(source, target, follow_symlinks=False)
    except OSError as error:
        if error.filename2 is not None:  # between two open files it is the one that is written: it may be full
            error.filename, error.filename2 = str(target), None
        raise


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it: a short write (a signal, a disk about to be full) is gone on with until it raises."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def toml_text(values: Mapping[str, Any]) -> str:
    """A mapping as TOML. None values are left out, since TOML has no null; a lone surrogate, as in the name of a file
    that is no UTF-8, becomes a visible escape, since TOML is UTF-8.
    """
    import tomli_w  # noqa: PLC0415 - `status` writes nothing

    return tomli_w.dumps(_as_toml(values), multiline_strings=False)


def _as_toml(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_as_toml(str(k)): _as_toml(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [_as_toml(v) for v in value if v is not None]
    if isinstance(value, (str, Path)):
        text = str(value)
        return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
    return value


def write_toml(path: Path, values: Mapping[str, Any]) -> None:
    """Write a machine's TOML file atomically. Raises OSError."""
    write_atomic(path, toml_text(values))


# ------------------------------------------------------------------------------------------------ reading


def open_plain(path: Path, *, through_links: bool = True) -> int:
    """A descriptor to read a regular file with. Whatever else has its name, nobody waits for the other end of a pipe,
    and no device is opened. Raises OSError that names the file.
    """
    _check_plain(path.stat(follow_symlinks=through_links), path)
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if through_links else os.O_NOFOLLOW)
    return _plain(os.open(path, flags), path)


def plain_file(path: Path, *, through_links: bool = True) -> BufferedReader:
    """A regular file to read, as `open_plain` opens it."""
    return os.fdopen(open_plain(path, through_links=through_links), "rb")


def _plain(descriptor: int, path: Path) -> int:
    """The descriptor, once it is known to be that of a regular file."""
    try:
        _check_plain(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_plain(info: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise OSError(errno.EINVAL, NO_PLAIN_FILE, str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Read a machine's TOML file. Raises OSError, or ValueError when it is not TOML."""
    import tomllib  # noqa: PLC0415 - 10 ms with its datetime, and `status` reads no TOML but the flat state.toml

    with plain_file(path) as file:
        return tomllib.load(file)


def tail_bytes(path: Path, limit: int) -> bytes:
    """The last `limit` bytes of a file, from the start of a line; empty when it cannot be read."""
    with contextlib.suppress(OSError):
        return read_tail(path, limit)
    return b""


def read_tail(path: Path, limit: int) -> bytes:
    """As `tail_bytes`. Raises OSError."""
    with plain_file(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - limit))
        data = file.read(limit)
    return data if size <= limit else data[data.find(b"\n") + 1 :]


# -------------------------------------------------------------------------------------------------- logs


class LineAppender:
    """Appends whole lines to a file that others read meanwhile. One appender at a time has the file.

    The first append ends a line that a crash tore, so that nothing is ever added to half a record. An append that
    fails (a full disk takes a part of the line first) takes its part back, so the next one may simply be tried.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = _open_to_append(path, os.O_RDWR)
        size = os.fstat(self._descriptor).st_size
        self._torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"

    def append(self, line: str) -> None:
        """Append one line (without its newline). Raises OSError that names the file."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        data = b"\n" + data if self._torn else data
        with named(self.path):
            before = os.fstat(self._descriptor).st_size
            try:
                write_all(self._descriptor, data)
            except OSError:
                self._take_back(before)
                raise
            self._torn = False

    def _take_back(self, before: int) -> None:
        try:
            os.ftruncate(self._descriptor, before)
        except OSError:
            self._torn = self._torn or os.fstat(self._descriptor).st_size != before

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def open_log(path: Path) -> int:
    """A descriptor that appends to a log, for a child's stdout and stderr."""
    return _open_to_append(path, os.O_WRONLY)


def _open_to_append(path: Path, access: int) -> int:
    flags = access | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return _plain(os.open(path, flags, 0o666), path)
    except OSError as error:
        if error.errno in {errno.ENXIO, errno.EISDIR}:  # a pipe that nobody reads, a folder
            raise OSError(errno.EINVAL, NO_PLAIN_FILE, str(path)) from error
        raise


def bound_log(path: Path, limit: int, head: int = 1 << 20) -> bool:
    """Cut the middle out of a log beyond `limit` bytes, keeping `head` bytes and a quarter of the limit at the end.

    The writer keeps its descriptor, so the file is cut in place: what is written in the instant between the last
    look at its size and the cut is lost. Returns whether it was cut. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        size = os.fstat(descriptor).st_size
        if size <= limit:
            return False
        kept = limit // 4
        first = os.pread(descriptor, head, 0)
        at = first.rfind(b"\n") + 1 or len(first)
        tail = os.pread(descriptor, kept, size - kept)
        tail = tail[tail.find(b"\n") + 1 :]
        tail = f"[... {size - at - len(tail):,} bytes were cut out here ...]\n".encode() + tail
        written = os.pwrite(descriptor, tail, at)
        while (now := os.fstat(descriptor).st_size) > size:  # what came meanwhile
            more = os.pread(descriptor, now - size, size)
            written += os.pwrite(descriptor, more, at + written)
            size = now
        os.ftruncate(descriptor, at + written)
        return True
    finally:
        os.close(descriptor)
