"""Loading, adapters, saved state, random numbers, precision and memory of the kit."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import VOCAB, config_of, save_model, save_tokenizer, toy_data
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, Mamba2Config, MambaConfig

from ftstudio.api import Checkpoint, ComponentError, ModelRef
from ftstudio.testing import FakeRun
from ftstudio_kit import lora, memory, precision, rng, state
from ftstudio_kit.loading import (
    align_special_tokens,
    context_of,
    embedding_rows,
    load_model,
    load_tokenizer,
    looks_ahead,
    set_dropout,
)
from ftstudio_kit.loss import perplexity, shift_labels, summed_loss
from ftstudio_kit.training import open_for_training
from ftstudio_trainers.common import decay_groups

# ---------------------------------------------------------------------------------------------- loading


def test_a_float16_folder_arrives_as_float32_masters(tmp_path: Path) -> None:
    model = load_model(save_model(tmp_path, dtype=torch.float16))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not model.training


def pages_of(file: Path) -> list[range]:
    """The addresses at which a file lies in the memory of this process."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(f" {file.resolve()}"):
            start, end = line.split(maxsplit=1)[0].split("-")
            found.append(range(int(start, 16), int(end, 16)))
    return found


def share_in(file: Path, model: nn.Module) -> float:
    """The share of a model's parameters whose numbers are pages of a file, 0 to 1."""
    pages, parameters = pages_of(file), list(model.parameters())
    return sum(any(p.data_ptr() in some for some in pages) for p in parameters) / len(parameters)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what lies where in memory")
def test_weights_that_are_to_be_trained_are_pages_of_their_file_no_more(tmp_path: Path) -> None:
    source = save_model(tmp_path / "model")
    file = source.path / "model.safetensors"
    loaded = load_model(source)
    assert share_in(file, loaded) == 1  # else there would be nothing to leave
    model, _ = open_for_training(source, toy_data(tmp_path, 2), FakeRun(tmp_path / "run"), dropout=None, settings=None)
    assert share_in(file, model) == 0
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), loaded.parameters(), strict=True))


def test_a_model_without_weights_comes_from_the_seed_alone(tmp_path: Path) -> None:
    path = save_model(tmp_path).path
    (path / "model.safetensors").unlink()
    source = ModelRef(path, weights=False, name="scratch")
    one, same, other = (load_model(source, seed=seed, vocab_size=100).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["transformer.wte.weight"], other["transformer.wte.weight"])
    assert one["transformer.wte.weight"].shape[0] == 100


def test_weights_are_pickles_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    path = save_model(tmp_path).path
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    with pytest.raises(ComponentError):
        load_model(ModelRef(path, weights=True, name="pickled"))


BERT = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def test_a_weight_that_is_not_in_the_files_is_never_a_random_one(tmp_path: Path) -> None:
    path = save_model(tmp_path).path
    weights = load_file(path / "model.safetensors")
    del weights["transformer.h.0.mlp.c_fc.weight"]
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ComponentError, match=r"lack 'transformer\.h\.0\.mlp\.c_fc\.weight' of GPT2LMHeadModel"):
        load_model(ModelRef(path, weights=True, name="holed"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_weight_that_is_no_number_is_named(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    path = save_model(tmp_path, dtype=dtype).path
    weights = load_file(path / "model.safetensors")
    weights["transformer.h.0.mlp.c_fc.weight"][3, 4] = value
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    for wanted in (torch.float32, dtype):
        with pytest.raises(ComponentError, match=r"NaN or infinity\) in 'transformer\.h\.0\.mlp\.c_fc\.weight'"):
            load_model(ModelRef(path, weights=True, name="burnt"), dtype=wanted)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"n_embd": 64}, "have other shapes than its config.json says"),
        (BERT, "lack 'bert.*' and .* more of BertLMHeadModel"),
    ],
)
def test_weights_of_another_config_are_refused(tmp_path: Path, config: dict[str, Any], sentence: str) -> None:
    path = save_model(tmp_path).path
    table = json.loads((path / "config.json").read_text("utf-8"))
    (path / "config.json").write_text(json.dumps(table | config), "utf-8")
    with pytest.raises(ComponentError, match=sentence):
        load_model(ModelRef(path, weights=True, name="mixed up"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="wants a machine without CUDA")
def test_a_device_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match="There is no device cuda:0 here"):
        load_model(save_model(tmp_path), device="cuda:0")
    assert not precision.has_bf16("cuda:0")


def test_dropout_is_replaced_wherever_a_config_has_it() -> None:
    config = config_of("gpt2", dropout=0.1)
    assert set_dropout(config, 0.3) >= 3
    assert (config.attn_pdrop, config.resid_pdrop, config.embd_pdrop) == (0.3, 0.3, 0.3)
    llama = config_of("llama")
    set_dropout(llama, 0.0)
    assert llama.attention_dropout == 0.0


def test_a_model_says_its_context_and_its_embeddings(tmp_path: Path) -> None:
    model = load_model(save_model(tmp_path))
    assert (context_of(model), embedding_rows(model)) == (64, VOCAB)


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match=f"The tokenizer in {tmp_path.name} could not be opened"):
        load_tokenizer(tmp_path)


def test_special_tokens_become_the_tokenizers_and_a_list_that_holds_them_stays(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(save_tokenizer(tmp_path / "t"))
    model = AutoModelForCausalLM.from_config(GPT2Config(n_embd=8, n_head=1, n_layer=1, vocab_size=300, eos_token_id=7))
    model.generation_config.eos_token_id = [7, 256]
    align_special_tokens(model, tokenizer)
    assert (model.config.eos_token_id, model.config.pad_token_id) == (256, 256)
    assert model.generation_config.eos_token_id == [7, 256]


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2"])
def test_a_causal_model_does_not_look_ahead(tmp_path: Path, family: str) -> None:
    model = load_model(save_model(tmp_path, family))
    assert not looks_ahead(model.train())
    assert model.training


def test_a_model_of_two_positions_is_looked_at_too() -> None:
    small = GPT2Config(n_positions=2, n_embd=8, n_layer=1, n_head=1, vocab_size=3)
    assert not looks_ahead(AutoModelForCausalLM.from_config(small))


# ------------------------------------------------------------------------------------------------- lora


@pytest.mark.parametrize(
    ("family", "targets"),
    [
        ("gpt2", ["c_attn", "c_fc", "c_proj"]),
        ("llama", ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]),
        ("qwen2", ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]),
    ],
)
def test_all_linear_layers_but_the_head_are_found(tmp_path: Path, family: str, targets: list[str]) -> None:
    model = load_model(save_model(tmp_path, family))
    assert lora.find_targets(model) == targets
    adapted = lora.attach(model, lora.LoraSettings(2))
    assert adapted.peft_config["default"].fan_in_fan_out == (family == "gpt2")
    trainable = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert all("lora_" in name for name in trainable)
    assert not any("lm_head" in name for name in trainable)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("config", [MambaConfig, Mamba2Config])
def test_a_state_space_model_gets_adapters_where_they_are_read(config: type[MambaConfig | Mamba2Config]) -> None:
    more = {"num_heads": 4, "head_dim": 16, "n_groups": 1} if config is Mamba2Config else {}
    small = config(hidden_size=32, num_hidden_layers=1, state_size=4, vocab_size=VOCAB, expand=2, **more)
    model = AutoModelForCausalLM.from_config(small)
    adapted = lora.attach(model, lora.LoraSettings(2))
    ids = torch.arange(12)[None]
    adapted(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    reached = [bool(p.grad is not None and p.grad.any()) for n, p in adapted.named_parameters() if "lora_B" in n]
    assert reached
    assert all(reached)
    with pytest.raises(ComponentError, match="has no such layer to adapt") as caught:
        lora.find_targets(AutoModelForCausalLM.from_config(small), ["out_proj"])
    assert "It has " in caught.value.hint


def test_a_merged_adapter_computes_what_it_did_apart(tmp_path: Path) -> None:
    for family in ("gpt2", "llama"):
        source = save_model(tmp_path / family, family)
        adapted = lora.attach(load_model(source), lora.LoraSettings(4, alpha=32)).eval()
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.1)
        folder = tmp_path / f"{family}-adapter"
        folder.mkdir()
        lora.save_adapter(adapted, folder)
        opened = load_model(Checkpoint(folder, 1, base=source))
        ids = torch.tensor([[1, 2, 3, 4]])
        with torch.no_grad():
            expected = adapted(ids).logits
            assert torch.equal(opened(ids).logits, expected)
            assert torch.allclose(lora.merge(opened)(ids).logits, expected, atol=1e-4)


def test_an_adapter_of_another_kind_is_refused(tmp_path: Path) -> None:
    model = load_model(save_model(tmp_path / "m"))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "IA3"}))
    with pytest.raises(ComponentError, match="is of type 'IA3'"):
        lora.open_adapter(model, tmp_path)


# ------------------------------------------------------------------------------------------- rng, state


def draw() -> tuple[float, float, float, float]:
    return random.random(), random.gauss(0, 1), float(np.random.normal()), float(torch.randn(1))


def test_every_generator_goes_on_where_it_was_captured(tmp_path: Path) -> None:
    rng.seed_all(3)
    draw()
    save_file(rng.capture(), tmp_path / "rng.safetensors")
    expected = [draw() for _ in range(3)]
    rng.seed_all(9)
    rng.restore(load_file(tmp_path / "rng.safetensors"))
    assert [draw() for _ in range(3)] == expected


def test_what_is_drawn_inside_preserved_is_not_seen_outside() -> None:
    rng.seed_all(3)
    expected = draw()
    rng.seed_all(3)
    with rng.preserved():
        rng.seed_all(8)
        draw()
    assert draw() == expected


def stepped(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    for _ in range(2):
        model(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def test_a_saved_state_comes_back_without_a_pickle(tmp_path: Path) -> None:
    model, optimizer = stepped(1)
    saved = state.TrainerState("mine", step=7, tokens=9, loss_sum=0.1 + 0.2, best_metric=1 / 3, best_step=4)
    state.save(tmp_path, saved, optimizer, model)
    assert {p.name for p in tmp_path.iterdir()} == {"optimizer.safetensors", "rng.safetensors", "trainer_state.json"}
    assert state.load(tmp_path, "mine") == saved
    other_model, other = stepped(2)
    state.restore(tmp_path, other, other_model)
    for mine, theirs in zip(optimizer.state.values(), other.state.values(), strict=True):
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_a_state_that_does_not_fit_or_is_damaged_is_named(tmp_path: Path) -> None:
    model, optimizer = stepped(1)
    state.save(tmp_path, state.TrainerState("mine"), optimizer, model)
    smaller = nn.Sequential(nn.Linear(3, 4))
    with pytest.raises(ComponentError, match=r"does not fit the model: 1\.bias is in only one of them"):
        state.restore(tmp_path, torch.optim.AdamW(smaller.parameters()), smaller)
    (tmp_path / "optimizer.safetensors").write_bytes(b"<html>not tensors</html>")
    with pytest.raises(ComponentError, match=r"optimizer.safetensors is damaged"):
        state.restore(tmp_path, optimizer, model)
    (tmp_path / "trainer_state.json").write_text("{")
    with pytest.raises(ComponentError, match=r"trainer_state.json could not be read"):
        state.load(tmp_path, "mine")


def test_what_changed_on_the_machine_is_said() -> None:
    assert state.differences({"threads": 2, "torch": "a"}, {"threads": 4, "torch": "a"}) == ["threads 2 -> 4"]


def test_biases_and_norms_have_no_weight_decay(tmp_path: Path) -> None:
    from transformers import Trainer

    for family in ("gpt2", "llama"):
        model: Any = load_model(save_model(tmp_path / family, family))
        decayed = {id(p) for p in decay_groups(model, 0.1)[0]["params"]}
        names = {name for name, p in model.named_parameters() if id(p) in decayed}
        theirs = set(Trainer.get_decay_parameter_names(None, model))
        assert names == theirs & {name for name, _ in model.named_parameters()}  # a tied head is named once
        assert not any(name.endswith("bias") or "norm" in name or "ln_" in name for name in names)


# -------------------------------------------------------------------------- loss, precision, memory


def test_a_summed_loss_is_the_mean_of_transformers_times_its_tokens(tmp_path: Path) -> None:
    model: Any = load_model(save_model(tmp_path))
    ids = torch.randint(0, VOCAB, (2, 9))
    labels = ids.clone()
    labels[0, :4] = -100
    output = model(input_ids=ids, labels=labels)
    trained = int((shift_labels(labels) != -100).sum())
    assert trained == 5 + 8
    assert summed_loss(output.logits, labels).item() == pytest.approx(output.loss.item() * trained, rel=1e-5)


def test_a_perplexity_beyond_floats_is_infinite() -> None:
    assert perplexity(0.0) == 1
    assert perplexity(1e4) == float("inf")
    assert math.isnan(perplexity(math.nan))


@pytest.mark.parametrize(
    ("flags", "expected"), [({"avx2", "avx512_bf16"}, True), ({"amx_bf16"}, True), ({"avx2"}, False), (set(), False)]
)
def test_bfloat16_is_used_where_the_cpu_has_it(
    flags: set[str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    precision.has_bf16.cache_clear()
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags))
    assert precision.use_bf16(None, "cpu") == expected
    assert precision.use_bf16(True, "cpu")
    assert not precision.use_bf16(False, "cpu")
    precision.has_bf16.cache_clear()


def test_peak_memory_is_that_of_the_process() -> None:
    assert memory.peak_bytes("cpu") > 50e6


def test_a_single_row_that_does_not_fit_gets_other_advice() -> None:
    error = memory.out_of_memory(3, 1, 1024, 1, 8)
    assert str(error).startswith("Memory ran out in step 3, on a batch of 1 rows of 1024 tokens. Set gradient_check")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_is_a_lack_of_memory_is_known(error: Exception, expected: bool) -> None:
    assert memory.is_out_of_memory(error) == expected
