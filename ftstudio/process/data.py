"""The data on its way through a worker: what the core does to any source's rows (dedupe, shuffle, limit, split).

Rows are chosen by their numbers, kept in arrays of 8 bytes each: there may be a hundred million of them.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftstudio.api import ComponentError, Encoded, ModelRef, Run, Table
from ftstudio.project import Selection
from ftstudio.text import plural


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
        indices = drawn(random.Random(selection.shuffle_seed), indices, len(indices))  # noqa: S311 - no secret
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
    stays = bytearray(b"\1") * len(indices)
    for place in drawn(random.Random(run.seed), range(len(indices)), held_out):  # noqa: S311 - no secret
        stays[place] = 0
    return {
        "train": pick(train, array("q", (index for index, kept in zip(indices, stays, strict=True) if kept))),
        "validation": pick(train, array("q", (index for index, kept in zip(indices, stays, strict=True) if not kept))),
    }


def drawn(chance: random.Random, indices: Sequence[int], count: int) -> array[int]:
    """`chance.sample(indices, count)`: the same numbers in the same order, without its lists of Python's ints."""
    total, chosen = len(indices), array("q", bytes(8 * count))
    few = 21 + (4 ** math.ceil(math.log(count * 3, 4)) if count > 5 else 0)  # where the standard library draws the line
    if total <= few:
        pool = array("q", indices)
        for i in range(count):
            place = chance.randrange(total - i)
            chosen[i], pool[place] = pool[place], pool[total - i - 1]
        return chosen
    taken = bytearray(total)
    for i in range(count):
        place = chance.randrange(total)
        while taken[place]:
            place = chance.randrange(total)
        taken[place], chosen[i] = 1, indices[place]
    return chosen


class _Digests:
    """A set for as many digests of 16 bytes: 24 to 48 bytes each, where a set of Python's takes more than 100."""

    def __init__(self, count: int) -> None:
        self._slots = 1 << (count + count // 2 + 1).bit_length()
        self._held = bytearray(16 * self._slots)

    def add(self, digest: bytes) -> bool:
        """Add one; whether it is new."""
        slot = int.from_bytes(digest[:8], "little") % self._slots
        while any(held := self._held[16 * slot : 16 * slot + 16]):
            if held == digest:
                return False
            slot = (slot + 1) % self._slots
        self._held[16 * slot : 16 * slot + 16] = digest
        return True


def _first_of_each(table: Table, run: Run) -> array[int]:
    """The indices of rows that are not equal to an earlier one."""
    seen, kept = _Digests(len(table)), array("q")
    for index, row in enumerate(table):
        text = json.dumps(row, sort_keys=True, default=str)
        if seen.add(hashlib.blake2b(text.encode(), digest_size=16).digest()):
            kept.append(index)
    if len(kept) < len(table):
        run.say(f"dedupe left out {plural(len(table) - len(kept), 'row')} of {len(table):,}.")
    return kept
