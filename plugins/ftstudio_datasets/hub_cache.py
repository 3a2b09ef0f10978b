"""What lies in the cache of `datasets` from an earlier download, found without importing it.

HF_DATASETS_CACHE/org___name/CONFIG/VERSION/COMMIT/dataset_info.json, name-train.arrow, ...
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftstudio_datasets.options import HubOptions
from ftstudio_datasets.words import DataError, quote
from ftstudio_kit.hub_cache import datasets_cache, hub_cache, local_folder


@dataclass(frozen=True)
class Cached:
    """A prepared dataset on this disk; `rows` per split, as its dataset_info.json says."""

    folder: Path
    columns: tuple[str, ...]
    rows: dict[str, int]

    @property
    def config(self) -> str:
        """The configuration's name."""
        return self.folder.parts[-3]

    @property
    def version(self) -> str:
        """The version, nearly always 0.0.0."""
        return self.folder.parts[-2]

    @property
    def commit(self) -> str:
        """The commit it was made from."""
        return self.folder.name


def folder_of(options: HubOptions, project: Path) -> Path | None:
    """The local folder that `name` means, None for a name on the Hub. Raises DataError when there is no such folder."""
    folder = local_folder(options.name, project)
    if folder is not None and not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir() raises where it may not look
        raise DataError(
            f"There is no folder {quote(options.name)}, and no dataset of the Hub can have that name.",
            "Name a folder of data files, or a dataset as org/name.",
            "name",
        )
    return folder


def cached(options: HubOptions) -> Cached | None:
    """The newest prepared copy of this dataset, configuration and revision, or None."""
    *organisation, name = options.name.strip("/").split("/")
    folder = datasets_cache() / "___".join([*organisation, _snake(name)])
    commit = _commit(options)
    if commit is None and options.revision is not None:
        return None
    found = [_read(path) for path in folder.glob(f"*/*/{commit or '*'}/dataset_info.json")]
    fitting = [c for c in found if c is not None and options.config in {None, c.config}]
    return max(fitting, key=lambda c: c.folder.stat().st_mtime, default=None)


def _commit(options: HubOptions) -> str | None:
    """The commit that the revision means, as far as this disk knows."""
    if options.revision is None or re.fullmatch("[0-9a-f]{40}", options.revision):
        return options.revision
    try:
        name = options.name.strip("/").replace("/", "--")
        return (hub_cache() / f"datasets--{name}" / "refs" / options.revision).read_text("utf-8").strip()
    except OSError:
        return None


def _snake(name: str) -> str:
    """`datasets` names its folders so: MyData is my_data."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z\d])([A-Z])", r"\1_\2", name).lower()


def _read(path: Path) -> Cached | None:
    try:
        info: dict[str, Any] = json.loads(path.read_text("utf-8"))
        rows = {str(name): int(split["num_examples"]) for name, split in (info.get("splits") or {}).items()}
        return Cached(path.parent, tuple(info["features"]), rows)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
