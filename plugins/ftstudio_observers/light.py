"""What can be said of the built-in observers before a run, without loading them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from ftstudio.api import Facts, Problem, ProjectInfo
from ftstudio_observers.options import FIRST_WAIT, TensorBoardOptions, WebhookOptions

SPARE = 5.0
"""Seconds beside the waiting."""
INSTALL = "Install it: pip install 'ftstudio[tensorboard]'"


def check_tensorboard(options: TensorBoardOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """Whether what it is built on is there."""
    if importlib.util.find_spec("tensorboard") is None:
        yield Problem(
            level="error",
            option="use",
            message="observer tensorboard needs the package tensorboard, which is not installed.",
            fix=INSTALL,
        )


def check_webhook(options: WebhookOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """Whether all its tries fit into the time after which an observer is cut off."""
    most = project.core.get("observer_seconds")
    longest = (options.retries + 1) * options.timeout_seconds + FIRST_WAIT * (2**options.retries - 1)
    if most is not None and longest > most:
        yield Problem(
            level="warning",
            option="timeout_seconds",
            message=f"All tries of the webhook may take {longest:g} s, and an observer is cut off after {most:g} s.",
            fix=f"Lower timeout_seconds or retries, or set observer_seconds = {longest + SPARE:g} in settings.toml.",
        )
