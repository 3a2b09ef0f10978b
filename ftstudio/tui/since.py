"""What changed: since a run, between two runs, and between two states of project.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ftstudio.errors import FtstudioError
from ftstudio.runs.changes import in_short
from ftstudio.runs.folder import RunFolder
from ftstudio.tui.look import Look
from ftstudio.tui.typed import toml_of

if TYPE_CHECKING:
    from ftstudio.project import Project

CHANGES_SHOWN = 40


@dataclass(frozen=True)
class Since:
    """What changed since a run: dotted key -> (value in the run, value in the project); or why that is not known."""

    run: str = ""
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    problem: str = ""

    def settings(self) -> dict[str, Any]:
        """The changes that give the project the run's settings; lists of tables are edited by hand."""
        return {key: before for key, (before, _) in self.changes.items() if "[" not in key}


def since_run(run: RunFolder | None, project: Project) -> Since:
    """What differs between a run's frozen settings and its project. Reads run.toml."""
    from ftstudio.runs.record import changes_since  # noqa: PLC0415 - loads the plugins

    if run is None:
        return Since()
    if project.errors:
        return Since(run.name, problem="Not known while the settings have errors.")
    try:
        return Since(run.name, changes_since(run, project))
    except FtstudioError as error:
        return Since(run.name, problem=str(error))


def changed_words(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two states of a file's tables, in a few words."""
    from ftstudio.runs.record import flat  # noqa: PLC0415 - loads the plugins

    old, new = dict(flat(before)), dict(flat(now))
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    words = [f"{key} = {toml_of(new[key])}" if key in new else f"{key} is gone" for key in changed[:3]]
    more = f", and {len(changed) - 3} more" if len(changed) > 3 else ""
    return ", ".join(words) + more if words else "only its comments or order"


def changes_text(changes: Mapping[str, tuple[Any, Any]], look: Look) -> Text:
    """Changed settings as lines with - and +."""
    text = Text()
    for key, (before, now) in list(changes.items())[:CHANGES_SHOWN]:
        if before is not None:
            text.append_text(look.plain(f"- {key} = {toml_of(before)}", "red")).append("\n")
        if now is not None:
            text.append_text(look.plain(f"+ {key} = {toml_of(now)}", "green")).append("\n")
    left = len(changes) - CHANGES_SHOWN
    return text.append(f"  and {left} more\n" if left > 0 else "", "dim")


def since_before(before: RunFolder, run: RunFolder) -> str:
    """What was set otherwise for a run than for the one before it, in a line; "" when that cannot be read."""
    from ftstudio.runs.record import changes_between  # noqa: PLC0415 - loads the plugins

    try:
        changes = changes_between(before, run)
    except FtstudioError:  # whoever opens the run is told
        return ""
    return f"Changed since {before.name}: {in_short(changes, toml_of)}." if changes else f"Set as {before.name} was."
