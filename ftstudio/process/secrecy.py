"""Secrets: environment variables that components declare. Their values are in no file that we write."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from ftstudio.project import Project

SHORTEST = 4
"""Values below so many characters are not redacted: they would be found everywhere."""


def secrets_of(project: Project) -> dict[str, str]:
    """The variables that are set of those that a project's components declare, its observers' included."""
    parts = [*project.parts.values(), *project.observers]
    return secrets_named(name for part in parts if part.offer for name in part.offer.component.secrets)


def secrets_named(names: Iterable[str]) -> dict[str, str]:
    """The variables that are set of these."""
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def redact(secrets: Mapping[str, str], text: str) -> str:
    """The text with the name of a secret, `<NAME>`, in place of its value."""
    for name, value in secrets.items():
        if len(value) >= SHORTEST:
            text = text.replace(value, f"<{name}>")
    return text
