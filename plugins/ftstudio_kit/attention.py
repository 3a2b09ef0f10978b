"""Attention over rows that lie one behind the other, each seeing itself alone: no padding, no mask of every pair.

A batch is (1, N) tokens; a `Layout` says where its rows end. transformers calls the function that is registered here
for every model that goes through its attention interface. Rows of like length are attended together, padded on the
right to the longest of them: the padding comes after every real token, so the causal order alone hides it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface

from ftstudio_kit.dropout import keep
from ftstudio_kit.function import applied

NAME = "ftstudio_rows"
SHORT = 512
"""Rows up to so many tokens are attended by products of our own, longer ones by torch's fused attention."""
LIKE = 1.25
"""Rows of a group are at most so much longer than its shortest: of what is attended, a fifth at most is padding."""


@dataclass(frozen=True)
class Group:
    """`count` rows, padded to `length`; `places` are those of their `tokens` tokens in the padded rows."""

    count: int
    length: int
    tokens: int
    places: Tensor


@dataclass(frozen=True)
class Layout:
    """The rows of a flat batch, in groups of like length; `order` are their tokens, group by group.

    An `order` of None is that of one group of rows that need no padding.
    """

    groups: tuple[Group, ...]
    order: Tensor | None

    @classmethod
    def of(cls, lengths: Sequence[int], tokens: int) -> Layout:
        """The layout of rows of these lengths, one behind the other; what of the tokens is behind them sees nothing."""
        sizes = np.asarray(lengths)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        ascending = np.argsort(sizes, kind="stable")
        groups, order, begin = [], [], 0
        while begin < len(sizes):
            end = begin + int(np.searchsorted(sizes[ascending[begin:]], sizes[ascending[begin]] * LIKE, "right"))
            rows = ascending[begin:end]
            longest = int(sizes[rows[-1]])
            places = np.concatenate([at * longest + np.arange(sizes[row]) for at, row in enumerate(rows)])
            groups.append(Group(len(rows), longest, len(places), torch.from_numpy(places)))
            order += [np.arange(starts[row], starts[row + 1]) for row in rows]
            begin = end
        even = len(set(lengths)) == 1 and tokens == starts[-1]
        return cls(tuple(groups), None if even else torch.from_numpy(np.concatenate(order)))


_layout: ContextVar[Layout | None] = ContextVar("layout", default=None)

_heard: ContextVar[list[int | None] | None] = ContextVar("heard", default=None)


@contextmanager
def heard() -> Iterator[list[int | None]]:
    """The window of each attention that is computed inside, in order; None where it has none."""
    windows: list[int | None] = []
    token = _heard.set(windows)
    try:
        yield windows
    finally:
        _heard.reset(token)


@contextmanager
def rows(model: Any, layout: Layout) -> Iterator[None]:
    """Inside, the model's attention is that of this layout; outside it is the model's own."""
    config, before = model.config, model.config._attn_implementation
    token = _layout.set(layout)
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _layout.reset(token)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """What transformers calls: query (1, H, N, D), key and value (1, H or fewer, N, D), out (1, N, H, D)."""
    if softcap is not None:
        raise NotImplementedError("capped scores are not computed here")
    layout = cast("Layout", _layout.get())
    heard_of = _heard.get()
    if heard_of is not None:
        heard_of.append(sliding_window)
    if key.shape[1] != query.shape[1]:
        repeated = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeated, 1), value.repeat_interleave(repeated, 1)
    # (N, H, D) each, views; rotary positions may have made float32 of the first two
    heads = [x[0].to(value.dtype).transpose(0, 1) for x in (query, key, value)]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    sizes = [group.tokens for group in layout.groups]
    parts = zip(*(torch.split(_ordered(x, layout), sizes) for x in heads), strict=True)
    found = []
    for group, part in zip(layout.groups, parts, strict=True):
        q, k, v = (_padded(x, group, layout).transpose(1, 2) for x in part)  # (R, H, T, D)
        window = sliding_window if sliding_window and sliding_window < group.length else None
        if dropout or window or group.length <= SHORT:
            out = applied(_Attention, q, k, v, scale, window, dropout)
        else:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
        flat = out.transpose(1, 2).reshape(-1, *value.shape[1::2])  # (R T, H, D)
        found.append(flat if layout.order is None else applied(_Take, flat, group.places))
    whole = found[0] if layout.order is None else applied(_Spread, torch.cat(found), layout.order, query.shape[2])
    return whole[None], None


AttentionInterface.register(NAME, attend)


def _ordered(x: Tensor, layout: Layout) -> Tensor:
    """(N, H, D), the tokens of each group together; what is no token of a row is left out."""
    return x if layout.order is None else applied(_Take, x, layout.order)


def _padded(x: Tensor, group: Group, layout: Layout) -> Tensor:
    """A group's tokens (n, H, D) as rows (R, T, H, D), zeros where one has ended."""
    rows = x if layout.order is None else applied(_Spread, x, group.places, group.count * group.length)
    return rows.reshape(group.count, group.length, *x.shape[1:])


def _unseen(length: int, window: int | None, like: Tensor) -> Tensor:
    """(T, T) to add to scores: -inf for keys ahead of a query, and for those a window or more behind it."""
    unseen = torch.full((length, length), float("-inf"), dtype=like.dtype, device=like.device)
    ahead = unseen.triu(1)
    return ahead if window is None else ahead + unseen.tril(-window)


class _Take(torch.autograd.Function):
    """x[places] of places that are all different, so that the gradient is a copy where autograd adds up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.count = len(x)
        return x.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return _spread(gradient[0], places, ctx.count), None


class _Spread(torch.autograd.Function):
    """Zeros (count, ...) with x at the places, which are all different."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(places)
        return _spread(x, places, count)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradient[0].index_select(0, places), None, None


def _spread(x: Tensor, places: Tensor, count: int) -> Tensor:
    return x.new_zeros(count, *x.shape[1:]).index_copy_(0, places, x)


class _Attention(torch.autograd.Function):
    """softmax(q k' scale), causal, dropped out, times v; all (R, H, T, D).

    torch's fused attention knows no dropout on a CPU, and its gradient takes 14 to 27 ms for 1,024 tokens in short rows
    where this takes 3 to 7. Queries go a band at a time, with the keys that some of the band sees: of long rows, half
    of all scores are never made. The weights, up to T numbers a token and head, are kept for the gradient.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None, p: float) -> Tensor:
        shape = v.shape
        q, k, v = (x.reshape(-1, *x.shape[2:]) for x in (q, k, v))  # (R H, T, D)
        unseen = _unseen(q.shape[1], window, q)
        out = v.new_empty(v.shape)
        ctx.bands, kept_for_later = list(_bands(q.shape[1], window, p)), []
        for queries, keys in ctx.bands:
            masked = unseen[queries, keys]
            scores = torch.baddbmm(masked, q[:, queries], k[:, keys].transpose(1, 2), alpha=scale)  # (R H, t, s)
            weights = torch.softmax(scores, -1)
            kept = keep(weights.shape, p, weights) if p else None
            torch.bmm(weights if kept is None else weights * kept, v[:, keys], out=out[:, queries])
            kept_for_later += [weights, kept]
        ctx.save_for_backward(q, k, v, *kept_for_later)
        ctx.scale, ctx.shape = scale, shape
        return out.view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        q, k, v, *saved = ctx.saved_tensors
        out = gradient[0].reshape(v.shape)
        to_q, to_k, to_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for (queries, keys), weights, kept in zip(ctx.bands, saved[::2], saved[1::2], strict=True):
            to_v[:, keys].baddbmm_((weights if kept is None else weights * kept).transpose(1, 2), out[:, queries])
            to_weights = torch.bmm(out[:, queries], v[:, keys].transpose(1, 2))
            if kept is not None:
                to_weights.mul_(kept)
            scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype)
            torch.bmm(scores, k[:, keys], out=to_q[:, queries])
            to_k[:, keys].baddbmm_(scores.transpose(1, 2), q[:, queries], alpha=ctx.scale)
        shape = *ctx.shape[:3], q.shape[-1]
        return to_q.mul_(ctx.scale).view(shape), to_k.view(shape), to_v.view(ctx.shape), None, None, None


def _bands(length: int, window: int | None, p: float) -> Iterator[tuple[slice, slice]]:
    """Queries that go together, and the keys that some of them see."""
    size = 64 if p else 128  # masks are dear: less of them outweighs smaller products
    if length <= 2 * size:
        size = length
    for begin in range(0, length, size):
        end = min(begin + size, length)
        yield slice(begin, end), slice(0 if window is None else max(0, begin - window + 1), end)
