"""ui.toml: what was open and what was seen, so that the studio opens on the screen that was left.

Written whenever it changes, never at the end: there may be no end. A damaged file is forgotten; it only costs a
person the way back to their screen.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ftstudio.files import read_toml, state_dir, write_toml
from ftstudio.locks import exclusive
from ftstudio.runs.find import is_run


class Memory:
    """The values of ui.toml: the last root, the open projects with pane and run, and when somebody last looked."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or state_dir() / "ui.toml"
        self._values: dict[str, Any] = {}
        self._read()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._values = read_toml(self.path)

    def get(self, key: str, kind: type, default: Any) -> Any:
        """A value of the kind that is wanted, else the default."""
        value = self._values.get(key)
        return value if isinstance(value, kind) else default

    def put(self, **values: Any) -> None:
        """Change values and write them."""
        self.change(lambda: values)

    def change(self, make: Callable[[], Mapping[str, Any]]) -> None:
        """Write the values that `make` makes of those that hold: what another studio wrote meanwhile is read first.

        A disk that is full or read-only keeps nobody from working.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with exclusive(self.path.parent):
                self._read()
                if self._take(make()):
                    write_toml(self.path, self._values)
        except OSError:
            self._take(make())

    def _take(self, values: Mapping[str, Any]) -> bool:
        """Hold these values; whether any is another than before."""
        before = self._values
        self._values = {**before, **values}
        return self._values != before

    # ------------------------------------------------------------------------------ what the screens ask for

    def last_root(self) -> Path | None:
        """The folder that was open last, if it still exists."""
        text = self.get("root", str, "")
        return Path(text) if text and Path(text).is_dir() else None

    def opened(self, root: Path) -> None:
        """Remember the folder that is open."""
        self.put(root=str(root.resolve()))

    def seen_until(self, root: Path) -> float:
        """When somebody last looked at this folder, in Unix seconds; 0 for never."""
        seen = self.get("seen", Mapping, {}).get(str(root.resolve()), 0.0)
        return float(seen) if isinstance(seen, (int, float)) else 0.0

    def looked(self, root: Path) -> None:
        """Somebody was told now what had ended in this folder."""
        here, now = root.resolve(), time.time()

        def looked() -> dict[str, Any]:
            known = self.get("watched", Mapping, {})
            watched = {run: t for run, t in known.items() if here not in Path(run).parents}
            return {"seen": {**self.get("seen", Mapping, {}), str(here): now}, "watched": watched}

        self.change(looked)

    def watched(self, runs: Iterable[Path]) -> None:
        """These runs ended while the studio was open: nobody was away."""
        ended = dict.fromkeys(map(str, runs), time.time())
        self.change(lambda: {"watched": {**self.get("watched", Mapping, {}), **ended}})

    def watched_until(self, run: Path) -> float:
        """When a run was last seen to end here, in Unix seconds; 0 for never."""
        t = self.get("watched", Mapping, {}).get(str(run), 0.0)
        return float(t) if isinstance(t, (int, float)) else 0.0

    def pane(self, project: Path) -> str:
        """The pane that was open in a project."""
        return str(self.get("panes", Mapping, {}).get(str(project), "setup"))

    def run(self, project: Path) -> Path | None:
        """The run that was open in a project, if it is still there."""
        name = self.get("runs", Mapping, {}).get(str(project))
        folder = project / "runs" / str(name)
        return folder if name and is_run(folder) else None

    def showed(self, project: Path | None, pane: str = "", run: Path | None = None) -> None:
        """Remember which project, which pane and which run of it, is shown; None is Home."""
        text = "" if project is None else str(project)
        panes = {text: pane} if text and pane else {}
        runs = {text: run.name} if text and run is not None else {}
        self.change(
            lambda: {
                "project": text,
                "panes": {**self.get("panes", Mapping, {}), **panes},
                "runs": {**self.get("runs", Mapping, {}), **runs},
            }
        )

    def shown_project(self) -> Path | None:
        """The project that was shown last, None for Home."""
        text = self.get("project", str, "")
        return Path(text) if text and Path(text).is_dir() else None
