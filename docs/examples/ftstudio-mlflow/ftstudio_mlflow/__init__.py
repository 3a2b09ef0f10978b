"""Describes the observer `mlflow`; loads nothing of MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ftstudio.api import Component, hookimpl, option


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where runs go."""

    tracking_uri: str = option(
        "",
        help="The tracking store, as MLflow writes it; a database mlflow.db in the run's folder where none is given.",
    )
    experiment: str = option("", help="The experiment there; the name of the project here where none is given.")


@hookimpl
def ftstudio_observers() -> Iterator[Component]:
    """One observer."""
    yield Component(
        name="mlflow",
        summary="metrics in an MLflow tracking store",
        target="ftstudio_mlflow.observer:MLflow",
        options=Options,
        install_hint="pip install mlflow-skinny sqlalchemy alembic",
    )
