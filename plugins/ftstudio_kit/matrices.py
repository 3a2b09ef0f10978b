"""Layers that multiply with copies of their matrices, and add the gradients into float32 memory that stays.

In bfloat16, autocast computes the same, but casts every weight in every forward pass, and makes every gradient twice:
in bfloat16, and again in float32. Here a copy is made once an optimizer step (`refresh`), and a gradient is added to
the float32 one as it comes. Memory that is asked for anew costs a CPU as much time as what is done in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.pytorch_utils import Conv1D

from ftstudio_kit.function import applied, fused_linear, transposed

COLUMNS = 1 << 14
"""Of a product at once."""
LARGE = 1 << 20
"""Numbers of a gradient from which on it pays to turn what it is made of."""
FEW = 32
"""Rows whose gradient of a matrix is multiplied in float32: then that takes less than to copy it out of bfloat16."""


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """A (M, K) times b (K, N), plus a bias (N,), in parts where oneDNN is slow with the whole.

    In bfloat16 it leaves a small product to one thread, but two halves of it to all: 1,024 x 3,072 x 768 take 4.4 ms
    on two cores, in halves 2.4. And logits of 50,257 columns take twice the time of their parts of 16,384.
    """
    rows, columns = len(a), b.shape[1]
    few = a.dtype == torch.bfloat16 and 512 < rows < 1536 and columns <= 1024
    if bias is not None and not few and columns <= COLUMNS:
        return fused_linear(a, b.t(), bias)
    result = a.new_empty(rows, columns)
    for down in (slice(0, rows // 2), slice(rows // 2, rows)) if few else (slice(0, rows),):
        for begin in range(0, columns, COLUMNS):
            across = slice(begin, begin + COLUMNS)
            if bias is None:
                torch.mm(a[down], b[:, across], out=result[down, across])
            else:
                torch.addmm(bias[across], a[down], b[:, across], out=result[down, across])
    return result


def gradient_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The norm of all of them together, as one number on their device."""
    if not gradients or gradients[0].device.type != "cpu":
        return torch.nn.utils.get_total_norm(gradients)
    # on a CPU, twice as fast as torch's norm, and nearer: its sum of 38 million squares is half a percent off
    squares = [torch.dot(flat, flat) for flat in (gradient.view(-1) for gradient in gradients)]
    return torch.stack(squares).sum().sqrt()


class Gradients:
    """Where gradients are added up: `parameter.grad`, in memory that is used again in the next step."""

    def __init__(self) -> None:
        self._spare: dict[nn.Parameter, Tensor] = {}
        self._own: set[nn.Parameter] = set()  # whose memory was asked for here: what autograd gives, it gives anew

    def add(self, parameter: nn.Parameter, gradient: Tensor) -> None:
        """Add a gradient of any dtype."""
        if parameter.grad is not None:
            parameter.grad.add_(gradient.to(parameter.dtype))  # dtypes mixed in one sum take twice the time
        else:
            self._begin(parameter).copy_(gradient)

    def add_product(self, parameter: nn.Parameter, left: Tensor, right: Tensor) -> None:
        """Add the product of left (M, I), transposed, and right (M, O)."""
        if len(left) > FEW and left.dtype != parameter.dtype:
            # a left side that lies across costs oneDNN half its pace: where it is narrow and the product large, turn it
            turn = 2 * left.shape[1] <= right.shape[1] and left.shape[1] * right.shape[1] >= LARGE
            self.add(parameter, (transposed(left) if turn else left.t()) @ right)
            return
        left, right = left.to(parameter.dtype), right.to(parameter.dtype)
        if parameter.grad is not None:
            parameter.grad.addmm_(left.t(), right)
        else:
            torch.mm(left.t(), right, out=self._begin(parameter))

    def _begin(self, parameter: nn.Parameter) -> Tensor:
        """The gradient of a parameter that has none, to be written over."""
        self._own.add(parameter)
        spare = self._spare.pop(parameter, None)
        parameter.grad = torch.empty_like(parameter) if spare is None else spare
        return parameter.grad

    def add_rows(self, parameter: nn.Parameter, rows: Tensor, gradient: Tensor) -> None:
        """Add `gradient` (N, D) to the rows (N,) of the parameter's."""
        if parameter.grad is None:
            self.add(parameter, torch.zeros((), dtype=parameter.dtype, device=parameter.device))
        cast("Tensor", parameter.grad).index_add_(0, rows, gradient.to(parameter.dtype))

    def clear(self, parameters: Iterable[nn.Parameter]) -> None:
        """Begin anew, as `optimizer.zero_grad()` does."""
        for parameter in parameters:
            if parameter.grad is not None and parameter in self._own:
                self._spare[parameter] = parameter.grad
            parameter.grad = None


class Matrices:
    """The copies, in `dtype`; in float32 the weights themselves. `refresh` after the weights have changed."""

    def __init__(
        self, model: nn.Module, dtype: torch.dtype, gradients: Gradients, but: Collection[nn.Module] = ()
    ) -> None:
        """Give each linear layer and embedding of the model, `but` some, a forward that goes through here."""
        self.dtype, self.gradients = dtype, gradients
        self._copies: dict[nn.Parameter, Tensor] = {}
        for layer in model.modules():
            if layer in but:
                continue
            if type(layer) in {nn.Linear, Conv1D}:
                matrix = self.of(cast("nn.Parameter", layer.weight))
                layer.forward = partial(_linear, layer, matrix, gradients)
            elif type(layer) is nn.Embedding and not (layer.max_norm or layer.sparse or layer.scale_grad_by_freq):
                layer.forward = partial(_embed, layer, gradients)  # type: ignore[method-assign]

    def of(self, weight: nn.Parameter) -> Tensor:
        """The copy of a weight, made at the first call."""
        if weight not in self._copies:
            self._copies[weight] = weight.detach().to(self.dtype)
        return self._copies[weight]

    def drop_frozen(self, but: nn.Parameter) -> None:
        """Keep the copy alone of weights that are not trained, except of `but`: the model then holds half of them."""
        for weight, copy in self._copies.items():
            if not weight.requires_grad and weight is not but:
                weight.data = copy

    def refresh(self) -> None:
        """Copy the weights that are trained."""
        if self.dtype == torch.float32:
            return
        with torch.no_grad():
            for weight, copy in self._copies.items():
                if weight.requires_grad:
                    copy.copy_(weight)


def _linear(layer: Any, matrix: Tensor, gradients: Gradients, x: Tensor) -> Tensor:
    return applied(_Linear, x, layer.weight, layer.bias, matrix, type(layer) is Conv1D, gradients)


def _embed(layer: nn.Embedding, gradients: Gradients, ids: Tensor) -> Tensor:
    return applied(_Embed, ids, layer.weight, layer.padding_idx, gradients)


class _Linear(torch.autograd.Function):
    """x (..., in) times a matrix (in, out) of a Conv1D, or (out, in) of an nn.Linear, plus the bias."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, matrix: Tensor, by_columns: bool, gradients: Gradients
    ) -> Tensor:
        flat = x.reshape(-1, x.shape[-1]).to(matrix.dtype)
        right = matrix if by_columns else matrix.t()
        out = product(flat, right, None if bias is None else bias.to(matrix.dtype))
        out.resize_(*x.shape[:-1], right.shape[1])  # not a view, which a model may not clamp in place
        ctx.save_for_backward(flat if weight.requires_grad else None, matrix)
        ctx.weight, ctx.bias, ctx.by_columns, ctx.gradients, ctx.shape = weight, bias, by_columns, gradients, x.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, None, None, None, None, None]:
        flat, matrix = ctx.saved_tensors
        out = gradient[0].reshape(-1, gradient[0].shape[-1]).to(matrix.dtype)
        if ctx.weight.requires_grad:
            ctx.gradients.add_product(ctx.weight, *((flat, out) if ctx.by_columns else (out, flat)))
        if ctx.bias is not None and ctx.bias.requires_grad:
            ctx.gradients.add(ctx.bias, out.sum(0))
        into = None
        if ctx.needs_input_grad[0]:
            into = product(out, matrix.t() if ctx.by_columns else matrix).view(ctx.shape)
        return into, None, None, None, None, None


class _Embed(torch.autograd.Function):
    """Rows of an embedding; the gradient is added to those rows alone, where autograd makes a whole matrix of zeros."""

    @staticmethod
    def forward(ctx: Any, ids: Tensor, weight: Tensor, padding: int | None, gradients: Gradients) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.weight, ctx.padding, ctx.gradients = weight, padding, gradients
        return F.embedding(ids, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradient: Tensor) -> tuple[None, None, None, None]:
        (ids,) = ctx.saved_tensors
        if ctx.weight.requires_grad:
            flat, rows = gradient[0].reshape(-1, gradient[0].shape[-1]), ids.reshape(-1)
            if ctx.padding is not None:
                kept = rows != ctx.padding
                flat, rows = flat[kept], rows[kept]
            ctx.gradients.add_rows(ctx.weight, rows, flat)
        return None, None, None, None
