"""Faults on demand: the Nth call that changes a file system fails, writes short, or is where the process dies.

`shim.c` is compiled once a session and preloaded (Linux). Calls are counted only on paths below a prefix, by kind:
open (for writing), write (pwrite and sendfile too), fsync, truncate, chmod, rename, link, unlink (rmdir too), mkdir.

Two ways to use it, both from the session fixture `shim` (tests/faults/conftest.py):

    shim.environment(prefix, at=3, mode="before")        variables for any program: subprocess.run(..., env=...)
    shim.operate("commit", run, 7, prefix=run, at=3)     one function of operations.py in a process forked from a warm
                                                         server: milliseconds a case, so that a test may try every N

`mode` is "fail" (with `error`), "last" (this call and all later ones fail), "short" (half of a write), "before" or
"after" (SIGKILL around the call), or "count" (nothing happens). `calls` narrows it to kinds: "write,fsync". To try
every point of an operation:

    total = shim.operate("commit", run, 7, prefix=run).total
    for at in points(total):                             the fixture `points` thins them out unless --faults=full
        outcome = shim.operate("commit", fresh_copy, 7, prefix=fresh_copy, at=at, mode="before")

`operate` also takes `uid` (drop to this user first, for tests of permissions) `descriptors`
(RLIMIT_NOFILE) and `processes` (RLIMIT_NPROC, which binds no root).
"""

import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
NOBODY = 65534


@dataclass(frozen=True)
class Outcome:
    """How an operation ended in its process."""

    killed: bool
    value: object = None
    error: str = ""
    """Class of the exception that it raised."""
    said: str = ""
    """The sentence that a person would read."""
    calls: tuple[str, ...] = ()
    """"rename /folder/name" for each call that was counted, in order."""

    @property
    def total(self):
        return len(self.calls)


class Shim:
    def __init__(self, library, scratch, environment):
        self.library, self._scratch = library, scratch
        self._environment = {**environment, "LD_PRELOAD": str(library)}
        self._server = None
        self._count = 0

    def environment(self, prefix, *, at=0, mode="count", error=errno.EIO, calls="all", log="", locks=""):
        """Environment variables that arm the shim in a program; `log` is a file for the counted calls, `locks` is
        "none" (ENOLCK) or "lie" (all are granted).
        """
        return {
            **({"FAULT_LOCKS": locks} if locks else {}),
            "LD_PRELOAD": str(self.library),
            "FAULT_PREFIX": str(prefix),
            "FAULT_AT": str(at),
            "FAULT_MODE": mode,
            "FAULT_ERRNO": str(error),
            "FAULT_CALLS": calls,
            "FAULT_LOG": str(log),
        }

    def operate(
        self,
        operation,
        *arguments,
        prefix,
        at=0,
        mode="",
        error=errno.EIO,
        calls="all",
        uid=None,
        descriptors=None,
        processes=None,
    ):
        """Run a function of operations.py in a process of its own and return its Outcome."""
        self._count += 1
        log = self._scratch / f"calls-{self._count}"
        log.touch()
        log.chmod(0o666)
        arming = [str(prefix), calls, at, mode or ("fail" if at else "count"), error, str(log)]
        job = [
            operation,
            [str(a) if isinstance(a, Path) else a for a in arguments],
            arming,
            uid,
            descriptors,
            processes,
        ]
        server = self._started()
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        answer = json.loads(server.stdout.readline())
        calls_made = tuple(log.read_text().splitlines())
        log.unlink()
        return Outcome(calls=calls_made, **answer)

    def _started(self):
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, str(HERE / "operations.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self._environment,
            )
        return self._server

    def close(self):
        if self._server is not None:
            self._server.stdin.close()
            self._server.stdout.close()
            self._server.wait(timeout=30)


def build(folder):
    """Compile the shim; the library, or the reason why there is none."""
    if not sys.platform.startswith("linux"):
        return None, "the shim preloads into programs as Linux does it"
    library = folder / "shim.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-Wno-unused-result", "-o", library, HERE / "shim.c", "-ldl"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None, "there is no C compiler (cc)"
    return (None, done.stderr) if done.returncode else (library, "")


def server_environment(scratch, fake_plugin):
    """Folders of its own for the server, and the torch-free plugin of the tests."""
    own = {f"XDG_{name}_HOME": str(scratch / name.lower()) for name in ("STATE", "CACHE", "DATA")}
    own["XDG_CONFIG_HOME"] = "/nonexistent"  # no settings, whoever an operation becomes
    path = os.pathsep.join(filter(None, [str(fake_plugin), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, **own, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
