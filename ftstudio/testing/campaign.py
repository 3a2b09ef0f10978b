"""The kit without pytest: every check of every component of a plugin, each in a process that may die or hang.

    find_plugin(NAME or PATH) -> Tested ──check_plugin──> Finding, Finding, ...

A plugin that is no installed one is imported from its source folder, only because somebody named that folder, and only
in the processes of the checks.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from ftstudio.api import GROUP
from ftstudio.describing import run_probe
from ftstudio.errors import InputError, UnknownNameError
from ftstudio.explain import explained
from ftstudio.plugins import Described, Record, registry
from ftstudio.settings import read_settings
from ftstudio.source import read_source
from ftstudio.testing import CHECKS
from ftstudio.testing.examples import FILE, Examples, read_examples
from ftstudio.testing.subject import Result
from ftstudio.text import expanded, nearest, quote

SECONDS = 120.0
POLL_SECONDS = 0.05
MOST_DEATHS = 2
"""Processes in a row that a plugin may end before the rest of its checks is left out."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How one check of one component came out; `says` is the reason where it did not pass."""

    kind: str
    component: str
    check: str
    required: bool
    result: Result
    says: str = ""


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A plugin to be checked: installed, or in a source folder that is on `path` then."""

    record: Record
    path: tuple[str, ...] = ()
    examples: Examples = field(default_factory=Examples)


def find_plugins(named: str) -> list[Tested]:
    """What a person named: a folder with a pyproject.toml, or an installed plugin.

    Raises InputError for a folder without one or without an entry point, UnknownNameError for a name that nobody has.
    """
    folder = expanded(named)
    with contextlib.suppress(OSError, ValueError):  # a name that no file system takes
        if folder.exists():
            return from_folder(folder)
    records = registry().records
    found = [r for r in records if named in r.names]
    if not found:
        near = nearest(named, {name for r in records for name in r.names})
        hint = f"Did you mean {near}?" if near else "See 'ftstudio plugins list', or name the folder of its source."
        raise UnknownNameError(f"There is no plugin and no folder {quote(named)}.", hint)
    return [Tested(record=r, examples=_installed_examples(r)) for r in found]


def from_folder(folder: Path) -> list[Tested]:
    """The plugins that a source folder declares, each described by the probe."""
    folder = folder.resolve()
    pyproject = folder / FILE
    if not pyproject.is_file():
        raise InputError(f"{quote(folder, 200)} has no {FILE}.", "Name the folder that holds it.")
    project = read_source(pyproject).table.get("project", {})
    points = project.get("entry-points", {}).get(GROUP, {}) if isinstance(project, Mapping) else {}
    if not isinstance(points, Mapping) or not points:
        raise InputError(
            f"{quote(pyproject, 200)} declares no plugin.", f"Add [project.entry-points.{GROUP}] with name = 'package'."
        )
    path = (str(folder / "src" if (folder / "src").is_dir() else folder),)
    examples = read_examples(pyproject)
    return [
        Tested(record=_described(str(name), str(value), project, path), path=path, examples=examples)
        for name, value in points.items()
    ]


def _described(name: str, value: str, project: Mapping[str, Any], path: tuple[str, ...]) -> Record:
    answer = run_probe(value, read_settings().probe_seconds, path)
    return Record(
        name=name,
        value=value,
        distribution=str(project.get("name", "unknown")),
        version=str(project.get("version", "0")),
        status="failed" if answer["reason"] else "active",
        reason=answer["reason"],
        components=tuple(Described(**c) for c in answer["components"]),
        heavy=tuple(answer["heavy"]),
    )


def _installed_examples(record: Record) -> Examples:
    """The examples of a plugin that was installed from a folder in editable mode; a wheel carries none."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError, ValueError, AttributeError):
        text = importlib.metadata.distribution(record.distribution).read_text("direct_url.json") or "{}"
        origin = json.loads(text)
        pyproject = Path(unquote(urlparse(origin.get("url", "")).path)) / FILE
        if origin.get("dir_info", {}).get("editable") and pyproject.is_file():
            return read_examples(pyproject)
    return Examples()


# ------------------------------------------------------------------------------------------------ checking


def check_component(
    tested: Tested, described: Described, seconds: float = SECONDS, changes: Mapping[str, Any] | None = None
) -> Iterator[Finding]:
    """Every check of one component as it is made, the required ones first; `changes` go over the example options."""
    mine = [i for i, c in enumerate(CHECKS) if described.kind in c.kinds]
    left = sorted(mine, key=lambda i: not CHECKS[i].required)
    deaths = 0
    with tempfile.TemporaryDirectory(prefix="ftstudio-check-", ignore_cleanup_errors=True) as folder:
        while left and deaths < MOST_DEATHS:
            job = Path(folder) / f"job-{len(left)}"
            job.mkdir()
            _write_job(job, tested, described, left, changes or {})
            for number, result, says, died in _follow(job, list(left), tested.path, seconds):
                left.remove(number)
                deaths = deaths + 1 if died else 0
                yield _finding(described, number, result, says)
    for number in left:
        yield _finding(described, number, "skipped", "Not made: the checks before this one ended their process.")


def _finding(described: Described, number: int, result: Result, says: str) -> Finding:
    check = CHECKS[number]
    return Finding(
        kind=described.kind, component=described.name, check=check.name, required=check.required, result=result,
        says=says,
    )  # fmt: skip


def _write_job(
    folder: Path, tested: Tested, described: Described, checks: list[int], changes: Mapping[str, Any]
) -> None:
    record, examples = tested.record, tested.examples
    job = {
        "name": record.name, "value": record.value, "distribution": record.distribution, "version": record.version,
        "kind": described.kind, "component": described.name, "checks": checks, "root": str(folder / "root"),
        "table": {**examples.of(described.kind, described.name), **changes}, "files": str(examples.files or ""),
    }  # fmt: skip
    with explained(folder):
        (folder / "root").mkdir()
        (folder / "job.json").write_text(json.dumps(job), "utf-8")


def _follow(
    folder: Path, checks: list[int], path: tuple[str, ...], seconds: float
) -> Iterator[tuple[int, Result, str, bool]]:
    """Number, result and sentence of each check of one worker, and whether it ended the worker."""
    findings, output = folder / "findings", folder / "output"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*path, *(p for p in sys.path if p)])}
    command = [sys.executable, "-P", "-m", "ftstudio.testing.worker", str(folder / "job.json"), str(findings)]
    with output.open("wb") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    told, since, ended = 0, time.monotonic(), False
    try:
        while checks and not ended:
            ended = child.poll() is not None
            lines = _whole_lines(findings)
            for line in map(json.loads, lines[told:]):
                since = time.monotonic()
                if line["result"] != "started":
                    yield checks.pop(0), line["result"], line["says"], False
            told = len(lines)
            if checks and time.monotonic() - since > seconds:
                yield checks[0], "failed", f"It did not finish within {seconds:g} s.", True
                return
            time.sleep(0 if ended else POLL_SECONDS)
        if checks:
            yield checks[0], "failed", _how(child.returncode, output), True
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _whole_lines(file: Path) -> list[str]:
    """The lines of a file that somebody else is writing."""
    return file.read_text("utf-8").rpartition("\n")[0].splitlines() if file.is_file() else []


def _how(code: int, output: Path) -> str:
    """How a process ended, and what it said last."""
    lines = output.read_text("utf-8", "replace").strip().splitlines()
    said = f" Its last words: {quote(lines[-1], 200)}." if lines else ""
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return f"Its process ended {how} in the middle of this check.{said}"
