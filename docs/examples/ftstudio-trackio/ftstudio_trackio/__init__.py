"""Describes the observer `trackio`; loads nothing of Trackio."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ftstudio.api import Component, hookimpl, option


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where runs go."""

    project: str = option("", help="The project there; the name of the project here where none is given.")


@hookimpl
def ftstudio_observers() -> Iterator[Component]:
    """One observer."""
    yield Component(
        name="trackio",
        summary="metrics in Trackio's database on this machine",
        target="ftstudio_trackio.observer:Trackio",
        options=Options,
        install_hint="pip install trackio",
    )
