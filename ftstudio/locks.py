"""Record locks: who holds a run, a slot, a folder; asked of the kernel, which forgets nobody and waits for nobody.

A POSIX record lock belongs to a process. It is gone when that process is, by whatever cause, and no child inherits it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_held: dict[tuple[int, int], tuple[int, int]] = {}
"""Device and inode of each lock file that a process holds -> its pid and descriptor. Closing another descriptor of such
a file would drop the lock, so nobody here opens it again; a fork inherits this table but no lock, hence the pid."""


class RecordLock:
    """A POSIX record lock on a file, opened once by its holder and never inherited by a fork.

    Probing (`lock_holder`) uses F_GETLK, which takes nothing, so it can never make the holder's own attempt fail.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._file = (0, 0)

    def acquire(self) -> bool:
        """Take the lock without waiting; False when somebody else holds it. Raises OSError where locks do not work."""
        if _own(self.path) is not None:
            return False
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in {errno.EACCES, errno.EAGAIN}:
                return False
            raise
        info = os.fstat(descriptor)
        self._descriptor, self._file = descriptor, (info.st_dev, info.st_ino)
        _held[self._file] = os.getpid(), descriptor
        return True

    def note(self, text: str) -> None:
        """Write into the lock file what it is held for, for whoever waits. Raises OSError."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def release(self) -> None:
        """Give the lock up. Safe to call twice."""
        if self._descriptor >= 0:
            _held.pop(self._file, None)
            os.close(self._descriptor)
            self._descriptor = -1


def _own(path: Path) -> int | None:
    """The descriptor by which this very process holds the lock on `path`."""
    try:
        info = path.stat()
    except OSError:
        return None
    pid, descriptor = _held.get((info.st_dev, info.st_ino), (0, -1))
    return descriptor if pid == os.getpid() else None


def lock_holder(path: Path) -> int | None:
    """The pid that holds the record lock on `path`, or None when nobody (on this host) does."""
    if _own(path) is not None:
        return os.getpid()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, _pack_flock(fcntl.F_RDLCK))
    finally:
        os.close(descriptor)
    kind, pid = _unpack_flock(answer)
    return None if kind == fcntl.F_UNLCK else pid


def held_for(path: Path) -> str | None:
    """What the holder of the lock on `path` noted in it; None when nobody holds it. Raises OSError."""
    own = _own(path)
    if own is not None:
        return os.pread(own, os.fstat(own).st_size, 0).decode()
    return path.read_text("utf-8") if lock_holder(path) is not None else None


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Only one writer at a time of what this folder holds; waits for the others, and leaves no file behind."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def why_locks_fail(folder: Path) -> str:
    """Why record locks cannot be trusted in this folder, or "" when they can.

    A child takes a lock that this process must then see and not get. Forks: call it where there is one thread.
    """
    probe = folder / f".lock-probe-{os.getpid()}-{os.urandom(3).hex()}"
    lock = RecordLock(probe)
    try:
        if not lock.acquire():
            return "a new lock file is held by nobody and cannot be locked"
        seen = _in_child(lambda: f"{lock_holder(probe)} {RecordLock(probe).acquire()}")
        return "" if seen == f"{os.getpid()} False" else "a lock that is held is not seen by another process"
    except OSError as error:
        return os.strerror(error.errno or errno.ENOLCK)
    finally:
        lock.release()
        with contextlib.suppress(OSError):
            probe.unlink()


def _in_child(question: Callable[[], str]) -> str:
    """What a forked child answers."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"failed"
        with contextlib.suppress(Exception):
            answer = question().encode()
        os.write(writer, answer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer.decode()


# struct flock in native layout: macOS puts the offsets and the pid before the type, Linux after it.
_MACOS = sys.platform == "darwin"


def _pack_flock(kind: int) -> bytes:
    if _MACOS:
        return struct.pack("qqihh", 0, 0, 0, kind, os.SEEK_SET)
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0)


def _unpack_flock(answer: bytes) -> tuple[int, int]:
    """Type and pid."""
    if _MACOS:
        _, _, pid, kind, _ = struct.unpack("qqihh", answer)
    else:
        kind, _, _, _, pid = struct.unpack("hhqqi4x", answer)
    return int(kind), int(pid)
