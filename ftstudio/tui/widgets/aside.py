"""Beside the form: what the settings mean, and what changed since a run. Shown from 110 columns, below that on `v`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widgets import Static

from ftstudio.tui.look import Look
from ftstudio.tui.since import Since, changes_text

if TYPE_CHECKING:
    from ftstudio.plan import Outlook

CURVE_WIDTH = 42


class Aside(VerticalScroll):
    """A text made from an outlook."""

    SCOPED_CSS = False  # it is shown where its screen is wide
    DEFAULT_CSS = """
    Aside { display: none; width: 48; padding: 0 1; border-left: vkey $panel; scrollbar-size-vertical: 1; }
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
    text = Text("What this means\n", "bold")
    if outlook is None:
        return text.append("  not known yet\n", "dim")
    text.append_text(_meaning(outlook, look))
    return text.append_text(_since(since, look))


def _meaning(outlook: Outlook, look: Look) -> Text:
    from ftstudio.plan import outlook_lines  # noqa: PLC0415 - loads the plugins

    text = Text()
    lines = outlook_lines(outlook)
    for what, figure, how in lines:
        shown = figure.rpartition(" ")[0] if what == "learning rate" else figure
        text.append(look.words(f"  {what:<15}")).append_text(look.plain(shown))
        text.append(f"  {how}\n" if how != "exact" else "\n", "dim")
    if not lines:
        text.append("  known when the errors are mended\n", "dim")
    if outlook.plan is not None and outlook.plan.curve:
        text.append(f"  {_curve(outlook.plan.curve, look)}\n", "bold")
    return text.append_text(_verdict(outlook, look))


def _curve(curve: tuple[tuple[int, float], ...], look: Look) -> str:
    """The learning rate over the steps, as evenly spaced marks."""
    first, last = curve[0][0], curve[-1][0]
    values, index = [], 0
    for column in range(CURVE_WIDTH):
        at = first + (last - first) * column / (CURVE_WIDTH - 1)
        while index + 1 < len(curve) and curve[index + 1][0] <= at:
            index += 1
        values.append(curve[index][1])
    return look.spark(values, CURVE_WIDTH)


def _verdict(outlook: Outlook, look: Look) -> Text:
    """Whether it can start, in one line."""
    from ftstudio.files import plural  # noqa: PLC0415

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
    text = Text("\nSince run ", "bold").append_text(look.plain(since.run)).append("\n")
    if since.problem:
        return text.append_text(look.lines(f"  {since.problem}\n", "dim"))
    if not since.changes:
        return text.append("  nothing changed\n", "dim")
    return text.append_text(changes_text(since.changes, look))
