"""GELU in one go with its slope is GELU."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from ftstudio_kit import gelu


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("values", [7, 100, 1000])
def test_gelu_and_its_slope_are_those_of_its_formula(
    dtype: torch.dtype, values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one part, in parts that come out even, and in some that do not; far out, where it is a line or nothing."""
    monkeypatch.setattr(gelu, "_VALUES", values)
    layer = nn.Sequential(nn.GELU(approximate="tanh"))
    gelu.hasten(layer)
    x = torch.cat([torch.linspace(-9, 9, 295), torch.tensor([-1e4, -60.0, 0.0, 60.0, 1e4])]).view(3, 100).to(dtype)
    x.requires_grad_()
    exact = x.detach().double().requires_grad_()
    found, expected = layer(x), F.gelu(exact, approximate="tanh")
    assert torch.equal(x.detach().double(), exact.detach()), "what goes in stays"
    weight = torch.linspace(-2, 2, 300).view(3, 100).to(dtype)
    (slope,) = torch.autograd.grad((found * weight).sum(), x)
    (own,) = torch.autograd.grad((expected * weight).sum(), exact)
    near = 1e-2 if dtype == torch.bfloat16 else 1e-5
    assert torch.allclose(found.double(), expected, rtol=near, atol=near / 10)
    assert torch.allclose(slope.double(), own, rtol=near, atol=near)
