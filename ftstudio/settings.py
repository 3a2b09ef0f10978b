"""The user's own settings, `$XDG_CONFIG_HOME/ftstudio/settings.toml`, validated like a project.

`read_settings` says what holds, the defaults where nothing is written; `edit_settings` writes changed values, and a
person's comments and order stay. The tables `[[observers]]` stand in the same file; what they mean is for `tables.py`
to say, which has the plugins to understand them with.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftstudio.api import option
from ftstudio.errors import InputError, OptionError
from ftstudio.explain import explain, explained
from ftstudio.files import config_dir, write_atomic
from ftstudio.locks import exclusive
from ftstudio.options import parse
from ftstudio.text import quote

if TYPE_CHECKING:
    from ftstudio.source import Source

OBSERVERS = "observers"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What holds for all projects of one person on one machine."""

    disabled_plugins: tuple[str, ...] = option((), help="Plugins (entry-point or distribution names) that never load.")
    probe_seconds: float = option(
        20.0, help="How long a plugin may take to describe itself before it is given up.", gt=0, unit="s"
    )
    keymap: dict[str, str] = option(
        {}, help='Other keys for the studio\'s actions, by their id: { "run.start" = "f5" }.'
    )
    slots: dict[str, int] = option(
        {}, help='Runs that may compute at one time on a place, "cpu", "mps" or "gpu0"; one where nothing is said.'
    )
    stop_seconds: float = option(
        600.0, help="How long a run may take to answer a stop before it is ended by force.", gt=0, unit="s"
    )
    observer_seconds: float = option(
        30.0, help="How long an observer may take over one event before it is cut off.", gt=0, le=86_400, unit="s"
    )

    def __post_init__(self) -> None:
        for place, count in self.slots.items():
            if count < 1:
                raise OptionError("slots", f"slots.{place} must be a whole number from 1.")


def settings_path() -> Path:
    """Where the settings are read from."""
    return config_dir() / "settings.toml"


def read_settings() -> Settings:
    """The settings, or the defaults when there is no file. Raises InputError naming the file and each wrong key."""
    path = settings_path()
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise explain(error, path) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{quote(path, 200)} is not UTF-8.", "Save it as UTF-8, or delete it.") from error
    except ValueError as error:
        raise InputError(f"{quote(path, 200)} is not TOML: {error}.", "Mend or delete it.") from error
    return _validated(table)


def _validated(table: Mapping[str, Any]) -> Settings:
    settings, problems = parse(Settings, {k: v for k, v in table.items() if k != OBSERVERS})
    if settings is None:
        said = " ".join(f"{p.message} {p.fix}".strip() for p in problems)
        raise InputError(f"{quote(settings_path(), 200)}: {said}")
    assert isinstance(settings, Settings)
    return settings


def default_observers() -> Source | None:
    """The file with the observers that every new run gets, or None where it names none.

    Its lines go by "settings.observers[0]", so that they are no table's of a project. Raises as `read_source` does.
    """
    from ftstudio.source import read_source  # noqa: PLC0415 - who only reads settings needs no scanner

    path = settings_path()
    with explained(path):
        if not path.exists():
            return None
    source = read_source(path)
    lines = {f"settings.{place}": line for place, line in source.lines.items()}
    return replace(source, lines=lines) if OBSERVERS in source.table else None


def edit_settings(changes: Mapping[str, Any]) -> Settings:
    """Write changed settings, and return what then holds. A value of None goes back to the default.

    Makes the file where there is none. Raises InputError, before anything is written, when the settings would not be
    valid with the change, or when somebody else changed the file at this moment.
    """
    from ftstudio.source import Source, edit_source, read_source  # noqa: PLC0415 - who only reads needs no editor

    path = settings_path()
    seen = read_source(path) if path.exists() else Source(path, "", {})
    after = {k: v for k, v in {**seen.table, **changes}.items() if v is not None}
    settings = _validated(after)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(path.parent):
            if not path.exists():
                write_atomic(path, "")
    single: dict[tuple[str, ...], Any] = {}
    for name, value in changes.items():
        single |= _single_changes(name, seen.table.get(name), value)
    edit_source(seen, single)
    return settings


def _single_changes(name: str, before: Any, after: Any) -> dict[tuple[str, ...], Any]:
    """A changed table as changes of its keys, so that the comments inside it stay; any other value as it is."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return {(name,): list(after) if isinstance(after, tuple) else after}
    return {(name, key): after.get(key) for key in {**before, **after} if before.get(key) != after.get(key)}


def disabled_plugins() -> frozenset[str]:
    """Names blocked by the settings or by FTSTUDIO_DISABLE_PLUGINS=a,b."""
    listed = os.environ.get("FTSTUDIO_DISABLE_PLUGINS", "").split(",")
    return frozenset(name.strip() for name in listed if name.strip()) | frozenset(read_settings().disabled_plugins)
