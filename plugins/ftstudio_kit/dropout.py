"""Dropout whose random numbers cost less: sixteen bits a value from fast generators, where torch draws 32 slowly.

Each mask's generators are seeded by torch's own, one for each part of it whatever the number of threads. So what is
drawn follows from `torch.manual_seed`, goes on after a resume as it would have, and comes out the same when a forward
pass is repeated under gradient checkpointing.
p is met to 1/65,536.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ftstudio_kit.function import applied

_VALUES = 1 << 16
_PART = 1 << 18
"""Words of 64 bits that one generator draws."""


def keep(shape: Sequence[int], p: float, like: Tensor) -> Tensor:
    """What to multiply with: 0 with probability p, else 1 / (1 - p); dtype and device are those of `like`."""
    seed = int(torch.randint(1 << 62, ()))
    count = prod(shape)
    bits = torch.from_numpy(_drawn(seed, -(-count // 4)).view(np.int16))[:count].view(*shape)
    dropped = min(round(p * _VALUES), _VALUES - 1)
    kept = (bits >= dropped - _VALUES // 2).to(like.dtype)
    return kept.mul_(_VALUES / (_VALUES - dropped)).to(like.device)


def _drawn(seed: int, words: int) -> npt.NDArray[np.uint64]:
    """So many random words, drawn on all of torch's threads."""
    sizes = [min(_PART, words - begin) for begin in range(0, words, _PART)]
    if len(sizes) == 1:
        return _part(seed, 0, words)
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:  # numpy lets go of the interpreter while it draws
        return np.concatenate(list(threads.map(_part, repeat(seed), range(len(sizes)), sizes)))


def _part(seed: int, number: int, words: int) -> npt.NDArray[np.uint64]:
    generator = np.random.Generator(np.random.SFC64([seed, number]))
    return generator.integers(0, 1 << 64, words, dtype=np.uint64)


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
