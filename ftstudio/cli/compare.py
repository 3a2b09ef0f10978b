"""ftstudio compare: runs beside each other, for a terminal, as Markdown or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ftstudio.cli import output
from ftstudio.cli.follow import value_text as number_text
from ftstudio.cli.options import JSON
from ftstudio.errors import InputError
from ftstudio.files import explained, safe_text
from ftstudio.project import default_root
from ftstudio.runs import compare as comparing
from ftstudio.runs.compare import Comparison, RunFacts, doubt_text, value_text
from ftstudio.runs.record import find_run
from ftstudio.runs.status import age_text

Row = list[str]


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@click.option("--md", "markdown", is_flag=True, help="Tables in Markdown.")
@JSON
def compare(runs: tuple[str, ...], markdown: bool, as_json: bool) -> None:
    """Runs beside each other: settings that differ, results, and whether their losses can be compared."""
    if markdown and as_json:
        raise InputError("--md and --json cannot be combined.", "Choose one.")
    folders = []
    for text in runs:
        with explained(Path(text)):
            folders.append(find_run(text, default_root()))
    found = comparing.compare(folders)
    if as_json:
        output.as_json(found.as_json())
        return
    show = _markdown if markdown else _terminal
    show("settings that differ", _setting_rows(found), found)
    show("results", _result_rows(found.runs), found)
    for doubt in found.doubts:
        said = doubt_text(doubt, [f.label for f in found.runs])
        output.data(f"- {_cell(said)}" if markdown else f"! {said}")
    if not found.doubts:
        output.say("Nothing keeps their losses from being compared.")


def _setting_rows(found: Comparison) -> list[Row]:
    return [[key, *map(value_text, values)] for key, values in found.settings.items()]


def _result_rows(facts: Sequence[RunFacts]) -> list[Row]:
    """One row a figure that at least one of the runs has."""
    rows = [
        ["state", *(f.state for f in facts)],
        ["device", *(f.device for f in facts)],
        ["data", *(f.fingerprint[:12] for f in facts)],
        ["model", *(f.model for f in facts)],
        ["vocabulary", *(f.vocabulary for f in facts)],
        ["step", *(_steps(f) for f in facts)],
        ["time", *("" if f.seconds is None else age_text(f.seconds) for f in facts)],
    ]
    names = dict.fromkeys(name for f in facts for name in f.metrics)
    for name in names:
        rows.append([name, *(number_text(f.metrics[name]) if name in f.metrics else "" for f in facts)])
        if any(name in f.best for f in facts):
            rows.append([f"best {name}", *(_best(f, name) for f in facts)])
    return [row for row in rows if any(row[1:])]


def _steps(facts: RunFacts) -> str:
    if facts.step is None:
        return ""
    return f"{facts.step:,}" + (f" of {facts.total_steps:,}" if facts.total_steps is not None else "")


def _best(facts: RunFacts, name: str) -> str:
    if name not in facts.best:
        return ""
    step, value = facts.best[name]
    return f"{number_text(value)} at step {step:,}"


def _terminal(title: str, rows: Sequence[Row], found: Comparison) -> None:
    if not rows:
        output.data(f"{title}: none")
        output.data()
        return
    key = max(len(title), *(len(row[0]) for row in rows))
    limit = max(12, (output.width() - key) // len(found.runs) - 2)
    cut = [[row[0], *(_cut(cell, limit) for cell in row[1:])] for row in rows]
    output.table([[title, *(_cut(f.label, limit, end=True) for f in found.runs)], *cut])
    output.data()


def _cut(text: str, limit: int, *, end: bool = False) -> str:
    """At most `limit` characters of a text; of a path the end says more than the beginning."""
    shown = safe_text(text, one_line=True)
    if len(shown) <= limit:
        return shown
    return "…" + shown[1 - limit :] if end else shown[: limit - 1] + "…"


def _markdown(title: str, rows: Sequence[Row], found: Comparison) -> None:
    if not rows:
        output.data(f"{title}: none\n")
        return
    lines = [[title, *(f.label for f in found.runs)], ["---"] * (len(found.runs) + 1), *rows]
    for number, row in enumerate(lines):
        cells = row if number == 1 else map(_cell, row)
        output.data(f"| {' | '.join(cells)} |")
    output.data()


_MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\`*[]<>|#!"} | {"&": "&amp;"})


def _cell(text: str) -> str:
    """A text within Markdown: whatever it holds, it makes no cell, link, image or HTML."""
    return safe_text(_cut(text, 200), one_line=True).translate(_MARKDOWN)
