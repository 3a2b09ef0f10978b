"""How long the rows of tokenised data are: from the offsets of an Arrow table, where rows lie in one."""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from ftstudio.api import Table

LOOKED_AT = 100_000
"""Rows that are read of a table that can tell no lengths. Reading a row takes up to 50 us."""
BATCH_ROWS = 10_000


class Longest(NamedTuple):
    """Indices of the longest rows, the longest first; the tokens of that one; how many rows were looked at."""

    indices: list[int]
    tokens: int
    looked_at: int


class Fullest(NamedTuple):
    """Indices of rows that fill some bins; how many bins; the tokens of the fullest; how many rows were looked at."""

    indices: list[int]
    bins: int
    tokens: int
    looked_at: int


def longest_rows(table: Table, count: int) -> Longest:
    """The `count` longest rows: exactly where lengths come cheaply or rows are few, else of rows evenly spread."""
    found, step = _lengths(table)
    places = heapq.nlargest(count, range(len(found)), key=found.__getitem__)
    return Longest([place * step for place in places], max(found, default=0), len(found))


def fullest_bins(table: Table, count: int, capacity: int | None) -> Fullest:
    """The rows that fill `count` bins of `capacity` tokens (absent: those of the longest row) with the longest rows.

    A row beyond the capacity is a bin of its own. Lengths are known as `longest_rows` knows them.
    """
    found, step = _lengths(table)
    left, wanted = Counter(size for size in found if size), Counter[int]()
    sizes = sorted(left)
    most = capacity or max(found, default=0)
    totals: list[int] = []
    while sizes and len(totals) < count:
        space, at = most, len(sizes)  # the first is the longest that is left, whatever the capacity
        while at:
            size = sizes[at - 1]
            space, left[size], wanted[size] = space - size, left[size] - 1, wanted[size] + 1
            if not left[size]:
                sizes.pop(at - 1)
            at = bisect_right(sizes, space)
        totals.append(most - space)
    places = []
    for place, size in enumerate(found):
        if wanted[size] > 0:
            wanted[size] -= 1
            places.append(place)
    places.sort(key=found.__getitem__, reverse=True)
    return Fullest([place * step for place in places], len(totals), max(totals, default=0), len(found))


def _lengths(table: Table) -> tuple[array[int], int]:
    """The lengths that are known, and how many rows each stands for."""
    total = len(table)
    step = 1
    lengths: Iterable[int]
    if (told := offsets_of(table)) is not None:
        lengths = chain.from_iterable(told)
    elif total <= LOOKED_AT or not hasattr(table, "__getitem__"):
        lengths = (len(row["input_ids"]) for row in islice(table, LOOKED_AT))
    else:
        step = -(-total // LOOKED_AT)
        lengths = (len(table[i]["input_ids"]) for i in range(0, total, step))
    return array("i", lengths), step


def offsets_of(table: Table) -> Iterator[list[int]] | None:
    """Lengths a batch of rows at a time, of a datasets.Dataset: no row is made, and no token is read. Else None."""
    dataset: Any = table
    if not (hasattr(dataset, "with_format") and hasattr(dataset, "select_columns")):
        return None
    batches = dataset.select_columns(["input_ids"]).with_format("arrow").iter(batch_size=BATCH_ROWS)
    return (
        list(chain.from_iterable(chunk.value_lengths().to_pylist() for chunk in batch["input_ids"].chunks))
        for batch in batches
    )
