"""The roof: `ftstudio ...` and `python -m ftstudio ...`. Sends to the command line or to the studio."""

from __future__ import annotations

import gc
import os
import sys

from ftstudio.leaving import leave_after

FLAGS = {"--ascii": "ascii", "--no-mouse": "mouse", "--readonly": "readonly"}
"""Flags of the studio -> what they set."""


def main() -> None:
    """Entry of the console script."""
    _leave_out_here()
    arguments = sys.argv[1:]
    leave_after(lambda: _studio(arguments) if _means_studio(arguments) else _command(arguments))


def _leave_out_here() -> None:
    """Start once more without the current folder, where PYTHONPATH means it by an empty entry or by ".".

    What lies in a folder must not run by lying there. Taking the folder out of `sys.path` would not do: Python has left
    out what names it a second time, and processes that are started inherit the variable.
    """
    path = os.environ.get("PYTHONPATH", "")
    kept = os.pathsep.join(entry for entry in path.split(os.pathsep) if os.path.normpath(entry) != ".")
    if path == kept:
        return
    os.environ["PYTHONPATH"] = kept  # an empty variable is as none
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves, with the same words


def _means_studio(arguments: list[str]) -> bool:
    """No command at all, or a folder where a command would stand; flags of the studio may stand beside it."""
    words = [a for a in arguments if not a.startswith("-")]
    if not words:
        return not {"-h", "--help", "--version"} & set(arguments)
    from ftstudio.cli.commands import COMMANDS  # noqa: PLC0415 - `--version` needs none of this
    from ftstudio.finding import is_folder  # noqa: PLC0415
    from ftstudio.text import expanded  # noqa: PLC0415

    return words[0] not in COMMANDS and is_folder(expanded(words[0]))


def _studio(arguments: list[str]) -> int:
    gc.disable()  # until the first picture is there: what is made for it stays, and looking through it costs a tenth
    from ftstudio.finding import default_root  # noqa: PLC0415 - `--version` needs none of this
    from ftstudio.text import expanded  # noqa: PLC0415
    from ftstudio.tui.app import Manners, open_studio  # noqa: PLC0415 - textual costs 0.2 s that no command needs
    from ftstudio.tui.memory import Memory  # noqa: PLC0415
    from ftstudio.tui.own_terminal import where_to_draw  # noqa: PLC0415

    words = [a for a in arguments if not a.startswith("-")]
    unknown = [a for a in arguments if a.startswith("-") and a not in FLAGS]
    if unknown or len(words) > 1:
        return _command(["--help"]) if "--help" in unknown or "-h" in unknown else _command(arguments)
    if not sys.stdin.isatty() or where_to_draw() is None:  # it would wait for keys for ever
        sys.stderr.write("✗ The studio needs a terminal. Without one, use the commands: ftstudio --help\n")
        return 2
    root = expanded(words[0]) if words else Memory().last_root() or default_root()
    return open_studio(root, Manners(**{FLAGS[a]: a != "--no-mouse" for a in arguments if a in FLAGS}))


def _command(arguments: list[str]) -> int:
    from ftstudio.cli.main import run  # noqa: PLC0415 - the studio does not need click

    return run(arguments)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[
            0
        ]  # `python -m` puts the current folder there, and what lies in a folder must not run by lying there
    main()
