"""Linear layers that write text fast on a CPU: their matrices in bfloat16, laid out once as its products want them.

A token is written from one row, so its time is that of reading every matrix once: half the bytes are half the time.
As they come, bfloat16 products of few rows lay out their matrix anew each time, which takes longer than the product.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ftstudio_kit import gelu
from ftstudio_kit.function import fused_linear, has_onednn


def pack(model: nn.Module) -> None:
    """Give each linear layer a forward for inference, with a copy of its matrix. Its weights stay as they are, and
    what comes out has the dtype of what went in. A model whose torch cannot lay out matrices keeps its own forwards.

    GPT-2's GELU becomes torch's, one operation instead of eight: a token is many small ones.
    """
    if not has_onednn():
        return
    packed: dict[nn.Parameter, Tensor] = {}  # two layers may share one
    layer: Any
    for layer in model.modules():
        if type(layer) in {nn.Linear, Conv1D}:
            if layer.weight not in packed:
                packed[layer.weight] = _laid_out(layer)
            bias = None if layer.bias is None else layer.bias.detach().to(torch.bfloat16)
            layer.forward = partial(_forward, packed[layer.weight], bias)
    gelu.fuse(model)


@torch.no_grad()
def _laid_out(layer: Any) -> Tensor:
    weight = layer.weight.t() if type(layer) is Conv1D else layer.weight
    matrix = weight.to(torch.bfloat16).contiguous()  # (out, in)
    laid_out: Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix, 1)
    return laid_out


def _forward(matrix: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    return fused_linear(x.to(torch.bfloat16), matrix, bias).to(x.dtype)
