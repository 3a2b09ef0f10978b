"""ftstudio run and resume: starting a run, or going on with one, and following it to its end."""

from __future__ import annotations

import sys

import click

from ftstudio.cli import output
from ftstudio.cli.ending import LEFT_RUNNING, end, result, result_table, typed
from ftstudio.cli.follow import follow, narrated
from ftstudio.cli.options import DEVICE, JSON, SETTINGS
from ftstudio.errors import InputError
from ftstudio.finding import default_root, project_folder
from ftstudio.process.launch import resume
from ftstudio.process.outlive import what_ends_it
from ftstudio.process.wanted import Wanted
from ftstudio.project import Project, each_value
from ftstudio.runs.compare import value_text
from ftstudio.runs.find import address, find_run
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.fork import find_parent, lineage_text
from ftstudio.runs.record import frozen_project
from ftstudio.runs.status import GLYPHS, LIVE, read_state


@click.command()
@click.argument("path", metavar="PROJECT")
@SETTINGS
@click.option("--each", multiple=True, metavar="KEY.KEY=A,B,C", help="One run a value, all queued; several multiply.")
@click.option(
    "--from",
    "parent",
    metavar="RUN[:STEP]",
    help="Go out from a run's checkpoint (a step, best or last), with the project's settings of today. RUN may be any, "
    "or 0001 of this project.",
)
@click.option("--weights-only", is_flag=True, help="With --from: take its weights as the base model, start at step 0.")
@DEVICE
@click.option("--detach", is_flag=True, help="Start it and return at once.")
@click.option("--inline", is_flag=True, help="Run in this process, for breakpoint(); it ends with the terminal.")
@click.option("--auto-resume", is_flag=True, help="Go on by itself when it is interrupted by nobody's wish.")
@JSON
def run(
    path: str,
    overrides: tuple[str, ...],
    each: tuple[str, ...],
    parent: str | None,
    weights_only: bool,
    device: str,
    detach: bool,
    inline: bool,
    auto_resume: bool,
    as_json: bool,
) -> int:
    """Run a project: fetch, tokenise, train, sample. Ctrl+C stops it with a checkpoint, twice leaves it running."""
    if weights_only and parent is None:
        raise InputError("--weights-only says what to take from another run.", "Name it: --from RUN[:STEP].")
    for option, given in (("--each", each), ("--detach", detach), ("--auto-resume", auto_resume)):
        if inline and given:
            raise InputError(f"--inline runs it here and now, so {option} means nothing.", "Leave one of them out.")
    project, origin = project_folder(path), None
    if parent:
        origin = find_parent(parent, default_root(), project.resolve(), weights_only=weights_only)
    combinations = each_value(each, overrides)
    wishes = [
        Wanted(project=project, overrides=(*overrides, *once), device=device, parent=origin, auto_resume=auto_resume)
        for once in combinations
    ]
    outlooks = [wish.outlook() for wish in wishes]  # none is made when one of them could not start
    output.problems(outlooks[0].problems)
    if each:
        _say_which(combinations)
    if not inline:
        _say_what_ends_it()
    folders = []
    for wish, outlook in zip(wishes, outlooks, strict=True):
        folder = wish.create(outlook, sys.argv)
        out_from = lineage_text(folder)
        output.say(f"▸ run {folder.title} in {folder.path}" + (f", {out_from}" if out_from else ""))
        if origin is not None:
            output.say(f"  {wish.differs(outlook, value_text)}")
        if inline:
            return _inline(wish, folder, outlook.project, as_json=as_json)
        wish.start(folder)
        if each or detach:
            _say_if_queued(folder)
        folders.append(folder)
    if each:
        return _left_alone(folders, as_json=as_json)
    return _followed(folders[0], outlooks[0].project, 1, detach=detach, as_json=as_json)


def _say_which(combinations: list[tuple[str, ...]]) -> None:
    """How many runs there will be, and what each of them sets."""
    output.say(f"{len(combinations)} runs, one a line:")
    for once in combinations:
        output.say(f"  {'  '.join(once)}")


def _inline(wish: Wanted, folder: RunFolder, project: Project, *, as_json: bool) -> int:
    output.say("  inline: nothing survives this terminal.")
    go_on = wish.begin_here(folder)
    with narrated(folder, 1):
        go_on()
    return end(folder, project, read_state(folder), as_json=as_json)


def _left_alone(folders: list[RunFolder], *, as_json: bool) -> int:
    """What is said of several runs that were queued."""
    if as_json:
        output.as_json([result_table(folder, read_state(folder)) for folder in folders])
    else:
        for folder in folders:
            output.data(str(folder.path))
        project = folders[0].project
        output.say("  They go on without this terminal, as places come free.")
        output.say(f"  Compare them when they have ended: {typed('compare', project)}")
        output.say(f"  Watch them: {typed('status', project, '--watch')}")
    return 0


def _say_what_ends_it() -> None:
    sentence = what_ends_it()
    if sentence:
        output.say(f"! {sentence}")


def _say_if_queued(folder: RunFolder) -> None:
    state = read_state(folder)
    if state.state == "queued":
        output.say(f"{GLYPHS[state.state]} {folder.title} is queued. {state.reason}")


def _followed(folder: RunFolder, project: Project, attempt: int, *, detach: bool, as_json: bool) -> int:
    """Follow an attempt that was started, unless it is to be left alone."""
    if detach:
        output.say(f"  It goes on without this terminal. Follow it: {typed('attach', address(folder))}")
        result(folder, read_state(folder), as_json=as_json)
        return 0
    state = follow(folder, attempt)
    if state is None:
        output.say(f"  {folder.title} goes on. Come back with: {typed('attach', address(folder))}")
        return LEFT_RUNNING
    if state.state in LIVE:
        what = "leaves the queue" if state.state == "queued" else "commits a checkpoint and stops"
        output.say(f"  {folder.title} had seen the request already: it {what}.")
        output.say(f"  Go on with it then: {typed('resume', address(folder))}")
        return LEFT_RUNNING
    return end(folder, project, state, as_json=as_json)


@click.command("resume")
@click.argument("run")
@DEVICE
@click.option("--accept-changed-data", is_flag=True, help="Go on although data or base model are not what they were.")
@click.option("--detach", is_flag=True, help="Start it and return at once.")
@JSON
def resume_(run: str, device: str, accept_changed_data: bool, detach: bool, as_json: bool) -> int:
    """Go on with a run that was stopped or interrupted, from its newest checkpoint that verifies."""
    folder = find_run(run, default_root())
    attempt = resume(folder, device, accept_changed_data=accept_changed_data)
    output.say(f"▸ run {folder.title}, attempt {attempt}")
    return _followed(folder, frozen_project(folder), attempt, detach=detach, as_json=as_json)
