"""Beside the form: what the settings mean, and what changed since a run. Shown from 110 columns, below that on `v`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widgets import Static

from ftstudio.text import plural
from ftstudio.tui.look import ASCII_SPARKS, SPARKS, Look
from ftstudio.tui.since import Since, changes_text
from ftstudio.tui.typed import float_text

if TYPE_CHECKING:
    from ftstudio.plan import Outlook

CURVE_WIDTH = 42


class Aside(VerticalScroll):
    """A text made from an outlook."""

    SCOPED_CSS = False  # it is shown where its screen is wide
    DEFAULT_CSS = """
    Aside { display: none; width: 54; padding: 0 1; border-left: vkey $panel; scrollbar-size-vertical: 1; }
    .wide Aside { display: block; }
    """

    def compose(self) -> Any:
        """One text."""
        yield Static("", markup=False)

    def show(self, text: Text) -> None:
        """Show a text that is safe already."""
        self.query_one(Static).update(text)


def aside_text(outlook: Outlook | None, since: Since, look: Look) -> Text:
    """What this means, and what changed."""
    text = Text.assemble(("What this means\n", "bold"))
    if outlook is None:
        return text.append("  not known yet\n", "dim")
    text.append_text(_meaning(outlook, look)).append_text(_verdict(outlook))
    return text.append_text(_since(since, look))


def run_text(since: Since, look: Look) -> Text:
    """Beside the settings that a run was made with: what they are, and how the project differs."""
    text = Text.assemble(("As the run was made\n", "bold"), ("  a star marks what is no default\n", "dim"))
    return text.append_text(_since(since, look))


def _meaning(outlook: Outlook, look: Look) -> Text:
    """The figures, each with how it is known, and the learning rate as a curve."""
    from ftstudio.plan import outlook_lines  # noqa: PLC0415 - loads the plugins

    text, curve = Text(), outlook.plan.curve if outlook.plan is not None else ()
    lines = outlook_lines(outlook)
    top = max((rate for _, rate in curve), default=0.0)
    peak = f"up to {float_text(float(f'{top:.3g}'))}" if curve else ""  # three digits tell; more push the rest away
    figures = [peak if what == "learning rate" and peak else figure for what, figure, _ in lines]
    width = max(map(len, figures), default=0)
    for (what, _, how), figure in zip(lines, figures, strict=True):
        text.append(f"  {what:<16}").append_text(look.plain(f"{figure:<{width}}  ")).append(f"{how}\n", "dim")
        if what == "learning rate" and curve:
            text.append(f"  {_curve(curve, look)}\n")
    return text if lines else Text("  known when the errors are mended\n", "dim")


def _curve(curve: Sequence[tuple[int, float]], look: Look) -> str:
    """The learning rate over the steps, from 0 to its highest, as evenly spaced marks."""
    first, last, top = curve[0][0], curve[-1][0], max(rate for _, rate in curve)
    marks = ASCII_SPARKS if look.ascii else SPARKS
    picture, index = "", 0
    for column in range(CURVE_WIDTH):
        at = first + (last - first) * column / (CURVE_WIDTH - 1)
        while index + 1 < len(curve) and curve[index + 1][0] <= at:
            index += 1
        picture += marks[round(curve[index][1] / top * (len(marks) - 1))] if top > 0 else marks[0]
    return picture


def _verdict(outlook: Outlook) -> Text:
    """Whether it can start, in one line."""
    errors = sum(p.level == "error" for p in outlook.problems)
    warnings = sum(p.level == "warning" for p in outlook.problems)
    if errors:
        return Text(f"  {plural(errors, 'error')}: it cannot start\n", "red")
    if warnings:
        return Text(f"  it can start, with {plural(warnings, 'warning')}\n", "yellow")
    return Text("  it can start\n", "green")


def _since(since: Since, look: Look) -> Text:
    if not since.run:
        return Text("")
    text = Text.assemble("\n", ("Since run ", "bold"), look.plain(since.run, "bold"), "\n")
    if since.problem:
        return text.append_text(look.lines(f"  {since.problem}\n", "dim"))
    if not since.changes:
        return text.append("  nothing changed\n", "dim")
    return text.append_text(changes_text(since.changes, look))
