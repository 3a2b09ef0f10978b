"""Rows are packed as best-fit decreasing packs them one by one, in little memory and time."""

from collections import Counter

import numpy as np
import pytest

from ftstudio_kit import bins
from ftstudio_kit.bins import Singles, pack


def best_fit_decreasing(lengths: list[int], capacity: int) -> Counter[tuple[int, ...]]:
    """One row after the other: how often there is a bin of these lengths."""
    found: list[list[int]] = []
    for length in sorted(lengths, reverse=True):
        fitting = [one for one in found if sum(one) + length <= capacity]
        if fitting:
            max(fitting, key=sum).append(length)
        else:
            found.append([length])
    return Counter(tuple(sorted(one)) for one in found)


@pytest.mark.parametrize("seed", range(5))
def test_packing_keeps_every_row_once_in_bins_that_fit(seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 60, 400)
    found = list(pack(lengths, 64, seed))
    assert sorted(i for one in found for i in one) == list(range(400))
    assert all(lengths[one].sum() <= 64 for one in found)
    assert found == list(pack(lengths, 64, seed))
    assert found != list(pack(lengths, 64, seed + 1))


def test_rows_shorter_and_longer_than_16_bits_count_are_packed_as_one_by_one() -> None:
    lengths = np.array([66_000, 1, 65_536, 463, 65_535, 464, 3, 66_001, 2])
    filled = [sum(one) for one in best_fit_decreasing(lengths.tolist(), 66_000).elements()]
    assert sorted(pack(lengths, 66_000).totals(lengths).tolist()) == sorted(filled)


def test_a_seed_has_the_bins_that_it_always_had() -> None:
    """A run goes on with them after an update, too."""
    lengths = np.array([3, 9, 3, 5, 5, 9, 3, 4, 4, 3, 5, 3])
    assert list(pack(lengths, 12, 7)) == [[1, 6], [5, 0], [4, 10], [3, 8, 2], [7, 9, 11]]


@pytest.mark.parametrize(
    ("capacity", "longest", "count"),
    [(64, 60, 400), (100, 40, 300), (30, 45, 200), (8, 8, 500), (900, 800, 300), (70_000, 66_000, 90), (9, 9, 3000)],
)
def test_bins_are_filled_as_if_rows_were_packed_one_by_one(
    capacity: int, longest: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bins, "_BINS", 7)
    lengths = np.random.default_rng(count).integers(1, longest + 1, count)
    found = pack(lengths, capacity)
    filled = [sum(one) for one in best_fit_decreasing(lengths.tolist(), capacity).elements()]
    assert sorted(found.totals(lengths).tolist()) == sorted(filled)
    assert [lengths[one].sum() for one in found] == found.totals(lengths).tolist()


def test_rows_of_many_spans_are_packed_span_by_span(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bins, "SPAN", 64)
    lengths = np.random.default_rng(0).integers(1, 20, 300)
    found = list(pack(lengths, 40, 1))
    assert sorted(i for one in found for i in one) == list(range(300))
    assert all(lengths[one].sum() <= 40 for one in found)
    assert len(found) <= lengths.sum() / 40 + 5 * 2


def test_a_row_longer_than_the_bins_has_one_of_its_own() -> None:
    assert [0] in list(pack(np.array([100, 3, 4]), 10))


def test_no_rows_are_no_bins() -> None:
    assert list(pack(np.zeros(0, np.int64), 10)) == []
    assert pack(np.zeros(0, np.int64), 10).totals(np.zeros(0, np.int64)).tolist() == []


def test_rows_by_themselves_are_their_own_bins() -> None:
    assert list(Singles(3)) == [(0,), (1,), (2,)]
    assert Singles(3).totals(np.array([4, 5, 6])).tolist() == [4, 5, 6]
