"""Layers with a LoRA adapter over them, as one product instead of three.

x W + s (x A) B is [x, x A] times W with s B beneath it. So what the adapter adds costs no pass over the layer's
output; and backwards the gradient of x A comes out of the same product as that of x.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.pytorch_utils import Conv1D

from ftstudio_kit.function import applied
from ftstudio_kit.matrices import Gradients, product

ROOM = 32
"""Rows beneath W are a multiple of this: processors multiply that many at a time."""


def fits(layer: Any) -> bool:
    """Whether it is a frozen linear layer with one plain adapter over it, without dropout."""
    if not hasattr(layer, "lora_A"):
        return False
    from peft.tuners.lora.layer import Linear  # noqa: PLC0415 - only where there are adapters

    if type(layer) is not Linear or layer.merged or len(layer.lora_A) != 1 or layer.lora_variant:
        return False
    (name,) = layer.lora_A
    base = layer.base_layer
    frozen = not any(p.requires_grad for p in base.parameters())
    plain = type(base) in {nn.Linear, Conv1D} and layer.lora_B[name].bias is None
    return plain and frozen and list(layer.active_adapters) == [name] and type(layer.lora_dropout[name]) is nn.Identity


class Joined:
    """W and s B in one matrix. The layer's own W becomes a part of it, in its dtype."""

    def __init__(self, layer: Any, dtype: torch.dtype, gradients: Gradients) -> None:
        (name,) = layer.lora_A
        base = layer.base_layer
        self.by_columns, self.bias, self.gradients = type(base) is Conv1D, base.bias, gradients
        self.down: nn.Parameter = layer.lora_A[name].weight  # (r, in)
        self.up: nn.Parameter = layer.lora_B[name].weight  # (out, r)
        self.scaling, self.rank = float(layer.scaling[name]), len(self.down)
        self.width = self.down.shape[1]
        rows, columns = self.width + -(-self.rank // ROOM) * ROOM, len(self.up)
        if self.by_columns:
            self.matrix = torch.zeros(rows, columns, dtype=dtype)
        else:
            self.matrix = torch.zeros(columns, rows, dtype=dtype).t()
        own = self.matrix[: self.width]
        own.copy_(base.weight.detach() if self.by_columns else base.weight.detach().t())
        self.first = self.down.detach().to(dtype, copy=True)
        self.refresh()
        self.weight, self.own = base.weight, own if self.by_columns else own.t()
        if dtype == base.weight.dtype:
            self.drop_own()  # the same numbers, held once
        layer.forward = partial(_forward, layer, self)

    def drop_own(self) -> None:
        """Let the layer hold this copy of its weights alone."""
        self.weight.data = self.own

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the adapter."""
        self.first.copy_(self.down)
        self.matrix[self.width : self.width + self.rank].copy_(self.up.t() * self.scaling)


def _forward(layer: Any, joined: Joined, x: Tensor, *arguments: Any, **named: Any) -> Tensor:
    if layer.disable_adapters or layer.merged or arguments or named:
        return type(layer).forward(layer, x, *arguments, **named)  # type: ignore[no-any-return]
    return applied(_Adapted, x, joined.down, joined.up, joined)


class _Adapted(torch.autograd.Function):
    """x (..., in) through a layer and its adapter."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, down: Tensor, up: Tensor, joined: Joined) -> Tensor:
        flat, width, rank = x.reshape(-1, x.shape[-1]), joined.width, joined.rank
        both = joined.matrix.new_empty(len(flat), len(joined.matrix))
        both[:, :width] = flat
        both[:, width : width + rank] = both[:, :width] @ joined.first.t()
        both[:, width + rank :] = 0
        out = product(both, joined.matrix, None if joined.bias is None else joined.bias.to(both.dtype))
        out.resize_(*x.shape[:-1], out.shape[1])  # not a view, which a model may not clamp in place
        ctx.save_for_backward(both)
        ctx.joined, ctx.shape = joined, x.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, None, None, None]:
        joined, (both,) = ctx.joined, ctx.saved_tensors
        width, rank, matrix = joined.width, joined.rank, joined.matrix
        out = gradient[0].reshape(-1, gradient[0].shape[-1]).to(both.dtype)
        needed = ctx.needs_input_grad[0]
        through = product(out, (matrix if needed else matrix[width:]).t())
        inner = through[:, -(len(matrix) - width) :][:, :rank]  # the gradient of x A
        joined.gradients.add(joined.up, (both[:, width : width + rank].t() @ out).t() * joined.scaling)
        joined.gradients.add(joined.down, inner.t() @ both[:, :width])
        into = torch.addmm(through[:, :width], inner, joined.first).view(ctx.shape) if needed else None
        return into, None, None, None
