"""Choosing among many rows: the same ones as ever, in bounded memory; and the longest of them."""

import random
import tracemalloc

import datasets
import numpy as np
import pytest

from ftstudio.process import lengths
from ftstudio.process.data import Rows, apply_selection, drawn, pick
from ftstudio.process.jobs import longest_batch
from ftstudio.process.lengths import fullest_bins, longest_rows
from ftstudio.project import Selection
from ftstudio.testing import FakeRun
from ftstudio_kit.bins import pack
from ftstudio_trainers.options import NativeOptions

MANY = 200_000


class Numbers:
    """A table of so many rows that takes no memory."""

    column_names = ("text",)

    def __init__(self, count, repeat=0):
        self.count, self.repeat = count, repeat or count

    def __len__(self):
        return self.count

    def __iter__(self):
        return ({"text": str(i % self.repeat)} for i in range(self.count))

    def __getitem__(self, index):
        return {"text": str(index % self.repeat)}


@pytest.mark.parametrize("total", [1, 2, 20, 21, 22, 84, 85, 86, 1000, 5000])
def test_rows_are_drawn_as_the_standard_library_draws_them(total):
    for count in sorted({0, 1, 5, 6, 20, 21, 22, total // 10, total // 2, total - 1, total}):
        if count <= total:
            rows = range(100, 100 + total)
            assert list(drawn(random.Random(7), rows, count)) == random.Random(7).sample(rows, count)


@pytest.mark.parametrize(
    ("selection", "bytes_a_row"),
    [
        (Selection(validation_fraction=0.1), 20),
        (Selection(shuffle_seed=3, validation_fraction=0.5), 40),
        (Selection(dedupe=True), 60),
    ],
)
def test_a_choice_among_many_rows_takes_few_bytes_a_row(tmp_path, selection, bytes_a_row):
    table, run = Numbers(MANY), FakeRun(tmp_path)
    tracemalloc.start()
    try:
        chosen = apply_selection({"train": table}, selection, run)
        assert tracemalloc.get_traced_memory()[1] < bytes_a_row * MANY
    finally:
        tracemalloc.stop()
    assert sum(map(len, chosen.values())) == MANY


def test_each_row_is_in_one_part_and_equal_ones_are_kept_once(tmp_path):
    selection = Selection(dedupe=True, shuffle_seed=5, limit=900, validation_count=100)
    chosen = apply_selection({"train": Numbers(3000, repeat=1000)}, selection, FakeRun(tmp_path))
    train, validation = ([int(row["text"]) for row in chosen[name]] for name in ("train", "validation"))
    assert (len(train), len(validation)) == (800, 100)
    assert len({*train, *validation}) == 900
    order = random.Random(5).sample(range(1000), 1000)[:900]
    assert [n for n in order if n in set(train)] == train


def dataset_of(counts):
    return datasets.Dataset.from_dict({"input_ids": [[1] * n for n in counts], "labels": [[1] * n for n in counts]})


COUNTS = [3, 9, 1, 9, 7, 2]


def test_the_longest_rows_come_from_offsets_and_no_row_is_read(monkeypatch):
    table = dataset_of(COUNTS)
    monkeypatch.setattr(datasets.Dataset, "__iter__", lambda self: pytest.fail("a row was read"))
    monkeypatch.setattr(datasets.Dataset, "__getitem__", lambda self, key: pytest.fail("a row was read"))
    assert longest_rows(table, 3) == ([1, 3, 4], 9, 6)
    assert longest_rows(table.select([5, 0, 4, 2]), 2) == ([2, 1], 7, 4)
    monkeypatch.setattr(lengths, "BATCH_ROWS", 2)
    assert longest_rows(table, 10) == ([1, 3, 4, 0, 5, 2], 9, 6)


def test_the_longest_rows_fill_bins_and_the_trainer_packs_as_many_of_them():
    table = dataset_of([3, 9, 1, 9, 7, 2, 0])
    assert fullest_bins(table, 2, 10) == ([1, 3, 2], 2, 10, 7)  # 9 + 1, 9
    assert fullest_bins(table, 9, 10) == ([1, 3, 4, 0, 5, 2], 4, 10, 7)  # 9 + 1, 9, 7 + 3, 2
    assert fullest_bins(table, 1, None) == ([1], 1, 9, 7)
    assert fullest_bins(table, 2, 8) == ([1, 3], 2, 9, 7)  # beyond the capacity a row is alone
    assert fullest_bins(dataset_of([]), 2, 8) == ([], 0, 0, 0)
    counts = [5 + n % 9 for n in range(600)]
    found = fullest_bins(dataset_of(counts), 16, 256)
    tokens = np.array([counts[i] for i in found.indices] * 3)
    assert (found.bins, found.tokens) == (16, 256)
    assert tokens.sum() > 0.99 * 3 * 16 * 256
    filled = sorted(tokens[bin_].sum() for bin_ in pack(tokens, 256))
    assert filled[-3 * 16] > 0.9 * 256, "the trainer packs them again, three times as many"


def test_the_longest_batch_of_a_trainer_that_packs_fills_its_rows():
    table = dataset_of([12] * 600)
    options = NativeOptions(packing=True, packing_length=256)
    assert longest_batch(options, table, 16, packed=True)[0] == 16
    assert len(longest_batch(options, table, 16, packed=True)[1].indices) == 16 * 21
    rows, longest = longest_batch(options, table, 16, packed=False)
    assert (rows, len(longest.indices)) == (16, 16)


class Lists:
    column_names = ("input_ids", "labels")

    def __init__(self, counts):
        self.counts, self.read = counts, 0

    def __len__(self):
        return len(self.counts)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index):
        self.read += 1
        return {"input_ids": [1] * self.counts[index]}


def test_of_a_table_that_tells_no_lengths_only_so_many_rows_are_read(monkeypatch):
    table = Lists(COUNTS)
    assert longest_rows(table, 2) == ([1, 3], 9, 6)
    monkeypatch.setattr(lengths, "LOOKED_AT", 3)
    table.read = 0
    assert longest_rows(table, 2) == ([4, 0], 7, 3)
    assert table.read == 3
    assert longest_rows(pick(table, [1, 3]), 5) == ([0, 1], 9, 2)
    assert isinstance(pick(table, [1]), Rows)
