"""Rows -> a memory-mapped Arrow table in the cache, in the memory of one batch.

    cache/datasets/KEY/train.arrow, validation.arrow, about.json      renamed into place as a whole, or not there

A process that is killed leaves a `.staging-` folder, which a later one takes away; it never leaves a KEY folder that
is half written. about.json holds the sizes, and a table of another size is made again.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from ftstudio.api import Run
from ftstudio_datasets.decode import Tally
from ftstudio_datasets.rows import Row, weight
from ftstudio_datasets.words import plural

datasets.disable_progress_bars()  # a component's words go through its run
datasets.logging.set_verbosity_error()

_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
_BATCH_ROWS = 10_000
_BATCH_CHARACTERS = 8 * 2**20
_STALE_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Opened:
    """Rows about to be written: their columns, the rows themselves, and what counts their bytes.

    `done`, called after the last row, raises when the rows are not to be trusted (none, or the file changed).
    """

    columns: tuple[str, ...]
    rows: Iterator[Row]
    tally: Tally
    total: int | None
    done: Callable[[int], None] = field(default=lambda count: None)


def cached_tables(
    run: Run, key: str, tables: Mapping[str, Callable[[], Opened]], unit: str = "bytes"
) -> dict[str, datasets.Dataset]:
    """The tables of this key, read from the cache or written there first. What there was to say is said each time."""
    folder = run.cache / "datasets" / key
    about = _about(folder)
    if about is None:
        about = _write(run, folder, tables, unit)
    for sentence in about["said"]:
        run.say(sentence)
    for sentence in about["warned"]:
        run.warn(sentence)
    return {name: datasets.Dataset.from_file(str(folder / f"{name}.arrow")) for name in tables}


def _about(folder: Path) -> dict[str, Any] | None:
    """What about.json says, or None unless every table is there as it was written."""
    try:
        about: dict[str, Any] = json.loads((folder / "about.json").read_text("utf-8"))
        whole = all((folder / f"{name}.arrow").stat().st_size == size for name, size in about["bytes"].items())
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return about if whole else None


def _write(run: Run, folder: Path, tables: Mapping[str, Callable[[], Opened]], unit: str) -> dict[str, Any]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=folder.parent))
    try:
        about: dict[str, Any] = {"bytes": {}, "rows": {}, "said": [], "warned": []}
        for name, open_table in tables.items():
            opened = open_table()
            target = staging / f"{name}.arrow"
            count = _write_table(run, opened, target, unit)
            opened.done(count)
            tally = opened.tally
            about["rows"][name], about["bytes"][name] = count, target.stat().st_size
            about["said"] += tally.said
            if tally.blank:
                about["said"].append(f"{name}: {plural(tally.blank, 'blank row')} left out, {count:,} kept.")
            about["warned"] += tally.warnings()
        (staging / "about.json").write_text(json.dumps(about), "utf-8")
        _rename(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return about


def _rename(staging: Path, folder: Path) -> None:
    """Put the folder in place; what is broken there goes first, and of two writers of one key the first wins."""
    if folder.exists() and _about(folder) is None:
        shutil.rmtree(folder)
    try:
        os.replace(staging, folder)  # noqa: PTH105 - the name of the system call that matters here
    except OSError:
        if _about(folder) is None:
            raise


def _sweep(parent: Path) -> None:
    """Take away what killed processes left. By age, because the cache may be on a disk that several hosts share."""
    for entry in parent.glob(".staging-*"):
        try:
            if time.time() - entry.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)
        except OSError:
            continue


# -------------------------------------------------------------------------------------------------- table


def schema_of(columns: tuple[str, ...]) -> pa.Schema:
    """Texts, but for `messages`: a list of role and content."""
    return pa.schema([(name, pa.list_(_MESSAGE) if name == "messages" else pa.string()) for name in columns])


def _write_table(run: Run, opened: Opened, path: Path, unit: str) -> int:
    schema, count = schema_of(opened.columns), 0
    with path.open("wb") as stream:
        with pa.ipc.new_stream(stream, schema) as writer:
            for batch in _batches(opened.rows):
                columns = [pa.array([row[f.name] for row in batch], f.type) for f in schema]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
                count += len(batch)
                # Here the process ends when the run was asked to stop.
                run.progress(opened.tally.done if unit == "bytes" else count, opened.total, unit)
        stream.flush()
        os.fsync(stream.fileno())
    return count


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += weight(row)
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
