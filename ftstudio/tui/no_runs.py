"""What Home says in place of its list, where no run stands in it: why, and what leads on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from ftstudio.tui.actions import READONLY

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio


def no_runs(studio: Studio, only: Path | None, *, filtered: bool) -> Text:
    """Of a folder, or of `only` one of its projects; `filtered`: there may be runs whose lines do not hold something.

    Where nothing may be written, no key that starts or makes something is named.
    """
    found, look, key, readonly = studio.found, studio.look, studio.key, studio.manners.readonly
    if found.problem:
        return look.lines(found.problem)
    if not found.projects:
        return Text(f"\n No projects here yet.\n\n {READONLY}\n") if readonly else _first_time(key)
    starts: list[str | tuple[str, str]]
    if only is not None and not filtered:
        starts = [] if readonly else [(key("run.start"), "bold"), " starts one, "]
        return Text.assemble(
            "\n No run of ", look.plain(only.name), " yet. ", *starts,
            ("enter", "bold"), " opens the project, esc shows all runs again.",
        )  # fmt: skip
    if not found.statuses:
        starts = [] if readonly else [", ", (key("run.start"), "bold"), " there starts a run"]
        names = "\n".join(f"   {p.name}" for p in found.projects[:12])
        return Text.assemble(
            "\n No runs yet. Projects here:\n", look.lines(names), "\n\n",
            ("   enter", "bold"), " or ", (key("home.projects"), "bold"), "  opens one",
            *starts, "\n",
        )  # fmt: skip
    return Text("\n No run's line holds that. esc shows all again.")


def _first_time(key: Callable[[str], str]) -> Text:
    """What a person sees who has no project yet: the next steps."""
    return Text.assemble(
        "\n No projects here yet.\n\n",
        (f"   {key('project.new')}", "bold"), "   a new project: from a file of yours (text, JSONL, CSV, Parquet),\n",
        "       from an example, or empty\n",
        (f"   {key('home.tutorial')}", "bold"), "   the tutorial: ten sentences, GPT-2, three epochs\n",
    )  # fmt: skip
