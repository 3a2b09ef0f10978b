"""Order, padding and packing: nothing is lost, nothing leaks."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
import torch
from tiny_models import ListTable, config_of, toy_rows
from transformers import AutoModelForCausalLM

from ftstudio.api import ComponentError
from ftstudio_kit import token_rows
from ftstudio_kit.batching import Batches, ahead, collate, order, packing_is_exact
from ftstudio_kit.bins import Singles, pack
from ftstudio_kit.loss import summed_loss
from ftstudio_kit.token_rows import BLOCK, Rows

END = 256


def model_of(family: str) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config_of(family), attn_implementation="sdpa").eval()


def test_rows_of_a_dataset_are_those_of_a_list() -> None:
    table = toy_rows(7, masked=2)
    dataset = datasets.Dataset.from_list(table.rows)
    chosen = datasets.Dataset.from_list([*table.rows, *table.rows]).select([8, 2, 13, 3])
    expected = [(row["input_ids"], row["labels"]) for row in table.rows]
    assert contents(Rows.of(table)) == expected
    assert contents(Rows.of(dataset)) == expected
    assert contents(Rows.of(datasets.concatenate_datasets([dataset, dataset]))) == expected * 2
    assert contents(Rows.of(chosen)) == [expected[at % 7] for at in (8, 2, 13, 3)]
    fixed = datasets.Features(
        dict.fromkeys(("input_ids", "labels"), datasets.Sequence(datasets.Value("int64"), length=3))
    )
    even = datasets.Dataset.from_list([{"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}] * 2, features=fixed)
    assert contents(Rows.of(even)) == [([1, 2, 3], [-100, 2, 3])] * 2


def contents(rows: Rows) -> list[tuple[list[int], list[int]]]:
    assert [len(rows.row(at)[0]) for at in range(len(rows))] == rows.lengths.tolist()
    ids_and_labels = (rows.row(at) for at in range(len(rows)))
    return [(ids.tolist(), labels.tolist()) for ids, labels in ids_and_labels]


@pytest.mark.parametrize("count", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_a_row_is_found_among_many_in_several_parts(count: int) -> None:
    lengths = np.random.default_rng(count).integers(1, 9, count)
    ids = np.arange(lengths.sum(), dtype=np.int32)
    ends = np.cumsum(lengths)
    cuts = [0, *ends[[count // 3, count // 2]].tolist(), len(ids)] if count else [0, 0]
    parts = [(ids[begin:end], -ids[begin:end]) for begin, end in itertools.pairwise(cuts)]
    rows = Rows(parts, lengths)
    for at, (end, length) in enumerate(zip(ends.tolist(), lengths.tolist(), strict=True)):
        own = ids[end - length : end].tolist()
        assert [x.tolist() for x in rows.row(at)] == [own, [-one for one in own]]
        assert rows.row(at - count)[0].tolist() == own
    with pytest.raises(IndexError):
        rows.row(count)
    assert rows.lengths.nbytes == 4 * count


@pytest.mark.parametrize("block", [2, BLOCK])
def test_rows_beyond_what_32_bits_count_are_found(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_rows, "BLOCK", block)
    count = 2**31 - 1
    parts = [np.broadcast_to(np.int32(number), (count,)) for number in (7, 8, 9)]
    rows = Rows([(part, part) for part in parts], np.full(3, count))
    for at, number in ((0, 7), (1, 8), (2, 9), (-1, 9)):
        ids, labels = rows.row(at)
        assert (len(ids), ids[0], labels[-1]) == (count, number, number)


def test_rows_of_a_file_stay_in_it(tmp_path: Path) -> None:
    schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])
    path = tmp_path / "rows.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for batch in range(3):
            ids = [list(range(n + batch)) for n in (3, 0, 5)]
            labels = [[-100] * len(row) if batch == 1 else row for row in ids]
            writer.write_batch(pa.record_batch([ids, labels], schema=schema))
    rows = Rows.of(datasets.Dataset.from_file(str(path)))
    assert rows.lengths.tolist() == [3, 5, 4, 1, 6, 5, 2, 7]  # without the row that has no token
    maps = Path("/proc/self/maps").read_text().splitlines()
    spans = [[int(end, 16) for end in line.split()[0].split("-")] for line in maps if line.endswith(str(path))]
    for at in range(len(rows)):
        ids, labels = rows.row(at)
        assert ids.tolist() == list(range(len(ids)))
        assert labels.tolist() == ([-100] * len(ids) if at in {2, 3, 4} else ids.tolist())
        for array in (ids, labels):
            assert any(begin <= array.ctypes.data < end for begin, end in spans)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (([1, 2], [1]), "Row 1,100 of validation has 2 input_ids and 1 labels; both must be equally long"),
        (([1], [1, 2]), "Row 1,100 of validation has 1 input_ids and 2 labels;"),
        (([1, 2], None), "Row 1,100 of validation has 2 input_ids and a null in its labels;"),
        ((None, [1, 2]), "Row 1,100 of validation has a null in its input_ids and 2 labels;"),
        (([1, 2], [1, None]), "Row 1,100 of validation has 2 input_ids and a null in its labels;"),
        ((None, None), "has a null in its input_ids and a null in its labels;"),
        (([], [7]), "Row 1,100 of validation has 0 input_ids and 1 labels;"),
    ],
)
@pytest.mark.parametrize("kind", ["a list", "lists", "large lists"])
def test_a_row_that_would_shift_the_labels_of_all_behind_it_is_refused(row: Any, sentence: str, kind: str) -> None:
    """The last rows would make up for it: there are as many labels as tokens."""
    whole = {"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}
    bad = {"input_ids": row[0], "labels": row[1]}
    rows = [
        *[whole] * 1099,
        {"input_ids": [], "labels": []},
        bad,
        {"input_ids": bad["labels"], "labels": bad["input_ids"]},
    ]
    table: Any = ListTable(rows)
    if kind != "a list":
        of = datasets.List if kind == "lists" else datasets.LargeList
        features = datasets.Features(dict.fromkeys(("input_ids", "labels"), of(datasets.Value("int32"))))
        table = datasets.Dataset.from_list(rows, features=features)
    with pytest.raises(ComponentError) as error:
        Rows.of(table, "validation")
    assert sentence in error.value.message


@pytest.mark.parametrize("type_", [pa.list_(pa.int64(), 2), pa.null()])
def test_a_null_is_found_in_lists_of_a_fixed_length_and_in_a_column_without_a_type(type_: Any) -> None:
    ids = pa.array([[1, 2], None, [3, None]] if type_ != pa.null() else [None] * 3, type_)
    labels = pa.array([[1, 2]] * 3, pa.list_(pa.int64()))
    with pytest.raises(
        ComponentError, match=rf"^Row {int(type_ != pa.null())} of train has a null in its input_ids and 2"
    ):
        Rows.of(datasets.Dataset(pa.table({"input_ids": ids, "labels": labels})))


def test_a_row_without_tokens_is_left_out() -> None:
    assert len(Rows.of(ListTable([{"input_ids": [], "labels": []}, {"input_ids": [1, 2], "labels": [1, 2]}]))) == 1


def test_padding_is_masked_by_length_so_an_end_of_text_is_learnt_where_pad_is_the_same_token() -> None:
    rows = Rows.of(toy_rows(2, longest=9, seed=3))
    batch = collate(rows, [(0,), (1,)], pad_token_id=END)
    assert batch.attention_mask is not None
    for at in range(2):
        length = int(rows.lengths[at])
        assert batch.attention_mask[at].tolist() == [1] * length + [0] * (batch.input_ids.shape[1] - length)
        assert batch.labels[at, length - 1] == END  # trained on
        assert (batch.labels[at, length:] == -100).all()  # padding is not
    assert batch.tokens == int(rows.lengths.sum())


def test_rows_of_one_length_need_no_mask() -> None:
    rows = Rows.of(ListTable([{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}] * 2))
    assert collate(rows, [(0,), (1,)], 0).attention_mask is None


@pytest.mark.parametrize("strategy", ["random", "sequential", "group_by_length"])
@pytest.mark.parametrize("count", [1, 7, 64, 501])
def test_an_order_holds_each_row_once_and_depends_on_nothing_else(strategy: str, count: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 50, count)
    first = order(count, 5, 2, strategy, lengths, 4)
    np.random.default_rng(1).random(10)
    assert sorted(first) == list(range(count))
    assert np.array_equal(first, order(count, 5, 2, strategy, lengths, 4))


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    lengths = np.ones(100, np.int64)
    orders = {tuple(order(100, seed, epoch, "random", lengths, 4)) for seed in (1, 2) for epoch in (0, 1)}
    assert len(orders) == 4


def test_grouping_by_length_saves_padding_and_begins_with_the_longest() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 640)

    def padded(indices: Any) -> int:
        return sum(int(lengths[indices[i : i + 8]].max()) * 8 for i in range(0, 640, 8))

    grouped = order(640, 0, 0, "group_by_length", lengths, 8)
    assert padded(grouped) < 0.7 * padded(order(640, 0, 0, "random", lengths, 8))
    assert lengths[grouped[0]] == lengths.max()


def test_the_short_batch_of_a_grouped_epoch_comes_last_so_that_all_others_are_of_one_group() -> None:
    """Also where it belongs to the span that comes first, which holds the longest row."""
    count = 407  # in batches of 4 spans of 100, and one of 7
    lengths = np.random.default_rng(0).integers(1, 90, count)
    lengths[order(count, 5, 1, "random", lengths, 4)[-1]] = 100
    grouped = lengths[order(count, 5, 1, "group_by_length", lengths, 4)]
    assert grouped[0] == 100
    assert all((np.diff(grouped[at : at + 4]) <= 0).all() for at in range(0, count, 4))


def test_batches_after_a_skip_are_those_of_the_whole_epoch() -> None:
    rows = Rows.of(toy_rows(23))
    batches = Batches(rows, Singles(23), 3, 2, END, seed=1)
    whole = list(batches.epoch(4))
    assert len(whole) == 4
    assert [len(step) for step in whole] == [2, 2, 2, 2]
    for step, again in zip(whole[2:], batches.epoch(4, skip=2), strict=True):
        assert all(torch.equal(a.input_ids, b.input_ids) for a, b in zip(step, again, strict=True))


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2"])
def test_packed_rows_have_the_loss_and_gradient_that_they_have_apart(family: str) -> None:
    model = model_of(family)
    rows = Rows.of(toy_rows(11, masked=1))
    bins = pack(rows.lengths, 40)
    assert len(bins) < 11
    losses, gradients = [], []
    for one in (Singles(11), bins):
        batch = collate(rows, one, END, packed=one is bins)
        model.zero_grad()
        loss = summed_loss(model(**batch.inputs(), use_cache=False).logits, batch.labels) / batch.trained
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-4)


def test_steps_that_are_made_ahead_are_the_same_and_an_error_is_raised_where_it_is_asked_for() -> None:
    rows = Rows.of(toy_rows(11))
    batches = Batches(rows, Singles(11), 2, 2, END, seed=1)
    made = [[batch.input_ids.tolist() for batch in step] for step in ahead(batches.epoch(0))]
    assert made == [[batch.input_ids.tolist() for batch in step] for step in batches.epoch(0)]
    assert len(made) == 3

    def failing() -> Any:
        yield [batches.batch([(0,)])]
        raise ValueError("so")

    steps = ahead(failing())
    assert len(next(steps)) == 1
    with pytest.raises(ValueError, match="so"):
        next(steps)


def test_steps_that_are_not_wanted_any_more_leave_no_thread() -> None:
    rows = Rows.of(toy_rows(11))
    steps = ahead(Batches(rows, Singles(11), 2, 2, END, seed=1).epoch(0))
    next(steps)
    steps.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2"])
def test_the_tested_families_keep_packed_rows_apart(family: str) -> None:
    assert packing_is_exact(model_of(family))


@pytest.mark.parametrize("leak", ["positions are ignored", "a little"])
def test_a_model_that_lets_rows_leak_is_found_out(leak: str) -> None:
    model = model_of("gpt2")

    class Leaking(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def get_input_embeddings(self) -> Any:
            return self.inner.get_input_embeddings()

        def forward(self, input_ids: Any, position_ids: Any = None, use_cache: bool = False) -> Any:
            if leak == "positions are ignored":
                return SimpleNamespace(logits=self.inner(input_ids=input_ids).logits)
            logits = self.inner(input_ids=input_ids, position_ids=position_ids).logits
            drift = 1e-3 * logits.abs().max() * torch.arange(input_ids.shape[1])[:, None]
            return SimpleNamespace(logits=logits + drift)

    assert not packing_is_exact(Leaking())


def test_a_model_without_positions_is_found_out(tmp_path: Path) -> None:
    class Without(torch.nn.Module):
        def forward(self, input_ids: Any) -> Any:
            raise AssertionError("not asked")

    model = Without()
    model.weight = torch.nn.Parameter(torch.zeros(1))
    assert not packing_is_exact(model)
