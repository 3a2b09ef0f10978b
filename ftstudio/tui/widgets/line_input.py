"""A line of text that takes its keys in the order in which they were typed, and none while it is hidden."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding
from textual.widgets import Input

TAB_AT_ONCE = (
    Binding("tab", "app.focus_next", show=False, priority=True),
    Binding("shift+tab", "app.focus_previous", show=False, priority=True),
)
"""For a screen with several fields: Textual's own bindings would act only behind the letters of the same burst."""


class LineInput(Input):
    """Textual's Input, whose own bindings act at once.

    Of Textual a letter goes in when the field gets it, but backspace only when the app has looked for its binding. Of
    keys that come in one burst, as over a slow link, "backspace 2" then deletes the 2.
    """

    ENTER: ClassVar[str] = "take"
    """What Enter does here, for the key line."""

    @property
    def focusable(self) -> bool:
        """Not while it is hidden: a screen puts the focus on the first widget that takes it."""
        return self.display and super().focusable

    async def on_key(self, event: events.Key) -> None:
        """A key that this field has an action for."""
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            if await self.app.run_action(binding.action, self):
                event.stop()
                event.prevent_default()
                return
