"""Which dataset source reads a file, asked of every source that can tell."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftstudio.errors import FtstudioError, InputError, PluginError
from ftstudio.files import quote
from ftstudio.plugins import Offer, registry


def sniff(path: Path) -> tuple[dict[str, Any], str]:
    """The [dataset] table for a file, and a sentence on what was found. Raises InputError when nobody reads it."""
    resolved = path.expanduser().resolve()
    if not resolved.exists():
        raise InputError(f"There is no {quote(path, 200)}.", "Name a file that exists.")
    for offer in registry().offers("dataset"):
        found = _ask(offer, resolved)
        if found is not None:
            says = str(found.get("says", f"read as {offer.component.name}"))
            table = {"use": str(found.get("use", offer.component.name)), **dict(found.get("options", {}))}
            if isinstance(found.get("rows"), int):
                table["rows"] = found["rows"]
            return table, says
    raise InputError(
        f"No dataset source reads {quote(path.name)}.",
        "Text, JSONL, JSON, CSV, TSV and Parquet files are read; a plugin may read more.",
    )


def _ask(offer: Offer, path: Path) -> Mapping[str, Any] | None:
    if not offer.component.sniff:
        return None
    module, _, name = offer.component.sniff.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)(path)
    except FtstudioError:
        raise
    except Exception as error:
        raise PluginError(
            f"{offer.title} failed to look at {quote(path, 200)}: {error}.", f"It is of {offer.record.title}."
        ) from error
    return found if isinstance(found, Mapping) else None
