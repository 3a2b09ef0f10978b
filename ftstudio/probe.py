"""Describes one plugin in a process of its own: `python -m ftstudio.probe ENTRY_POINT_VALUE RESULT_FILE`.

A stranger's module may raise, hang, print, exit, import torch, change directory or take over signals while it is
imported. Here it can do that without hurting anyone; what it did is written to the result file as JSON:
{"reason": "" or why it is not usable, "components": [{"kind", "name", "summary"}], "heavy": [...], "printed": n}.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pluggy

from ftstudio.api import GROUP, KINDS, Component, Hooks
from ftstudio.errors import FtstudioError
from ftstudio.options import check_reserved, describe
from ftstudio.text import is_safe_name, quote

HEAVY = ("torch", "transformers", "datasets", "tensorflow", "jax", "peft", "accelerate", "textual")


class NotUsableError(Exception):
    """Why a plugin cannot be used, as a sentence."""


def load(value: str) -> Any:
    """The object that an entry point names: "package.module" or "package.module:attribute"."""
    module, _, attribute = value.partition(":")
    found: Any = importlib.import_module(module.strip())
    for part in filter(None, attribute.strip().split(".")):
        found = getattr(found, part)
    return found


def collect(plugin: Any, name: str) -> dict[str, tuple[Component, ...]]:
    """Kind -> the components that a plugin describes. Raises NotUsableError with the reason."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    _check_names(plugin)
    manager.register(plugin, name)
    if not manager.get_hookcallers(plugin):
        raise NotUsableError("It has no function marked @hookimpl. Import hookimpl from ftstudio.api and mark one.")
    found: dict[str, tuple[Component, ...]] = {}
    for kind, hook in KINDS.items():
        for yielded in getattr(manager.hook, hook)():
            found[kind] = found.get(kind, ()) + tuple(_checked(kind, hook, yielded))
    return found


def _check_names(plugin: Any) -> None:
    """Hooks that do not exist, and hooks that somebody forgot to mark."""
    hooks = set(KINDS.values())
    for attribute in dir(plugin):
        marked = getattr(getattr(plugin, attribute, None), f"{GROUP}_impl", None) is not None
        if marked and attribute not in hooks:
            raise NotUsableError(
                f"It implements {quote(attribute)}, which is no hook. Hooks: {', '.join(sorted(hooks))}."
            )
        if not marked and attribute in hooks:
            raise NotUsableError(f"Its {attribute} is not marked. Put @hookimpl above it.")


def _checked(kind: str, hook: str, yielded: Any) -> Iterable[Component]:
    if isinstance(yielded, (Component, str)) or not isinstance(yielded, Iterable):
        raise NotUsableError(f"{hook} returned {quote(type(yielded).__name__)}; it must yield Component objects.")
    seen: set[str] = set()
    for component in yielded:
        if not isinstance(component, Component):
            raise NotUsableError(f"{hook} yielded {quote(type(component).__name__)}; it must yield Component objects.")
        if not is_safe_name(component.name):
            raise NotUsableError(f"{hook} yielded a component named {quote(component.name)}: not a usable name.")
        if component.name in seen:
            raise NotUsableError(f"{hook} yielded the name {quote(component.name)} twice.")
        seen.add(component.name)
        describe(component.options)
        check_reserved(kind, component.options)
        yield component


def why(error: BaseException) -> str:
    """The reason of a failure in one sentence."""
    if isinstance(error, (NotUsableError, FtstudioError)):
        return str(error)
    if isinstance(error, SystemExit):
        return f"It called sys.exit({error.code}) while it was loaded."
    return f"{type(error).__name__}: {error}"[:300]


def probe(value: str) -> dict[str, Any]:
    """Import and describe a plugin, and note what else it did."""
    before = (Path.cwd(), _handlers())
    printed = io.StringIO()
    components: list[dict[str, str]] = []
    reason = ""
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            for kind, described in collect(load(value), value).items():
                components += [{"kind": kind, "name": c.name, "summary": c.summary} for c in described]
        except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt are failures of the plugin too
            reason = why(error)
    if not reason and (Path.cwd(), _handlers()) != before:
        reason = "It changed the working directory or a signal handler while it was loaded."
    heavy = [name for name in HEAVY if name in sys.modules]
    return {
        "reason": reason,
        "components": [] if reason else components,
        "heavy": heavy,
        "printed": len(printed.getvalue()),
    }


def _handlers() -> tuple[Any, ...]:
    return tuple(signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD))


def main() -> None:
    """Write the result where the parent reads it, then leave without waiting for a plugin's threads."""
    value, result = sys.argv[1:]
    answer = json.dumps(probe(value)).encode("utf-8", "backslashreplace")
    descriptor = os.open(result, os.O_WRONLY | os.O_TRUNC)
    os.write(descriptor, answer)
    os._exit(0)


if __name__ == "__main__":
    main()
