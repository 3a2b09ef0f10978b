"""GELU by its tanh formula (GPT-2's "gelu_new"), in one go with its slope.

transformers' own takes eight passes over memory and keeps what each made; torch's fused one computes its bfloat16
tanh slowly, and once more for the gradient. Here the slope is kept in place of the input, so that the gradient is a
product; what is in between is float32 and stays in the cache.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.activations import NewGELUActivation

from ftstudio_kit.function import applied

_A = 2 * math.sqrt(2 / math.pi)
_B = 0.044715 * _A
_VALUES = 1 << 17
"""Values at a time: half a megabyte in float32."""


def hasten(model: nn.Module) -> None:
    """Let the model's GELU layers of this formula compute in this way."""
    for layer in model.modules():
        fused = type(layer) is nn.GELU and layer.approximate == "tanh"
        if fused or type(layer) is NewGELUActivation:
            layer.forward = _gelu


def fuse(model: nn.Module) -> None:
    """Let GPT-2's layers compute torch's, for inference: in float32 it is one quick operation instead of eight."""
    for layer in model.modules():
        if type(layer) is NewGELUActivation:
            layer.forward = partial(F.gelu, approximate="tanh")


def _gelu(x: Tensor) -> Tensor:
    return applied(_Gelu, x)


class _Gelu(torch.autograd.Function):
    """x s with s = sigmoid(x (a + b x^2)), which is x (1 + tanh(...)) / 2."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        out, slope = torch.empty_like(x), torch.empty_like(x)
        spare = torch.empty(4, min(_VALUES, x.numel()), dtype=torch.float32)  # for each part: it stays in the cache
        parts = (torch.split(y.view(-1), _VALUES) for y in (x, out, slope))
        for part, into, slope_into in zip(*parts, strict=True):
            exact, power, share, more = spare[:, : len(part)]
            exact.copy_(part)
            torch.mul(exact, exact, out=more)
            torch.mul(exact, _A, out=power).addcmul_(more, exact, value=_B)
            torch.sigmoid(power, out=share)
            into.copy_(torch.mul(exact, share, out=more))
            power.sub_(exact, alpha=2 * _A / 3)  # x (a + 3 b x^2) / 3
            torch.ops.aten.sigmoid_backward.grad_input(power, share, grad_input=more)
            slope_into.copy_(share.add_(more, alpha=3))
        ctx.save_for_backward(slope)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradient: Tensor) -> Tensor:
        slope: Tensor = ctx.saved_tensors[0]
        return gradient[0] * slope
