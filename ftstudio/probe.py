"""Describes one plugin in a process of its own: `python -m ftstudio.probe ENTRY_POINT_VALUE RESULT_FILE LEASH SECONDS`.

A stranger's module may raise, hang, print, exit, import torch, change directory or take over signals while it is
imported. Here it can do that without hurting anyone; what it did is written to the result file as JSON:
{"reason": "" or why it is not usable, "components": [{"kind", "name", "summary"}], "heavy": [...], "printed": n,
"threads": [names of those that run on]}.

    who asks ──leash──> guard ──fork──> the process that imports the plugin, in a group of its own

The guard never runs the plugin's code. It ends that group when the plugin is described, when its seconds are over, or
when the leash closes: the asker holds the other end of that pipe, and no way of dying keeps it open.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import os
import select
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pluggy

from ftstudio.api import GROUP, KINDS, Component, Hooks
from ftstudio.errors import FtstudioError
from ftstudio.options import check_reserved, describe
from ftstudio.text import is_safe_name, quote

HEAVY = ("torch", "transformers", "datasets", "tensorflow", "jax", "peft", "accelerate", "textual")
PLACES = (
    "HOME", "PYTHONPATH", "TMPDIR", "HF_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME",
    "FTSTUDIO_PROJECTS", "FTSTUDIO_DISABLE_PLUGINS",
)  # fmt: skip
"""Environment variables that say where things lie, and what is loaded."""
ASKING = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
"""Kinds of parameters that have to be given."""


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
    if inspect.isclass(plugin):
        raise NotUsableError(f"Its entry point names the class {plugin.__name__}: name an object of it, or a module.")
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
        parameters = inspect.signature(getattr(plugin, attribute)).parameters.values() if marked else ()
        taken = ", ".join(p.name for p in parameters if p.kind in ASKING and p.default is p.empty)
        if taken:
            raise NotUsableError(f"Its {attribute} takes {quote(taken)}: a hook takes no arguments. Leave them out.")


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
        try:
            describe(component.options)
            check_reserved(kind, component.options)
        except FtstudioError as error:
            raise NotUsableError(f"Its {kind} {component.name}: {error}") from error
        yield component


def why(error: BaseException) -> str:
    """The reason of a failure in one sentence."""
    if isinstance(error, (NotUsableError, FtstudioError)):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code})"
    return f"{type(error).__name__}: {error}"[:300]


def probe(value: str) -> dict[str, Any]:
    """Import and describe a plugin, and note what else it did."""
    before = _surroundings()
    printed = io.StringIO()
    components: list[dict[str, str]] = []
    reason = ""
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            for kind, described in collect(load(value), value).items():
                components += [{"kind": kind, "name": c.name, "summary": c.summary} for c in described]
        except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt are failures of the plugin too
            left = isinstance(error, SystemExit)
            reason = f"I{why(error)[1:]} while it was loaded." if left else why(error)
    changed = [what for what, now in _surroundings().items() if before.get(what) != now]
    if changed and not reason:
        reason = f"It changed {', '.join(changed[:3])} while it was loaded, which is everybody's."
    heavy = [name for name in HEAVY if name in sys.modules]
    return {
        "reason": reason,
        "components": [] if reason else components,
        "heavy": heavy,
        "printed": len(printed.getvalue()),
        "threads": [t.name for t in threading.enumerate() if t is not threading.main_thread()],
    }


def _surroundings() -> dict[str, Any]:
    """What a plugin shares with everybody in its process and must leave as it is, by the words for it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return {
        "the working directory": _folder(),
        **{f"the handler of {s.name}": signal.getsignal(s) for s in signal.Signals},
        **{f"${name}": os.environ.get(name) for name in PLACES},
        **{name: _file(number) for number, name in enumerate(("stdin", "stdout", "stderr"))},
        "the timer of SIGALRM": signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        "the umask": mask,
    }


def _folder() -> str:
    with contextlib.suppress(OSError):
        return os.getcwd()  # noqa: PTH109 - one that was deleted is no error here
    return ""


def _file(descriptor: int) -> tuple[int, int] | None:
    """Which file a descriptor means; None for a closed one."""
    with contextlib.suppress(OSError):
        found = os.fstat(descriptor)
        return found.st_dev, found.st_ino
    return None


def failed(reason: str) -> dict[str, Any]:
    """What is said of a plugin that cannot be used."""
    return {"reason": reason, "components": [], "heavy": [], "printed": 0, "threads": []}


def _write(result: str, answer: dict[str, Any]) -> None:
    with contextlib.suppress(FileNotFoundError):  # who asked is gone, and its file with it
        descriptor = os.open(result, os.O_WRONLY | os.O_TRUNC)
        os.write(descriptor, json.dumps(answer).encode("utf-8", "backslashreplace"))
        os.close(descriptor)


class _Watch(threading.Thread):
    """Ends a process group when its time is over or the leash closes."""

    def __init__(self, group: int, leash: int, seconds: float) -> None:
        super().__init__(daemon=True)
        self.group, self.leash, self.seconds = group, leash, seconds
        self.late = False

    def run(self) -> None:
        closed, _, _ = select.select([self.leash], [], [], self.seconds)
        self.late = not closed
        _end_group(self.group)


def _end_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it is empty; on macOS only its dead are left
        os.killpg(group, signal.SIGKILL)


def main() -> None:
    """Have the plugin described by a child, and see to it that nothing of the child is left."""
    value, result, leash, seconds = sys.argv[1:]
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        os.close(int(leash))
        _write(result, probe(value))
        os._exit(0)  # without waiting for a plugin's threads
    with contextlib.suppress(OSError):  # the child was quicker, or has left
        os.setpgid(child, child)
    watch = _Watch(child, int(leash), float(seconds))
    watch.start()
    _, status = os.waitpid(child, 0)
    if watch.late:
        _write(result, failed(f"It did not finish describing itself within {float(seconds):g} s."))
    elif not Path(result).stat().st_size:
        code = os.waitstatus_to_exitcode(status)
        signalled = f"was ended by signal {-code} ({signal.strsignal(-code)})" if code < 0 else ""
        how = signalled or f"ended with exit code {code}"
        _write(result, failed(f"Its process {how} while it was loaded."))
    _end_group(child)
    os._exit(0)


if __name__ == "__main__":
    main()
