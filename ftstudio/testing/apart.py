"""Calls a function in a process of its own and tells which heavy modules that imported.

    call_apart(function, *arguments) ──pickle──> `python -m ftstudio.testing.apart` ──pickle──> answer, heavy modules

Both ends are this kit's own processes, so that pickle carries nothing from outside.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftstudio.errors import FtstudioError, PluginError
from ftstudio.probe import HEAVY

SECONDS = 60.0


def call_apart(function: Callable[..., Any], *arguments: Any, hash_seed: str = "random") -> tuple[Any, tuple[str, ...]]:
    """The answer of `function(*arguments)`, and the heavy modules that were imported for it.

    The function must be one of a module that can be imported. `hash_seed` decides in which order its sets of texts are.
    Raises what it raises, if that is a FtstudioError, and PluginError for anything else and for a process that dies or
    takes longer than 60 s.
    """
    path = os.pathsep.join(p for p in sys.path if p)
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed}
    with tempfile.TemporaryDirectory(prefix="ftstudio-apart-") as folder:
        question, answer = Path(folder) / "question", Path(folder) / "answer"
        try:
            question.write_bytes(pickle.dumps((function, arguments)))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise PluginError(
                f"It cannot be told to another process: {error}.", "Put its classes into a module."
            ) from error
        command = [sys.executable, "-P", "-m", "ftstudio.testing.apart", str(question), str(answer)]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                timeout=SECONDS, env=environment, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise PluginError(f"It did not answer within {SECONDS:g} s.") from None
        if not answer.is_file():
            raise PluginError(f"Its process ended with exit code {done.returncode}.")
        found, raised, heavy = pickle.loads(answer.read_bytes())  # noqa: S301 - written by our own child, below
    if raised is not None:
        raise raised
    return found, heavy


def main() -> None:
    """Answer, then leave without waiting for anybody's threads."""
    question, answer = map(Path, sys.argv[1:])
    function, arguments = pickle.loads(question.read_bytes())  # noqa: S301 - written by `call_apart`
    found: Any = None
    raised: FtstudioError | None = None
    try:
        found = function(*arguments)
    except FtstudioError as error:
        raised = error
    except BaseException as error:  # noqa: BLE001 - SystemExit is a failure of the plugin too
        raised = PluginError(f"{type(error).__name__}: {error}")
    heavy = tuple(name for name in HEAVY if name in sys.modules)
    answer.write_bytes(pickle.dumps((found, raised, heavy)))
    os._exit(0)


if __name__ == "__main__":
    main()
