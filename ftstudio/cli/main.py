"""The group of all commands. Commands live in the modules beside this one and are imported when called."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from ftstudio import __version__
from ftstudio.cli import output
from ftstudio.cli.commands import COMMANDS
from ftstudio.cli.group import Group
from ftstudio.errors import FtstudioError
from ftstudio.finding import refuse_hidden
from ftstudio.text import expanded

OF_THE_STUDIO = {
    "--readonly": "Look only: every action that changes something is off.",
    "--ascii": "No sign that is not ASCII.",
    "--no-mouse": "Leave the mouse to the terminal.",
}
NOBODY_READS = 141
"""The exit code of a program that SIGPIPE ended, as shells give it."""


class _Commands(Group):
    """Looks a command's module up when it is called."""

    none_such = "{word!r} is neither a command nor a folder."

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The studio's own flags before them."""
        with formatter.section("Options of the studio"):
            formatter.write_dl(list(OF_THE_STUDIO.items()))
        super().format_commands(ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Of a folder that may not be looked at, that is said: the studio would have opened it."""
        if args and args[0] not in COMMANDS:
            refuse_hidden(expanded(args[0]))
        return super().resolve_command(ctx, args)

    def found(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        found = getattr(importlib.import_module(module), attribute or name)
        assert isinstance(found, click.Command)
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """What the command returns; `NOBODY_READS` where its reader left, of which click would make a failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return NOBODY_READS


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ftstudio")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def cli(debug: bool) -> None:
    """Fine-tune language models in a terminal.

    Without a command, or with a folder, this opens the studio: ftstudio [ROOT].
    """
    if debug:
        os.environ["FTSTUDIO_DEBUG"] = "1"


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit code."""
    try:
        code = _code_of(arguments)
    except BrokenPipeError:
        code = NOBODY_READS
    if code == NOBODY_READS:
        _let_go()
    return code


def _let_go() -> None:
    """Let the interpreter's last flush say nothing of a pipe that nobody reads."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            with Path(os.devnull).open("wb") as nothing:
                os.dup2(nothing.fileno(), stream.fileno())


def _code_of(arguments: list[str]) -> int:
    try:
        code: Any = cli.main(arguments, prog_name="ftstudio", standalone_mode=False)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.Abort:
        return 130
    except click.ClickException as mistake:
        output.say(f"✗ {mistake.format_message()}")
        return 2
    except FtstudioError as failure:
        output.error(failure)
        if os.environ.get("FTSTUDIO_DEBUG"):
            traceback.print_exc()
        return failure.exit_code
    except KeyboardInterrupt:
        return 130
    return code if isinstance(code, int) else 0
