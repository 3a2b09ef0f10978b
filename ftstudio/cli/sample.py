"""ftstudio sample: continue prompts by a run's model, one of its checkpoints, or the base model."""

from __future__ import annotations

import sys
from typing import Any

import click

from ftstudio.api import Event
from ftstudio.cli import output
from ftstudio.cli.options import DEVICE, JSON, SETTINGS
from ftstudio.errors import InputError
from ftstudio.files import quote, safe_text
from ftstudio.finding import FILE, default_root, project_folder
from ftstudio.process.errand import run_errand
from ftstudio.project import Project, load
from ftstudio.runs.find import find_run, list_runs, names_run
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.models import model_of, models_of, shape_of_run
from ftstudio.runs.record import frozen_project


@click.command()
@click.argument("path")
@click.option("--prompt", "prompts", multiple=True, metavar="TEXT", help="A text to continue; the project's without.")
@click.option("--checkpoint", type=int, metavar="STEP", help="A committed checkpoint instead of the final model.")
@click.option("--base", is_flag=True, help="The model before fine-tuning.")
@SETTINGS
@DEVICE
@JSON
def sample(
    path: str,
    prompts: tuple[str, ...],
    checkpoint: int | None,
    base: bool,
    overrides: tuple[str, ...],
    device: str,
    as_json: bool,
) -> None:
    """Continue prompts with a model."""
    run, project = _meant(path, overrides)
    wanted: list[Any] = list(prompts) or list(project.prompts)
    if not wanted:
        raise InputError("There is no prompt.", "Write --prompt TEXT, or prompts = [...] in [generator].")
    job: dict[str, Any] = {"kind": "sample", "prompts": wanted, "base": base}
    if run is not None:
        job |= {"checkpoint": str(model_of(run, checkpoint).folder), "shape": shape_of_run(run)}
    elif not base:
        raise InputError(f"{quote(path)} has no run with a model yet.", "Run it first, or sample --base.")
    stream = _Stream(wanted, quiet=as_json)
    report = run_errand(project, job, stream.event, device=device)
    if as_json:
        output.as_json(report)


def _meant(path: str, overrides: tuple[str, ...]) -> tuple[RunFolder | None, Project]:
    """The run, if there is one with a model, and the settings to sample with: the project's of today."""
    run: RunFolder | None
    if names_run(path):
        run = find_run(path, default_root())
        project = load(run.project, overrides) if (run.project / FILE).exists() else frozen_project(run)
    else:
        folder = project_folder(path)
        project = load(folder, overrides)
        with_model = [r for r in list_runs(folder.resolve()) if models_of(r)]
        run = with_model[-1] if with_model else None
    project.require()
    return run, project


class _Stream:
    """Prints text as it comes when there is one prompt; several prompts come one after the other as well."""

    def __init__(self, prompts: list[Any], *, quiet: bool) -> None:
        self.prompts, self.quiet = prompts, quiet
        self.current: tuple[int, int] | None = None

    def event(self, event: Event) -> None:
        if event.kind == "warning":
            output.say(f"! {event.data.get('text')}")
        if event.kind != "chunk" or self.quiet:
            return
        at = (int(event.data["index"]), int(event.data["sequence"]))
        if at != self.current:
            prompt = self.prompts[at[0]]
            shown = prompt if isinstance(prompt, str) else prompt[-1]["content"]
            if self.current is not None:
                output.data()
            sys.stdout.write(safe_text(shown))
            self.current = at
        sys.stdout.write(safe_text(event.data.get("text", "")))
        if event.data.get("done"):
            sys.stdout.write("\n")
        sys.stdout.flush()
