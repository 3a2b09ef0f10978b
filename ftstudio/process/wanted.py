"""A run that somebody wants, from the wish to the started run: what the command line and the studio both call.

    Wanted ──outlook──> what would go wrong ──create──> a run folder ──launch.start──> a supervisor that holds it

Nothing is made for a wish that cannot be met: the outlook comes first, and a run that no supervisor takes leaves no
folder behind.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ftstudio import plan
from ftstudio.api import Problem
from ftstudio.errors import FtstudioError, InputError, ProblemsError
from ftstudio.process.devices import choose_device
from ftstudio.process.launch import begin_here, start, try_own_folders
from ftstudio.project import Project, load
from ftstudio.runs import measured
from ftstudio.runs.changes import in_short
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.fork import WEIGHTS_ONLY, Parent, copy_origin
from ftstudio.runs.record import changes_since, create_run, read_record
from ftstudio.text import plural, quote


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A run of a project with settings for this once, on a device, perhaps from another run's checkpoint."""

    project: Path
    overrides: tuple[str, ...] = ()
    device: str = "auto"
    parent: Parent | None = None
    auto_resume: bool = False

    def outlook(self) -> plan.Outlook:
        """What the settings imply. Raises ProblemsError when the run could not start, InputError for a wrong wish."""
        where = choose_device(self.device)
        project = load(self.project, self.overrides)
        outlook = plan.look_ahead(project, None if project.errors else measured.recall(project, where))
        if self.parent is not None and not self.parent.weights_only and not project.errors:
            more = *_other_trainer(project, self.parent), *_nothing_left(outlook, self.parent)
            outlook = replace(outlook, problems=(*outlook.problems, *more))
        if outlook.errors:
            raise ProblemsError("It cannot start.", outlook.problems)
        return outlook

    def differs(self, outlook: plan.Outlook, written: Callable[[Any], str]) -> str:
        """Of a fork what the settings are, in a line: the project's, and where they differ from the forked run's.

        `written` writes a value. "" for a run that starts at the beginning.
        """
        if self.parent is None:
            return ""
        run = self.parent.run.title
        try:
            changes = changes_since(self.parent.run, outlook.project)
        except FtstudioError:  # its run.toml is lost, or a plugin: its checkpoint is whole all the same
            return f"Settings are the project's of today; those of {run} cannot be read."
        if not changes:
            return f"Settings are the project's of today, and {run} has the same."
        return f"Settings are the project's of today, not those of {run}: {in_short(changes, written)}."

    def create(self, outlook: plan.Outlook, argv: Sequence[str]) -> RunFolder:
        """The run's folder, with the checkpoint that it goes out from. Raises InputError; nothing is left then."""
        try_own_folders()
        run = create_run(
            outlook.project,
            argv,
            outlook.problems,
            lineage=self.parent.lineage if self.parent else None,
            auto_resume=self.auto_resume,
        )
        if self.parent is not None:
            with _whole(run):
                copy_origin(self.parent, run)
        return run

    def start(self, run: RunFolder) -> None:
        """Start the run that was made. Raises InputError with the supervisor's reason; nothing is left then."""
        with _whole(run):
            start(run, device=self.device)

    def begin_here(self, run: RunFolder) -> Callable[[], None]:
        """Begin the run that was made in this process; `launch.begin_here` says what comes back, and what it raises."""
        with _whole(run):
            return begin_here(run, self.device)


def _other_trainer(project: Project, parent: Parent) -> Iterator[Problem]:
    """What a checkpoint holds beside the weights only the trainer reads that wrote it."""
    try:
        frozen = read_record(parent.run).components.get("trainer", {})
    except InputError:  # its run.toml is lost: the trainer itself will tell
        return
    today = project.parts["trainer"].offer
    if today is None or not frozen or _trainer(frozen) == (today.record.distribution, today.component.name):
        return
    use = frozen["use"]
    yield Problem(
        level="error",
        table="trainer",
        option="use",
        message=f"{parent.run.title} was trained by {quote(use)}, so nothing but {quote(use)} goes on from its "
        f"checkpoint {parent.manifest.step:,}; the project's trainer today is {quote(project.parts['trainer'].use)}.",
        fix=f"Set trainer.use = {json.dumps(use)}, or take only its weights ({WEIGHTS_ONLY}).",
    )


def _trainer(frozen: Mapping[str, str]) -> tuple[str, str]:
    return str(frozen.get("distribution")), str(frozen.get("use")).rpartition("/")[2]


def _nothing_left(outlook: plan.Outlook, parent: Parent) -> Iterator[Problem]:
    """A fork goes on counting where its parent was: of a plan that ends there or before, no step is left to train.

    That is an error where the plan counted its steps, and a warning where it rests on an estimate.
    """
    total, done = outlook.plan.total_steps if outlook.plan else None, parent.manifest.step
    if total is None or total > done:
        return
    guessed = outlook.plan is not None and "total_steps" in outlook.plan.estimated
    longer = "Let it train longer"
    if hasattr(outlook.project.parts["trainer"].options, "max_steps"):
        longer = f"Set trainer.max_steps above {done:,}"
    yield Problem(
        level="warning" if guessed else "error",
        table="trainer",
        message=f"{parent.run.title} is at step {done:,} already, and these settings train "
        f"{'about ' if guessed else ''}{plural(total, 'step')} in all: no step would be left to train.",
        fix=f"{longer}, or take only its weights ({WEIGHTS_ONLY}).",
    )


@contextlib.contextmanager
def _whole(run: RunFolder) -> Iterator[None]:
    """Remove a run's folder when what happens inside fails."""
    try:
        yield
    except FtstudioError:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
