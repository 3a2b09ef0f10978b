"""Dropout whose random numbers cost less: sixteen bits a value from a fast generator, where torch draws 32 slowly.

Each mask's generator is seeded by torch's own, so what is drawn follows from `torch.manual_seed`, goes on after a
resume as it would have, and comes out the same when a forward pass is repeated under gradient checkpointing.
p is met to 1/65,536.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ftstudio_kit.function import applied

_VALUES = 1 << 16


def keep(shape: Sequence[int], p: float, like: Tensor) -> Tensor:
    """What to multiply with: 0 with probability p, else 1 / (1 - p); dtype and device are those of `like`."""
    seed = int(torch.randint(1 << 62, ()))
    generator = np.random.Generator(np.random.SFC64(seed))
    count = prod(shape)
    words = generator.integers(0, 1 << 64, -(-count // 4), dtype=np.uint64)
    bits = torch.from_numpy(words.view(np.int16))[:count].view(*shape)
    dropped = min(round(p * _VALUES), _VALUES - 1)
    kept = (bits >= dropped - _VALUES // 2).to(like.dtype)
    return kept.mul_(_VALUES / (_VALUES - dropped)).to(like.device)


def cheapen(model: nn.Module) -> None:
    """Let the model's dropout layers draw in this way."""
    for layer in model.modules():
        if type(layer) is nn.Dropout:
            layer.forward = partial(_drop, layer)  # type: ignore[method-assign]


def _drop(layer: nn.Dropout, x: Tensor) -> Tensor:
    if not layer.training or layer.p == 0:
        return x
    return applied(_Dropout, x, layer.p)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        kept = keep(x.shape, p, x)
        ctx.save_for_backward(kept)
        return x * kept

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return gradient[0] * kept, None
