"""Help: what is under the cursor in two sentences, and the keys that hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.binding import Binding, BindingType

from ftstudio.tui.actions import PLACES, Action, key_words
from ftstudio.tui.look import Look
from ftstudio.tui.screens.showing import Showing


class Help(Showing):
    """Made anew each time from the registry and from what has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark", "dismiss", show=False)]

    def __init__(self, explained: str, actions: Sequence[Action], look: Look) -> None:
        about = [look.lines(f"{explained}\n")] if explained else []
        super().__init__(Text("Help", "bold"), Group(*about, *_keys(actions, look)))


def _keys(actions: Sequence[Action], look: Look) -> Iterator[RenderableType]:
    """The keys of each place, the nearest place first; what a key does is wrapped beside it."""
    for place, title in reversed(tuple(PLACES.items())):
        here = [action for action in actions if action.place == place]
        if here:
            table = Table.grid(padding=(0, 2, 0, 0))
            table.add_column(width=15, no_wrap=True)
            for action in here:
                keys = " ".join(map(key_words, action.keys.split(","))) if action.keys else "(commands)"
                table.add_row(Text(f"  {keys}", "bold"), Text(look.words(action.help)))
            yield Text(title, "bold")
            yield table
