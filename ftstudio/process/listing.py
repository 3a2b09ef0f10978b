"""The tokenised rows as a list to look at: in file order or the longest first, all or only those that were cut.

Lengths are counted once and kept as plain numbers; what is shown of a row is made when it is asked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from ftstudio.api import ComponentError, Encoded, Run, Table
from ftstudio.process import token_view
from ftstudio.process.lengths import offsets_of

BINS = 32
HEAD_TOKENS = 60


class Listing:
    """The rows of `encoded.train`. Raises ComponentError for rows that are no token ids."""

    def __init__(self, encoded: Encoded, run: Run) -> None:
        if "input_ids" not in encoded.train.column_names:
            raise ComponentError(
                f"Rows of {encoded.shape} have no token view: they hold no input_ids.", "Look at them as text."
            )
        self.encoded = encoded
        self.lengths = array("I", _lengths(encoded.train, run))
        self._orders: dict[tuple[str, str], Sequence[int]] = {}

    def page(self, first: int, count: int, *, order: str = "file", only: str = "all") -> dict[str, Any]:
        """Some lines of the list: of each row its number from 1, tokens, how many are trained or cut, its beginning.

        `order` is "file" or "longest", `only` is "all" or "cut".
        """
        indices = self._order(order, only)
        chosen = indices[first : first + count]
        tokenizer = token_view.tokenizer_of(self.encoded)
        lines = []
        for index in chosen:
            row = token_view.row_of(self.encoded.train, index)
            lines.append({
                "row": index + 1,
                "tokens": self.lengths[index],
                "trained": sum(label != -100 for label in row["labels"]),
                "cut": self.encoded.cut.get(index, 0),
                "head": str(tokenizer.decode(list(row["input_ids"][:HEAD_TOKENS]), skip_special_tokens=False)),
            })  # fmt: skip
        return {"shown": len(indices), "first": first, "lines": lines, **self.summary()}

    def place(self, row: int, *, order: str = "file", only: str = "all") -> int:
        """Where a row, by its number from 1, stands in that order. Raises ComponentError when it does not."""
        if not 1 <= row <= len(self.lengths):
            raise ComponentError(
                f"There is no row {row:,}: the data has {len(self.lengths):,} rows.", "They count from 1."
            )
        try:
            return self._order(order, only).index(row - 1)
        except ValueError:
            raise ComponentError(f"Row {row:,} is not among those that are shown.", "x shows all.") from None

    def summary(self) -> dict[str, Any]:
        """What all rows together are: counts, and how long they are."""
        ordered = self._order("longest", "all")
        return {
            "rows": len(self.lengths),
            "shape": self.encoded.shape,
            "counts": dict(self.encoded.counts),
            "cut_rows": len(self.encoded.cut),
            "lengths": {
                "longest": self.lengths[ordered[0]],
                "median": self.lengths[ordered[len(ordered) // 2]],
                "histogram": _histogram(self.lengths),
            },
        }

    def _order(self, order: str, only: str) -> Sequence[int]:
        if (order, only) not in self._orders:
            rows: Iterable[int] = range(len(self.lengths)) if only == "all" else sorted(self.encoded.cut)
            longest = order == "longest"
            self._orders[order, only] = array("I", sorted(rows, key=lambda i: -self.lengths[i]) if longest else rows)
        return self._orders[order, only]


def _lengths(table: Table, run: Run) -> Iterator[int]:
    """Tokens of each row. A table of Arrow (datasets.Dataset) has them in its offsets: no row is built for that."""
    total, done = len(table), 0
    batches = offsets_of(table)
    if batches is None:
        batches = ([len(row["input_ids"]) for row in rows] for rows in _thousands(table))
    for batch in batches:
        yield from batch
        done += len(batch)
        run.progress(done, total, "row")


def _thousands(table: Table) -> Iterator[list[Any]]:
    rows = iter(table)
    while some := list(islice(rows, 1000)):
        yield some


def _histogram(lengths: Sequence[int]) -> list[int]:
    """How many rows there are of each length, from 0 to the longest in at most BINS steps."""
    longest = max(lengths, default=0)
    bins = [0] * min(BINS, longest + 1)
    for length in lengths:
        bins[length * len(bins) // (longest + 1)] += 1
    return bins


def clipped(row: Mapping[str, Any], room: int) -> tuple[dict[str, Any], dict[str, int]]:
    """A source's row with no text longer than `room` characters, and the true length of each that was."""
    shown: dict[str, Any] = {}
    cut: dict[str, int] = {}
    for column, value in row.items():
        text = value if isinstance(value, str) else str(value)
        if len(text) > room:
            shown[column], cut[column] = text[:room], len(text)
        else:
            shown[column] = value
    return shown, cut
