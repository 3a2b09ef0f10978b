"""Attention over rows one behind the other, of all lengths and kinds of heads, is attention over each row alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_kit_lean import SMALL, flat, learnt, model_of, padded
from tiny_models import ListTable
from torch import Tensor
from transformers import Gemma2Config

from ftstudio_kit import attention
from ftstudio_kit.attention import SHORT, Layout
from ftstudio_kit.lean import Lean, Plain, way_through
from ftstudio_kit.token_rows import Rows


def by_the_book(q: Tensor, k: Tensor, v: Tensor, lengths: tuple[int, ...], scale: float) -> Tensor:
    """(N, H, D) of q (H, N, D) and k, v (fewer, N, D): each row and head with the softmax written out."""
    shared = len(q) // len(k)  # query heads 0 to shared - 1 have the first key and value
    rows = []
    for q_row, k_row, v_row in zip(*(torch.split(x, list(lengths), dim=1) for x in (q, k, v)), strict=True):
        heads = []
        for head, of_query in enumerate(q_row):
            scores = of_query @ k_row[head // shared].t() * scale
            seen = torch.ones_like(scores).tril().bool()
            heads.append(torch.softmax(scores.masked_fill(~seen, float("-inf")), -1) @ v_row[head // shared])
        rows.append(torch.stack(heads, 1))
    return torch.cat(rows)


@pytest.mark.parametrize(
    "lengths", [(SHORT + 88,), (SHORT + 1, 40, SHORT + 30, 7), (5, 9, 9, 4)], ids=["one long", "both", "short"]
)
@pytest.mark.parametrize(("heads", "shared"), [(2, 1), (8, 4), (3, 3)])
@pytest.mark.parametrize("scale", [None, 0.9])
def test_each_row_sees_what_is_behind_it_alone_at_the_models_own_scale(
    lengths: tuple[int, ...], heads: int, shared: int, scale: float | None
) -> None:
    torch.manual_seed(1)
    tokens, size = sum(lengths), 4
    q, k, v = (
        torch.randn(count, tokens, size, dtype=torch.float64, requires_grad=True)
        for count in (heads, heads // shared, heads // shared)
    )
    weight = torch.randn(tokens, heads, size, dtype=torch.float64)
    model: Any = model_of(Gemma2Config(**SMALL))
    with attention.rows(model, Layout.of(lengths, tokens)):
        ours, _ = attention.attend(model, q[None], k[None], v[None], None, scaling=scale)
    expected = by_the_book(q, k, v, lengths, size**-0.5 if scale is None else scale)
    assert torch.allclose(ours[0], expected, atol=1e-9)
    ours_gradient, theirs = (torch.autograd.grad(out, (q, k, v), weight) for out in (ours[0], expected))
    for one, other in zip(ours_gradient, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-9)


def test_a_model_learns_from_long_rows_what_it_learns_on_the_plain_way() -> None:
    """Eight heads over two keys, and a scale that is not that of their size."""
    shape = SMALL | {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 1024}
    config = Gemma2Config(
        **shape,
        query_pre_attn_scalar=2,
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
        initializer_range=0.3,
    )
    draw = torch.Generator().manual_seed(2)
    texts = [torch.randint(256, (length,), generator=draw).tolist() for length in (SHORT + 40, 30, SHORT + 2)]
    rows = Rows.of(ListTable([{"input_ids": ids, "labels": ids} for ids in texts]))
    plain, fast = model_of(config), model_of(config)
    way = way_through(fast, "cpu", bf16=False)
    assert isinstance(way, Lean)
    loss, gradient = learnt(Plain(plain, "cpu", bf16=False), plain, padded(rows))
    own_loss, own_gradient = learnt(way, fast, flat(rows))
    assert own_loss == pytest.approx(loss, abs=1e-5)
    assert (own_gradient - gradient).norm() < 1e-4 * gradient.norm()
