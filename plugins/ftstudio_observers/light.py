"""What can be said of the built-in observers before a run, without loading them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from ftstudio.api import Facts, Problem, ProjectInfo
from ftstudio_observers.options import TensorBoardOptions

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
