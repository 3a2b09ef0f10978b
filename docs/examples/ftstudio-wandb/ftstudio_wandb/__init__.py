"""Describes the observer `wandb`; loads nothing of Weights & Biases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ftstudio.api import Component, hookimpl, option


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where runs go."""

    mode: Literal["offline", "online"] = option(
        "offline",
        help="Offline writes into the run's folder, for `wandb sync` later; online needs `wandb login` first.",
    )
    project: str = option("", help="The project there; the name of the project here where none is given.")


@hookimpl
def ftstudio_observers() -> Iterator[Component]:
    """One observer."""
    yield Component(
        name="wandb",
        summary="metrics in Weights & Biases",
        target="ftstudio_wandb.observer:WandB",
        options=Options,
        install_hint="pip install wandb",
    )
