"""What a component does to the world while it is called: what it writes where, what it prints, what it leaves changed.

Writes are seen by an audit hook, so only those that go through Python's own functions, in any thread: what a library
of C or Rust writes by itself is seen where it lies in the scratch folder, what a child process writes is not.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftstudio.files import hub_home
from ftstudio.hushed import hushed
from ftstudio.process.manners import left_as_found
from ftstudio.text import expanded

MOST_PRINTED = 4 << 20
"""Bytes of what is printed that are looked at."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NAMES: Mapping[str, tuple[tuple[int, int], ...]] = {
    "os.rename": ((0, 2), (1, 3)),
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.symlink": ((1, 2),),
    "os.link": ((1, 3),),
    "os.truncate": ((0, -1),),
}
"""Audit event -> which of its arguments are paths that are written, and which hold the folder that each starts from."""

_seen: list[set[str]] = []
"""Where paths are noted, while somebody watches."""
_hooked: list[bool] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    """Never raises: an exception here would become one of the call that is watched."""
    if not _seen or (event != "open" and event not in _NAMES):
        return
    with contextlib.suppress(Exception):
        if event != "open":
            for path, folder in _NAMES[event]:
                _note(arguments[path], arguments[folder] if folder >= 0 else -1)
        elif isinstance(arguments[2], int) and arguments[2] & _WRITING:
            _note(arguments[0], -1)


def _note(path: Any, folder: Any) -> None:
    if isinstance(path, int):
        return
    name = os.fsdecode(path)
    if isinstance(folder, int) and folder >= 0:  # a name within a folder that is open: shutil.rmtree deletes so
        name = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)  # noqa: PTH115, PTH118 - no Path in a hook
    name = os.path.abspath(name)  # noqa: PTH100
    for paths in _seen:
        paths.add(name)


@contextlib.contextmanager
def paths_written() -> Iterator[set[str]]:
    """The absolute paths that are opened for writing, made, renamed or removed inside."""
    if not _hooked:  # a hook cannot be taken out again, so there is one for all
        sys.addaudithook(_hook)
        _hooked.append(True)
    paths: set[str] = set()
    _seen.append(paths)
    try:
        yield paths
    finally:
        _seen.remove(paths)


def hub_caches() -> list[Path]:
    """Where the libraries of the Hub keep what they downloaded."""
    named = [os.environ.get(name) for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_XET_CACHE")]
    return [expanded(path).absolute() for path in (hub_home(), *(Path(name) for name in named if name))]


def strays(paths: set[str], allowed: list[Path]) -> list[str]:
    """The paths that lie in none of the folders. Devices and compiled Python files are nobody's."""
    folders = [os.path.realpath(folder) for folder in allowed]

    def inside(path: str) -> bool:
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))  # noqa: PTH118, PTH119, PTH120
        return any(real == folder or real.startswith(folder + os.sep) for folder in folders)

    return sorted(p for p in paths if not (p.startswith(("/dev/", "/proc/")) or "__pycache__" in p or inside(p)))


@dataclass
class Watched:
    """What was seen. `printed` is what went to the file descriptors 1 and 2, whoever wrote it."""

    written: set[str] = field(default_factory=set)
    printed: str = ""
    changed: list[str] = field(default_factory=list)


@contextlib.contextmanager
def watched(who: str) -> Iterator[Watched]:
    """Watch what happens inside; what it left changed of the process is put back, as a worker does."""
    seen = Watched()
    with tempfile.TemporaryFile() as printed:
        try:
            with hushed(printed.fileno()), left_as_found(who, seen.changed.append), paths_written() as seen.written:
                yield seen
        finally:
            printed.seek(0)
            seen.printed = printed.read(MOST_PRINTED).decode("utf-8", "replace")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing that is printed inside is seen."""
    with tempfile.TemporaryFile() as printed, hushed(printed.fileno()):
        yield
