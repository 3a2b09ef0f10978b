"""Values in order, and their smallest and largest within any stretch.

A `Curve` keeps a pyramid over its values: the minimum and the maximum of every 16, of every 256, and so on. A
stretch of any length is then answered from a few slices, so that a chart of a million points costs what its columns
cost, and a spike of one point is never lost. Appending a value is O(log n). A `Derived` curve follows another one: it
is smoothed, or leaves out what a logarithmic axis cannot show; it is worked off in bounded pieces.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

FANOUT = 16
LEAST_POSITIVE = 1e-300  # the floor of a logarithmic axis: below it, ratios overflow
SCANNED = 4 * FANOUT  # so many values are looked at as they are: climbing a level costs as much
LIMIT = 1e300  # differences and sums of what is drawn must not overflow: beyond it, values count as infinities
SETTLED = 1e-17  # a debias factor of 1 minus less than this is 1

_NOTHING: tuple[array[float], array[float]] = (array("d"), array("d"))


class Curve:
    """Values, of which those between `floor` and 1e300 (both excluded) can be drawn.

    The others (NaN, infinities, with a floor of 1e-300 also zero and below) are kept, counted, and left out of spans.
    """

    def __init__(self, floor: float = -LIMIT) -> None:
        self.floor = floor
        self.values = array("d")
        self._bad = array("q")  # indices of values that cannot be drawn
        self._levels: list[tuple[array[float], array[float]]] = []

    def __len__(self) -> int:
        return len(self.values)

    def extend(self, values: Iterable[float]) -> None:
        """Append values."""
        start = len(self.values)
        self.values.extend(values)
        self._note_bad(start)
        self._raise_pyramid()

    def cut(self, count: int) -> None:
        """Keep the first `count` values."""
        del self.values[count:]
        del self._bad[bisect_left(self._bad, count) :]
        for low, high in self._levels:
            count //= FANOUT
            del low[count:]
            del high[count:]

    def can_draw(self, index: int) -> bool:
        """Whether the value at `index` has a place on the axis."""
        return self.floor < self.values[index] < LIMIT

    def bad(self, start: int, end: int) -> array[int]:
        """The indices in [start, end) of values that cannot be drawn."""
        return self._bad[bisect_left(self._bad, start) : bisect_left(self._bad, end)]

    def bad_count(self, start: int, end: int) -> int:
        """How many values in [start, end) cannot be drawn."""
        return bisect_left(self._bad, end) - bisect_left(self._bad, start) if self._bad else 0

    def span(self, start: int, end: int) -> tuple[float, float] | None:
        """The smallest and the largest value that can be drawn in [start, end); None when there is none."""
        smallest, largest = math.inf, -math.inf
        lows = highs = self.values
        level = 0
        while True:
            low, high = self._levels[level] if level < len(self._levels) else _NOTHING
            first, last = -(-start // FANOUT), min(end // FANOUT, len(low))
            climb = end - start > SCANNED and first < last
            for a, b in ((start, first * FANOUT), (last * FANOUT, end)) if climb else ((start, end),):
                if a < b:
                    ends = self._ends(a, b) if level == 0 else (min(lows[a:b]), max(highs[a:b]))
                    smallest, largest = min(smallest, ends[0]), max(largest, ends[1])
            if not climb:
                return (smallest, largest) if smallest <= largest else None
            lows, highs, start, end, level = low, high, first, last, level + 1

    def _ends(self, start: int, end: int) -> tuple[float, float]:
        """The extremes of a short stretch of the values themselves; (inf, -inf) when none can be drawn."""
        values = self.values[start:end]
        if self.bad_count(start, end):
            values = array("d", [v for v in values if self.floor < v < LIMIT])
        return (min(values), max(values)) if values else (math.inf, -math.inf)

    def _note_bad(self, start: int) -> None:
        new = self.values[start:]
        # A sum is NaN when a value is; minimum and maximum alone would miss it, since NaN compares as neither.
        if new and not (self.floor < min(new) and max(new) < LIMIT and not math.isnan(sum(new))):
            self._bad.extend(i for i, v in enumerate(new, start) if not self.floor < v < LIMIT)

    def _raise_pyramid(self) -> None:
        """Add the blocks that have become complete, from the lowest level up."""
        below_low = below_high = self.values
        for level in range(64):
            if level == len(self._levels):
                if len(below_low) < FANOUT:
                    return
                self._levels.append((array("d"), array("d")))
            low, high = self._levels[level]
            for at in range(len(low) * FANOUT, len(below_low) - FANOUT + 1, FANOUT):
                end = at + FANOUT
                ends = self._ends(at, end) if level == 0 else (min(below_low[at:end]), max(below_high[at:end]))
                low.append(ends[0])
                high.append(ends[1])
            below_low, below_high = low, high


class Derived:
    """A curve made from another: smoothed by an exponential moving average, limited to values above `floor`, or both.

    The average is the usual one with its bias removed: s = w s + (1 - w) y, shown as s / (1 - w^k) after k values
    (Kingma and Ba 2015, section 3; TensorBoard draws the same). Values that are not finite pass through as they are.
    """

    def __init__(self, source: Curve, weight: float, floor: float = -LIMIT) -> None:
        self.curve = Curve(floor)
        self._source = source
        self._weight = weight
        self._sum, self._count = 0.0, 0

    def catch_up(self, limit: int) -> int:
        """Take in up to `limit` values that the source has more; returns how many are still missing."""
        start = len(self.curve)
        new = self._source.values[start : start + limit]
        if new:
            whole = self._weight > 0 and not self._source.bad_count(start, start + len(new))
            settled = self._weight**self._count < SETTLED
            self.curve.extend(
                new if not self._weight else self._fast(new) if whole and settled else map(self._smooth, new)
            )
        return len(self._source) - len(self.curve)

    def _smooth(self, value: float) -> float:
        if not -LIMIT < value < LIMIT:
            return value
        self._sum += (1 - self._weight) * (value - self._sum)
        self._count += 1
        return self._sum / (1 - self._weight**self._count)

    def _fast(self, values: array[float]) -> array[float]:
        """As `_smooth` once the bias is gone: half the time, at a million points a difference one sees."""
        share = 1 - self._weight
        out = array("d", accumulate(values, lambda s, y: s + share * (y - s), initial=self._sum))
        self._sum, self._count = out[-1], self._count + len(values)
        return out[1:]
