"""Memory that training will need, touched while the worker still imports torch.

The first touch of a page is the kernel's work, and on a virtual machine its host's too: a second a gigabyte there, of
which training GPT-2 needs two before its first step ends. Importing keeps one core busy, so another one does this in
the meantime: the memory is taken, written to and freed again, and stays in the heap that tensors come from.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from ftstudio.process.heavy import keeps_memory

BESIDES = 1.5
"""Bytes that training holds for each byte of its checkpoint: gradients and copies come to weights and moments."""
_SHARE = 0.25
"""Of the free memory, the most that is touched: what is planned may be wrong."""
_PART = 1 << 26
_GROUPS = {
    "": ("sys/fs/cgroup", ("memory.max", "memory.high"), "memory.current"),
    "memory": ("sys/fs/cgroup/memory", ("memory.limit_in_bytes",), "memory.usage_in_bytes"),
}
"""Of control groups, version 2 and version 1: where they are mounted, the files that limit one, and what it holds."""


def touch_ahead(size: int) -> int:
    """Begin to touch so many bytes, and return how many; 0 where that would be no help, or a risk."""
    size = min(size, int(_SHARE * _free_bytes()))
    if size < _PART or not keeps_memory() or len(os.sched_getaffinity(0)) < 2 or _is_limited():
        return 0
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    library.free.argtypes = (ctypes.c_void_p,)
    block = library.malloc(size)  # here, not in the thread: each thread has a heap of its own, and tensors are ours
    if not block:
        return 0

    def touch() -> None:
        for at in range(0, size, _PART):  # without the interpreter, which goes on importing
            ctypes.memset(block + at, 0, min(_PART, size - at))
        library.free(block)

    try:
        _thread.start_new_thread(touch, ())  # threading would wait for it to begin, for ever where memory is out
    except RuntimeError:
        library.free(block)
        return 0
    return size


def _free_bytes(root: Path = Path("/")) -> int:
    """Memory that is free now, on the machine and in the control groups of this process; 0 where nobody says."""
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        free = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
        return max(0, min(free, *_left_in_groups(root)))
    except (OSError, StopIteration, ValueError):
        return 0


def _left_in_groups(root: Path) -> Iterator[int]:
    """What each control group above this process has left; pages of files, which it could give up, count as taken."""
    yield sys.maxsize
    for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, kinds, path = line.split(":", 2)
        for kind in _GROUPS.keys() & set(kinds.split(",")):
            mount, limits, used = _GROUPS[kind]
            group = root / mount / path.strip("/")
            for folder in (group, *group.parents):  # in a container, the path may be one outside of it
                for name in limits if folder.is_relative_to(root / mount) else ():
                    with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
                        yield int((folder / name).read_text()) - int((folder / used).read_text())


def _is_limited() -> bool:
    """Whether the address space is rationed: what is only held for later would then be missed elsewhere."""
    return any(
        resource.getrlimit(which)[0] != resource.RLIM_INFINITY for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    )
