"""torch's autograd functions, called with types."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


def applied(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    """The function's result, one tensor."""
    return cast("Tensor", function.apply(*arguments))  # type: ignore[no-untyped-call]
