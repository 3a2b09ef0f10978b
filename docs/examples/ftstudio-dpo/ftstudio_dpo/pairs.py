"""Rows of pairs -> batches: the chosen answers of a batch first, then the rejected ones in the same order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ftstudio.api import ComponentError, Table
from ftstudio_kit.batching import Batch, collate, order
from ftstudio_kit.token_rows import Ints, Rows


@dataclass(frozen=True)
class PairTable:
    """Pairs by index: row 2i of `rows` is the chosen answer of pair i, row 2i + 1 the rejected one."""

    rows: Rows
    pad_token_id: int

    @classmethod
    def of(cls, table: Table, pad_token_id: int) -> PairTable:
        """Read what the tokenizer `pairs` wrote. Raises ComponentError for another tokenizer's rows."""
        if "chosen_tokens" not in table.column_names:
            raise ComponentError(
                "The rows do not say where the chosen answer ends and the rejected one begins.",
                'Write use = "pairs" in [tokenizer].',
            )
        rows = Rows.of(table)
        halves = np.fromiter(_chosen(table), np.int64)
        lengths = np.stack([halves, rows.lengths - halves], axis=1).reshape(-1)
        return cls(Rows(rows.parts, lengths), pad_token_id)

    def __len__(self) -> int:
        return len(self.rows) // 2

    @property
    def lengths(self) -> Ints:
        """Tokens of each pair."""
        return self.rows.lengths[::2] + self.rows.lengths[1::2]

    def digest(self) -> bytes:
        """A sha256 of exactly these tokens, and of which are trained."""
        found = hashlib.sha256(self.rows.lengths.astype("int64").tobytes())
        for which in (0, 1):
            for part in self.rows.parts:
                found.update(part[which].tobytes())
        return found.digest()

    def batch(self, pairs: Ints) -> Batch:
        """Tensors (2B, T) of B pairs, the chosen ones first."""
        bins = [(2 * int(i) + side,) for side in (0, 1) for i in pairs]
        return collate(self.rows, bins, self.pad_token_id)

    def epoch(self, seed: int, epoch: int, size: int, accumulation: int, skip: int) -> Iterator[list[Ints]]:
        """For each optimizer step of an epoch after the first `skip`, the pairs of its batches."""
        indices = order(len(self), seed, epoch, "random", self.lengths, size)
        for start in range(skip * size * accumulation, len(indices), size * accumulation):
            step = indices[start : start + size * accumulation]
            yield [step[i : i + size] for i in range(0, len(step), size)]

    def by_length(self, size: int) -> Iterator[Ints]:
        """All pairs in batches of like length, for passes whose order does not matter."""
        indices = np.argsort(self.lengths, kind="stable")
        return (indices[i : i + size] for i in range(0, len(indices), size))


def _chosen(table: Table) -> Iterator[int]:
    batches = getattr(table, "iter", None)  # datasets.Dataset reads a thousand rows in the time of thirty single ones
    if batches is None:
        return (int(row["chosen_tokens"]) for row in table)
    return (int(n) for batch in batches(batch_size=1000) for n in batch["chosen_tokens"])
