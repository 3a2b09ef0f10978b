"""Keys and folders of the cache of tokens: made once, found again, never half there.

    cache/tokens/KEY/rows.arrow, counts.json        cache/bpe/KEY/tokenizer.json

KEY is a hash of the rows themselves, the tokenizer's files, the options and the source of this package, so that a
changed tokenizer, option or row can never find old tokens. A folder is renamed into place as a whole. A killed
process leaves a `.staging-` folder, which a later one takes away when it is a day old.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import xxhash  # datasets brings it along; 1 GB takes 0.1 s, with SHA-256 1 s and more

from ftstudio.api import SHAPES, ComponentError, Table, shape_of
from ftstudio_kit.whole import is_whole

ROWS = 1000
BATCH_BYTES = 2**20
"""Text tokenised at a time. A token takes about 350 bytes until it is a number: 4 MiB at a time took 330 MB."""
STALE_SECONDS = 24 * 3600
FINISHED = "finished"


def made(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder, made by `make(staging)` unless it is there. Of two processes that make it at once, one wins."""
    if (folder / FINISHED).is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=folder.parent))
    try:
        make(staging)
        (staging / FINISHED).touch()
        try:
            os.replace(staging, folder)  # noqa: PTH105 - the name of the system call that makes this atomic
        except OSError:
            if not (folder / FINISHED).is_file():
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def _sweep(parent: Path) -> None:
    """By age, because the cache may be on a disk that several hosts share."""
    for entry in parent.glob(".staging-*"):
        with contextlib.suppress(OSError):
            if time.time() - entry.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)


@contextlib.contextmanager
def parallel() -> Iterator[None]:
    """The tokenizers library on all cores inside, on one outside: there its threads would not survive a fork."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    try:
        yield
    finally:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"


# --------------------------------------------------------------------------------------------------- keys


def key_of(*parts: Any) -> str:
    """A name for what follows from these parts, this package's source, and the libraries' versions."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode())
    for name in ("tokenizers", "transformers"):
        digest.update(importlib.metadata.version(name).encode())
    kit = Path(__file__).parents[1] / "ftstudio_kit" / "chat.py"
    for source in (*sorted(Path(__file__).parent.glob("*.py")), kit):
        digest.update(source.read_bytes() if source.is_file() else b"")
    return digest.hexdigest()[:40]


def files_hash(folder: Path) -> str:
    """SHA-256 of the names and bytes of a folder's files."""
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.is_file()):
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def content_hash(table: Table) -> str:
    """A hash of what the rows say, not of where they lie."""
    digest = xxhash.xxh3_128(",".join(_columns(table)).encode())
    if isinstance(table, datasets.Dataset):
        for batch in table.select_columns(_columns(table)).with_format("arrow").iter(batch_size=50_000):
            for some in _halved(batch, 64 * BATCH_BYTES):
                copied = some.take(np.arange(len(some)))  # a slice would bring bytes of its neighbours along
                for part in copied.combine_chunks().to_batches():
                    digest.update(part.serialize())
    else:
        for row in table:
            digest.update(json.dumps([row[name] for name in _columns(table)], default=dict).encode() + b"\n")
    return digest.hexdigest()


# --------------------------------------------------------------------------------------------------- rows


def _columns(table: Table) -> list[str]:
    """The columns that the rows' shape is made of; a source may have brought others along."""
    shape = shape_of(table.column_names)
    return list(SHAPES[shape] if shape else table.column_names)


def _halved(part: pa.Table, size: int = BATCH_BYTES) -> Iterator[pa.Table]:
    """Parts of at most `size` bytes, or of one row."""
    if len(part) <= 1 or part.nbytes <= size:
        yield part
        return
    middle = len(part) // 2
    yield from _halved(part.slice(0, middle), size)
    yield from _halved(part.slice(middle), size)


def batches(table: Table) -> Iterator[dict[str, list[Any]]]:
    """The rows as columns, at most a thousand rows and, beyond one row, about 1 MiB at a time."""
    names = _columns(table)
    if isinstance(table, datasets.Dataset):
        for part in table.select_columns(names).with_format("arrow").iter(batch_size=ROWS):
            yield from (small.to_pydict() for small in _halved(part))
        return
    held: list[list[Any]] = []
    size = 0
    for index, row in enumerate(table):
        held.append([row[name] for name in names])
        if not all(map(_whole, held[-1])):
            raise ComponentError(
                f"Row {index} of the data holds half a character, a lone surrogate, which no tokenizer can read.",
                "Write U+FFFD in its place, or leave the row out.",
            )
        size += sum(len(str(value)) for value in held[-1])
        if len(held) == ROWS or size >= BATCH_BYTES:
            yield _columns_of(names, held)
            held, size = [], 0
    if held:
        yield _columns_of(names, held)


def _whole(value: Any) -> bool:
    """Of a text, or of the contents of a conversation. Arrow's tables need no look: they cannot hold anything else."""
    if isinstance(value, str):
        return is_whole(value)
    return all(is_whole(message["content"]) for message in value)


def _columns_of(names: list[str], rows: list[list[Any]]) -> dict[str, list[Any]]:
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
