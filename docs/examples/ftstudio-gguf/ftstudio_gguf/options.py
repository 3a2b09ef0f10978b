"""What can be set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ftstudio.api import option


@dataclass(frozen=True, kw_only=True)
class GgufOptions:
    """One file."""

    path: Path = option(help="The .gguf file; a relative path starts at the project's folder.", kind="path")
