"""Facts that a run or a deep check measured, kept for the next plan.

They live in the cache under a key made of the settings and the files that they depend on, those of a model's or a
data set's local folder too, so a changed file or option finds nothing rather than something false.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ftstudio.api import Encoded, Facts
from ftstudio.files import cache_dir, read_toml, write_toml
from ftstudio.options import describe, to_table
from ftstudio.project import Project
from ftstudio.text import expanded

_DATA = ("rows", "validation_rows", "examples", "tokens", "longest", "max_length")
_SPEED = ("tokens_per_second", "peak_memory_bytes")
MAX_FILES = 1000
LONGEST_NAME = 1000
"""Characters of an option that may be the name of a file or a folder: a longer one is a text."""


def keep(project: Project, encoded: Encoded) -> None:
    """Remember the counts of tokenised data."""
    counts = encoded.counts
    facts = {
        "examples": len(encoded.train),
        "validation_rows": len(encoded.validation) if encoded.validation is not None else 0,
        "tokens": counts.get("tokens"),
        "longest": counts.get("longest"),
        "rows": counts.get("documents"),
    }
    _merge(_path(project, "data"), facts)


def keep_speed(
    project: Project, device: str, *, tokens_per_second: float | None, peak_memory_bytes: float | None
) -> None:
    """Remember how fast and how large training was on a device."""
    speed = {"tokens_per_second": tokens_per_second, "peak_memory_bytes": peak_memory_bytes and int(peak_memory_bytes)}
    _merge(_path(project, f"speed {device}"), speed)


def recall(project: Project, device: str) -> Facts:
    """What is known of exactly these settings and files; nothing when they changed."""
    known: dict[str, Any] = {}
    for name, path in ((_DATA, _path(project, "data")), (_SPEED, _path(project, f"speed {device}"))):
        with contextlib.suppress(OSError, ValueError):
            table = read_toml(path)
            known |= {k: table[k] for k in name if isinstance(table.get(k), (int, float))}
    return Facts(**known, measured=frozenset(known))


def data_key(project: Project) -> str:
    """A name for the tokenised data of a project: another one as soon as a setting or a data file is another."""
    return _path(project, "data").stem


def data_files(project: Project) -> list[tuple[str, int, int]]:
    """Path, size and time (ns) of the files that the dataset's options name."""
    part = project.parts["dataset"]
    return [] if part.options is None else list(_files(project.folder, part.options))


def _merge(path: Path, values: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError, ValueError):  # a cache: the next plan only knows less
        path.parent.mkdir(parents=True, exist_ok=True)
        old = read_toml(path) if path.exists() else {}
        write_toml(path, {**old, **{k: v for k, v in values.items() if v is not None}})


def _path(project: Project, what: str) -> Path:
    kinds = ["model", "dataset", "tokenizer"] + (["trainer"] if what.startswith("speed") else [])
    parts: dict[str, Any] = {}
    for kind in kinds:
        part = project.parts.get(kind)
        if part is None or part.options is None:
            continue
        parts[kind] = {"use": part.use, **to_table(part.options), "files": list(_files(project.folder, part.options))}
    parts["selection"] = dataclasses.asdict(project.selection)
    key = json.dumps([what, str(project.folder), project.head.seed, parts], sort_keys=True, default=str)
    return cache_dir() / "facts" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.toml"


def _files(folder: Path, options: object) -> Iterator[tuple[str, int, int]]:
    """Path, size and time of the files that the options name: by a path, a pattern, or a name that is here a place."""
    for f in describe(type(options)):
        value = getattr(options, f.name)
        if f.kind in {"path", "glob"} or f.base == "path":
            for text in value if isinstance(value, tuple) else (value,):
                if text:
                    yield from _matching(folder, str(text))
        elif isinstance(value, str) and f.kind != "column" and 0 < len(value) <= LONGEST_NAME:
            yield from _matching(folder, value, pattern=False)


def _matching(folder: Path, text: str, *, pattern: bool = True) -> Iterator[tuple[str, int, int]]:
    path = folder / expanded(text)
    with contextlib.suppress(OSError, ValueError, NotImplementedError):
        found: Iterable[Path] = ()
        if path.is_dir():
            found = islice(_inside(path, folder / "runs"), MAX_FILES)
        elif path.exists():
            found = [path]
        elif pattern:
            found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))[:MAX_FILES]
        for file in found:
            info = file.stat()
            yield str(file), info.st_size, info.st_mtime_ns


def _inside(place: Path, runs: Path) -> Iterator[Path]:
    """The files in a folder and its folders, hidden ones and the project's runs left out, in an order of their own."""
    for at, folders, files in os.walk(place):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and Path(at, n) != runs)
        yield from (Path(at, name) for name in sorted(files) if not name.startswith("."))
