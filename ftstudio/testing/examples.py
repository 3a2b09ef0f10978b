"""The options and files that a component is tried with, from its package's pyproject.toml.

[tool.ftstudio.check]
project = "tests/project"               # a folder; its files are copied into the project of each check

[tool.ftstudio.check.dataset.markdown]  # what [dataset] would say beside use = "markdown"
path = "notes"
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftstudio.api import KINDS
from ftstudio.errors import InputError
from ftstudio.source import read_source
from ftstudio.text import quote

FILE = "pyproject.toml"


@dataclass(frozen=True)
class Examples:
    """What a pyproject.toml says; nothing where there is none."""

    files: Path | None = None
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    """Kind -> component -> options."""

    def of(self, kind: str, component: str) -> Mapping[str, Any]:
        """The example options of a component; none when nothing is said."""
        return self.tables.get(kind, {}).get(component, {})


def read_examples(pyproject: Path) -> Examples:
    """The examples of a package. Raises InputError when the file cannot be read or says something else there."""
    table: Any = read_source(pyproject).table
    for key in ("tool", "ftstudio", "check"):
        table = table.get(key, {}) if isinstance(table, Mapping) else {}
    place = f"[tool.ftstudio.check] in {quote(pyproject, 200)}"
    if not isinstance(table, Mapping):
        raise InputError(f"{place} must be a table.")
    files, tables = None, {}
    for key, value in table.items():
        if key == "project" and isinstance(value, str):
            files = pyproject.parent / value
            if not files.resolve().is_relative_to(pyproject.parent.resolve()):
                raise InputError(
                    f"{place} names {quote(value)}, which is outside of the package.", "Name a folder in it."
                )
            if not files.is_dir():
                raise InputError(f"{place} names the folder {quote(value)}, which is not there.", "Mend the path.")
        elif key in KINDS and isinstance(value, Mapping) and all(isinstance(t, Mapping) for t in value.values()):
            tables[key] = value
        else:
            raise InputError(
                f"{place}: {quote(key)} is not known.",
                "Write project = 'a folder', and tables [tool.ftstudio.check.KIND.COMPONENT]; kinds: "
                f"{', '.join(KINDS)}.",
            )
    return Examples(files, tables)


def nearest_examples(start: Path) -> Examples:
    """Those of the nearest pyproject.toml in `start` or above it."""
    for folder in (start, *start.parents):
        with contextlib.suppress(OSError):
            if (folder / FILE).is_file():
                return read_examples(folder / FILE)
    return Examples()
