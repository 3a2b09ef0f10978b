"""What a field offers while it is typed in, and what is said of a path: looks at folders, so it belongs in a worker."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ftstudio.files import hub_home
from ftstudio.finding import is_folder
from ftstudio.options import Field
from ftstudio.text import expanded, plural, quote, size_text
from ftstudio.tui.typed import text_of

MOST = 200
"""Entries of a folder, or files of a pattern, that are looked at."""


def offers(
    field: Field, text: str, folder: Path, columns: Sequence[str] = (), *, ascii_only: bool = False
) -> list[str]:
    """What may be meant: suggestions, columns of the data, models of the Hub's cache, files."""
    found = [text_of(value, ascii_only=ascii_only) for value in (*field.choices, *field.suggestions)]
    if field.kind == "column":
        found += [text_of(name, ascii_only=ascii_only) for name in columns]
    if field.kind == "model":
        found += cached_models()
    if field.kind in {"path", "glob"} or field.base == "path":
        found += _entries(text, folder)
    return found


def cached_models() -> list[str]:
    """The models that lie in the Hub's cache, by the names of its folders."""
    hub = expanded(os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or hub_home() / "hub")
    try:
        with os.scandir(hub) as found:
            names = [entry.name for entry in islice(found, 10 * MOST)]
    except OSError:
        return []
    return sorted(name.removeprefix("models--").replace("--", "/") for name in names if name.startswith("models--"))


def _entries(text: str, folder: Path) -> list[str]:
    """The entries of a folder whose names begin as the text does."""
    head, slash, start = text.rpartition("/")
    place = folder / expanded(f"{head}{slash}" or ".")
    try:
        with os.scandir(place) as found:
            entries = sorted(islice(found, 10 * MOST), key=lambda e: e.name)
    except (OSError, ValueError):
        return []
    hidden = start.startswith(".")
    fitting = [e for e in entries if e.name.startswith(start) and (hidden or not e.name.startswith("."))]
    return [f"{head}{slash}{e.name}{'/' if is_folder(Path(e.path)) else ''}" for e in fitting[:MOST]]


def path_words(field: Field, value: Any, folder: Path) -> str:
    """What a path or pattern means on this disk: "1 file, 12 kB", "There is no ..."; "" for other options."""
    if field.kind not in {"path", "glob"} and field.base != "path":
        return ""
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    count = size = 0
    for text in filter(None, map(str, texts)):
        try:
            found = _matching(folder / expanded(text), pattern=field.kind == "glob")
        except (OSError, ValueError):
            found = []
        if not found:
            return f"There is no {quote(text)} yet."
        if len(found) == 1 and is_folder(found[0]):
            return "a folder"
        count += len(found)
        size += sum(path.stat().st_size for path in found if os.path.isfile(path))  # noqa: PTH113
    more = "at least " if count >= MOST else ""
    return f"{more}{plural(count, 'file')}, {size_text(size)}" if count else ""


def _matching(path: Path, *, pattern: bool) -> list[Path]:
    if path.exists():
        return [path]
    return [Path(name) for name in islice(glob.iglob(str(path), recursive=True), MOST)] if pattern else []  # noqa: PTH207
