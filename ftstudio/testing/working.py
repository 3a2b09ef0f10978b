"""What the work of each kind is, and when two results are the same.

`act` is built as `act(component, run, *arguments)` and does all that the core would: a table that is read lazily is
read, a generator is exhausted. `identity` is equal for results that mean the same; None where nothing comes back.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftstudio.api import Checkpoint, Chunk, Encoded, Event, ModelRef, Prompt, RunInfo, Table
from ftstudio.testing.fake_run import FakeRun

MOST_ROWS = 2_000
MOST_PIECES = 20_000


@dataclass(frozen=True)
class Loaded:
    """What a source gave: the answer itself, and the first rows of each table where it was one."""

    tables: Any
    rows: Mapping[str, list[Any]]


@dataclass(frozen=True)
class Working:
    """The work of a kind."""

    act: Callable[..., Any]
    identity: Callable[[Any], Any]


def _fetch(component: Any, run: FakeRun) -> Any:
    return component.fetch(run)


def _same_model(model: ModelRef) -> Any:
    return model.name, model.revision, model.weights, hashes(model.path)


def hashes(folder: Path, pattern: str = "*") -> dict[str, str]:
    """Name -> sha256 of each file in a folder."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob(pattern)) if p.is_file()}


def _load(component: Any, run: FakeRun) -> Loaded:
    tables = component.load(run)
    named = tables.items() if isinstance(tables, Mapping) else ()
    return Loaded(tables, {name: first_rows(table) for name, table in named if isinstance(table, Table)})


def first_rows(table: Iterable[Any]) -> list[Any]:
    """So many rows as are looked at."""
    return list(itertools.islice(table, MOST_ROWS))


def _same_rows(loaded: Loaded) -> Any:
    return {name: [json.dumps(row, sort_keys=True, default=str) for row in rows] for name, rows in loaded.rows.items()}


def _encode(component: Any, run: FakeRun, tables: Mapping[str, Table], model: ModelRef) -> Any:
    return component.encode(tables, model, run)


def _same_tokens(encoded: Encoded) -> Any:
    tables = [encoded.train, *([] if encoded.validation is None else [encoded.validation])]
    rows = [[{k: list(v) for k, v in row.items() if isinstance(v, Sequence)} for row in table] for table in tables]
    return rows, encoded.vocab_size, encoded.pad_token_id, encoded.shape, dict(encoded.counts)


def _train(component: Any, run: FakeRun, encoded: Encoded, model: ModelRef) -> Any:
    return component.train(encoded, model, run)


def _same_weights(checkpoint: Checkpoint) -> Any:
    weights = {n: h for n, h in hashes(checkpoint.path, "*.safetensors").items() if n.startswith(WEIGHTS)}
    return checkpoint.step, weights


WEIGHTS = ("model", "adapter_model")
"""How files of weights begin, in a checkpoint."""


def _generate(component: Any, run: FakeRun, checkpoint: Checkpoint, prompts: Sequence[Prompt]) -> list[Any]:
    try:
        return list(itertools.islice(component.generate(checkpoint, prompts, run), MOST_PIECES))
    finally:
        component.close()


def texts_of(chunks: Iterable[Chunk]) -> dict[tuple[int, int], str]:
    """Prompt and sequence -> the text that the pieces make."""
    texts: dict[tuple[int, int], str] = {}
    for chunk in chunks:
        at = chunk.index, chunk.sequence
        texts[at] = texts.get(at, "") + chunk.text
    return texts


def _observe(component: Any, run: FakeRun, events: Sequence[Event]) -> None:
    info: RunInfo = run.info
    try:
        component.open(info, 0)
        for event in events:
            component.on_event(event)
    except BaseException:
        with contextlib.suppress(Exception):  # it counts that it failed, not what it holds open
            component.close()
        raise
    component.close()


WORKING: Mapping[str, Working] = {
    "model": Working(_fetch, _same_model),
    "dataset": Working(_load, _same_rows),
    "tokenizer": Working(_encode, _same_tokens),
    "trainer": Working(_train, _same_weights),
    "generator": Working(_generate, texts_of),
    "observer": Working(_observe, lambda _: None),
}
