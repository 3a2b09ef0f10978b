"""Rows of token ids -> batches: what comes in which order, padding, and packing.

The order is a pure function of (seed, epoch, index), so a resumed run needs no replay: batch 1,000 of epoch 3 is
computed, not reached. Padding is on the right and masked by *length*, never by `== pad_token_id`: where the pad token
is the end-of-text token, the end of a text is still learnt.

Packing joins whole rows into bins of one length. Rows of a bin do not see each other: each begins again at
position 0, and transformers builds the block-diagonal mask from these restarts, but only when no attention mask
comes along (`transformers.masking_utils._preprocess_mask_arguments`). Hence a packed batch has `position_ids` and no
`attention_mask`. `packing_is_exact` asks a model whether it honours this.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ftstudio_kit.bins import Bin, Bins
from ftstudio_kit.loss import IGNORE
from ftstudio_kit.token_rows import Ints, Rows


@dataclass(frozen=True)
class Batch:
    """Tensors (B, T) on one device. `tokens` counts real ones, `trained` those that the loss is a sum over.

    A flat batch is (1, N), and `lengths` are those of its rows.
    """

    input_ids: Tensor
    labels: Tensor
    attention_mask: Tensor | None
    position_ids: Tensor | None
    tokens: int
    trained: int
    lengths: tuple[int, ...] = ()

    def to(self, device: str) -> Batch:
        """The same on another device, without waiting for the copy where the device allows it."""
        if device == "cpu":
            return self
        pinned = device.startswith("cuda")  # only memory that stays where it is can be copied meanwhile
        here = {name: value.pin_memory() if pinned else value for name, value in self.tensors().items()}
        moved = {name: value.to(device, non_blocking=True) for name, value in here.items()}
        mask, positions = moved.get("attention_mask"), moved.get("position_ids")
        return Batch(moved["input_ids"], moved["labels"], mask, positions, self.tokens, self.trained, self.lengths)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and tokens of the longest."""
        rows, length = self.input_ids.shape
        return (len(self.lengths), max(self.lengths)) if self.lengths else (rows, length)

    def inputs(self) -> dict[str, Tensor]:
        """What a model's forward takes, labels left out."""
        return {name: value for name, value in self.tensors().items() if name != "labels"}

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are there, by name."""
        named = {
            "input_ids": self.input_ids,
            "labels": self.labels,
            "attention_mask": self.attention_mask,
            "position_ids": self.position_ids,
        }
        return {name: value for name, value in named.items() if value is not None}


def collate(rows: Rows, bins: Sequence[Bin], pad_token_id: int, *, packed: bool = False) -> Batch:
    """One batch whose rows are the joined rows of each bin, padded on the right to the longest.

    A bin's rows begin with label -100 each: the last token of one is not trained to predict the first of the next.
    The padding of a packed row is one more document of it, so that it disturbs no mask.
    """
    lengths = [int(rows.lengths[list(indices)].sum()) for indices in bins]
    shape = len(bins), max(lengths)
    ids = np.full(shape, pad_token_id, np.int64)
    labels = np.full(shape, IGNORE, np.int64)
    positions = np.zeros(shape, np.int64)
    for at, indices in enumerate(bins):
        end = 0
        for index in indices:
            (own, own_labels), begin = rows.row(index), end
            end += len(own)
            ids[at, begin:end] = own
            labels[at, begin + 1 : end] = own_labels[1:]
            positions[at, begin:end] = np.arange(end - begin)
        positions[at, end:] = np.arange(shape[1] - end)
    even = min(lengths) == shape[1]
    mask = None if packed or even else np.arange(shape[1])[None, :] < np.array(lengths)[:, None]
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(labels),
        None if mask is None else torch.from_numpy(mask.astype(np.int64)),
        torch.from_numpy(positions) if packed else None,
        tokens=sum(lengths),
        trained=int((labels != IGNORE).sum()),
    )


def rounded(count: int) -> int:
    """The next multiple of 16, beyond 256 of 64.

    oneDNN compiles a product for each size that comes, and keeps it: without rounding the memory of a run on rows of
    all lengths grew by 1.5 GB. Up to half a kilobyte of tokens this costs a few, and beyond it 6 % at most.
    """
    size = 16 if count <= 256 else 64
    return -(-count // size) * size


def join(rows: Rows, bins: Sequence[Bin]) -> Batch:
    """One flat batch: the rows of all bins one behind the other, each beginning with label -100.

    Behind them a few tokens that are trained on nothing round the number up: see `rounded`.
    """
    indices = [index for one in bins for index in one]
    parts = [rows.row(index) for index in indices]
    lengths = rows.lengths[indices]
    tokens, starts = int(lengths.sum()), np.cumsum(lengths) - lengths
    ids, positions = (np.zeros(rounded(tokens), np.int64) for _ in range(2))
    labels = np.full(rounded(tokens), IGNORE, np.int64)
    np.concatenate([own for own, _ in parts], out=ids[:tokens])
    np.concatenate([own for _, own in parts], out=labels[:tokens])
    labels[starts] = IGNORE
    positions[:tokens] = np.arange(tokens) - np.repeat(starts, lengths)
    return Batch(
        torch.from_numpy(ids)[None],
        torch.from_numpy(labels)[None],
        None,
        torch.from_numpy(positions)[None],
        tokens=tokens,
        trained=int((labels != IGNORE).sum()),
        lengths=tuple(int(length) for length in lengths),
    )


# -------------------------------------------------------------------------------------------------- order


def order(count: int, seed: int, epoch: int, strategy: str, lengths: Ints, group: int) -> Ints:
    """The order of `count` examples in an epoch: a pure function of its arguments.

    `strategy` is "random", "sequential" or "group_by_length": the last sorts spans of 50 batches of `group` examples
    by length, the longest span first so that memory runs out at the start if at all.
    """
    if strategy == "sequential":
        return np.arange(count)
    shuffled = np.random.default_rng([seed, epoch]).permutation(count)
    if strategy != "group_by_length":
        return shuffled
    span = group * max(1, min(50, count // (group * 4)))
    spans = [part[np.argsort(-lengths[part], kind="stable")] for part in _split(shuffled, span)]
    longest = max(range(len(spans)), key=lambda i: int(lengths[spans[i][0]]))
    spans.insert(0, spans.pop(longest))
    batches = [part for one in spans for part in _split(one, group)]
    tail = [batches.pop(i) for i, part in enumerate(batches[:-1]) if len(part) < group][:1]
    return np.concatenate(batches + tail)


def _split(values: Ints, size: int) -> list[Ints]:
    return [values[i : i + size] for i in range(0, len(values), size)]


@dataclass(frozen=True)
class Batches:
    """The batches of a training run, addressed by (epoch, optimizer step of that epoch)."""

    rows: Rows
    bins: Bins
    batch_size: int
    accumulation: int
    pad_token_id: int
    seed: int
    strategy: str = "random"
    packed: bool = False
    flat: bool = False

    @cached_property
    def lengths(self) -> Ints:
        """Tokens of each bin."""
        return self.bins.totals(self.rows.lengths)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[list[Batch]]:
        """For each optimizer step of an epoch after the first `skip`, its batches (the last step may have fewer)."""
        indices = order(len(self.bins), self.seed, epoch, self.strategy, self.lengths, self.batch_size)
        size = self.batch_size * self.accumulation
        for start in range(skip * size, len(indices), size):
            step = indices[start : start + size]
            yield [self.batch([self.bins[i] for i in part]) for part in _split(step, self.batch_size)]

    def batch(self, bins: Sequence[Bin]) -> Batch:
        """The batch of these bins."""
        return join(self.rows, bins) if self.flat else collate(self.rows, bins, self.pad_token_id, packed=self.packed)


def ahead(steps: Iterator[list[Batch]]) -> Iterator[list[Batch]]:
    """The same steps, each made in a thread while the one before it is learnt from."""
    with ThreadPoolExecutor(1, "batches") as thread:
        coming = thread.submit(next, steps, None)
        while (step := coming.result()) is not None:
            coming = thread.submit(next, steps, None)
            yield step


# ------------------------------------------------------------------------------------------------ packing


@torch.no_grad()
def packing_is_exact(model: Any, tolerance: float = 2e-5) -> bool:
    """True when two rows joined in one bin give the logits that they give apart; costs three tiny forward passes.

    Models that ignore `position_ids`, or carry a state from token to token, fail this.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model  # beneath peft's wrapper
    if "position_ids" not in inspect.signature(inner.forward).parameters:
        return False
    training, device = model.training, next(model.parameters()).device
    vocabulary = model.get_input_embeddings().num_embeddings
    ids = torch.arange(7, 15, device=device).remainder(vocabulary)[None, :]  # (1, 8): rows of 5 and of 3
    positions = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2]], device=device)
    model.eval()
    joined = model(input_ids=ids, position_ids=positions, use_cache=False).logits
    apart = [model(input_ids=part, use_cache=False).logits for part in (ids[:, :5], ids[:, 5:])]
    model.train(training)
    reference = torch.cat(apart, dim=1)
    return bool((joined - reference).abs().max() <= tolerance * reference.abs().max())
