"""A group of commands that says the nearest one when there is none of the name."""

from __future__ import annotations

import click

from ftstudio.files import nearest


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
