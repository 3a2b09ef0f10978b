"""What torch has without types, or for few: its autograd functions, and what oneDNN does for it on a CPU."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor


def applied(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    """The function's result, one tensor."""
    return cast("Tensor", function.apply(*arguments))  # type: ignore[no-untyped-call]


@lru_cache(maxsize=1)
def has_onednn() -> bool:
    """Whether oneDNN is there, computes in bfloat16 here, and has what torch keeps for its compiler: a linear layer."""
    operations = torch.ops.mkldnn
    return (
        torch._C._has_mkldnn
        and all(hasattr(operations, name) for name in ("_linear_pointwise", "_is_mkldnn_bf16_supported"))
        and bool(operations._is_mkldnn_bf16_supported())
    )


def fused_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A product of x (..., in) and a weight (out, in), plus a bias (out,): on a CPU in bfloat16 in one go.

    torch itself first writes the bias over the whole result, and has the product added to it. The bits are the same.
    """
    if x.dtype == torch.bfloat16 and x.device.type == "cpu" and has_onednn():
        bias = None if bias is None else bias.contiguous()  # it looks at no strides of this one
        return cast("Tensor", torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""))
    return F.linear(x, weight, bias)


def transposed(x: Tensor) -> Tensor:
    """A matrix (M, N) as a contiguous one (N, M).

    torch turns bfloat16 with one thread: 2.3 ms for 1,024 x 3,072, where oneDNN takes 0.5. It makes 0 of subnormals.
    """
    if x.dtype == torch.bfloat16 and x.device.type == "cpu" and has_onednn():
        return x.to_mkldnn().transpose(0, 1).to_dense()
    return x.t().contiguous()
