"""Products in parts are products; what copies replace, what stays as it was, and what is left in the model's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from test_kit_lean import FAMILIES, adapted, flat, learnt, model_of
from test_kit_tools import share_in
from tiny_models import save_model, toy_data, toy_rows
from torch import Tensor, nn

from ftstudio.testing import FakeRun
from ftstudio_kit import function, lean, matrices
from ftstudio_kit.function import has_onednn
from ftstudio_kit.lean import Lean, way_through
from ftstudio_kit.lora import LoraSettings
from ftstudio_kit.loss import IGNORE
from ftstudio_kit.matrices import Gradients, Matrices, product
from ftstudio_kit.token_rows import Rows
from ftstudio_kit.training import open_for_training

# ------------------------------------------------------------------------------------------- products


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 512, 513, 1024, 1535, 1536])
@pytest.mark.parametrize("biased", [False, True])
def test_a_product_in_halves_of_its_rows_is_the_whole_product(dtype: torch.dtype, rows: int, biased: bool) -> None:
    assert_it_is_the_product(rows, 24, dtype, biased=biased)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("columns", [99, 100, 101, 200, 345])
@pytest.mark.parametrize("biased", [False, True])
def test_a_product_in_parts_of_its_columns_is_the_whole_product(
    dtype: torch.dtype, columns: int, biased: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrices, "COLUMNS", 100)
    assert_it_is_the_product(7, columns, dtype, biased=biased)
    assert_it_is_the_product(601, columns, dtype, biased=biased)


def assert_it_is_the_product(rows: int, columns: int, dtype: torch.dtype, *, biased: bool) -> None:
    """Of small whole numbers, which each dtype holds as they are."""
    torch.manual_seed(1)
    a, b, bias = (torch.randint(-3, 4, shape).to(dtype) for shape in ((rows, 5), (5, columns), (columns,)))
    expected = (a.double() @ b.double() + (bias.double() if biased else 0)).to(dtype)
    for right in (b, b.t().contiguous().t()):
        assert torch.equal(product(a, right, bias if biased else None), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, matrices.FEW, matrices.FEW + 1, 200])
def test_gradients_of_a_matrix_are_added_up_in_float32(dtype: torch.dtype, rows: int) -> None:
    """Of small whole numbers, which each dtype holds as they are; the memory of the step before is written over."""
    torch.manual_seed(3)
    weight, gradients = nn.Parameter(torch.zeros(5, 7)), Gradients()
    for _ in range(2):
        left, right = torch.randint(-1, 2, (rows, 5)).to(dtype), torch.randint(-1, 2, (rows, 7)).to(dtype)
        once = left.double().t() @ right.double()
        for times in (1, 2, 3):
            gradients.add_product(weight, left, right)
            assert weight.grad is not None
            assert weight.grad.dtype == torch.float32
            assert torch.equal(weight.grad.double(), times * once)
        gradients.clear([weight])
        assert weight.grad is None


@pytest.mark.parametrize(("columns", "turned"), [(5, 0), (9, 0), (10, 1), (40, 1)])
def test_a_gradient_is_the_same_whether_its_left_side_is_turned(
    columns: int, turned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Tensor] = []
    monkeypatch.setattr(matrices, "LARGE", 45)
    monkeypatch.setattr(matrices, "transposed", lambda x: asked.append(x) or function.transposed(x))
    torch.manual_seed(4)
    weight, gradients = nn.Parameter(torch.zeros(5, columns)), Gradients()
    left, right = torch.randint(-1, 2, (200, 5)).bfloat16(), torch.randint(-1, 2, (200, columns)).bfloat16()
    gradients.add_product(weight, left, right)
    assert weight.grad is not None
    assert torch.equal(weight.grad, left.float().t() @ right.float())
    assert len(asked) == turned
    small = nn.Parameter(torch.zeros(2, 4))
    gradients.add_product(small, left[:, :2], right[:, :4])
    assert len(asked) == turned, "it pays for large ones alone"


@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_onednn_does_is_what_torch_does(onednn: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function, "has_onednn", lambda: onednn and has_onednn())
    torch.manual_seed(5)
    x, weight, bias = (torch.randn(shape).to(dtype) for shape in ((3, 20, 8), (17, 8), (17,)))
    for matrix in (weight, weight.t().contiguous().t()):
        for more in (bias, None):
            assert torch.equal(function.fused_linear(x, matrix, more), F.linear(x, weight, more))
        for strided in (bias[:1].expand(17), torch.stack([bias, -bias], 1)[:, 0]):
            exact = F.linear(x.float(), weight.float(), strided.float())
            assert torch.allclose(function.fused_linear(x, matrix, strided).float(), exact, atol=0.07)
    for matrix in (x[0], x[0].t(), x[:, 3], x[:0, 0], x[0, :1]):
        turned = function.transposed(matrix)
        assert torch.equal(turned, matrix.t())
        assert turned.is_contiguous()


def test_a_gradient_of_few_rows_is_not_rounded_to_bfloat16() -> None:
    weight, gradients = nn.Parameter(torch.zeros(1, 1)), Gradients()
    gradients.add_product(weight, torch.tensor([[256.0], [1.0]]).bfloat16(), torch.ones(2, 1).bfloat16())
    assert weight.grad == 257  # in bfloat16 256


def test_logits_of_a_vocabulary_in_parts_are_those_of_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows.of(toy_rows(4))
    model = model_of(FAMILIES["llama"])
    way = way_through(model, "cpu", bf16=False)
    whole = learnt(way, model, flat(rows))
    monkeypatch.setattr(matrices, "COLUMNS", 60)
    parts = learnt(way, model, flat(rows))
    assert parts[0] == pytest.approx(whole[0], abs=1e-6)
    assert torch.allclose(parts[1], whole[1], atol=1e-6)


# -------------------------------------------------------------------------------------- the loss's gradient


def test_the_loss_of_bfloat16_logits_and_its_gradient_are_made_in_float32() -> None:
    """A token that is all but sure has a share of 1 in bfloat16, and would have neither a loss nor a gradient."""
    torch.manual_seed(2)
    logits = torch.randn(6, 50).bfloat16()
    targets = torch.tensor([3, 7, IGNORE, 49, 0, 20])
    logits[torch.arange(6), targets.clamp(min=0)] += 12
    exact = logits.float().requires_grad_()
    loss = F.cross_entropy(exact, targets, ignore_index=IGNORE, reduction="sum")
    (expected,) = torch.autograd.grad(loss * 0.5, exact)
    assert 0 < loss < 0.01
    assert torch.allclose(lean._become_gradient(logits, targets, 0.5), loss, rtol=1e-3)
    assert torch.allclose(logits.float(), expected, rtol=1e-2, atol=1e-9)


# ---------------------------------------------------------------------------------------------- embeddings


@pytest.mark.parametrize("padding", [None, 3])
def test_the_gradient_of_an_embedding_is_torchs_own_and_padding_has_none(padding: int | None) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Embedding(10, 4, padding_idx=padding))
    ids, weight = torch.tensor([[3, 1, 3, 9, 1, 0]]), torch.randn(1, 6, 4)
    parameter = next(model.parameters())
    (expected,) = torch.autograd.grad((model(ids) * weight).sum(), parameter)
    copies = Matrices(model, torch.float32, Gradients())
    (model(ids) * weight).sum().backward()
    assert copies.gradients._own == {parameter}, "it went through here"
    assert parameter.grad is not None
    assert torch.allclose(parameter.grad, expected)
    assert bool(parameter.grad[3].any()) == (padding is None)


@pytest.mark.parametrize("special", [{"max_norm": 0.5}, {"sparse": True}, {"scale_grad_by_freq": True}])
def test_an_embedding_that_does_more_than_look_up_stays_torchs_own(special: dict[str, Any]) -> None:
    found = []
    for copied in (False, True):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Embedding(10, 4, **special))
        if copied:
            Matrices(model, torch.float32, Gradients())
        rows = model(torch.tensor([[3, 1, 3, 9, 3, 0]]))
        (rows * torch.arange(24.0).view(1, 6, 4)).sum().backward()
        parameter = next(model.parameters())
        assert parameter.grad is not None
        found.append([parameter.grad.is_sparse, rows.tolist(), parameter.tolist(), parameter.grad.to_dense().tolist()])
    assert found[0] == found[1]


# ------------------------------------------------------------------------------- what is held, and where


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_beneath_adapters_the_head_stays_what_it_was_and_tied_to_its_embeddings(family: str) -> None:
    model: Any = adapted(family)
    head = model.get_output_embeddings().weight
    before = head.detach().clone()
    tied = model.get_input_embeddings().weight is head
    assert tied == (family == "gpt2")
    way = way_through(model, "cpu", bf16=True)
    assert isinstance(way, Lean)
    assert model.get_output_embeddings().weight is head is way.head
    assert head.dtype == torch.float32
    assert torch.equal(head, before)
    assert (model.get_input_embeddings().weight is head) == tied


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what lies where in memory")
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_beneath_adapters_in_bfloat16_no_weight_is_a_page_of_its_file(tmp_path: Path, family: str) -> None:
    source = save_model(tmp_path / "model", family)
    data = toy_data(tmp_path, 2)
    model, _ = open_for_training(source, data, FakeRun(tmp_path / "run"), dropout=None, settings=LoraSettings(rank=2))
    file = source.path / "model.safetensors"
    assert share_in(file, model) > 0  # else there would be nothing to leave
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    assert isinstance(way_through(model, "cpu", bf16=True), Lean)
    assert share_in(file, model) == 0
    assert all(torch.equal(p, before[name].to(p.dtype)) for name, p in model.named_parameters())


@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_embeddings_that_are_tied_stay_so_while_they_are_trained(tmp_path: Path, family: str) -> None:
    source = save_model(tmp_path / "model", family)
    opened, _ = open_for_training(source, toy_data(tmp_path, 2), FakeRun(tmp_path / "run"), dropout=None, settings=None)
    model: Any = opened
    way = way_through(model, "cpu", bf16=True)
    assert isinstance(way, Lean)
    learnt(way, model, flat(Rows.of(toy_rows(2))))
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    weights: list[Tensor] = [model.get_input_embeddings().weight, model.get_output_embeddings().weight]
    assert weights[0] is weights[1] is way.head
    assert weights[0].data_ptr() == weights[1].data_ptr()
