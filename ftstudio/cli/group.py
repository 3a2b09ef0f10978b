"""A group of commands that says the nearest one for a wrong name, and in each one's help what it takes."""

from __future__ import annotations

import re

import click

from ftstudio.text import nearest

PROJECT = "PROJECT is a project's folder, or its name in $FTSTUDIO_PROJECTS, ./projects or ~/ftstudio."
RUN = "RUN is PROJECT:0001 or a run's folder."
OR_NEWEST = "RUN is PROJECT:0001, a run's folder, or a project, which means its newest run."
OR_LIVE = "RUN is PROJECT:0001, a run's folder, or a project that has one live run."


class Group(click.Group):
    """A click group whose word for a wrong name is a sentence: the nearest command, or all of them."""

    none_such = "{word!r} is no command of '{group}'."

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names. Raises UsageError, with the nearest, when it names none."""
        names = self.list_commands(ctx)
        if args and args[0] not in names:
            near = nearest(args[0], names)
            hint = f"Did you mean {near}?" if near else f"Commands: {', '.join(names)}."
            raise click.UsageError(f"{self.none_such.format(word=args[0], group=ctx.info_name)} {hint}")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, whose help ends with what its arguments are."""
        found = self.found(ctx, cmd_name)
        if found is not None and found.epilog is None:
            found.epilog = _meaning(found)
        return found

    def found(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of that name, or None."""
        return super().get_command(ctx, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The names, each with the whole of its first sentence: click would cut it at the end of the line."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, _first_sentence(self.get_command(ctx, name))) for name in self.list_commands(ctx)]
            )


def _first_sentence(command: click.Command | None) -> str:
    return "" if command is None else command.get_short_help_str(limit=1000)


def _meaning(command: click.Command) -> str | None:
    taken = [p.human_readable_name for p in command.params if isinstance(p, click.Argument)]
    words = set(re.findall("[A-Z]+", " ".join(taken)))
    return {
        frozenset({"PROJECT", "RUN"}): f"{PROJECT} {RUN}",
        frozenset({"PROJECT"}): PROJECT,
        frozenset({"RUN"}): OR_NEWEST,
    }.get(frozenset(words & {"PROJECT", "RUN"}))
