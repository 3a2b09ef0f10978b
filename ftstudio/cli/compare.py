"""ftstudio compare: runs beside each other, for a terminal, as Markdown or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ftstudio.cli import output
from ftstudio.cli.options import JSON
from ftstudio.errors import InputError
from ftstudio.explain import explained
from ftstudio.finding import default_root
from ftstudio.runs import compare as comparing
from ftstudio.runs import compare_tables
from ftstudio.runs.compare import Comparison
from ftstudio.runs.compare_tables import NO_DOUBT, Row, cut, doubt_sentences
from ftstudio.runs.find import find_run, names_run


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="PROJECT|RUN RUN...")
@click.option("--md", "markdown", is_flag=True, help="Tables in Markdown.")
@JSON
def compare(runs: tuple[str, ...], markdown: bool, as_json: bool) -> None:
    """Runs beside each other: settings that differ, results, and whether their losses can be compared.

    Of one PROJECT its newest runs, 20 at most, the one with the lowest eval_loss (else loss) first.
    """
    if markdown and as_json:
        raise InputError("--md and --json cannot be combined.", "Choose one.")
    folders = []
    for text in runs:
        with explained(Path(text)):
            folders.append(find_run(text, default_root()))
    whole = len(runs) == 1 and not names_run(runs[0])
    found = comparing.compare_all(folders[0].project) if whole else comparing.compare(folders)
    for sentence in found.left_out:
        output.say(f"! {sentence}")
    if as_json:
        output.as_json(found.as_json())
        return
    if markdown:
        output.data(compare_tables.markdown(found).rstrip("\n"))
        return
    if whole:
        _ranked(compare_tables.ranked_rows(found))
    else:
        _terminal("settings that differ", compare_tables.setting_rows(found), found)
        _terminal("results", compare_tables.result_rows(found.runs), found)
    for sentence in doubt_sentences(found):
        output.data(f"! {sentence}")
    if not found.doubts:
        output.say(NO_DOUBT)


def _ranked(rows: Sequence[Row]) -> None:
    """A row a run; settings that find no room in theirs go on below."""
    room = output.width() - sum(max(len(row[i]) for row in rows) + 2 for i in range(4))
    lines = []
    for row in rows:
        first, *more = output.wrap(row[-1], max(24, room))
        lines += [[*row[:-1], first], *([""] * 4 + [line] for line in more)]
    output.table(lines)
    output.data()


def _terminal(title: str, rows: Sequence[Row], found: Comparison) -> None:
    if not rows:
        output.data(f"{title}: none")
        output.data()
        return
    key = max(len(title), *(len(row[0]) for row in rows))
    limit = max(12, (output.width() - key) // len(found.runs) - 2)
    short = [[row[0], *(cut(cell, limit) for cell in row[1:])] for row in rows]
    output.table([[title, *(cut(f.label, limit, end=True) for f in found.runs)], *short])
    output.data()
