"""Facts and checks, from the file's header alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from ftstudio.api import ComponentError, Facts, Problem, ProjectInfo
from ftstudio_gguf.header import Header, read_header
from ftstudio_gguf.options import GgufOptions

BYTES = 4  # a number of the folder that is written: float32


def place(options: GgufOptions, folder: Path) -> Path:
    """The file itself. Raises ComponentError for a user's folder (~name) that is not there."""
    try:
        return folder / options.path.expanduser()
    except RuntimeError as error:
        raise ComponentError(f"'{options.path}' names no folder of a user.", "Write the path out.") from error


def header(options: GgufOptions, folder: Path) -> Header:
    """The file's header. Raises ComponentError when it is missing, or no GGUF file."""
    path = place(options, folder)
    try:
        info = path.stat()
    except (OSError, ValueError) as error:
        raise ComponentError(f"There is no file '{options.path}'.", "Relative paths start at the project.") from error
    return _read(path, str(options.path), info.st_size, info.st_mtime_ns)


@lru_cache(maxsize=8)  # a form asks at every key press; a changed file has another size or mtime
def _read(path: Path, name: str, size: int, mtime: int) -> Header:
    del size, mtime
    return read_header(path, name)


def facts(options: GgufOptions, project_folder: Path) -> Facts:
    """What the header says; nothing when it cannot be read."""
    try:
        found = header(options, project_folder)
    except ComponentError:
        return Facts()
    tokens = found.values.get("len:tokenizer.ggml.tokens")
    return Facts(
        context=found.number("context_length"),
        vocab_size=tokens if isinstance(tokens, int) else None,
        architecture=found.architecture or None,
        parameters=found.parameters,
        weights_bytes=BYTES * found.parameters,
    )


def check(options: GgufOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """A file that is not there, or is something else."""
    del facts
    try:
        header(options, project.folder)
    except ComponentError as error:
        yield Problem(level="error", option="path", message=error.message, fix=error.hint)
