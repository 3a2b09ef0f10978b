"""What every screen of the studio has: actions from the registry, the key line, and a panel for errors."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget

from ftstudio.errors import FtstudioError
from ftstudio.tui.actions import READONLY, Action, bindings
from ftstudio.tui.keymap import held
from ftstudio.tui.watch import Seen
from ftstudio.tui.widgets.error_panel import ErrorPanel
from ftstudio.tui.widgets.key_line import KeyLine
from ftstudio.tui.widgets.too_small import TooSmall

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio


SMALLEST = (60, 16)
"""Columns and rows below which there is a word on that, and nothing else."""
WIDE = 110


class StudioScreen(Screen[None]):
    """A screen whose keys come from the registry. `PLACES` are the places whose actions hold here."""

    PLACES: ClassVar[tuple[str, ...]] = ("everywhere",)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("everywhere")]

    @property
    def studio(self) -> Studio:
        """The app, by its own type."""
        return cast("Studio", self.app)

    def compose(self) -> ComposeResult:
        """The content, and below it what every screen has; as wide as it is from its first picture on."""
        StudioScreen.on_resize(self)
        yield from self.content()
        yield ErrorPanel()
        yield KeyLine()
        yield TooSmall()

    def content(self) -> ComposeResult:
        """The screen's own widgets."""
        raise NotImplementedError

    def on_resize(self) -> None:
        """A wide terminal has a second column."""
        self.set_class(self.app.size.width >= WIDE, "wide")

    def watch_focused(self) -> None:
        """Within a field other keys hold."""
        if self.is_whole:
            self.refresh_keys()

    @property
    def is_whole(self) -> bool:
        """Whether all its widgets are there: not while it is being made or taken away."""
        return bool(self.query(KeyLine))

    # ---------------------------------------------------------------------------------------- actions

    def places(self) -> tuple[str, ...]:
        """The places whose actions hold now."""
        return self.PLACES

    def doers(self) -> Iterator[object]:
        """Who may have the method for an action, the nearest first: a pane, this screen."""
        yield self

    def offered(self) -> list[Action]:
        """The actions that somebody here can do."""
        found = held(*self.places(), keymap=self.studio.keymap)
        return [a for a in found if any(hasattr(doer, a.method) for doer in self.doers())]

    def why_off(self, action: Action) -> str:
        """Why an action cannot be taken now, or ""."""
        if action.writes and self.studio.manners.readonly:
            return READONLY
        for doer in self.doers():
            if hasattr(doer, action.method):
                reason = getattr(doer, "why_not", None)
                return str(reason(action.id)) if callable(reason) else ""
        return "Not here."

    def action_act(self, id: str) -> None:
        """Take an action by its id, or say why not."""
        action = next((a for a in self.offered() if a.id == id), None)
        if action is None:
            return
        off = self.why_off(action)
        if off:
            self.say(off)
            return
        for doer in self.doers():
            method: Any = getattr(doer, action.method, None)
            if method is not None:
                try:
                    method()
                except FtstudioError as error:
                    self.say_error(error)
                return

    # ------------------------------------------------------------------------------------------- words

    def say(self, text: str) -> None:
        """One line in place of the keys, until the next key."""
        self.query_one(KeyLine).say(text)

    def forget_said(self) -> None:
        """The keys again, where something was said in their place."""
        self.query_one(KeyLine).forget()

    def refresh_keys(self) -> None:
        """Other actions hold now."""
        self.query_one(KeyLine).refresh_keys()

    def rebound(self) -> None:
        """Other keys take the actions: what names them is drawn again."""
        self.refresh_keys()
        self.query_one(TooSmall).refresh()

    def say_error(self, error: FtstudioError) -> None:
        """An error, with its next step."""
        self.query_one(ErrorPanel).show(error)

    def seen(self, seen: Seen) -> None:
        """The files were looked at."""

    # ------------------------------------------------------------------------------- everywhere's actions

    def do_palette(self) -> None:
        """Open the palette."""
        self.app.action_command_palette()

    def do_help(self) -> None:
        """Explain what has the focus, and list the keys."""
        from ftstudio.tui.screens.help import Help  # noqa: PLC0415 - made when it is asked for

        self.app.push_screen(Help(self.explained(), self.offered(), self.studio.look))

    def explained(self) -> str:
        """Two sentences on what is under the cursor; "" when there is nothing to explain."""
        widget: Widget | None = self.focused
        while widget is not None:
            explain = getattr(widget, "explain", None)
            if callable(explain):
                return str(explain())
            parent = widget.parent
            widget = parent if isinstance(parent, Widget) else None
        return ""

    def do_back(self) -> None:
        """Close what lies on top."""
        panel = self.query_one(ErrorPanel)
        if panel.display:
            panel.dismiss_error()
        else:
            self.go_back()

    def go_back(self) -> None:
        """One layer up; at the bottom there is none."""

    def do_leave(self) -> None:
        """Leave the studio."""
        self.app.exit()

    def do_queue_open(self) -> None:
        """Show the queue over what is open."""
        self._open_overlay("queue")

    def do_plugins_open(self) -> None:
        """Show the plugins over what is open."""
        self._open_overlay("plugins")

    def do_settings_open(self) -> None:
        """Show the settings over what is open."""
        self._open_overlay("settings")

    def do_doctor_open(self) -> None:
        """Show the doctor over what is open."""
        self._open_overlay("doctor")

    def _open_overlay(self, name: str) -> None:
        from ftstudio.tui.screens.overlay import OverlayScreen  # noqa: PLC0415 - it builds on this module

        made = getattr(import_module(f"ftstudio.tui.screens.{name}"), f"{name.capitalize()}Screen")()
        if isinstance(self, OverlayScreen):
            self.app.switch_screen(made)
        else:
            self.app.push_screen(made)

    def do_theme_next(self) -> None:
        """Take the next theme."""
        names = sorted(self.app.available_themes)
        self.app.theme = names[(names.index(self.app.theme) + 1) % len(names)]
        self.studio.memory.put(theme=self.app.theme)
