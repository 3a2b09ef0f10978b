"""ftstudio new, check, show, data: making a project and looking at it before it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ftstudio import plan
from ftstudio.api import Event
from ftstudio.cli import output
from ftstudio.cli.ending import typed
from ftstudio.cli.follow import Narrator
from ftstudio.cli.options import DEVICE, JSON, SETTINGS
from ftstudio.errors import InputError
from ftstudio.files import toml_text
from ftstudio.finding import default_root, project_folder
from ftstudio.new import new_project
from ftstudio.process.devices import choose_device
from ftstudio.process.errand import run_errand
from ftstudio.process.token_view import LEGEND, lines, summary
from ftstudio.project import Project, load
from ftstudio.runs import measured
from ftstudio.runs.find import find_run, names_run
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.fork import lineage_text
from ftstudio.runs.observers import troubles
from ftstudio.runs.record import changes_since, frozen_project
from ftstudio.text import number_text, plural, size_text


@click.command()
@click.argument("name")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DATA",
    help="From the current folder: a file (text, JSONL, JSON, CSV, Parquet), a folder, or a pattern ('texts/*.txt').",
)
@click.option("--model", metavar="M", help="A Hub id, a folder, starter (without --model), or scratch.")
@click.option("--from", "example", metavar="EXAMPLE", help="Copy an example: quickstart, tutorial ...")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to make it. Without it in $FTSTUDIO_PROJECTS, else in ./projects where that is, else in ~/ftstudio.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY.KEY=VALUE", help="A setting to write into it.")
@JSON
def new(
    name: str,
    data: Path | None,
    model: str | None,
    example: str | None,
    root: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a project."""
    made = new_project(root or default_root(), name, data=data, model=model, example=example, overrides=overrides)
    if data is not None:
        output.say(f"{data.name or data}: {made.says}")
    if not as_json:
        output.data(str(made.folder))
    outlook = plan.look_ahead(load(made.folder))
    if as_json:
        output.as_json({**plan.as_json(outlook), "path": str(made.folder.resolve()), "says": made.says})
    else:  # but those that it said above
        output.problems(p for p in outlook.problems if p.level != "note" or p.table != "dataset")
    if outlook.errors:
        output.say(_verdict(outlook))
    output.say(f"Look at it:  {typed('check', made.folder)}")
    output.say(f"Start it:    {typed('run', made.folder)}")


@click.command()
@click.argument("path", metavar="PROJECT")
@click.option("--deep", is_flag=True, help="Try everything once in a worker: data, longest batch, checkpoint, sample.")
@SETTINGS
@DEVICE
@JSON
def check(path: str, deep: bool, overrides: tuple[str, ...], device: str, as_json: bool) -> int:
    """Say what a project's settings imply, and everything that would go wrong."""
    where = choose_device(device)
    project = load(project_folder(path), overrides)
    outlook = plan.look_ahead(project, _recall(project, where))
    report = None
    if deep and not outlook.errors:
        output.problems(outlook.problems)
        report = run_errand(project, {"kind": "deep"}, Narrator().event, device=device)
        outlook = plan.look_ahead(project, _recall(project, where))
    if as_json:
        output.as_json({**plan.as_json(outlook), "deep": report})
    else:
        if report is not None:
            _show_report(report)
        else:
            output.problems(outlook.problems)
        output.table(
            [[what, figure, "" if how == "exact" else how] for what, figure, how in plan.outlook_lines(outlook)]
        )
        output.say(_verdict(outlook))
    return 2 if outlook.errors else 0


def _recall(project: Project, device: str) -> Any:
    return None if project.errors else measured.recall(project, device)


def _verdict(outlook: plan.Outlook) -> str:
    counts = {level: sum(p.level == level for p in outlook.problems) for level in ("error", "warning")}
    if counts["error"]:
        return f"{plural(counts['error'], 'error')}: it cannot start."
    warned = f", with {plural(counts['warning'], 'warning')}" if counts["warning"] else ""
    return f"It can start{warned}."


def _show_report(report: dict[str, Any]) -> None:
    output.data(f"tokens      {summary(report['counts'])}")
    for row in report["view"]:
        output.data(f"row {row['row']}")
        for line in lines(row, output.width() - 2)[:12]:
            output.data(f"  {line}")
    memory, speed = report["peak_memory_bytes"], report["tokens_per_second"]
    output.data(f"longest     {report['batch']}: forward, backward and step done, loss {number_text(report['loss'])}")
    if memory and speed:
        output.data(f"measured    {size_text(memory)} at most, {speed:,.0f} tokens/s on {report['device']}")
    output.data(f"checkpoint  {size_text(report['checkpoint_bytes'])}, committed and read back")
    prompt = report["sample"]["prompt"]
    output.data(
        f"sample      {prompt if isinstance(prompt, str) else prompt[-1]['content']!r} → {report['sample']['text']!r}"
    )


@click.command()
@click.argument("path", metavar="PROJECT|RUN")
@click.option("--changes", is_flag=True, help="Of a run: only what its project says otherwise today.")
@SETTINGS
@JSON
def show(path: str, changes: bool, overrides: tuple[str, ...], as_json: bool) -> None:
    """The settings of a project, or the frozen ones of a run, with every default written out."""
    if changes:
        _show_changes(path, overrides, as_json=as_json)
        return
    resolved = _project_or_run(path, overrides).resolved()
    if names_run(path):
        _say_of_run(find_run(path, default_root()))
    if as_json:
        output.as_json(resolved)
    else:
        output.data(toml_text(resolved).rstrip())


def _say_of_run(run: RunFolder) -> None:
    out_from = lineage_text(run)
    if out_from:
        output.say(f"{run.title}, {out_from}")
    for trouble in troubles(run):
        output.say(f"! {trouble}")


def _show_changes(path: str, overrides: tuple[str, ...], *, as_json: bool) -> None:
    """What differs between a run's frozen settings and its project's of today."""
    run = find_run(path, default_root())
    differing = changes_since(run, load(run.project, overrides))
    if as_json:
        output.as_json({key: {"run": before, "project": now} for key, (before, now) in differing.items()})
    elif not differing:
        output.say(f"{run.title} has the settings that its project has today.")
    else:
        rows = [[key, _value_text(before), _value_text(now)] for key, (before, now) in differing.items()]
        output.table([["", run.title, "today"], *rows])


def _value_text(value: Any) -> str:
    return "-" if value is None else json.dumps(value, ensure_ascii=False)[:60]


def _project_or_run(path: str, overrides: tuple[str, ...]) -> Project:
    if names_run(path):
        return frozen_project(find_run(path, default_root()))
    return load(project_folder(path), overrides)


@click.command("data")
@click.argument("path", metavar="PROJECT|RUN")
@click.option("--tokens", is_flag=True, help="The token view: what is trained, what is masked.")
@click.option("--row", type=click.IntRange(1), default=1, metavar="N", help="The first row to show, from 1.")
@click.option("--rows", "count", type=click.IntRange(1, 1000), default=5, metavar="N", help="How many rows.")
@SETTINGS
@JSON
def data(path: str, tokens: bool, row: int, count: int, overrides: tuple[str, ...], as_json: bool) -> None:
    """The rows of a project, as text or as the tokens that the model will see."""
    project = _project_or_run(path, overrides)
    project.require()
    job = {"kind": "rows" if tokens else "preview", "first": row - 1, "count": count}
    report = run_errand(project, job, _quietly(Narrator()))
    if not tokens and not report["rows"]:
        raise InputError(f"There is no row {row:,}: the data ends before it.", "Rows count from 1.")
    if as_json:
        output.as_json(report)
    elif tokens:
        _show_tokens(report)
    else:
        for number, shown in enumerate(report["rows"], start=row):
            output.data(f"row {number}")
            for column, value in shown.items():
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                for line in output.wrap(f"{column}: {text[:2000]}", output.width(), "  "):
                    output.data(line)


def _show_tokens(report: dict[str, Any]) -> None:
    for shown in report["view"]:
        counted = f"{len(shown['pieces']):,} tokens, {sum(shown['trained']):,} trained"
        output.data(f"row {shown['row']} of {report['rows']:,}   {report['shape']}   {counted}")
        for line in lines(shown, output.width() - 2):
            output.data(f"  {line}")
    output.data(LEGEND)
    output.data(summary(report["counts"]))


def _quietly(narrator: Narrator) -> Any:
    def on_event(event: Event) -> None:
        if event.kind in {"warning", "message", "progress"}:
            narrator.event(event)

    return on_event
