"""Settings: every setting of the studio with its value and where that is written. Enter changes one.

The theme is the studio's own memory (ui.toml); all else stands in settings.toml, where the command line reads it.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import fields
from typing import Any, ClassVar

from rich.text import Text
from textual.binding import BindingType

from ftstudio.errors import FtstudioError
from ftstudio.options import Field, convert, describe
from ftstudio.settings import Settings, edit_settings, read_settings, settings_path
from ftstudio.source import Source, parse_value, read_source
from ftstudio.tui.actions import ACTIONS, bindings
from ftstudio.tui.keymap import clashes
from ftstudio.tui.look import Look
from ftstudio.tui.screens.asking import Asking, Picking
from ftstudio.tui.screens.overlay import OverlayScreen
from ftstudio.tui.widgets.lines import Lines, Row

THEME = "theme"
LIST = "observers"
OBSERVERS = (
    "The observers that every new run gets beside those of its project: [[observers]] tables in settings.toml, as in a "
    'project. A project is without one by [[observers]] use = "NAME", enabled = false.'
)
FIELDS: Mapping[str, Field] = {field.name: field for field in describe(Settings)}


def value_words(value: Any) -> str:
    """A setting as TOML would have it."""
    if isinstance(value, Mapping):
        return (
            "{}"
            if not value
            else "{ " + ", ".join(f"{json.dumps(k)} = {value_words(v)}" for k, v in value.items()) + " }"
        )
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(value_words, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


class SettingsScreen(OverlayScreen):
    """Reads the files when it is opened, and after each change."""

    HEADING = "Settings"
    PLACES: ClassVar[tuple[str, ...]] = ("everywhere", "settings")
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("everywhere", "settings")]

    def __init__(self) -> None:
        super().__init__()
        self.values: Mapping[str, Any] = {}
        self.source: Source | None = None

    def on_mount(self) -> None:
        """Read and draw."""
        self.read()

    def read(self) -> None:
        """Read the settings; of a file that cannot be used, say why, and show the defaults."""
        look, path = self.studio.look, settings_path()
        settings, said = Settings(), []
        self.source = None
        try:
            self.source = read_source(path) if path.exists() else None
            settings = read_settings()
            said = clashes(settings.keymap)
        except FtstudioError as error:
            said = [str(error)]
        self.values = {f.name: getattr(settings, f.name) for f in fields(settings)}
        rows = [Row(name, self._line(name, look)) for name in FIELDS]
        rows.append(
            Row(THEME, _columns(THEME, self.app.theme, "ui.toml" if self._theme_written() else "default", look))
        )
        rows.append(Row(LIST, _columns(LIST, self._observers(), self._where(LIST), look)))
        rows += [Row(None, look.plain(look.words(f" ! {sentence}"), "yellow")) for sentence in said]
        self.put_title(str(path))
        self.put_rows(rows)

    def _observers(self) -> str:
        """The observers that every new run gets, by name."""
        listed = self.source.table.get(LIST) if self.source is not None else None
        tables = [t for t in listed if isinstance(t, Mapping)] if isinstance(listed, list) else []
        return ", ".join(str(t.get("use")) for t in tables if t.get("enabled") is not False) or "none"

    def _theme_written(self) -> bool:
        return bool(self.studio.memory.get(THEME, str, ""))

    def _line(self, name: str, look: Look) -> Text:
        return _columns(name, value_words(self.values[name]), self._where(name), look)

    def _where(self, name: str) -> str:
        """Where a setting is written."""
        if self.source is None or name not in self.source.table:
            return "default"
        line = self.source.line_of("", name)
        return f"settings.toml:{line}" if line else "settings.toml"

    def words_on(self, key: Hashable) -> Text:
        """What a setting means."""
        look = self.studio.look
        if key == THEME:
            return look.lines("The colours of the studio. Enter picks one; it is kept for the next time.")
        if key == LIST:
            return look.lines(OBSERVERS)
        if key not in FIELDS:
            return Text()
        field = FIELDS[str(key)]
        words = f"{field.help}\n{field.about}; the default is {value_words(field.default)}"
        if key == "keymap":
            words += "\nActions: " + ", ".join(action.id for action in ACTIONS)
        return look.lines(words)

    def explain(self) -> str:
        """For help."""
        return (
            "A setting holds for all your projects on this machine, and for the command line too. Enter changes it, D "
            "goes back to the default; comments that you wrote into settings.toml stay."
        )

    # --------------------------------------------------------------------------------------- actions

    def why_not(self, id: str) -> str:
        """Why an action cannot be taken on this line."""
        if self.key == LIST and id.startswith("settings."):
            return "Observers are tables with options of their own: write them in settings.toml."
        if id == "settings.default" and self.key != THEME and self._where(str(self.key)) == "default":
            return "It has its default already."
        return ""

    def on_lines_chosen(self, event: Lines.Chosen) -> None:
        """Enter on a setting."""
        self.action_act("settings.edit")

    def do_settings_edit(self) -> None:
        """Ask for the value."""
        if self.key == THEME:
            rows = [Row(name, Text(f" {name}", end="")) for name in sorted(self.app.available_themes)]
            self.app.push_screen(Picking("Theme", rows, self.app.theme), self._took_theme)
            return
        name = str(self.key)
        asking = Asking(
            name, value_words(self.values[name]), hint=f"{FIELDS[name].about}; enter writes, esc leaves it",
            check=lambda text: convert(FIELDS[name], parse_value(text)),
        )  # fmt: skip
        self.app.push_screen(asking, lambda text: None if text is None else self._write(name, parse_value(text)))

    def do_settings_default(self) -> None:
        """Take the value out of the file."""
        if self.key == THEME:
            self.studio.memory.put(theme="")
            self.app.theme = "textual-dark"
            self.read()
        else:
            self._write(str(self.key), None)

    def _took_theme(self, name: Hashable) -> None:
        if isinstance(name, str):
            self.app.theme = name
            self.studio.memory.put(theme=name)
            self.read()

    def _write(self, name: str, value: Any) -> None:
        """Write a setting; an error, as of two settings that do not go together, is said."""
        try:
            settings = edit_settings({name: value})
        except FtstudioError as error:
            self.say_error(error)
            return
        self.app.set_keymap(settings.keymap)
        self.say(f"{name} is {'the default again' if value is None else 'written'}.")
        self.read()


def _columns(name: str, value: str, where: str, look: Look) -> Text:
    return Text.assemble(f" {name:<17} ", look.cell(value, 30), "  ", (where, "dim"), end="", no_wrap=True)
