"""notes.toml of a project: what a person wrote on its runs, and which of them are pinned.

    format = 1
    [runs.0007]
    note = "lower rate from step 400 on"
    pinned = true

One writer at a time (a lock on the project's folder), who reads again before changing one run's entry: nobody's
note is lost. Keys that this version does not know stay. A note lasts as long as its run, in the trash too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftstudio.errors import InputError
from ftstudio.explain import explained
from ftstudio.files import refuse_symlinks, toml_text, write_atomic
from ftstudio.finding import FILE
from ftstudio.locks import exclusive
from ftstudio.runs.folder import RunFolder
from ftstudio.source import MAX_BYTES, read_source
from ftstudio.text import quote, size_text

NOTES = "notes.toml"
FORMAT = 1
MAX_NOTE = 4000


@dataclass(frozen=True)
class Note:
    """What is written on a run. The text is a person's, or a stranger's: show it through safe_text."""

    text: str = ""
    pinned: bool = False


def read_notes(project: Path) -> dict[str, Note]:
    """The notes of a project by run name. Raises InputError when notes.toml cannot be read."""
    return {name: _note(entry) for name, entry in _runs(_read(project / NOTES)).items()}


def note_of(run: RunFolder) -> Note:
    """The note on a run. Raises InputError when notes.toml cannot be read."""
    return read_notes(run.project).get(run.name, Note())


def write_note(run: RunFolder, text: str | None = None, *, pinned: bool | None = None) -> Note:
    """Write on a run and return what now stands there; None leaves as it is, "" takes the text away.

    Raises InputError when the text is too long, the run is in no project, or notes.toml is not one that can be
    read: it is then left as it is.
    """
    if not (run.project / FILE).is_file() or run.path.parent.name != "runs":
        raise InputError(f"{quote(run.path, 200)} is in no project, so there is no {NOTES} for it.")
    if text is not None and len(text) > MAX_NOTE:
        raise InputError(f"The note has {len(text):,} characters; {MAX_NOTE:,} are allowed.", "Shorten it.")
    changes: dict[str, Any] = {}
    if text is not None:
        text = text.encode("utf-8", "backslashreplace").decode()  # a lone surrogate has no place in TOML
        changes["note"] = text or None
    if pinned is not None:
        changes["pinned"] = pinned or None
    return _note(_change(run.project, {run.name: changes}).get(run.name, {}))


def forget(project: Path, names: Iterable[str]) -> None:
    """Take the notes of runs away that are gone for good. Raises InputError."""
    if (project / NOTES).exists():
        _change(project, dict.fromkeys(names))


def _change(project: Path, changes: Mapping[str, Mapping[str, Any] | None]) -> Mapping[str, Any]:
    """Change entries, None removes one; what stands in the file then."""
    path = project / NOTES
    refuse_symlinks(path, project)
    with explained(path), exclusive(project):
        table = dict(_read(path))
        before = _runs(table)
        runs = dict(before)
        for name, change in changes.items():
            old = runs.pop(name, {})
            if change is not None:
                runs[name] = {k: v for k, v in {**old, **change}.items() if v is not None}
        runs = {name: entry for name, entry in sorted(runs.items()) if entry}
        if runs != before:
            text = toml_text({**table, "format": FORMAT, "runs": runs})
            if len(text.encode()) > MAX_BYTES:
                raise InputError(f"{quote(path, 200)} would be larger than {size_text(MAX_BYTES)}.", "Shorten notes.")
            write_atomic(path, text)
    return runs


def _read(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    table = read_source(path).table
    if table.get("format") != FORMAT:
        raise InputError(
            f"{quote(path, 200)} has the unknown format {quote(table.get('format'))}.",
            f"This version reads format {FORMAT}.",
        )
    return table


def _runs(table: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    runs = table.get("runs")
    return {n: dict(e) for n, e in runs.items() if isinstance(e, Mapping)} if isinstance(runs, Mapping) else {}


def _note(entry: Mapping[str, Any]) -> Note:
    text = entry.get("note")
    return Note(text if isinstance(text, str) else "", entry.get("pinned") is True)
