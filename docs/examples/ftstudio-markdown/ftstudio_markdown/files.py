"""Which files are read, and what identifies what they say."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ftstudio.api import ComponentError
from ftstudio_markdown.options import MarkdownOptions

SUFFIXES = (".md", ".markdown")


class Found(NamedTuple):
    """A file as it was found; `name` is how sentences call it."""

    path: Path
    name: str
    size: int
    mtime_ns: int


def find(patterns: Sequence[str], folder: Path) -> list[Found]:
    """The files that paths and patterns name, each once, by name; relative ones start at `folder`.

    Hidden files and folders are left out. Raises ComponentError when a pattern names nothing.
    """
    paths: dict[Path, None] = {}
    for pattern in patterns:
        some = sorted(_expand(pattern, folder))
        if not some:
            raise ComponentError(f"'{pattern[:100]}' names no Markdown file.", "Relative paths start at the project.")
        paths.update(dict.fromkeys(some))
    found = []
    for path in paths:
        info = path.stat()
        name = str(path.relative_to(folder) if path.is_relative_to(folder) else path)
        found.append(Found(path, name, info.st_size, info.st_mtime_ns))
    return found


def _expand(pattern: str, folder: Path) -> Iterator[Path]:
    if "\0" in pattern:
        return
    expanded = os.path.expanduser(pattern)  # noqa: PTH111 - Path.expanduser raises for a user that is not there
    path = folder / expanded
    if path.is_file():
        yield path
        return
    # glob, unlike Path.glob, leaves hidden files out and takes absolute patterns.
    wanted = f"{glob.escape(expanded)}/**/*" if path.is_dir() else expanded
    for match in glob.iglob(wanted, root_dir=folder, recursive=True):  # noqa: PTH207
        if match.lower().endswith(SUFFIXES) and (folder / match).is_file():
            yield folder / match


def fingerprint(options: MarkdownOptions, folder: Path) -> str:
    """32 hexadecimal digits that are the same while the documents, their order and the options that shape rows are."""
    digest = hashlib.sha256(json.dumps(options.how).encode())
    for patterns in filter(None, (options.path, options.validation_path)):
        digest.update(b"\ntable")
        for file in find(patterns, folder):
            with file.path.open("rb") as stream:
                digest.update(b"\n" + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]
