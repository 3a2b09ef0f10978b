"""The data on its way through a worker: what the core does to any source's rows (dedupe, shuffle, limit, split)."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftstudio.api import ComponentError, Encoded, ModelRef, Run, Table
from ftstudio.files import plural
from ftstudio.project import Selection


@dataclass(frozen=True)
class Prepared:
    """All that training starts from."""

    model: ModelRef
    encoded: Encoded
    tables: Mapping[str, Table]
    fingerprint: str


@dataclass(frozen=True)
class Rows:
    """Some rows of another table, in the order of `indices`."""

    table: Table
    indices: Sequence[int]

    @property
    def column_names(self) -> Sequence[str]:
        """The columns of the table beneath."""
        return self.table.column_names

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.table[self.indices[index]]  # type: ignore[index]

    def __iter__(self) -> Iterator[Any]:
        if hasattr(self.table, "__getitem__"):
            return (self.table[i] for i in self.indices)
        rows = list(self.table)
        return (rows[i] for i in self.indices)


def pick(table: Table, indices: Sequence[int]) -> Table:
    """These rows of a table; by the table's own `select` where it has one (datasets.Dataset)."""
    select = getattr(table, "select", None)
    return select(indices) if callable(select) else Rows(table, indices)


def apply_selection(tables: Mapping[str, Table], selection: Selection, run: Run) -> dict[str, Table]:
    """Dedupe, shuffle, limit and split, in this order. Raises ComponentError when nothing would be left."""
    train = tables["train"]
    indices: Sequence[int] = range(len(train))
    if selection.dedupe:
        indices = _first_of_each(train, run)
    if selection.shuffle_seed is not None:
        indices = random.Random(selection.shuffle_seed).sample(indices, len(indices))  # noqa: S311 - no secret
    if selection.limit is not None:
        indices = indices[: selection.limit]
    given = tables.get("validation")
    held_out = selection.split(len(indices))
    if held_out and given is not None:
        raise ComponentError(
            "The dataset source gives a validation split of its own, and a part of the rows is to be kept apart too.",
            "Take validation_fraction or validation_count out of [dataset].",
        )
    if not held_out:
        whole = indices == range(len(train))
        chosen = {"train": train if whole else pick(train, indices)}
        return chosen if given is None else {**chosen, "validation": given}
    apart = set(random.Random(run.seed).sample(range(len(indices)), held_out))  # noqa: S311 - no secret
    return {
        "train": pick(train, [index for i, index in enumerate(indices) if i not in apart]),
        "validation": pick(train, [index for i, index in enumerate(indices) if i in apart]),
    }


def _first_of_each(table: Table, run: Run) -> list[int]:
    """The indices of rows that are not equal to an earlier one. 16 bytes are kept of each."""
    seen: set[bytes] = set()
    kept = []
    for index, row in enumerate(table):
        digest = hashlib.blake2b(json.dumps(row, sort_keys=True, default=str).encode(), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            kept.append(index)
    if len(kept) < len(table):
        run.say(f"dedupe left out {plural(len(table) - len(kept), 'row')} of {len(table):,}.")
    return kept
