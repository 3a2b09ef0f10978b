"""ftstudio sample: continue prompts by a run's model, one of its checkpoints, or the base model."""

from __future__ import annotations

import sys
from typing import Any

import click

from ftstudio.api import Event
from ftstudio.cli import output
from ftstudio.cli.options import DEVICE, JSON, SETTINGS
from ftstudio.errors import InputError
from ftstudio.finding import FILE, default_root, project_folder
from ftstudio.process.errand import run_errand
from ftstudio.project import Project, load
from ftstudio.runs.find import find_run, list_runs, names_run
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.models import model_of, models_of, shape_of_run
from ftstudio.runs.record import frozen_project
from ftstudio.text import prompt_text, quote


@click.command()
@click.argument("path", metavar="PROJECT|RUN")
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    metavar="TEXT",
    help="A text to continue, - takes stdin; the project's without.",
)
@click.option("--checkpoint", default="", metavar="STEP", help="A checkpoint, not the final model: a step, best, last.")
@click.option("--base", is_flag=True, help="The model before fine-tuning.")
@SETTINGS
@DEVICE
@JSON
def sample(
    path: str,
    prompts: tuple[str, ...],
    checkpoint: str,
    base: bool,
    overrides: tuple[str, ...],
    device: str,
    as_json: bool,
) -> None:
    """Continue prompts with a model."""
    run, project = _meant(path, overrides)
    wanted: list[Any] = [_from_stdin() if text == "-" else text for text in prompts] or list(project.prompts)
    if not wanted:
        raise InputError("There is no prompt.", "Write --prompt TEXT, or prompts = [...] in [generator].")
    job: dict[str, Any] = {"kind": "sample", "prompts": wanted, "base": base}
    if run is not None:
        job |= {"checkpoint": str(model_of(run, checkpoint).folder), "shape": shape_of_run(run)}
    elif not base:
        raise InputError(f"{quote(path)} has no run with a model yet.", "Run it first, or sample --base.")
    stream = _Stream(wanted, quiet=as_json)
    try:
        report = run_errand(project, job, stream.event, device=device)
    finally:
        stream.end()
    if as_json:
        output.as_json(report)


def _from_stdin() -> str:
    """All of stdin as one prompt, without the line end that an editor or echo leaves at its end."""
    if sys.stdin.isatty():
        output.say("Write the prompt; Ctrl+D on a line of its own ends it.")
    try:
        text = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError("What stdin holds is not UTF-8.", "Convert it first, with iconv for example.") from error
    if not text.strip():
        raise InputError("There is no prompt: stdin is empty.", "For example: echo The river | ftstudio sample ...")
    return text.removesuffix("\n")


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
    """Prints one text after the other, each behind its prompt and as it comes.

    Pieces of several texts may come in turns: those of a later text wait until the ones before it have ended.
    """

    def __init__(self, prompts: list[Any], *, quiet: bool) -> None:
        self.prompts, self.quiet = prompts, quiet
        self.waiting: dict[tuple[int, int], str] = {}
        """Prompt and sequence -> what came and was not printed yet; the first is the text that is being printed."""
        self.ended: set[tuple[int, int]] = set()
        self.begun: tuple[int, int] | None = None

    def event(self, event: Event) -> None:
        """A piece of a text, or a warning."""
        if event.kind == "warning":
            output.say(f"! {event.data.get('text')}")
        if event.kind != "chunk" or self.quiet:
            return
        at = (int(event.data["index"]), int(event.data["sequence"]))
        self.waiting[at] = self.waiting.get(at, "") + event.data.get("text", "")
        if event.data.get("done"):
            self.ended.add(at)
        self._print()

    def end(self) -> None:
        """Print what a generator that stopped half-way left without an end."""
        self.ended.update(self.waiting)
        self._print()

    def _print(self) -> None:
        while self.waiting:
            at = next(iter(self.waiting))
            if at != self.begun:
                self._begin(at)
            sys.stdout.write(output.printable(self.waiting[at]))
            if at not in self.ended:
                self.waiting[at] = ""
                break
            del self.waiting[at]
            sys.stdout.write("\n")
        sys.stdout.flush()

    def _begin(self, at: tuple[int, int]) -> None:
        if self.begun is not None:
            output.data()
        sys.stdout.write(output.printable(prompt_text(self.prompts[at[0]])))
        self.begun = at
