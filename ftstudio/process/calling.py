"""Calls into components: whoever fails in one is named, and this process is left as it was found."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from ftstudio.errors import ContractError, FtstudioError, PluginError
from ftstudio.explain import is_disk_full
from ftstudio.plugins import Offer
from ftstudio.process.left_running import threads_of
from ftstudio.process.manners import left_as_found
from ftstudio.process.worker_run import WorkerRun
from ftstudio.project import Project
from ftstudio.text import sentence, words_of


class Pressed(KeyboardInterrupt):
    """Ctrl+C came. Where `on_int` listens, any other KeyboardInterrupt is one that a component raised by itself."""


def on_int(signum: int, frame: FrameType | None) -> None:
    """The handler of SIGINT. Raises Pressed."""
    raise Pressed


def built(project: Project, kind: str) -> Any:
    """The component of a kind, made with the project's options. Raises PluginError, whatever ends its import."""
    with blamed(project.offer(kind), "building it"):
        return project.build(kind)


def method(offer: Offer, component: Any, name: str) -> Callable[..., Any]:
    """A method that every component of its kind has. Raises ContractError where this one has not."""
    found = getattr(component, name, None)
    if not callable(found):
        raise ContractError(f"{offer.title} has no method {name}().", f"{offer.component.target} must offer it.")
    return found  # type: ignore[no-any-return]


def call(offer: Offer, what: str, function: Any, *arguments: Any) -> Any:
    """Call a component and leave this process as it was found. Raises what `blamed` does."""
    warn = next((argument.warn for argument in arguments if isinstance(argument, WorkerRun)), None)
    with blamed(offer, what), left_as_found(offer.title, warn), threads_of(offer.title):
        return function(*arguments)


@contextlib.contextmanager
def blamed(offer: Offer, what: str) -> Iterator[None]:
    """An error outside the tree is a bug of the component's plugin: the sentence names plugin and version.

    Raises PluginError, for SystemExit too; OSError (ENOSPC) for a full disk, however a library wrapped it.
    """
    try:
        yield
    except (FtstudioError, OSError, MemoryError):
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and _is_a_persons(error):
            raise
        if is_disk_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"what {offer.title} writes") from error
        raise PluginError(
            sentence(f"{offer.title} failed in {what}: {_said(error)}"), f"This is a fault of {offer.record.title}."
        ) from error


def _is_a_persons(error: KeyboardInterrupt) -> bool:
    """Whether somebody's Ctrl+C raised it, as far as can be told: it cannot where Python's own handler listens."""
    return isinstance(error, Pressed) or signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _said(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it called sys.exit({words_of(error)})"
    return f"{type(error).__name__}: {words_of(error)[:300]}"
