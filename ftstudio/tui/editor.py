"""The person's own editor: the terminal is lent to it until it ends."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

from ftstudio.errors import InputError
from ftstudio.text import quote


def editor_command() -> list[str]:
    """$VISUAL, else $EDITOR, else the first editor that is installed. Raises InputError when there is none."""
    for name in ("VISUAL", "EDITOR"):
        words = os.environ.get(name, "").strip()
        if words:
            try:
                return shlex.split(words)
            except ValueError as error:
                raise InputError(f"{name} is no command: {error}.", f"Mend {name}.") from error
    found = next((path for name in ("nano", "vim", "vi") if (path := shutil.which(name))), None)
    if found is None:
        raise InputError("There is no editor.", "Set EDITOR to the command of one.")
    return [found]


def open_editor(app: App[Any], path: Path) -> None:
    """Edit a file. Raises InputError when the editor cannot start, and when it ends with another exit code than 0."""
    command = editor_command()
    try:
        with app.suspend():
            code = _run([*command, str(path)])
    except SuspendNotSupported as error:
        raise InputError("This terminal cannot be lent to an editor.", f"Edit {quote(path, 200)} elsewhere.") from error
    if isinstance(code, OSError):
        raise InputError(f"{quote(command[0])} does not start: {code.strerror}.", "Set EDITOR to a command.") from code
    if code:
        how = f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"
        raise InputError(
            f"{quote(Path(command[0]).name)} {how}.", f"What it wrote into {quote(path.name)} until then holds."
        )


def _run(command: Sequence[str]) -> int | OSError:
    """The exit code, or why it does not start. Nothing is raised: `suspend` would not take the terminal back then."""
    with _keys_unheard(), _modes_kept():
        try:
            return subprocess.run(command, stdout=sys.__stdout__, stderr=sys.__stderr__, check=False).returncode
        except OSError as error:
            return error


@contextlib.contextmanager
def _keys_unheard() -> Iterator[None]:
    """Ctrl+C and Ctrl+Backslash are the editor's: they reach this process too, and would end it.

    A handler and not SIG_IGN, which the editor would inherit.
    """
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _modes_kept() -> Iterator[None]:
    """The terminal's modes as they were, whatever an editor that was killed left: the shell gets these at the end."""
    assert sys.__stdin__ is not None
    try:
        modes = termios.tcgetattr(sys.__stdin__)
    except (termios.error, OSError):  # it is no terminal
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # it hung up
            termios.tcsetattr(sys.__stdin__, termios.TCSANOW, modes)
