"""What Home says in place of its list, where no run stands in it: why, and what leads on."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from ftstudio.tui.actions import READONLY
from ftstudio.tui.look import Look
from ftstudio.tui.watch import Found


def no_runs(found: Found, look: Look, only: Path | None, *, filtered: bool, readonly: bool) -> Text:
    """Of a folder, or of `only` one of its projects; `filtered`: there may be runs whose lines do not hold something.

    Where nothing may be written, no key that starts or makes something is named.
    """
    if found.problem:
        return look.lines(found.problem)
    if not found.projects:
        return Text(f"\n No projects here yet.\n\n {READONLY}\n") if readonly else _first_time()
    starts: list[str | tuple[str, str]]
    if only is not None and not filtered:
        starts = [] if readonly else [("S", "bold"), " starts one, "]
        return Text.assemble(
            "\n No run of ", look.plain(only.name), " yet. ", *starts,
            ("enter", "bold"), " opens the project, esc shows all runs again.",
        )  # fmt: skip
    if not found.statuses:
        starts = [] if readonly else [", ", ("S", "bold"), " there starts a run"]
        names = "\n".join(f"   {p.name}" for p in found.projects[:12])
        return Text.assemble(
            "\n No runs yet. Projects here:\n", look.lines(names), "\n\n",
            ("   enter", "bold"), " or ", ("p", "bold"), "  opens one",
            *starts, "\n",
        )  # fmt: skip
    return Text("\n No run's line holds that. esc shows all again.")


def _first_time() -> Text:
    """What a person sees who has no project yet: the next steps."""
    return Text.assemble(
        "\n No projects here yet.\n\n",
        ("   n", "bold"), "   a new project: from a file of yours (text, JSONL, CSV, Parquet),\n",
        "       from an example, or empty\n",
        ("   t", "bold"), "   the tutorial: ten sentences, GPT-2, three epochs\n",
    )  # fmt: skip
