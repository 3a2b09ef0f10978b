"""Copying: to the terminal's clipboard where it takes that (OSC 52), and into a file, whose path is said."""

from __future__ import annotations

from typing import Any

from textual.app import App

from ftstudio.explain import explained
from ftstudio.files import state_dir, write_atomic
from ftstudio.text import quote, safe_text


def copy(app: App[Any], text: str) -> str:
    """Copy a text, and return the sentence that says so. Raises InputError when the file cannot be written."""
    path = state_dir() / "copied.txt"
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode("utf-8", "backslashreplace"))
    app.copy_to_clipboard(safe_text(text))
    return f"Copied, and written to {quote(path, 200)}."
