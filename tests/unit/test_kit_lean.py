"""The fast way through a model gives the losses and gradients of the plain one, and is taken only where it does."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from tiny_models import VOCAB, config_of, toy_rows
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    Lfm2Config,
    MambaConfig,
    MistralConfig,
    OlmoConfig,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2MoeConfig,
)

from ftstudio_kit import attention, dropout, lean
from ftstudio_kit.batching import Batch, collate, join
from ftstudio_kit.bins import pack
from ftstudio_kit.function import applied
from ftstudio_kit.lean import Lean, Plain, Way, way_through
from ftstudio_kit.loading import recompute_activations
from ftstudio_kit.lora import LoraSettings, attach
from ftstudio_kit.token_rows import Rows

SMALL: dict[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 64, "bos_token_id": 256, "eos_token_id": 256,
    "pad_token_id": 256,
}  # fmt: skip
FAMILIES: dict[str, PreTrainedConfig] = {
    "olmo, clamped in place": OlmoConfig(**{**SMALL, "clip_qkv": 0.02}),
    "gpt2": config_of("gpt2", dropout=0.0),
    "llama": config_of("llama", dropout=0.0),
    "qwen2": config_of("qwen2", dropout=0.0),
    "mistral, window of 4": MistralConfig(**SMALL, sliding_window=4),
}


def model_of(config: PreTrainedConfig) -> PreTrainedModel:
    torch.manual_seed(1)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return model


def learnt(way: Way, model: Any, *batches: Batch) -> tuple[float, Tensor]:
    """The loss of a step over these batches, and the gradient of all parameters in one."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    way.clear(parameters)
    trained = sum(batch.trained for batch in batches)
    loss = sum(float(way.learn(batch, 1 / trained)) for batch in batches) / trained
    return loss, torch.cat([p.grad.flatten() for p in parameters])


def padded(rows: Rows) -> Batch:
    return collate(rows, [(i,) for i in range(len(rows))], 256)


def flat(rows: Rows) -> Batch:
    return join(rows, [(i,) for i in range(len(rows))])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("masked", [0, 2])
def test_rows_without_padding_have_the_loss_and_gradient_of_padded_ones(family: str, masked: int) -> None:
    rows = Rows.of(toy_rows(11, masked=masked))
    plain, fast = model_of(FAMILIES[family]), model_of(FAMILIES[family])
    way = way_through(fast, "cpu", bf16=False)
    assert isinstance(way, Lean)
    loss, gradient = learnt(Plain(plain, "cpu", bf16=False), plain, padded(rows))
    own_loss, own_gradient = learnt(way, fast, flat(rows))
    assert own_loss == pytest.approx(loss, abs=1e-5)
    assert torch.allclose(own_gradient, gradient, atol=1e-5)
    assert way.judge(flat(rows)).item() == pytest.approx(own_loss * flat(rows).trained, rel=1e-5)


def test_packed_rows_have_the_loss_of_rows_alone() -> None:
    rows = Rows.of(toy_rows(11))
    model = model_of(FAMILIES["gpt2"])
    way = way_through(model, "cpu", bf16=False)
    alone = [join(rows, [(i,)]) for i in range(11)]
    bins = [join(rows, [one]) for one in pack(rows.lengths, 40)]
    assert len(bins) < 11
    loss, gradient = learnt(way, model, *alone)
    packed_loss, packed_gradient = learnt(way, model, *bins)
    assert packed_loss == pytest.approx(loss, abs=1e-5)
    assert torch.allclose(packed_gradient, gradient, atol=1e-5)


def test_a_step_in_parts_has_the_loss_and_gradient_of_the_whole() -> None:
    rows = Rows.of(toy_rows(8))
    model = model_of(FAMILIES["gpt2"])
    way = way_through(model, "cpu", bf16=False)
    whole = learnt(way, model, flat(rows))
    parts = learnt(way, model, join(rows, [(0,), (1,), (2,)]), join(rows, [(i,) for i in range(3, 8)]))
    assert parts[0] == pytest.approx(whole[0], abs=1e-6)
    assert torch.allclose(parts[1], whole[1], atol=1e-6)


def test_a_token_that_was_all_but_impossible_has_a_finite_loss() -> None:
    rows = Rows.of(toy_rows(3))
    model, same = model_of(FAMILIES["llama"]), model_of(FAMILIES["llama"])
    for one in (model, same):
        with torch.no_grad():
            one.get_output_embeddings().weight.mul_(1000)
    loss, gradient = learnt(way_through(model, "cpu", bf16=False), model, flat(rows))
    plain, plain_gradient = learnt(Plain(same, "cpu", bf16=False), same, padded(rows))
    assert plain > 110, "each share is below what float32 can hold"
    assert loss == pytest.approx(plain, rel=1e-4)
    assert torch.allclose(gradient, plain_gradient, rtol=1e-3, atol=1e-3 * float(plain_gradient.abs().max()))


def test_the_head_may_be_all_that_is_trained() -> None:
    rows = Rows.of(toy_rows(3))
    model = model_of(FAMILIES["llama"])
    model.base_model.requires_grad_(False)
    loss, gradient = learnt(way_through(model, "cpu", bf16=False), model, flat(rows))
    assert loss > 0
    assert len(gradient) == model.get_output_embeddings().weight.numel()


def test_sizes_are_rounded_up_by_tokens_that_change_nothing() -> None:
    rows = Rows.of(toy_rows(5))
    batch = flat(rows)
    assert batch.tokens == sum(batch.lengths) == rows.lengths.sum()
    assert batch.input_ids.shape == batch.labels.shape == (1, -(-batch.tokens // 16) * 16)
    assert (batch.labels[0, batch.tokens :] == -100).all()


def test_logits_in_parts_are_those_of_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows.of(toy_rows(8))
    model = model_of(FAMILIES["gpt2"])
    way = way_through(model, "cpu", bf16=False)
    whole = learnt(way, model, flat(rows))
    monkeypatch.setattr(lean, "HEAD_TOKENS", 7)
    monkeypatch.setattr(lean, "SOFTMAX_BYTES", 3 * 4 * VOCAB)
    parts = learnt(way, model, flat(rows))
    assert parts[0] == pytest.approx(whole[0], abs=1e-6)
    assert torch.allclose(parts[1], whole[1], atol=1e-6)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_in_bfloat16_the_loss_stays_within_a_hundredth_of_float32s(family: str) -> None:
    rows = Rows.of(toy_rows(12))
    config = FAMILIES[family]
    plain, fast = model_of(config), model_of(config)
    ways = {plain: Plain(plain, "cpu", bf16=False), fast: way_through(fast, "cpu", bf16=True)}
    losses: dict[Any, list[float]] = {plain: [], fast: []}
    for model, way in ways.items():
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        for _ in range(30):
            losses[model].append(learnt(way, model, flat(rows) if way.flat else padded(rows))[0])
            optimizer.step()
            way.refresh()
    assert losses[fast] == pytest.approx(losses[plain], rel=1e-2)
    assert losses[fast][-1] < losses[fast][0] - 0.5


def test_the_copies_follow_the_weights() -> None:
    model = model_of(FAMILIES["gpt2"])
    way = way_through(model, "cpu", bf16=True)
    assert isinstance(way, Lean)
    weight = model.get_parameter("transformer.h.0.mlp.c_fc.weight")
    for p in (weight, way.head):
        assert way.matrices.of(p).dtype == torch.bfloat16
        with torch.no_grad():
            p.add_(1)
        assert not torch.equal(way.matrices.of(p), p.bfloat16())
    way.refresh()
    for p in (weight, way.head):
        assert torch.equal(way.matrices.of(p), p.bfloat16())


def test_gradients_of_bfloat16_are_added_up_in_float32() -> None:
    rows = Rows.of(toy_rows(6))
    model = model_of(FAMILIES["gpt2"])
    way = way_through(model, "cpu", bf16=True)
    once = learnt(way, model, flat(rows))[1]
    way.clear(model.parameters())
    for _ in range(300):  # in bfloat16 a sum stops growing at 256 of its parts
        way.learn(flat(rows), 1 / flat(rows).trained)
    many = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert torch.allclose(many, 300 * once, rtol=1e-3, atol=1e-4)


def test_the_memory_of_gradients_is_used_again_and_what_they_were_is_not() -> None:
    rows = Rows.of(toy_rows(6))
    model = model_of(FAMILIES["gpt2"])
    way = way_through(model, "cpu", bf16=True)
    first = learnt(way, model, flat(rows))
    weight = model.get_parameter("transformer.h.0.mlp.c_fc.weight")
    place = weight.grad.data_ptr()
    again = learnt(way, model, flat(rows))
    assert weight.grad.data_ptr() == place
    assert torch.equal(first[1], again[1])
    way.clear(model.parameters())
    assert all(p.grad is None for p in model.parameters())


def adapted(family: str, **settings: Any) -> PreTrainedModel:
    torch.manual_seed(2)
    model = attach(model_of(FAMILIES[family]), LoraSettings(rank=2, **settings))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_()
    return cast("PreTrainedModel", model)


@pytest.mark.parametrize("dropped", [0.0, 1e-30])
@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_adapters_learn_what_they_learn_on_the_plain_way_and_nothing_else_has_a_gradient(
    family: str, dropped: float
) -> None:
    rows = Rows.of(toy_rows(7))
    found = []
    for fast in (False, True):
        model = adapted(family, dropout=dropped)
        way = way_through(model, "cpu", bf16=False) if fast else Plain(model, "cpu", bf16=False)
        assert way.flat == fast
        assert not isinstance(way, Lean) or bool(way.joined) == (not dropped)
        gradients = []
        for _ in range(2):
            gradients.append(learnt(way, model, flat(rows) if fast else padded(rows))[1])
            assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
            torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()
            way.refresh()
        found.append(gradients)
    for plain, lean_ones in zip(*found, strict=True):
        assert torch.allclose(plain, lean_ones, rtol=1e-3, atol=1e-4)


def test_a_model_whose_adapters_are_off_is_the_one_beneath_them() -> None:
    model = adapted("qwen2")
    ids = flat(Rows.of(toy_rows(2))).input_ids
    own = model(ids).logits
    with model.disable_adapter():
        beneath = model(ids).logits
    assert isinstance(way_through(model, "cpu", bf16=False), Lean)
    assert torch.allclose(model(ids).logits, own, atol=1e-4)
    with model.disable_adapter():
        assert torch.allclose(model(ids).logits, beneath, atol=1e-4)


def test_of_weights_beneath_adapters_only_the_bfloat16_copy_is_kept() -> None:
    model = attach(model_of(FAMILIES["gpt2"]), LoraSettings(rank=2))
    way = way_through(model, "cpu", bf16=True)
    assert isinstance(way, Lean)
    kept = {name: p.dtype for name, p in model.named_parameters() if "c_fc" in name and name.endswith("weight")}
    assert {("lora" in name, dtype) for name, dtype in kept.items()} == {
        (False, torch.bfloat16),
        (True, torch.float32),
    }
    rows = Rows.of(toy_rows(7))
    loss, gradient = learnt(way, model, flat(rows))
    assert loss > 0
    assert gradient.abs().sum() > 0


def test_frozen_weights_of_a_model_that_is_saved_whole_stay_as_they_are() -> None:
    model = model_of(FAMILIES["gpt2"])
    model.get_parameter("transformer.h.0.mlp.c_fc.weight").requires_grad_(False)
    assert isinstance(way_through(model, "cpu", bf16=True), Lean)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


# ------------------------------------------------------------------------------------------- dropout


def test_dropout_leaves_out_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(3)
    kept = dropout.keep((1000, 1000), 0.1, torch.zeros(()))
    assert (kept == 0).float().mean().item() == pytest.approx(0.1, abs=1e-3)
    assert kept.mean().item() == pytest.approx(1.0, abs=1e-3)
    assert kept.unique().tolist() == pytest.approx([0, 1 / 0.9], rel=1e-4)


def test_a_large_mask_follows_the_seed_whatever_the_threads_and_leaves_none_running() -> None:
    before, found = threading.active_count(), []
    threads = torch.get_num_threads()
    for number in (1, 2):
        torch.set_num_threads(number)
        torch.manual_seed(5)
        found.append(dropout.keep((3, 1 << 20), 0.5, torch.zeros(())))
    torch.set_num_threads(threads)
    assert torch.equal(*found)
    assert len({row.sum().item() for row in found[0]}) == 3, "each part has numbers of its own"
    assert threading.active_count() == before


def test_dropout_follows_torchs_seed() -> None:
    def drawn() -> list[Tensor]:
        return [dropout.keep((50,), 0.5, torch.zeros(())) for _ in range(2)]

    torch.manual_seed(4)
    first = drawn()
    torch.manual_seed(4)
    again = drawn()
    assert torch.equal(torch.stack(first), torch.stack(again))
    assert not torch.equal(*first)


@pytest.mark.parametrize("lengths", [(6, 6), (6, 3, 2, 6)])
def test_attention_with_dropout_is_attention_where_nothing_is_dropped(
    lengths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "keep", lambda shape, p, like: torch.ones(*shape, dtype=like.dtype))
    rows = Rows.of(toy_rows(len(lengths)))
    results = []
    for p in (0.0, 0.1):
        config = config_of("gpt2", dropout=0.0)
        config.attn_pdrop = p
        model = model_of(config).train()
        results.append(learnt(way_through(model, "cpu", bf16=False), model, flat(rows)))
    assert results[0][0] == pytest.approx(results[1][0], abs=1e-6)
    assert torch.allclose(results[0][1], results[1][1], atol=1e-6)


def test_a_forward_pass_that_is_repeated_for_its_gradient_draws_the_same() -> None:
    rows = Rows.of(toy_rows(6))
    results = []
    for repeated in (False, True):
        model = model_of(config_of("gpt2", dropout=0.3)).train()
        if repeated:
            recompute_activations(model)
        way = way_through(model, "cpu", bf16=False)
        torch.manual_seed(5)
        results.append(learnt(way, model, flat(rows)))
    assert results[0][0] == pytest.approx(results[1][0], abs=1e-6)
    assert torch.allclose(results[0][1], results[1][1], atol=1e-6)


# ------------------------------------------------------------------------------------ which way is taken


@pytest.mark.parametrize(
    "config",
    [
        MambaConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=1),
        Lfm2Config(**SMALL, layer_types=["conv", "full_attention"]),
        Qwen2MoeConfig(
            **SMALL, sliding_window=4, use_sliding_window=True, layer_types=["sliding_attention", "full_attention"],
            num_experts=2, num_experts_per_tok=1, moe_intermediate_size=16, shared_expert_intermediate_size=16,
        ),
        CohereConfig(**SMALL, logit_scale=0.5),
        Gemma2Config(**SMALL, query_pre_attn_scalar=16),
        Gemma2Config(**SMALL, query_pre_attn_scalar=16, attn_logit_softcapping=None),
        PhiConfig(**SMALL),
    ],
    ids=[
        "a state from token to token", "a convolution over tokens", "a window in the mask alone", "scaled logits",
        "capped scores", "capped logits", "a head with a bias",
    ],
)  # fmt: skip
def test_a_model_that_computes_otherwise_goes_the_plain_way_unchanged(config: PreTrainedConfig) -> None:
    model, same = model_of(config).eval(), model_of(config).eval()
    way = way_through(model, "cpu", bf16=True)
    assert isinstance(way, Plain)
    ids = torch.arange(9)[None]
    assert torch.equal(model(input_ids=ids).logits, same(input_ids=ids).logits)
    assert not any("forward" in vars(layer) for layer in model.modules())


def test_a_compiled_model_and_one_on_a_gpu_go_the_plain_way() -> None:
    model = model_of(FAMILIES["gpt2"])
    assert isinstance(way_through(model, "cpu", bf16=False, compiled=True), Plain)
    assert isinstance(way_through(model, "cuda:0", bf16=False), Plain)


def test_rows_of_like_length_are_attended_together() -> None:
    lengths = [10, 3, 12, 10, 4, 3]
    layout = attention.Layout.of(lengths, sum(lengths))
    assert [(group.count, group.length) for group in layout.groups] == [(2, 3), (1, 4), (3, 12)]
    assert sorted(layout.order.tolist()) == list(range(sum(lengths)))
    assert layout.order[:3].tolist() == [10, 11, 12], "the first of the shortest rows"
    assert attention.Layout.of([4, 4], 8).order is None
    assert attention.Layout.of([4, 4], 16).order.tolist() == list(range(8)), "what is behind the rows is left out"


# ------------------------------------------------------------------------------------------- attention


@pytest.mark.parametrize("window", [None, 100])
@pytest.mark.parametrize("length", [200, 300])
def test_long_rows_are_attended_band_by_band_as_if_at_once(length: int, window: int | None) -> None:
    torch.manual_seed(6)
    shape = 2, 2, length, 8
    q, k, v = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(3))
    weight = torch.randn(shape, dtype=torch.float64)
    behind = torch.arange(length)[:, None] - torch.arange(length)
    seen = (behind >= 0) & (behind < (window or length))
    outputs = (
        applied(attention._Attention, q, k, v, 0.5, window, 0.0),
        F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=0.5),
    )
    found = [[out, *torch.autograd.grad(out, (q, k, v), weight)] for out in outputs]
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12)


def test_the_gradient_of_attention_with_dropout_is_that_of_the_same_mask() -> None:
    torch.manual_seed(7)
    q, k, v, weight, direction = torch.randn(5, 1, 2, 200, 8, dtype=torch.float64).unbind()

    def out(q: Tensor) -> Tensor:
        torch.manual_seed(8)
        return applied(attention._Attention, q, k, v, 0.5, None, 0.3)

    q.requires_grad_()
    (gradient,) = torch.autograd.grad(out(q), q, weight)
    along = ((out(q + 1e-6 * direction) - out(q - 1e-6 * direction)) / 2e-6 * weight).sum()
    assert torch.isclose(along, (gradient * direction).sum(), rtol=1e-6)
