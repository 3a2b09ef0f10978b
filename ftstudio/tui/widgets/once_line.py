"""The settings for this once: a line with those that are not the usual ones, and the two dialogs that change them.

Nothing of this touches project.toml.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.message import Message
from textual.widgets import Static

from ftstudio.tui import sampling
from ftstudio.tui.sampling import Setting
from ftstudio.tui.widgets.lines import Row

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio


class OnceLine(Static):
    """What Generate samples with. `overrides` ("generator.temperature" -> "0.9") hold until the studio is left."""

    DEFAULT_CSS = "OnceLine { height: 1; color: $text-muted; }"

    class Changed(Message):
        """Another override, or one less."""

    def __init__(self, project: Path) -> None:
        super().__init__("", markup=False)
        self.project = project
        self.settings: Sequence[Setting] = ()
        self.overrides: dict[str, str] = {}

    @property
    def studio(self) -> Studio:
        """The app, by its own type."""
        return cast("Studio", self.app)

    def show(self, kind: str, short: str) -> None:
        """Draw the settings, and at the right what the models do with a text; `short` where that has no room."""
        look, width = self.studio.look, self.app.size.width
        text = Text(" ", no_wrap=True, end="")
        for setting in self.settings:
            changed = setting.key in self.overrides
            if changed or setting.key == "seed" or setting.value != setting.default:
                shown = look.plain(f"{setting.name} {_value(setting.value)}", "bold" if changed else "")
                text.append_text(shown).append("  ")
        said = kind if text.cell_len + len(kind) < width else short
        text.truncate(max(10, width - len(said) - 2))
        text.pad_right(max(0, width - len(said) - 1 - text.cell_len))
        self.update(text.append(said, "italic"))

    def ask(self) -> None:
        """Ask which setting, then for its value."""
        from ftstudio.tui.screens.asking import Picking  # noqa: PLC0415 - made when it is asked for

        look = self.studio.look
        width = max((len(s.name) for s in self.settings), default=0)
        rows = [
            Row(s, look.plain(f" {s.name:<{width}}  {_value(s.value):<10}  {s.help}"))
            for s in sorted(self.settings, key=lambda s: s.advanced)
        ]
        self.app.push_screen(Picking("Options, for this once", rows), self._ask_value)

    def _ask_value(self, setting: object) -> None:
        from ftstudio.tui.screens.asking import Asking  # noqa: PLC0415 - made when it is asked for

        if not isinstance(setting, Setting):
            return

        def check(text: str) -> None:
            if text.strip():
                sampling.check_override(self.project, self.overrides, setting.key, text.strip())

        def answered(text: str | None) -> None:
            if text is None:
                return
            if text.strip():
                self.overrides[setting.key] = text.strip()
            else:
                self.overrides.pop(setting.key, None)
            self.post_message(self.Changed())

        hint = f"{setting.help} Empty: as project.toml says."
        self.app.push_screen(Asking(setting.name, _value(setting.value), hint, check), answered)


def _value(value: object) -> str:
    """A value as TOML writes it, more or less."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
