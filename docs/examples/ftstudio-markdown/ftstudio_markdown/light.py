"""What can be said before anything is loaded: how many rows, what cannot be read, what a folder holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftstudio.api import ComponentError, Facts, Problem, ProjectInfo
from ftstudio_markdown.documents import counted, read, rows
from ftstudio_markdown.files import Found, find
from ftstudio_markdown.options import How, MarkdownOptions

READ_WHOLE = 2 * 2**20
"""Bytes up to which all documents are read; of more, a sample."""
SAMPLE_CHARACTERS = 32_768


@dataclass(frozen=True)
class Look:
    """What a look has found; `scale` is above 1 when only a sample was read."""

    rows: int = 0
    characters: int = 0
    longest: int = 0
    sample: tuple[str, ...] = ()
    scale: float = 1.0
    error: ComponentError | None = None


def facts(options: MarkdownOptions, project_folder: Path) -> Facts:
    """Exact up to 2 MiB of documents, estimated from a sample beyond; unknown where they cannot be read."""
    known = Facts(shape="text", columns=("text",))
    found = _of(options, options.path, project_folder)
    apart = _of(options, options.validation_path, project_folder) if options.validation_path else Look()
    if found.error or apart.error:
        return known
    sampled = {"rows", "characters", "longest_characters"} if found.scale > 1 else set()
    return replace(
        known,
        rows=round(found.rows * found.scale),
        validation_rows=round(apart.rows * apart.scale),
        characters=round(found.characters * found.scale),
        longest_characters=found.longest,
        sample=found.sample or None,
        estimated=frozenset(sampled | ({"validation_rows"} if apart.scale > 1 else set())),
    )


def check(options: MarkdownOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """What a load would refuse, as far as a look sees, at the option that is to blame."""
    del facts
    for name, patterns in (("path", options.path), ("validation_path", options.validation_path)):
        if not patterns:
            continue
        found = _of(options, patterns, project.folder)
        if found.error is not None:
            yield Problem(level="error", option=name, message=found.error.message, fix=found.error.hint)
        elif not found.rows and found.scale == 1:
            blamed = "where" if options.where else name
            yield Problem(
                level="error", option=blamed, message="No document is left to read.", fix="Check path and where."
            )
    if options.split_by == "document" and options.heading_level != 2:
        yield Problem(
            level="note", option="heading_level", message='heading_level does nothing while split_by is "document".',
            fix='Set split_by = "heading".', edit={"split_by": "heading"},
        )  # fmt: skip


def sniff(path: Path) -> Mapping[str, Any] | None:
    """For a folder that holds Markdown; single files are left to the source `text`."""
    if not path.is_dir():
        return None
    options = MarkdownOptions(path=(str(path),))
    found = _of(options, options.path, path.parent)
    if found.error is not None or not found.rows:
        return None
    about, count = ("about " if found.scale > 1 else ""), round(found.rows * found.scale)
    says = f"Markdown, {about}{counted(count)}"
    return {"use": "markdown", "options": {"path": str(path)}, "rows": count, "says": says}


def _of(options: MarkdownOptions, patterns: Sequence[str], folder: Path) -> Look:
    try:
        found = find(patterns, folder)
    except ComponentError as error:
        return Look(error=error)
    except OSError as error:
        return Look(error=ComponentError(f"The documents cannot be read: {error.strerror or error}.", "Check path."))
    return _look(tuple(found), options.how)


@lru_cache(maxsize=16)  # a form asks at every key press; a changed file has another size or mtime
def _look(found: tuple[Found, ...], how: How) -> Look:
    total = sum(file.size for file in found)
    room = total if total <= READ_WHOLE else READ_WHOLE // 4
    texts: list[str] = []
    read_bytes = 0
    for file in found:
        if read_bytes and read_bytes + file.size > room:
            break
        try:
            texts += rows(read(file.path, file.name), how)
        except ComponentError as error:
            return Look(error=error)
        read_bytes += file.size
    scale = total / read_bytes if 0 < read_bytes < total else 1.0
    lengths = [len(text) for text in texts]
    return Look(len(texts), sum(lengths), max(lengths, default=0), _sample(texts), scale)


def _sample(texts: Sequence[str]) -> tuple[str, ...]:
    """The first texts, as many as a tokenizer is measured on."""
    taken: list[str] = []
    room = SAMPLE_CHARACTERS
    for text in texts:
        if room <= 0:
            break
        taken.append(text[:room])
        room -= len(text)
    return tuple(taken)
