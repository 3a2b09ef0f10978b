"""The record of a run: making its folder, and what was frozen into run.toml when it was made."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftstudio import __version__
from ftstudio.api import Problem
from ftstudio.errors import InputError
from ftstudio.explain import explain, explained
from ftstudio.files import read_toml, refuse_symlinks, write_toml
from ftstudio.project import Project, from_tables
from ftstudio.runs.find import NUMBER, find_run, list_runs
from ftstudio.runs.folder import RunFolder
from ftstudio.text import quote

__all__ = [
    "FORMAT",
    "Record",
    "changes_between",
    "changes_since",
    "create_run",
    "find_run",
    "flat",
    "frozen_project",
    "list_runs",
    "read_record",
]

FORMAT = 1


@dataclass(frozen=True)
class Record:
    """run.toml, read."""

    created: float
    seed: int
    settings: Mapping[str, Any]
    components: Mapping[str, Mapping[str, str]]
    overrides: Mapping[str, Any]
    argv: tuple[str, ...]
    problems: tuple[str, ...] = ()
    lineage: Mapping[str, Any] = field(default_factory=dict)
    auto_resume: bool = False


def create_run(
    project: Project,
    argv: Sequence[str],
    problems: Sequence[Problem] = (),
    *,
    lineage: Mapping[str, Any] | None = None,
    auto_resume: bool = False,
) -> RunFolder:
    """Make the next numbered run folder of a project and freeze its settings. Raises InputError.

    `lineage` says from which run and step it goes out (`fork.Parent.lineage`); `auto_resume` lets its supervisor start
    it again when it was interrupted by nobody's wish.
    """
    runs = project.folder / "runs"
    refuse_symlinks(runs, project.folder)
    with explained(runs):
        runs.mkdir(exist_ok=True)
        run = _next_folder(runs)
        try:
            write_toml(run.record, {**_record(project, argv, problems), "lineage": lineage, "auto_resume": auto_resume})
            run.control.mkdir()
        except OSError as error:
            shutil.rmtree(run.path, ignore_errors=True)
            raise explain(error, run.path) from error
    return run


def _next_folder(runs: Path) -> RunFolder:
    """The first number after the highest that was given out: here, in the trash, or to a run that was purged.

    Another process that takes a number first makes us take the next. Runs are listed before the trash, for one that is
    just being removed, and after it, for one that is purged or comes back meanwhile.
    """
    trash = runs.parent / ".trash"
    places = [*runs.iterdir(), *(trash.iterdir() if trash.is_dir() else ()), *runs.iterdir()]
    names = [place.name.lstrip(".").partition(".")[0] for place in places]  # 0007, .0007; in the trash 0007.2 too
    number = max((int(name) for name in names if NUMBER.match(name)), default=0)
    while True:
        number += 1
        with contextlib.suppress(FileExistsError):
            (runs / f"{number:04d}").mkdir()
            return RunFolder(runs / f"{number:04d}")


def _record(project: Project, argv: Sequence[str], problems: Sequence[Problem]) -> dict[str, Any]:
    parts = [*project.parts.items(), *((f"observers[{i}]", part) for i, part in enumerate(project.observers))]
    components = {
        label: {
            "use": part.use,
            "plugin": part.offer.record.name,
            "distribution": part.offer.record.distribution,
            "version": part.offer.record.version,
        }
        for label, part in parts
        if part.offer is not None
    }
    return {
        "format": FORMAT,
        "project": project.name,
        "created": time.time(),
        "ftstudio": __version__,
        "seed": project.head.seed,
        "argv": list(argv),
        "overrides": dict(project.overrides),
        "problems": [f"{p.level}: {p.message}" for p in problems if p.level != "note"],
        "components": components,
        "settings": project.resolved(),
    }


def read_record(run: RunFolder) -> Record:
    """What was frozen. Raises InputError when run.toml is missing, torn or of an unknown format."""
    try:
        raw = read_toml(run.record)
    except FileNotFoundError as error:
        raise _lost(run, "is missing") from error
    except OSError as error:
        raise explain(error, run.record) from error
    except ValueError as error:
        raise _lost(run, f"is damaged: {error}") from error
    if raw.get("format", FORMAT) != FORMAT:
        raise InputError(
            f"{run.title} has the unknown format {raw.get('format')!r}.", f"This version reads format {FORMAT}."
        )
    if not {"format", "settings"} <= raw.keys() or not isinstance(raw["settings"], Mapping):
        raise _lost(run, "is damaged: it holds no settings")
    try:
        created, seed = float(raw.get("created", 0.0)), int(raw.get("seed", 0))
    except (TypeError, ValueError) as error:
        raise _lost(run, f"is damaged: {error}") from error
    return Record(
        created=created,
        seed=seed,
        settings=raw["settings"],
        components=raw.get("components", {}),
        overrides=raw.get("overrides", {}),
        argv=tuple(raw.get("argv", ())),
        problems=tuple(raw.get("problems", ())),
        lineage=raw.get("lineage", {}),
        auto_resume=raw.get("auto_resume") is True,
    )


def _lost(run: RunFolder, what: str) -> InputError:
    return InputError(
        f"{quote(run.record, 200)} {what}.",
        "Put it back from a copy, or go on from one of its checkpoints in a new run, with --from.",
    )


def frozen_project(run: RunFolder) -> Project:
    """The project as it was when the run was made, from run.toml. Raises InputError."""
    return from_tables(run.project, run.record, read_record(run).settings)


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted key: ("trainer.max_steps", 7), ("observers[0].use", "csv")."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            for index, item in enumerate(value):
                yield from flat(item, f"{prefix}{key}[{index}].")
        else:
            yield f"{prefix}{key}", value


def changes_since(run: RunFolder, project: Project) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> (value in the run, value in the project) of each setting that differs; None where it is not set."""
    return _differing(frozen_project(run).resolved(), project.resolved())


def changes_between(before: RunFolder, run: RunFolder) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> (value in the one run, value in the other) of each setting that was frozen otherwise.

    Both as they were written, so no plugin is asked. Raises InputError when a run.toml cannot be read.
    """
    return _differing(read_record(before).settings, read_record(run).settings)


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    old, new = dict(flat(before)), dict(flat(now))
    return {key: (old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)}
