"""All rows of a table of tokens, wherever they lie: those of a memory-mapped one stay in their file.

Of gigabytes of text this holds 4 bytes a row, and no token: what a batch needs is read when it is made, and the
system keeps as many of the file's pages as it has room for.
"""

from __future__ import annotations

import bisect
import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from ftstudio.api import ComponentError, Table

Ints = npt.NDArray[np.signedinteger[Any]]
Tokens = npt.NDArray[np.int32]
Part = tuple[Tokens, Tokens]
"""Token ids and labels (N,) of some rows, one behind the other: one array where all tokens are trained on."""
BLOCK = 256
"""Rows whose tokens are added up to find where one of them begins."""


class Rows:
    """`lengths` (tokens a row, int32), and `parts` that hold the rows themselves."""

    def __init__(self, parts: Sequence[Part], lengths: Ints) -> None:
        """`parts` hold the rows in order, each row in one of them."""
        self.lengths = lengths.astype(np.int32, copy=False)
        self.parts = [part for part in parts if len(part[0])]
        self._begins = np.cumsum([0, *(len(ids) for ids, _ in self.parts)])[:-1].tolist()  # of each part, in tokens
        whole = self.lengths[: len(lengths) // BLOCK * BLOCK].reshape(-1, BLOCK)
        self._starts = np.cumsum([0, *whole.sum(1)])  # of each block of rows, in tokens

    @classmethod
    def of(cls, table: Table, name: str = "train") -> Rows:
        """Read a table with the columns input_ids and labels. Rows without a token are left out.

        Raises ComponentError, with the table's name, for a row whose labels are not as many as its ids: those of all
        rows behind it would belong to other tokens.
        """
        parts, lengths = [], array("i")  # which grows where it is: of millions of rows two copies would be much
        for ids, labels, counts in _arrow(table, name) if hasattr(table, "with_format") else _plain(table, name):
            parts.append((ids, ids if np.array_equal(ids, labels) else labels))
            lengths.frombytes(counts[counts > 0].astype(np.int32).tobytes())
        return cls(parts, np.frombuffer(lengths, np.int32) if lengths else np.zeros(0, np.int32))

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest row, 0 when there is none."""
        return int(self.lengths.max(initial=0))

    def row(self, index: int) -> Part:
        """Token ids and labels of a row, to be read only."""
        index = range(len(self))[index]
        block = index // BLOCK
        start = int(self._starts[block] + self.lengths[block * BLOCK : index].sum())
        length = int(self.lengths[index])
        at = bisect.bisect_right(self._begins, start) - 1
        ids, labels = self.parts[at]
        here = slice(start - self._begins[at], start - self._begins[at] + length)
        return ids[here], labels[here]


_NULL = -1
"""The length of a row that is null, or holds one."""


def _check_lengths(name: str, before: int, ids: Ints, labels: Ints) -> None:
    """Of some rows of a table behind so many others: tokens and labels a row, or `_NULL`."""
    wrong = np.flatnonzero((ids != labels) | (ids == _NULL))
    if not len(wrong):
        return
    at = int(wrong[0])
    have = [f"{'a null in its' if count == _NULL else f'{count:,}'}" for count in (int(ids[at]), int(labels[at]))]
    raise ComponentError(
        f"Row {before + at:,} of {name} has {have[0]} input_ids and {have[1]} labels; both must be equally long lists "
        "of whole numbers.",
        "Mend the tokenizer that gave it: the first row has the number 0.",
    )


def _arrow(table: Any, name: str) -> Iterator[tuple[Tokens, Tokens, Ints]]:
    """Of a datasets.Dataset, without a copy where its numbers are of 32 bits: a batch is a part of its file."""
    before = 0
    for some in table.select_columns(["input_ids", "labels"]).with_format("arrow").iter(batch_size=50_000):
        for batch in some.to_batches():
            ids, labels = (batch.column(name) for name in ("input_ids", "labels"))
            lengths = _lengths(ids)
            _check_lengths(name, before, lengths, _lengths(labels))
            before += len(lengths)
            yield _numbers(ids.flatten(), np.int32), _numbers(labels.flatten(), np.int32), lengths


def _lengths(lists: Any) -> Ints:
    if lists.null_count == len(lists):  # which may have no type
        return np.full(len(lists), _NULL, np.int32)
    counts = pc.list_value_length(lists)
    lengths: Ints = _numbers(pc.fill_null(counts, _NULL) if counts.null_count else counts, np.int32).copy()
    if lists.flatten().null_count:
        lengths[_numbers(pc.list_parent_indices(lists).filter(lists.flatten().is_null()), np.int64)] = _NULL
    return lengths


def _numbers(array: Any, dtype: Any) -> Any:
    return array.to_numpy(zero_copy_only=False).astype(dtype, copy=False)


def _plain(table: Table, name: str) -> Iterator[tuple[Tokens, Tokens, Ints]]:
    """Of any other table, a thousand rows at a time: a part a row would cost more than most rows hold."""
    rows, before = ((row["input_ids"], row["labels"]) for row in table), 0
    while some := list(itertools.islice(rows, 1000)):
        lengths, others = (np.array([_length(row[which]) for row in some], np.int64) for which in (0, 1))
        _check_lengths(name, before, lengths, others)
        before += len(some)
        ids, labels = (_flat(row[which] for row in some) for which in (0, 1))
        yield ids, labels, lengths


def _length(values: Sequence[int] | None) -> int:
    return _NULL if values is None or (isinstance(values, list) and None in values) else len(values)


def _flat(rows: Iterable[Sequence[int]]) -> Tokens:
    return np.fromiter(itertools.chain.from_iterable(rows), np.int32)
