"""The user's own settings, `$XDG_CONFIG_HOME/ftstudio/settings.toml`, validated like a project."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ftstudio.api import option
from ftstudio.errors import InputError, OptionError
from ftstudio.files import config_dir, explain, quote
from ftstudio.options import parse


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
    except ValueError as error:
        raise InputError(f"{quote(path, 200)} is not TOML: {error}.", "Mend or delete it.") from error
    settings, problems = parse(Settings, table)
    if settings is None:
        said = " ".join(f"{p.message} {p.fix}".strip() for p in problems)
        raise InputError(f"{quote(path, 200)}: {said}")
    assert isinstance(settings, Settings)
    return settings


def disabled_plugins() -> frozenset[str]:
    """Names blocked by the settings or by FTSTUDIO_DISABLE_PLUGINS=a,b."""
    listed = os.environ.get("FTSTUDIO_DISABLE_PLUGINS", "").split(",")
    return frozenset(name.strip() for name in listed if name.strip()) | frozenset(read_settings().disabled_plugins)
