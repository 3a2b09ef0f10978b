"""Where projects are, by the names of folders alone: reads no file and loads no plugin, so a list comes at once."""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path

from ftstudio.errors import UnknownNameError
from ftstudio.explain import explain, explained
from ftstudio.text import expanded, quote

FILE = "project.toml"


def holds(folder: Path, name: str) -> bool:
    """Whether a folder that somebody named holds a file; a name that no file system takes holds none."""
    try:
        return (folder / name).is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether what somebody named is a folder; what may not be looked at is none, nor what no file system takes."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir() raises for both


def refuse_hidden(path: Path) -> None:
    """Raise InputError, with path and mode, when it is only for lack of permission that a path cannot be looked at."""
    try:
        path.stat()
    except PermissionError as error:
        raise explain(error, path) from error
    except (OSError, ValueError):
        return


def default_root() -> Path:
    """Where projects are looked for: $FTSTUDIO_PROJECTS, ./projects, ~/ftstudio."""
    named = os.environ.get("FTSTUDIO_PROJECTS")
    if named:
        return expanded(named)
    return Path("projects") if Path("projects").is_dir() else Path.home() / "ftstudio"


def list_projects(root: Path) -> list[Path]:
    """The project folders in `root` (or `root` itself, when it is one), by name. Raises InputError."""
    with explained(root):
        if (root / FILE).is_file():
            return [root]
        found = [entry for entry in root.iterdir() if holds(entry, FILE)]  # a closed one hides none of the others
    return sorted(found, key=lambda p: p.name)


def lost_project(root: Path) -> str:
    """Of a folder without projects: which one in it, or it itself, has runs and lost its file, in words; or ""."""
    with contextlib.suppress(OSError):
        for folder in (root, *sorted(root.iterdir())):
            if _last_run(folder) is not None:
                return f"{quote(folder, 200)} has runs, and its {FILE} is gone. {way_back(folder)}"
    return ""


def way_back(folder: Path) -> str:
    """What leads on from a folder that is no project. One that lost its file has the settings in its runs."""
    run = _last_run(folder)
    if run is not None:
        return f"Its newest run has them: ftstudio show {_word(run)} > {_word(folder / FILE)}"
    if os.path.lexists(folder):
        return "A new project is made in a folder of its own: ftstudio new NAME"
    root = "" if folder.parent == default_root() else f" --root {_word(folder.parent)}"
    return f"Make one: ftstudio new {_word(folder.name)}{root}"


def _last_run(folder: Path) -> Path | None:
    """The newest run's folder in one that has no project.toml, else None."""
    if holds(folder, FILE):
        return None
    try:
        runs = [run for run in (folder / "runs").iterdir() if holds(run, "run.toml")]
    except (OSError, ValueError):
        return None
    return max(runs, key=lambda run: (len(run.name), run.name), default=None)


def _word(path: Path | str) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))


def project_folder(text: str) -> Path:
    """The project that a person names: a folder, or the name of one in the default root.

    Raises UnknownNameError, InputError for what may not be looked at.
    """
    path = expanded(text)
    if path.name == FILE:
        path = path.parent
    with contextlib.suppress(OSError, ValueError):  # a name that no file system takes
        if path.exists():
            return path
    root = default_root()
    if "/" not in text and os.path.lexists(root / text / FILE):
        return root / text
    for hidden in (path, root / text / FILE):
        refuse_hidden(hidden)
    names = [p.name for p in list_projects(root)] if root.is_dir() else []
    raise UnknownNameError(
        f"There is no project {quote(text)} here or in {quote(root, 200)}.",
        f"There are: {', '.join(names)}." if names else "Make one: ftstudio new NAME",
    )
