"""Keys that are typed ahead of the focus reach who has it when they arrive.

Textual hands each key to the widget that has the focus when the key is read; what that widget leaves unused comes back
to the app, which looks for a binding. Over a slow link "enter 2 0 0" is read at once: the digits go to the list, Enter
opens a field, and the digits come back as commands that switch panes. Here they go into the field instead.
"""

from __future__ import annotations

from typing import Any

from textual import events
from textual.app import App
from textual.widgets import Input, TextArea


class TypeAhead(App[None]):
    """Remembers whom a key was meant for, and passes it on when a field has got the focus meanwhile."""

    async def on_event(self, event: events.Event) -> None:
        """Note who has the focus while the key is read."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            _mark(event).meant_for = self.focused
        await super().on_event(event)

    def on_key(self, event: events.Key) -> None:
        """A key that nobody used is for a field that opened after it was read; without one it may be a command."""
        now = self.focused
        if isinstance(now, (Input, TextArea)) and getattr(event, "meant_for", now) is not now:
            event.prevent_default()
            again = events.Key(event.key, event.character)
            _mark(again).meant_for = now
            now._forward_event(again)  # as the app does it for a key that it just read


def _mark(event: events.Key) -> Any:
    """Events take attributes, which their class does not declare."""
    return event
