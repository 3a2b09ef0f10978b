"""The Hub's cache on this disk, and folders named in place of a Hub id: read without any network or library.

HF_HUB_CACHE/models--org--name/refs/main  ->  a commit  ->  snapshots/COMMIT/config.json, model.safetensors, ...
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?\Z")


def is_hub_id(name: str) -> bool:
    """Whether a name has the form "name" or "organisation/name"."""
    return _ID.match(name) is not None and "--" not in name and ".." not in name


def local_folder(name: str, project: Path) -> Path | None:
    """The folder that a name means, its links resolved; None when it is meant as a Hub id.

    A name is a folder when there is one, or when it is written as a path: "./x", "../x", "/x", "~/x".
    """
    path = project / Path(name).expanduser()
    if path.is_dir():
        return path.resolve()
    written_as_path = name.startswith((".", "/", "~")) or name.endswith("/") or not is_hub_id(name)
    return path if written_as_path else None


def hub_cache() -> Path:
    """Where huggingface_hub keeps what it fetched."""
    own = os.environ.get("HF_HUB_CACHE")
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(own or Path(home) / "hub").expanduser()


def cached_snapshot(name: str, revision: str | None) -> Path | None:
    """The snapshot of a model in the cache that has a config, or None."""
    repo = hub_cache() / f"models--{name.replace('/', '--')}"
    wanted = revision or "main"
    commit = wanted if _COMMIT.match(wanted) else None
    if commit is None and ".." not in wanted:
        try:
            commit = (repo / "refs" / wanted).read_text("utf-8").strip()
        except (OSError, ValueError):
            return None
    if not commit or not _COMMIT.match(commit):
        return None
    snapshot = repo / "snapshots" / commit
    return snapshot if (snapshot / "config.json").exists() else None
