"""Dropout with cheap numbers has the gradient of what it left."""

from __future__ import annotations

import torch
from torch import nn

from ftstudio_kit import dropout
from ftstudio_kit.dropout import _Dropout
from ftstudio_kit.function import applied


def test_the_gradient_of_dropout_is_that_of_the_same_mask() -> None:
    model = nn.Sequential(nn.Dropout(0.3)).train()
    dropout.cheapen(model)
    torch.manual_seed(1)
    x = torch.rand(50, 40).add(0.5).requires_grad_()
    weight = torch.randn(50, 40)
    out = model(x)
    (gradient,) = torch.autograd.grad(out, x, weight)
    kept = out.detach() != 0
    assert 0.6 < kept.float().mean() < 0.8
    assert "_Dropout" in str(out.grad_fn), "these are the cheap numbers"
    assert torch.equal(gradient != 0, kept & (weight != 0))
    assert torch.allclose(gradient, weight * out.detach() / x.detach())


def test_the_gradient_of_dropout_agrees_with_small_steps() -> None:
    torch.manual_seed(2)
    x, weight, direction = torch.randn(3, 30, 20, dtype=torch.float64).unbind()

    def out(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        return applied(_Dropout, x, 0.5)

    x.requires_grad_()
    (gradient,) = torch.autograd.grad(out(x), x, weight)
    along = ((out(x + 1e-6 * direction) - out(x - 1e-6 * direction)) / 2e-6 * weight).sum()
    assert torch.isclose(along, (gradient * direction).sum(), rtol=1e-6)


def test_nothing_is_dropped_while_a_model_is_judged() -> None:
    model = nn.Sequential(nn.Dropout(0.3)).eval()
    dropout.cheapen(model)
    x = torch.randn(5, 4)
    assert model(x) is x
