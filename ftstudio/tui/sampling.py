"""What the Generate pane samples: which models, with which settings. Without widgets; called in threads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftstudio.api import Problem, Prompt
from ftstudio.errors import InputError, ProblemsError
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.models import RunModel, models_of, shape_of_run
from ftstudio.source import read_source

if TYPE_CHECKING:
    from ftstudio.project import Project


@dataclass(frozen=True)
class Source:
    """A model to sample: of a run, or (`model` None) the one before fine-tuning. `tokenizer`: of the run's model."""

    title: str
    run: RunFolder | None
    model: RunModel | None
    shape: str = "text"
    tokenizer: Path | None = None

    def job(self, prompt: Prompt) -> dict[str, Any]:
        """What a workbench is asked for."""
        job: dict[str, Any] = {"kind": "sample", "prompts": [prompt], "shape": self.shape, "base": self.model is None}
        folder = self.tokenizer if self.model is None else self.model.folder
        return job if folder is None else {**job, "checkpoint": str(folder)}


def base_source(project: Path, run: RunFolder | None) -> Source:
    """The model before fine-tuning, of a run or else as the project says today. Raises InputError."""
    from ftstudio.finding import FILE  # noqa: PLC0415
    from ftstudio.runs.record import read_record  # noqa: PLC0415 - loads the plugins

    table = read_record(run).settings if run is not None else read_source(project / FILE).table
    model = table.get("model", {})
    name = str(model.get("name") or model.get("use") or "?")
    models = models_of(run) if run is not None else []
    shape = shape_of_run(run) if run is not None else "text"
    return Source(f"{name}, before", run, None, shape, models[0].folder if models else None)


def sources_of(run: RunFolder) -> list[Source]:
    """The models of a run, the one to look at first first."""
    shape = shape_of_run(run)
    return [Source(model.title, run, model, shape) for model in models_of(run)]


def pair(project: Path, run: RunFolder | None) -> list[Source]:
    """What stands side by side unless somebody chooses: before, and after. Raises InputError."""
    return [base_source(project, run), *(sources_of(run)[:1] if run is not None else [])]


def choices(project: Path, run: RunFolder | None, others: Iterable[RunFolder]) -> list[Source]:
    """All that can be chosen: before, this run's models, then those of other runs. Raises InputError."""
    found = [base_source(project, run), *(sources_of(run) if run is not None else [])]
    for other in others:
        if run is None or other.path != run.path:
            mine = sources_of(other)
            found += mine if other.project == project else mine[:1]
    return found


# ------------------------------------------------------------------------------------------------ settings


def settings(folder: Path, run: RunFolder | None, overrides: Mapping[str, str]) -> Project:
    """The project to sample with: model and tokenizer as the run had them, generator and seed as they are today.

    `overrides` ("generator.temperature" -> "0.9") hold for this once. Raises ProblemsError, InputError.
    """
    from ftstudio.project import from_tables, load  # noqa: PLC0415 - loads the plugins
    from ftstudio.runs.record import read_record  # noqa: PLC0415

    today = load(folder, [f"{key}={value}" for key, value in overrides.items()])
    today.require()
    if run is None:
        return today
    tables = {**read_record(run).settings, "generator": today.resolved()["generator"], "seed": today.head.seed}
    project = from_tables(run.project, run.record, tables)
    project.require()
    return project


def check_override(folder: Path, overrides: Mapping[str, str], key: str, value: str) -> None:
    """Raise InputError with the sentence on why a value cannot be taken."""
    from ftstudio.project import load  # noqa: PLC0415 - loads the plugins

    project = load(folder, [f"{k}={v}" for k, v in {**overrides, key: value}.items()])
    wrong = [p for p in project.errors if _is_of(p, key)]
    if wrong:
        raise InputError(wrong[0].message, wrong[0].fix)


def _is_of(problem: Problem, key: str) -> bool:
    table, _, name = key.rpartition(".")
    return problem.table == table and (bool(table) or problem.option == name)


@dataclass(frozen=True)
class Setting:
    """One of the generator's options, or the seed."""

    key: str
    value: Any
    default: Any
    help: str
    advanced: bool = False

    @property
    def name(self) -> str:
        """Without its table."""
        return self.key.rpartition(".")[2]


def settings_of(folder: Path, overrides: Mapping[str, str]) -> list[Setting]:
    """All settings that sampling depends on. Raises ProblemsError, InputError."""
    from ftstudio.options import describe, to_table  # noqa: PLC0415
    from ftstudio.project import load  # noqa: PLC0415 - loads the plugins

    project = load(folder, [f"{key}={value}" for key, value in overrides.items()])
    part = project.parts.get("generator")
    if part is None or part.options is None:
        raise ProblemsError("[generator] has errors.", project.errors)
    values = to_table(part.options)
    found = [Setting("seed", project.head.seed, None, "The seed that all randomness comes from.")]
    return found + [
        Setting(f"generator.{field.name}", values.get(field.name), _plain(field.default), field.help, field.advanced)
        for field in describe(type(part.options))
    ]


def _plain(value: Any) -> Any:
    """A default as TOML gives values back."""
    return list(value) if isinstance(value, tuple) else value


def first_prompt(folder: Path) -> Prompt | None:
    """The project's first prompt."""
    from ftstudio.project import load  # noqa: PLC0415 - loads the plugins

    return next(iter(load(folder).prompts), None)
