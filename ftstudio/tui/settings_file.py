"""project.toml as the form writes it: changed values at once, and back again while nobody else wrote it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ftstudio.finding import FILE

if TYPE_CHECKING:
    from ftstudio.project import Project


class SettingsFile:
    """The project as it was last read or written, and the texts that writing it here replaced."""

    def __init__(self) -> None:
        self.current: Project | None = None
        self._earlier: list[str] = []
        self._lost: Project | None = None
        self._overtaken = False

    @property
    def no_undo(self) -> str:
        """Why there is nothing to undo, or ""."""
        if self._earlier:
            return ""
        if self._overtaken:
            return f"{FILE} was changed outside since: there is nothing left to undo."
        return "Nothing was written here that can be undone."

    def read(self, project: Project | None) -> None:
        """The file as somebody else wrote it: what was written here before can no longer be taken back."""
        if self.current is None or project is None or self.current.source.text != project.source.text:
            self._overtaken = self._overtaken or bool(self._earlier)
            self._earlier.clear()
        if self.current is not None:
            self._lost = self.current
        self.current = project

    @property
    def gone(self) -> bool:
        """Whether the file was read here, and is there no more: `undo` writes what it said then."""
        if self.current is not None or self._lost is None:
            return False
        path = self._lost.source.path
        return path.parent.is_dir() and not os.path.lexists(path)

    def write(self, changes: Mapping[str, Any]) -> None:
        """Write changed values. Raises FileChangedError when somebody else was faster; InputError."""
        from ftstudio.project import edit  # noqa: PLC0415 - loads the plugins

        assert self.current is not None
        before = self.current.source.text
        self.current = edit(self.current, changes)
        self._earlier.append(before)

    def undo(self) -> None:
        """Write the text from before the last change again. Raises as `write` does."""
        from ftstudio.project import put_back  # noqa: PLC0415 - loads the plugins

        if self.current is None:
            assert self._lost is not None
            self.current = put_back(self._lost, self._lost.source.text)
            return
        self.current = put_back(self.current, self._earlier[-1])
        self._earlier.pop()
