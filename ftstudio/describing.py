"""Descriptions of strangers' plugins: asked of a process apart, and remembered.

What a probe found is cached by distribution, version and the times of the plugin's files. So is a failure: a plugin
that hangs would cost every command its time limit. But a failure may be mended outside of the plugin, by installing
what it needs or giving it more time, so it is remembered for this environment only (`_surroundings`).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ftstudio.announced import Announced
from ftstudio.files import cache_dir, write_atomic
from ftstudio.probe import failed
from ftstudio.settings import read_settings

WHOLE = {"reason", "components", "heavy", "printed", "threads"}
BACKSTOP_SECONDS = 10.0
"""More than its time for a probe to start and to end: it bounds itself, unless Python cannot even start."""

GIVEN_UP = "Nobody waited for its description."

_asked: dict[str, int] = {}
_leashes: set[IO[bytes]] = set()
_lock = threading.Lock()
"""Of both."""


def describe_apart(entry: Announced, *, anew: bool = False) -> dict[str, Any]:
    """What the probe says of an entry point, or said when all was as it is now.

    `anew`: a failure is not believed, and neither is a success since which something was installed or removed.
    """
    cached = _cached(entry)
    with contextlib.suppress(OSError, ValueError):
        answer = json.loads(cached.read_text("utf-8"))
        if isinstance(answer, dict) and answer.keys() >= WHOLE and _holds(answer, anew):
            return answer
    surroundings = _surroundings()
    with _told(entry):
        answer = run_probe(entry.value, read_settings().probe_seconds)
    if answer["reason"] == GIVEN_UP:
        return answer
    answer["surroundings"] = surroundings
    with contextlib.suppress(OSError):  # a cache that cannot be written only costs the next start a probe
        cached.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(cached, json.dumps(answer))
    return answer


def _holds(answer: Mapping[str, Any], anew: bool) -> bool:
    """Whether what was said is still believed."""
    if answer["reason"]:
        return not anew and answer.get("surroundings") == _surroundings()
    return not anew or answer.get("surroundings") == _surroundings()


def forget(entry: Announced) -> None:
    """Forget what the probe said: it is not true any more."""
    with contextlib.suppress(OSError):
        _cached(entry).unlink()


def _cached(entry: Announced) -> Path:
    return cache_dir() / "plugins" / f"{_fingerprint(entry)}.json"


def _fingerprint(entry: Announced) -> str:
    """Changes with the distribution, its version, or the time of any Python file beside the plugin's module."""
    digest = hashlib.sha256(f"{entry.distribution} {entry.version} {entry.name} {entry.value} {sys.version} ".encode())
    top = entry.value.partition(":")[0].partition(".")[0]
    with contextlib.suppress(ImportError, ValueError, OSError):
        spec = importlib.util.find_spec(top)
        origin = [spec.origin] if spec and spec.origin else []
        places = list(spec.submodule_search_locations or origin) if spec else []
        for root in map(Path, places):
            for file in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
                digest.update(f"{file} {file.stat().st_mtime_ns} {file.stat().st_size}\n".encode())
    return digest.hexdigest()[:32]


def _surroundings() -> str:
    """Changes when something is installed, updated or removed, and with the time that a plugin is given."""
    digest = hashlib.sha256(f"{read_settings().probe_seconds}".encode())
    for folder in filter(None, sys.path):
        digest.update(f"\n{folder}\n".encode("utf-8", "surrogateescape"))
        with contextlib.suppress(OSError):
            names = sorted({e.name for e in os.scandir(folder)} - {"__pycache__"})  # that comes with the first import
            digest.update("\0".join(names).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


# ------------------------------------------------------------------------------------------- what is waited for


@contextlib.contextmanager
def _told(entry: Announced) -> Iterator[None]:
    """Let `waits_for` name this plugin meanwhile."""
    name = f"{entry.name} ({entry.distribution})"
    with _lock:
        _asked[name] = _asked.get(name, 0) + 1
    try:
        yield
    finally:
        with _lock:
            _asked[name] -= 1
            if not _asked[name]:
                del _asked[name]


def waits_for() -> str:
    """Which plugins this process waits for now, as a sentence; "" for none."""
    with _lock:
        names = sorted(_asked)
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"Waiting for plugin{'s' if len(names) > 1 else ''} {', '.join(names[:3])}{more} to describe itself ..."


# ------------------------------------------------------------------------------------------------- the process


@contextlib.contextmanager
def _held(descriptor: int) -> Iterator[IO[bytes]]:
    """Our end of a leash, which `end_probes` may close."""
    with os.fdopen(descriptor, "wb") as end:
        with _lock:
            _leashes.add(end)
        try:
            yield end
        finally:
            with _lock:
                _leashes.discard(end)


def end_probes() -> None:
    """End the probes that this process waits for: it is about to leave, and would wait for them. For any thread."""
    with _lock:
        for end in _leashes:
            end.close()


def run_probe(value: str, seconds: float, path: Sequence[str] = ()) -> dict[str, Any]:
    """What the probe says of an entry point's value; `path` are further folders to import from.

    The probe ends itself and all that the plugin started when its time is over or this process is gone.
    """
    places = filter(None, [*path, os.environ.get("PYTHONPATH")])  # an empty entry would mean the current folder
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    leash, held = os.pipe()  # whoever has the other end sees this one close, however this process ends
    with (
        os.fdopen(leash, "rb"),
        _held(held) as end,
        tempfile.TemporaryFile() as spoken,
        tempfile.NamedTemporaryFile(prefix="ftstudio-probe-") as result,
    ):
        command = [sys.executable, "-P", "-m", "ftstudio.probe", value, result.name, str(leash), str(seconds)]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=spoken, stderr=spoken, pass_fds=(leash,),
                timeout=seconds + BACKSTOP_SECONDS, env=environment if path else None, check=False,
                start_new_session=True,  # no way to the terminal that we draw on
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return failed(f"It did not finish describing itself within {seconds:g} s.")
        if end.closed:
            return failed(GIVEN_UP)
        try:
            answer = json.loads(Path(result.name).read_text("utf-8"))
        except ValueError:
            return failed(f"Its process ended with exit code {done.returncode} while it was loaded.")
        garbles = spoken.seek(0, os.SEEK_END) > 0  # print() is caught where it is loaded; what is written below is not
    if not isinstance(answer, dict):
        return failed("It wrote something else than a description.")
    if garbles and not answer["reason"]:
        return failed("It writes to the terminal past sys.stdout while it is loaded, which would garble the screen.")
    return answer
