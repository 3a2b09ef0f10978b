"""All rows of a table of tokens, wherever they lie: those of a memory-mapped one stay in their file.

A run on gigabytes of text then holds 16 bytes a row, and no token: what a batch needs is read when it is made, and the
system keeps as many of the file's pages as it has room for.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from ftstudio.api import Table

Ints = npt.NDArray[np.int64]
Tokens = npt.NDArray[np.int32]
Part = tuple[Tokens, Tokens]
"""Token ids and labels (N,) of some rows, one behind the other: one array where all tokens are trained on."""


class Rows:
    """`lengths` (tokens a row), and `parts` that hold the rows themselves."""

    def __init__(self, parts: Sequence[Part], lengths: Ints) -> None:
        """`parts` hold the rows in order, each row in one of them."""
        self.lengths = lengths
        self.parts = [part for part in parts if len(part[0])]
        self._begins = np.cumsum([0, *(len(ids) for ids, _ in self.parts)])[:-1].tolist()  # of each part, in tokens
        self._starts: Ints = np.cumsum(lengths) - lengths  # of each row, in tokens

    @classmethod
    def of(cls, table: Table) -> Rows:
        """Read a table with the columns input_ids and labels. Rows without a token are left out."""
        parts, lengths = [], [np.zeros(0, np.int64)]
        for ids, labels, counts in _arrow(table) if hasattr(table, "with_format") else _plain(table):
            parts.append((ids, ids if np.array_equal(ids, labels) else labels))
            lengths.append(counts[counts > 0])
        return cls(parts, np.concatenate(lengths))

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest row, 0 when there is none."""
        return int(self.lengths.max(initial=0))

    def row(self, index: int) -> Part:
        """Token ids and labels of a row, to be read only."""
        start, length = int(self._starts[index]), int(self.lengths[index])
        at = bisect.bisect_right(self._begins, start) - 1
        ids, labels = self.parts[at]
        here = slice(start - self._begins[at], start - self._begins[at] + length)
        return ids[here], labels[here]


def _arrow(table: Any) -> Iterator[tuple[Tokens, Tokens, Ints]]:
    """Of a datasets.Dataset, without a copy where its numbers are of 32 bits: a batch is a part of its file."""
    for some in table.select_columns(["input_ids", "labels"]).with_format("arrow").iter(batch_size=50_000):
        for batch in some.to_batches():
            ids, labels = (batch.column(name) for name in ("input_ids", "labels"))
            lengths = _numbers(pc.list_value_length(ids), np.int64)
            yield _numbers(ids.flatten(), np.int32), _numbers(labels.flatten(), np.int32), lengths


def _numbers(array: Any, dtype: Any) -> Any:
    return array.to_numpy(zero_copy_only=False).astype(dtype, copy=False)


def _plain(table: Table) -> Iterator[tuple[Tokens, Tokens, Ints]]:
    """Of any other table, a thousand rows at a time: a part a row would cost more than most rows hold."""
    rows = ((row["input_ids"], row["labels"]) for row in table)
    while some := list(itertools.islice(rows, 1000)):
        ids, labels = (_flat(row[which] for row in some) for which in (0, 1))
        yield ids, labels, np.array([len(row) for row, _ in some], np.int64)


def _flat(rows: Iterable[Sequence[int]]) -> Tokens:
    return np.fromiter(itertools.chain.from_iterable(rows), np.int32)
