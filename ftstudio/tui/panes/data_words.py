"""The words of the Data pane: what all rows are, and one line a row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.text import Text

from ftstudio.errors import FtstudioError, ProblemsError
from ftstudio.text import plural
from ftstudio.tui.look import Look

HEAD = 300


def about(mode: str, order: str, only: str, first: int, shown: int, total: int | None, words: str, look: Look) -> Text:
    """Which rows are shown, and what is being loaded."""
    text = Text(" ", no_wrap=True, end="")
    text.append("tokens" if mode == "tokens" else "text", "bold")
    if shown:
        of = f" of {total:,}" if total is not None else ""
        text.append(f"   rows {first + 1:,} to {first + shown:,}{of}")
    elif not words:
        text.append("   no rows")
    text.append(", longest first" if order == "longest" else "").append(", only cut rows" if only == "cut" else "")
    if words:
        text.append("   ").append_text(look.plain(words, "yellow")).append(", esc stops it", "dim")
    return text


def figures(summary: Mapping[str, Any], width: int, look: Look) -> Text:
    """How long the rows are, what share is trained, what was cut, in `width` columns."""
    lengths, counts = summary["lengths"], summary["counts"]
    wide = width >= 100
    bars = look.spark(_gathered(lengths["histogram"], 32 if wide else 12), 32)
    text = Text(" ", no_wrap=True, end="")
    if bars:
        text.append("lengths ").append(bars, "bold").append("  ")
    text.append(f"median {lengths['median']:,}  longest {lengths['longest']:,}")
    tokens, trained = counts.get("tokens", 0), counts.get("trained_tokens", 0)
    if tokens:
        text.append(f"  {100 * trained / tokens:.0f} % trained")
    cut = counts.get("truncated_rows", 0)
    if cut:
        lost = f" ({counts.get('truncated_tokens', 0):,} tokens)" if wide else ""
        text.append(f"  {plural(cut, 'row')} cut{lost}", "yellow")
    else:
        text.append("  nothing cut")
    return text


def _gathered(histogram: Sequence[int], bars: int) -> list[float]:
    """A histogram in at most so many bars."""
    together = -(-len(histogram) // bars)
    return [float(sum(histogram[i : i + together])) for i in range(0, len(histogram), together)]


def line(shown: Mapping[str, Any], mode: str, look: Look) -> Text:
    """A row in one line: its number, its tokens, its beginning."""
    text = Text(f"{shown['row']:>7,}  ", no_wrap=True, end="")
    if mode == "tokens":
        text.append(f"{shown['tokens']:>6,} ", "bold")
        text.append(f"{'+' + format(shown['cut'], ','):>6}  " if shown["cut"] else " " * 8, "red")
        return text.append_text(look.plain(shown["head"][:HEAD]))
    return text.append_text(_head(shown["value"], look))


def _head(row: Mapping[str, Any], look: Look) -> Text:
    """The beginning of each column, one after the other."""
    text = Text(no_wrap=True, end="")
    for number, (column, value) in enumerate(row.items()):
        if number:
            text.append(look.words(" → ") if column == "completion" else look.words(" · "), "dim")
        text.append_text(look.plain(_words(value)[:HEAD]))
    return text


def _words(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
        return "  ".join(f"{v.get('role', '')}: {v.get('content', '')}" for v in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def why_nothing(error: FtstudioError, lines: Callable[..., Text]) -> Text:
    """An error, and the next step."""
    text = Text("\n")
    if isinstance(error, ProblemsError):
        for problem in error.problems:
            if problem.level == "error":
                place = f"[{problem.table}] " if problem.table else ""
                text.append_text(lines(f" {place}{problem.message} {problem.fix}\n"))
        return text.append("\n 1  Setup shows where.", "dim")
    text.append_text(lines(f" {error.message}\n", "bold"))
    if error.hint:
        text.append_text(lines(f" {error.hint}\n"))
    return text.append("\n u  loads the data again, 1  Setup.", "dim")
