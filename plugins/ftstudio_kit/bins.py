"""Which rows are learnt together: each by itself, or whole rows packed into bins of one length."""

from __future__ import annotations

import bisect
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ftstudio_kit.token_rows import Ints

Bin = Sequence[int]
"""The numbers of the rows in it."""
SPAN = 1 << 20
"""Rows that are packed at once: what that takes beside its result does not grow with the data."""
_BINS = 1 << 16
"""Bins that are added up at once."""


class Bins(ABC):
    """Bins by their number."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Bin: ...

    def __iter__(self) -> Iterator[Bin]:
        return (self[number] for number in range(len(self)))

    @abstractmethod
    def totals(self, values: Ints) -> Ints:
        """The sum over each bin (B,) of a value for each row (N,)."""


class Singles(Bins):
    """Each of so many rows as a bin of its own, in the memory of none."""

    def __init__(self, count: int) -> None:
        self.rows = count

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> Bin:
        return (int(index),)

    def totals(self, values: Ints) -> Ints:
        """See `Bins`."""
        return values


class Packed(Bins):
    """`rows` (N,) of all bins, one bin behind the other, and where each begins, and the last one ends (B + 1,)."""

    def __init__(self, rows: npt.NDArray[np.unsignedinteger], starts: Ints) -> None:
        self.rows, self.starts = rows, starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> Bin:
        rows: list[int] = self.rows[self.starts[index] : self.starts[index + 1]].tolist()
        return rows

    def totals(self, values: Ints) -> Ints:
        """See `Bins`."""
        sums = np.empty(len(self), np.int64)
        for begin in range(0, len(self), _BINS):  # all at once would be 12 bytes a row
            edges = self.starts[begin : begin + _BINS + 1]
            some = values[self.rows[edges[0] : edges[-1]]]
            sums[begin : begin + _BINS] = np.add.reduceat(some, edges[:-1] - edges[0])
        return sums


def pack(lengths: Ints, capacity: int, seed: int = 0) -> Packed:
    """Whole rows into as few bins of `capacity` tokens as best-fit decreasing finds (at most 11/9 of the optimum).

    The same arguments give the same bins. Rows of one length come in an order drawn from `seed`, so that neighbours
    in a file do not share a bin. A row longer than `capacity` has a bin of its own.
    """
    count = len(lengths)
    rows = np.arange(count, dtype=np.min_scalar_type(count))
    np.random.default_rng([seed]).shuffle(rows)
    sizes = [np.zeros(1, np.int64)]
    longest = int(lengths.max(initial=0))
    short = np.min_scalar_type(longest)  # numbers of 16 bits are sorted in a third of the time
    for begin in range(0, count, SPAN):
        some = rows[begin : begin + SPAN]
        falling = np.argsort((longest - lengths[some]).astype(short), kind="stable")
        numbers = _best_fit_decreasing(lengths[some][falling], capacity)
        some[:] = some[falling[np.argsort(numbers, kind="stable")]]
        sizes.append(np.bincount(numbers))
    return Packed(rows, np.cumsum(np.concatenate(sizes)))


def _best_fit_decreasing(lengths: Ints, capacity: int) -> Ints:
    """The number of the bin (N,) for each of some falling lengths (N,).

    Each row goes where it leaves the least space. Rows of one length, and bins with one space, are taken together: they
    are few where rows are many.
    """
    numbers = np.empty(len(lengths), np.int64)
    open_bins: dict[int, Ints] = {}  # space left -> the bins that have it
    spaces: list[int] = []  # the keys, rising
    made = 0

    def leave(space: int, bins: Ints) -> None:
        if not space or not len(bins):
            return
        if space in open_bins:
            bins = np.concatenate([open_bins[space], bins])
        else:
            bisect.insort(spaces, space)
        open_bins[space] = bins

    edges = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]
    for first, end in itertools.pairwise(edges):
        length, begin = int(lengths[first]), first
        while begin < end:
            at = bisect.bisect_left(spaces, length)
            space = spaces[at] if at < len(spaces) else max(capacity, length)
            each = space // length
            wanted = -(-(end - begin) // each)
            if at < len(spaces):
                bins = open_bins.pop(spaces.pop(at))
                leave(space, bins[wanted:])
                bins = bins[:wanted]
            else:
                bins = np.arange(made, made + wanted)
                made += wanted
            placed = min(end - begin, each * len(bins))
            numbers[begin : begin + placed] = np.repeat(bins, each)[:placed]
            whole, more = divmod(placed, each)
            leave(space - each * length, bins[:whole])
            leave(space - more * length, bins[whole:])
            begin += placed
    return numbers
