"""Streaming: same seed same text, no half characters, prompt cancelling, every option read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from tiny_models import CONTEXT, config_of, save_model, save_tokenizer, toy_data
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    MambaConfig,
    MistralConfig,
    PreTrainedConfig,
)

from ftstudio.api import Checkpoint, Chunk, ComponentError, Facts, OptionError, ProjectInfo, Prompt
from ftstudio.testing import FakeRun
from ftstudio_generators import decode
from ftstudio_generators.light import check
from ftstudio_generators.options import SampleOptions
from ftstudio_generators.sample import Sample
from ftstudio_generators.stream import Pieces
from ftstudio_kit.packed import pack
from ftstudio_trainers.native import Native
from ftstudio_trainers.options import NativeOptions

Say = Callable[..., list[Chunk]]


@pytest.fixture
def base(tmp_path: Path) -> Checkpoint:
    model = save_model(tmp_path / "model")
    return Checkpoint(model.path, 0, tokenizer=save_tokenizer(tmp_path / "tokenizer"))


@pytest.fixture
def say(tmp_path: Path, base: Checkpoint) -> Say:
    def generate(*prompts: Prompt, seed: int = 42, run: FakeRun | None = None, **options: Any) -> list[Chunk]:
        generator = Sample(SampleOptions(**({"max_new_tokens": 8} | options)))
        run = run or FakeRun(tmp_path / "run", seed=seed)
        chunks = list(generator.generate(base, prompts or ("abc",), run))
        generator.close()
        return chunks

    return generate


def texts(chunks: list[Chunk]) -> dict[tuple[int, int], str]:
    found: dict[tuple[int, int], str] = {}
    for chunk in chunks:
        key = chunk.index, chunk.sequence
        found[key] = found.get(key, "") + chunk.text
    return found


def test_greedy_text_is_that_of_generate_itself(base: Checkpoint, say: Say) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base.tokenizer)
    model = AutoModelForCausalLM.from_pretrained(base.path).eval()
    given = tokenizer("abc", return_tensors="pt")
    output = model.generate(**given, max_new_tokens=8, do_sample=False, pad_token_id=256)
    expected = tokenizer.decode(output[0, 3:], skip_special_tokens=True)
    assert texts(say("abc")) == {(0, 0): expected}


ARCHITECTURES: dict[str, PreTrainedConfig] = {
    "gpt2": config_of("gpt2"),
    "qwen2": config_of("qwen2"),
    "a window of 4": MistralConfig(
        vocab_size=257, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, sliding_window=4, eos_token_id=None,
    ),
    "a state instead of a cache": MambaConfig(
        vocab_size=257, hidden_size=32, num_hidden_layers=2, state_size=4, eos_token_id=None
    ),
}  # fmt: skip


def generated(model: Any, prompt: list[int], settings: GenerationConfig) -> list[list[int]]:
    """What generate() writes after the prompt, a row of one token a sequence for each step."""
    given = torch.tensor([prompt])
    torch.manual_seed(11)
    found = model.generate(input_ids=given, attention_mask=torch.ones_like(given), generation_config=settings)
    return cast("list[list[int]]", found[:, len(prompt) :].T.tolist())


@pytest.mark.parametrize("config", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
@pytest.mark.parametrize(
    "more",
    [
        {"top_k": 40, "top_p": 0.95, "temperature": 0.9, "repetition_penalty": 1.1},
        {"typical_p": 0.8, "min_p": 0.002, "no_repeat_ngram_size": 2, "use_cache": False},
        {"do_sample": False, "num_return_sequences": 1, "repetition_penalty": 1.3, "use_cache": False},
    ],
    ids=["drawn", "without a cache", "greedy without a cache"],
)
def test_the_loop_draws_what_generate_draws(config: PreTrainedConfig, more: dict[str, Any]) -> None:
    torch.manual_seed(3)
    model: Any = AutoModelForCausalLM.from_config(config).eval()
    for p in model.parameters():
        p.data.normal_(std=0.3)  # so that each token depends on those before
    prompt = [97, 98, 99, 100, 101, 102]
    settings = GenerationConfig(
        **{"do_sample": True, "num_return_sequences": 3} | more,
        max_new_tokens=12, min_new_tokens=12, pad_token_id=0, eos_token_id=256,
    )  # fmt: skip
    expected = generated(model, prompt, settings)
    assert list(islice(decode.steps(model, prompt, settings, 11), 12)) == expected


def test_up_to_its_end_each_sequence_is_what_generate_draws() -> None:
    torch.manual_seed(3)
    model: Any = AutoModelForCausalLM.from_config(config_of("gpt2")).eval()
    ends = list(range(0, 257, 8))
    settings = GenerationConfig(
        max_new_tokens=24, do_sample=True, num_return_sequences=4, pad_token_id=1, eos_token_id=ends
    )
    expected = torch.tensor(generated(model, [97, 98, 99], settings)).T.tolist()
    drawn = torch.tensor(list(islice(decode.steps(model, [97, 98, 99], settings, 11), len(expected[0])))).T.tolist()
    first = [next((at for at, token in enumerate(row) if token in ends), 99) for row in expected]
    assert min(first) < max(first) < 23  # one ended while others went on
    assert [row[: at + 1] for row, at in zip(drawn, first, strict=True)] == [
        row[: at + 1] for row, at in zip(expected, first, strict=True)
    ]


@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_packed_matrices_give_the_models_answers_in_bfloat16(family: str) -> None:
    torch.manual_seed(3)
    model: Any = AutoModelForCausalLM.from_config(config_of(family)).eval()
    for p in model.parameters():
        p.data.normal_(std=0.3)
    ids = torch.arange(97, 117)[None]
    with torch.no_grad():
        own = model(ids).logits
        pack(model)
        packed = model(ids).logits
    assert packed.dtype == torch.float32
    assert not torch.equal(packed, own)
    assert (packed - own).abs().max() < 0.03 * own.abs().max()


def test_each_sequence_ends_once_and_all_come_in_pieces(say: Say) -> None:
    chunks = say("abc", "de", do_sample=True, num_return_sequences=3)
    done = [(c.index, c.sequence) for c in chunks if c.done]
    assert sorted(done) == [(i, s) for i in range(2) for s in range(3)]
    assert all(c.finish_reason in {"eos", "length"} for c in chunks if c.done)
    assert not any(c.finish_reason for c in chunks if not c.done)
    assert len(chunks) > 6


def test_the_same_seed_gives_the_same_text_whatever_the_other_prompts_are(say: Say) -> None:
    alone = texts(say("abc", do_sample=True))[0, 0]
    assert texts(say("abc", do_sample=True))[0, 0] == alone
    assert texts(say("xyz", "abc", do_sample=True))[1, 0] == alone
    assert texts(say("abc", do_sample=True, seed=7))[0, 0] != alone


def test_generating_moves_no_random_number_generator(say: Say) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    say("abc", do_sample=True)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(("end", "ends"), [(256, 256), (65, [256, 65])])
def test_a_text_ends_at_each_end_token(tmp_path: Path, base: Checkpoint, end: int, ends: Any) -> None:
    model = AutoModelForCausalLM.from_pretrained(base.path)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.transformer.ln_f.bias.fill_(1.0)
        model.transformer.wte.weight[end] = 1.0  # the head is tied: this token now has the only logit above 0
    model.generation_config.eos_token_id = ends
    model.save_pretrained(tmp_path / "ending")
    checkpoint = dataclasses.replace(base, path=tmp_path / "ending")
    chunks = list(Sample(SampleOptions()).generate(checkpoint, ["abc"], FakeRun(tmp_path)))
    assert chunks == [Chunk(0, "", 0, done=True, finish_reason="eos")]


def test_a_model_that_was_trained_without_a_cache_writes_with_one(tmp_path: Path, base: Checkpoint) -> None:
    """Recomputing activations leaves use_cache = false in both files: each token would then cost all before it."""
    for name in ("config.json", "generation_config.json"):
        file = base.path / name
        file.write_text(json.dumps(json.loads(file.read_text()) | {"use_cache": False}))
    generator, run, widths = Sample(SampleOptions(max_new_tokens=4)), FakeRun(tmp_path / "run"), []
    model: Any = generator._load(base, run).model
    model.get_input_embeddings().register_forward_hook(lambda _, __, found: widths.append(found.shape[1]))
    assert list(generator.generate(base, ["abc"], run))
    assert widths == [3, 1, 1, 1]


def test_a_request_to_stop_is_heard_at_the_next_token(tmp_path: Path, base: Checkpoint) -> None:
    run = FakeRun(tmp_path)
    chunks = []
    for chunk in Sample(SampleOptions(max_new_tokens=50)).generate(base, ["abc", "de"], run):
        chunks.append(chunk)
        run.requests.stop = True
    assert chunks[-1].done
    assert chunks[-1].finish_reason == "stop"
    assert {chunk.index for chunk in chunks} == {0}
    assert len(chunks) < 50


def test_an_error_inside_generate_comes_out(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import GenerationMixin

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(GenerationMixin, "generate", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        say("abc")


def test_the_model_stays_warm_until_another_comes_or_it_is_closed(tmp_path: Path, base: Checkpoint) -> None:
    run, generator = FakeRun(tmp_path), Sample(SampleOptions(max_new_tokens=2))
    list(generator.generate(base, ["a"], run))
    first = generator.loaded
    list(generator.generate(base, ["b"], run))
    assert generator.loaded is first
    list(generator.generate(dataclasses.replace(base, step=9), ["b"], run))
    assert generator.loaded is not first
    generator.close()
    assert generator.loaded is None


def test_other_options_keep_the_model_and_another_dtype_does_not(tmp_path: Path, base: Checkpoint) -> None:
    generator = Sample(SampleOptions(max_new_tokens=2))
    run = FakeRun(tmp_path / "run")
    list(generator.generate(base, ("abc",), run))
    held = generator.loaded
    generator.change(SampleOptions(max_new_tokens=3))
    assert texts(list(generator.generate(base, ("abc",), run)))
    assert generator.loaded is held
    generator.change(SampleOptions(max_new_tokens=3, dtype="bfloat16"))
    list(generator.generate(base, ("abc",), run))
    assert generator.loaded is not held
    generator.close()


@pytest.mark.parametrize("rank", [0, 4])
def test_a_checkpoint_in_training_is_sampled_with_or_without_an_adapter(tmp_path: Path, rank: int) -> None:
    model, data, run = save_model(tmp_path / "m"), toy_data(tmp_path), FakeRun(tmp_path)
    trainer = Native(NativeOptions(max_steps=3, learning_rate=0.1, lora_rank=rank))
    checkpoint = trainer.train(data, model, run)
    checkpoint = dataclasses.replace(checkpoint, base=model, tokenizer=data.tokenizer)
    trainer.export(checkpoint, tmp_path / "final", run)
    final = Checkpoint(tmp_path / "final", 3, tokenizer=data.tokenizer)
    pair = [texts(list(Sample(SampleOptions(max_new_tokens=6)).generate(c, ["ab"], run))) for c in (checkpoint, final)]
    assert pair[0] == pair[1]


def test_an_adapter_without_its_base_is_refused(tmp_path: Path) -> None:
    model, data, run = save_model(tmp_path / "m"), toy_data(tmp_path), FakeRun(tmp_path)
    checkpoint = Native(NativeOptions(max_steps=1, lora_rank=2)).train(data, model, run)
    checkpoint = dataclasses.replace(checkpoint, tokenizer=data.tokenizer)
    with pytest.raises(ComponentError, match="does not say which model it belongs to"):
        list(Sample(SampleOptions()).generate(checkpoint, ["a"], run))


# --------------------------------------------------------------------------------------- odd prompts


def test_a_prompt_longer_than_the_context_is_cut_from_the_left_and_said(tmp_path: Path, say: Say) -> None:
    run = FakeRun(tmp_path)
    chunks = say("x" * 100 + "abc", run=run)
    assert run.warnings == [
        f"Prompt 1 has 103 tokens and the model {CONTEXT} positions: only its last {CONTEXT - 8} tokens were used."
    ]
    assert texts(chunks) == texts(say("x" * (CONTEXT - 8 - 3) + "abc"))


def test_a_prompt_as_long_as_max_length_writes_nothing_and_says_so(tmp_path: Path, say: Say) -> None:
    run = FakeRun(tmp_path)
    assert say("abcdef", run=run, max_new_tokens=None, max_length=6) == [Chunk(0, "", 0, True, "length")]
    assert run.warnings == ["Prompt 1 has 6 tokens and max_length, which counts them too, is 6: nothing was written."]


def test_an_empty_prompt_begins_with_the_end_token(say: Say) -> None:
    assert say("")[-1].done


# ------------------------------------------------------------------------------------------ decoding


def pieces_of(text: str, folder: Path, stop: tuple[str, ...] = ()) -> tuple[list[str], bool]:
    tokenizer = AutoTokenizer.from_pretrained(save_tokenizer(folder))
    pieces = Pieces(tokenizer, tokenizer("prompt")["input_ids"], stop)
    given = [pieces.put(token) for token in tokenizer(text)["input_ids"]]
    return [*given, pieces.end()], pieces.stopped


@pytest.mark.parametrize("text", ["héllo wörld", "日本語", "a🙂b🙂🙂", "e\u0301", " leading", "\n\n\ttabs"])
def test_pieces_hold_whole_characters_and_make_the_text(tmp_path: Path, text: str) -> None:
    given, _ = pieces_of(text, tmp_path)
    assert "".join(given) == text
    assert not any("\ufffd" in piece for piece in given)


def test_a_text_that_ends_in_half_a_character_shows_it_at_the_end(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(save_tokenizer(tmp_path))
    pieces = Pieces(tokenizer, [])
    ids = tokenizer("a🙂")["input_ids"][:-1]
    assert "".join(pieces.put(token) for token in ids) == "a"
    assert pieces.end().startswith("\ufffd")


@pytest.mark.parametrize(
    ("text", "expected", "stopped"),
    [
        ("one END two", "one ", True),
        ("one EN two", "one EN two", False),
        ("ENEND", "EN", True),
        ("x EN", "x EN", False),
    ],
)
def test_no_part_of_a_stop_string_is_given(tmp_path: Path, text: str, expected: str, stopped: bool) -> None:
    given, was_stopped = pieces_of(text, tmp_path, ("END", "###"))
    assert ("".join(given), was_stopped) == (expected, stopped)


# ------------------------------------------------------------------------------- options and checks

SEEN: dict[str, dict[str, Any]] = {
    "max_new_tokens": {"set": 4},
    "do_sample": {"set": True},
    "temperature": {"do_sample": True, "set": 0.01},
    "top_k": {"do_sample": True, "set": 1},
    "top_p": {"do_sample": True, "set": 0.01},
    "num_return_sequences": {"do_sample": True, "set": 2},
    "max_length": {"max_new_tokens": None, "set": 6},
    "min_p": {"do_sample": True, "set": 1.0},
    "typical_p": {"do_sample": True, "set": 0.01},
    "repetition_penalty": {"set": 5.0},
    "no_repeat_ngram_size": {"set": 1},
    "num_beams": {"set": 4},
}
ELSEWHERE = {"min_new_tokens", "length_penalty", "early_stopping", "dtype"}


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(SampleOptions)])
def test_every_option_is_read(field: str, tmp_path: Path, base: Checkpoint, say: Say) -> None:
    if field in SEEN:
        wanted = dict(SEEN[field])
        value = wanted.pop("set")
        assert texts(say("abcabc", **wanted)) != texts(say("abcabc", **(wanted | {field: value})))
        return
    if field == "stop_strings":
        test_a_stop_string_ends_the_text(say)
        return
    assert field in ELSEWHERE
    values = {"min_new_tokens": 3, "length_penalty": 2.0, "early_stopping": True, "dtype": "bfloat16"}
    generator = Sample(SampleOptions(num_beams=2, **{field: values[field]}))
    loaded = generator._load(base, FakeRun(tmp_path))
    if field == "dtype":
        assert loaded.model.dtype == torch.bfloat16
    else:
        assert getattr(generator._config(loaded, 10), field) == values[field]


def test_a_stop_string_ends_the_text(say: Say) -> None:
    text = texts(say("abc", max_new_tokens=20))[0, 0]
    assert len(text) > 3
    chunks = say("abc", max_new_tokens=20, stop_strings=(text[1:3],))
    assert texts(chunks)[0, 0] == text[: text.find(text[1:3])]
    assert chunks[-1].finish_reason == "stop"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_length": 50, "max_new_tokens": 20}, "max_length"),
        ({"max_new_tokens": 5, "min_new_tokens": 9}, "min_new_tokens"),
        ({"num_return_sequences": 2}, "num_return_sequences"),
        ({"num_return_sequences": 3, "num_beams": 2}, "num_return_sequences"),
        ({"stop_strings": ("",)}, "stop_strings"),
    ],
)
def test_options_that_contradict_themselves_are_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(OptionError) as caught:
        SampleOptions(**options)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("options", "field", "level", "edit"),
    [
        ({"temperature": 0.7}, "temperature", "warning", {"do_sample": True}),
        ({"top_p": 0.9}, "top_p", "warning", {"do_sample": True}),
        ({"length_penalty": 2.0}, "length_penalty", "warning", {"num_beams": 4}),
        ({"num_beams": 2}, "num_beams", "note", {}),
        ({"max_length": 2000}, "max_length", "error", {"max_length": 1024}),
        ({"max_new_tokens": 2000}, "max_new_tokens", "error", {"max_new_tokens": 1024}),
        ({"max_length": 3}, "max_length", "warning", {"max_length": 15}),
    ],
)
def test_settings_that_would_surprise_are_said(options: dict[str, Any], field: str, level: str, edit: Any) -> None:
    project = ProjectInfo(folder=Path(), name="p", seed=1, uses={}, options={}, prompts=("a prompt of five words",))
    found = {p.option: p for p in check(SampleOptions(**options), project, Facts(context=1024))}
    assert set(found) == {field}
    assert (found[field].level, found[field].edit) == (level, edit)


def test_the_tutorials_settings_have_no_problems() -> None:
    project = ProjectInfo(
        folder=Path(), name="p", seed=1, uses={}, options={}, prompts=("AI research is important because",)
    )
    options = SampleOptions(max_length=50, temperature=0.7, do_sample=True)
    assert not list(check(options, project, Facts(context=1024)))
