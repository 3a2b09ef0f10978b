"""Which dataset source reads a file, asked of every source that can tell."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftstudio.errors import InputError
from ftstudio.explain import explain
from ftstudio.plugins import Offer, registry
from ftstudio.text import expanded, quote

PACKED = {".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".7z", ".rar"}


def sniff(path: Path, given: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], str]:
    """The [dataset] table for a file, and a sentence on what was found; `given` are options that are set already.

    Raises InputError when nobody reads the file, or when it has to be said how, with the way to say it.
    """
    resolved = _found(path)
    for offer in registry().offers("dataset"):
        found = _ask(offer, resolved, given or {})
        if found is not None:
            says = found.get("says") or f"read as {offer.component.name}"
            table = {"use": found.get("use") or offer.component.name, **(found.get("options") or {})}
            known = {name: found[name] for name in ("rows", "shape") if found.get(name) is not None}
            return {**table, **known}, says
    if path.suffix.lower() in PACKED:
        raise InputError(f"{quote(path.name)} is packed, and no dataset source unpacks it.", "Unpack it first.")
    raise InputError(
        f"No dataset source reads {quote(path.name)}.",
        "Text, JSONL, JSON, CSV, TSV and Parquet files are read; a plugin may read more.",
    )


def _found(path: Path) -> Path:
    """The whole path of something that is there, its links resolved. Raises InputError when it cannot be found."""
    try:
        found = Path(os.path.realpath(expanded(path)))  # Path.resolve() raises RuntimeError for a loop of links
        found.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a NUL
        raise InputError(f"There is no {quote(path, 200)}.", "Name a file that exists.") from error
    except OSError as error:
        raise explain(error, path) from error
    return found


def _ask(offer: Offer, path: Path, given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] | None = offer.light("sniff", path, given)
    except InputError as error:
        option = getattr(error, "option", "path")
        if option == "path":
            raise
        value = "COLUMN" if option.endswith("_column") else "VALUE"
        how = f"ftstudio new NAME --data {shlex.quote(path.name)} --set dataset.{option}={value}"
        raise InputError(error.message, f"{error.hint} Like this: {how}".lstrip()) from error
    return found
