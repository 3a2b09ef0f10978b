"""The built-in models: what they fetch, what they know beforehand, and what they refuse."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_models import ListTable, save_model, save_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

import ftstudio_models
from ftstudio.api import Component, ComponentError, Facts, ModelRef, OptionError, ProjectInfo
from ftstudio.options import check_reserved, describe
from ftstudio.testing import FakeRun
from ftstudio_kit import hub as kit_hub
from ftstudio_kit.hub_cache import hub_cache
from ftstudio_kit.loading import load_model
from ftstudio_models import light
from ftstudio_models.hub import Hub
from ftstudio_models.options import HubOptions, ScratchOptions, StarterOptions
from ftstudio_models.scratch import Scratch, config_of
from ftstudio_models.starter import FOLDER, Starter
from ftstudio_tokenizers.options import BytesOptions
from ftstudio_tokenizers.own import Bytes

COMPONENTS = {component.name: component for component in ftstudio_models.ftstudio_models()}
MAIN, DEV = "1" * 40, "2" * 40


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path)


def in_cache(name: str, commit: str, ref: str = "main", family: str = "gpt2") -> Path:
    """A model with its tokenizer in the Hub's cache."""
    repo = hub_cache() / f"models--{name.replace('/', '--')}"
    snapshot = repo / "snapshots" / commit
    save_model(snapshot, family)
    save_tokenizer(snapshot)
    (repo / "refs").mkdir(exist_ok=True)
    (repo / "refs" / ref).write_text(commit)
    return snapshot


def info(folder: Path, **uses: str) -> ProjectInfo:
    return ProjectInfo(folder=folder, name="x", seed=1, uses=uses, options={})


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refusal(run: FakeRun, **options: Any) -> ComponentError:
    with pytest.raises(ComponentError) as caught:
        Hub(HubOptions(**options)).fetch(run)
    return caught.value


# ---------------------------------------------------------------------------------------------------- hub


def test_a_folder_of_the_project_an_absolute_one_and_a_link_are_the_same_model(run: FakeRun) -> None:
    folder = save_model(run.project / "mine").path
    (run.project / "link").symlink_to(folder)
    for name in ("mine", "./mine", str(folder), "link"):
        assert Hub(HubOptions(name=name)).fetch(run) == ModelRef(folder.resolve(), weights=True, name=name)


def test_a_name_in_the_cache_resolves_offline_and_its_commit_is_recorded(run: FakeRun) -> None:
    main, dev = in_cache("org/name", MAIN), in_cache("org/name", DEV, "dev", "llama")
    for revision, snapshot in ((None, main), ("dev", dev), (DEV, dev), (MAIN, main)):
        found = Hub(HubOptions(name="org/name", revision=revision)).fetch(run)
        assert found == ModelRef(snapshot, weights=True, name="org/name", revision=snapshot.name)
    assert load_model(found).config.model_type == "gpt2"


def test_a_hub_that_is_away_names_three_ways_out(run: FakeRun) -> None:
    refused = refusal(run, name="org/name")
    assert (
        refused.message
        == "The model 'org/name' is not in the cache, and the Hub cannot be asked: HF_HUB_OFFLINE is set."
    )
    for way in ("hf download org/name", "a folder that holds the model", 'use = "starter"'):
        assert way in refused.hint


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
            "is quantised (bitsandbytes)",
        ),
        ({"num_hidden_layers": -1}, "config.json' says num_hidden_layers = -1, which no model can have."),
        ({"hidden_size": "32"}, 'config.json\' says hidden_size = "32", which no model can have.'),
        ({"vocab_size": None}, "config.json' says vocab_size = null, which no model can have."),
    ],
)
def test_a_config_with_values_that_no_model_has_is_refused_by_the_check_and_the_run(
    run: FakeRun, values: dict[str, Any], sentence: str
) -> None:
    folder = save_model(run.project / "mine", "llama").path
    change(folder / "config.json", **values)
    refused = refusal(run, name="mine")
    assert sentence in refused.message
    (problem,) = light.hub_check(HubOptions(name="mine"), info(run.project), Facts())
    assert (problem.level, problem.message, problem.fix) == ("error", refused.message, refused.hint)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"num_attention_heads": 5}, "is not a multiple of the number of attention heads (5)"),
        ({"dtype": "float99"}, "float99"),
    ],
)
def test_a_config_that_its_architecture_refuses_is_blamed_itself(
    run: FakeRun, values: dict[str, Any], sentence: str
) -> None:
    folder = save_model(run.project / "mine", "llama").path
    change(folder / "config.json", **values)
    refused = refusal(run, name="mine")
    assert refused.message.startswith(f"'{folder / 'config.json'}' makes no model: ")
    assert sentence in refused.message
    assert "\n" not in refused.message


def test_a_config_that_no_layers_can_be_built_from_is_a_sentence(run: FakeRun) -> None:
    model = save_model(run.project / "mine", "llama")
    change(model.path / "config.json", rope_parameters={"rope_type": "nonsuch"})
    for source in (model, replace(model, weights=False)):
        with pytest.raises(ComponentError, match="it knows no 'nonsuch'"):
            load_model(source)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("no-such-type", "is of the type 'no-such-type', which this transformers lacks."),
        (None, "is of the type 'None', which this transformers lacks."),
        ("vit", "is of the type 'vit', which does not write text token by token."),
    ],
)
def test_architectures_that_cannot_be_trained_here(run: FakeRun, kind: str | None, sentence: str) -> None:
    folder = save_model(run.project / "mine").path
    change(folder / "config.json", model_type=kind)
    refused = refusal(run, name="mine")
    assert sentence in refused.message
    assert refused.hint


def test_a_copy_with_pickles_alone_says_so_when_the_hub_is_away(run: FakeRun) -> None:
    snapshot = in_cache("org/name", MAIN)
    (snapshot / "model.safetensors").rename(snapshot / "pytorch_model.bin")
    assert "are pickles (pytorch_model.bin)" in refusal(run, name="org/name").message


def test_a_copy_that_lacks_a_part_is_completed_from_the_hub(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = in_cache("org/name", MAIN)
    weights = (snapshot / "model.safetensors").read_bytes()
    (snapshot / "model.safetensors").unlink()
    asked: list[dict[str, Any]] = []

    def download(name: str, **arguments: Any) -> str:
        asked.append(arguments)
        (snapshot / "model.safetensors").write_bytes(weights)
        return str(snapshot)

    answer(monkeypatch, "config.json", "model.safetensors", "pytorch_model.bin")
    monkeypatch.setattr(kit_hub, "snapshot_download", download)
    assert Hub(HubOptions(name="org/name")).fetch(run).path == snapshot
    assert asked[0]["allow_patterns"] == list(kit_hub.MODEL_PATTERNS)
    assert run.messages == [f"Fetching org/name at {MAIN[:12]} from the Hub."]


def test_a_model_of_pickles_alone_is_refused_before_its_download(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "config.json", "pytorch_model.bin")
    monkeypatch.setattr(kit_hub, "snapshot_download", lambda *_, **__: pytest.fail("downloaded"))
    assert "has no safetensors on the Hub" in refusal(run, name="org/name").message


def answer(monkeypatch: pytest.MonkeyPatch, *files: str) -> None:
    siblings = [SimpleNamespace(rfilename=file) for file in files]
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(kit_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(kit_hub.HfApi, "model_info", lambda *_, **__: SimpleNamespace(sha=MAIN, siblings=siblings))


def test_what_is_known_of_a_folder_and_of_a_copy_in_the_cache(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "mine").path
    model = load_model(ModelRef(folder, weights=True, name="mine"))
    numbers = sum(p.numel() for p in model.parameters())
    known = Facts(context=64, vocab_size=257, architecture="gpt2", parameters=numbers, weights_bytes=4 * numbers)
    assert light.hub_facts(HubOptions(name="mine"), tmp_path) == known
    snapshot = in_cache("org/name", MAIN)
    assert light.hub_facts(HubOptions(name="org/name"), tmp_path) == replace(known, tokenizer=snapshot)


@pytest.mark.parametrize("name", ["org/gone", "./gone", "two words", "~nobody/x", "a\0b", "x" * 5000])
def test_nothing_is_known_of_what_is_not_there_and_nothing_is_raised(tmp_path: Path, name: str) -> None:
    options = HubOptions(name=name)
    assert light.hub_facts(options, tmp_path) == Facts()
    (problem,) = light.hub_check(options, info(tmp_path), Facts())
    assert (problem.level, problem.option) == ("error", "name")
    assert problem.fix


def test_a_name_that_is_not_in_the_cache_is_an_error_offline_and_a_note_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = HubOptions(name="org/name")
    (problem,) = light.hub_check(options, info(tmp_path), Facts())
    assert problem.level == "error"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    (problem,) = light.hub_check(options, info(tmp_path), Facts())
    assert problem.level == "note"
    in_cache("org/name", MAIN)
    assert not list(light.hub_check(options, info(tmp_path), Facts()))


def test_a_revision_of_a_folder_is_warned_of(tmp_path: Path) -> None:
    save_model(tmp_path / "mine")
    (problem,) = light.hub_check(HubOptions(name="mine", revision="v1"), info(tmp_path), Facts())
    assert (problem.level, problem.option) == ("warning", "revision")


def test_a_folder_that_is_no_model_is_an_error_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (problem,) = light.hub_check(HubOptions(name="mine"), info(tmp_path), Facts())
    assert "no config.json" in problem.message


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(OptionError, match="name is empty"):
        HubOptions(name=" ")


# ------------------------------------------------------------------------------------------------ starter


def test_the_starter_opens_without_us_and_is_small(run: FakeRun) -> None:
    found = Starter(StarterOptions()).fetch(run)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(found.path), AutoTokenizer.from_pretrained(found.path)
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    assert tokenizer.decode(tokenizer("The river runs.")["input_ids"]) == "The river runs."
    facts = light.starter_facts(StarterOptions(), run.project)
    assert facts.parameters == sum(p.numel() for p in model.parameters())
    assert facts.context == model.config.n_positions
    assert sum(file.stat().st_size for file in found.path.rglob("*")) <= 15_000_000


def test_an_installation_without_the_starter_is_said(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert not list(light.starter_check(StarterOptions(), info(tmp_path), Facts()))
    shutil.copytree(FOLDER, tmp_path / "starter")
    (tmp_path / "starter" / "model.safetensors").unlink()
    monkeypatch.setattr(light, "STARTER", tmp_path / "starter")
    monkeypatch.setattr("ftstudio_models.starter.FOLDER", tmp_path / "starter")
    (problem,) = light.starter_check(StarterOptions(), info(tmp_path), Facts())
    assert (problem.level, problem.fix) == ("error", "Install ftstudio again.")
    with pytest.raises(ComponentError, match="has no weights"):
        Starter(StarterOptions()).fetch(run)


# ------------------------------------------------------------------------------------------------ scratch

SMALL: dict[str, Any] = {"n_layer": 2, "n_head": 2, "n_embd": 8, "n_positions": 16}


@pytest.mark.parametrize("sizes", [SMALL, {**SMALL, "n_layer": 1, "n_embd": 12, "n_head": 3}])
def test_the_arithmetic_of_the_parameters_is_that_of_the_model(run: FakeRun, sizes: dict[str, Any]) -> None:
    options = ScratchOptions(vocab_size=300, **sizes)
    model = load_model(Scratch(options).fetch(run))
    facts = light.scratch_facts(options, run.project)
    assert facts.parameters == sum(p.numel() for p in model.parameters())
    assert facts.weights_bytes == 4 * facts.parameters
    assert (facts.context, facts.vocab_size, facts.architecture) == (16, 300, "gpt2")


def test_without_a_vocabulary_of_its_own_the_size_is_not_known_beforehand(tmp_path: Path) -> None:
    facts = light.scratch_facts(ScratchOptions(**SMALL), tmp_path)
    assert (facts.parameters, facts.weights_bytes, facts.vocab_size) == (None, None, None)


@pytest.mark.parametrize(("asked", "rows"), [(None, 257), (257, 257), (320, 320)])
def test_the_embedding_is_as_large_as_asked_or_as_the_tokenizer(run: FakeRun, asked: int | None, rows: int) -> None:
    source = Scratch(ScratchOptions(vocab_size=asked, **SMALL)).fetch(run)
    encoded = Bytes(BytesOptions()).encode({"train": TEXTS}, source, run)
    model: Any = load_model(source, vocab_size=encoded.vocab_size)
    assert model.get_input_embeddings().num_embeddings == rows


def test_a_tokenizer_with_more_tokens_than_was_asked_for_is_an_error(run: FakeRun) -> None:
    source = Scratch(ScratchOptions(vocab_size=100, **SMALL)).fetch(run)
    with pytest.raises(ComponentError, match="257 tokens and the model 'scratch' 100 embeddings") as caught:
        Bytes(BytesOptions()).encode({"train": TEXTS}, source, run)
    assert "vocab_size = 257" in caught.value.hint


TEXTS: Any = ListTable([{"text": "ab"}], ("text",))  # type: ignore[list-item]


def test_a_width_that_the_heads_do_not_divide_is_refused_with_the_next_that_they_do() -> None:
    with pytest.raises(OptionError, match="n_embd = 10 is no multiple of n_head = 4") as caught:
        ScratchOptions(n_embd=10, n_head=4)
    assert (caught.value.field, caught.value.hint) == ("n_embd", "For example n_embd = 12.")


def test_a_model_from_scratch_has_no_weights_and_no_special_tokens_of_gpt2(run: FakeRun) -> None:
    source = Scratch(ScratchOptions(**SMALL)).fetch(run)
    assert (source.weights, source.name) == (False, "scratch")
    assert [file.name for file in source.path.iterdir()] == ["config.json"]
    assert load_model(source, vocab_size=257).config.eos_token_id is None


# -------------------------------------------------------------------------------- options and descriptions

OTHERS: dict[str, Any] = {
    "n_layer": 3, "n_head": 8, "n_embd": 64, "n_positions": 32, "vocab_size": 300,
    "resid_pdrop": 0.5, "embd_pdrop": 0.5, "attn_pdrop": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(ScratchOptions)])
def test_each_size_reaches_the_model(run: FakeRun, name: str) -> None:
    source = Scratch(ScratchOptions(**{name: OTHERS[name]})).fetch(run)
    assert config_of(ScratchOptions()).get(name) != OTHERS[name]
    assert getattr(load_model(source).config, name) == OTHERS[name]


SHOWN_BY = {
    "name": test_a_folder_of_the_project_an_absolute_one_and_a_link_are_the_same_model,
    "revision": test_a_name_in_the_cache_resolves_offline_and_its_commit_is_recorded,
}


@pytest.mark.parametrize("name", [f.name for kind in (HubOptions, StarterOptions) for f in dataclasses.fields(kind)])
def test_every_other_option_is_shown_to_change_something(name: str) -> None:
    assert callable(SHOWN_BY[name])


@pytest.mark.parametrize("component", COMPONENTS.values(), ids=list(COMPONENTS))
def test_components_can_be_described_and_lead_to_their_targets(component: Component) -> None:
    check_reserved("model", component.options)
    assert all(field.help for field in describe(component.options))
    targets = {f"{target.__module__}:{target.__name__}" for target in (Hub, Starter, Scratch)}
    assert component.target in targets
    for function in filter(None, (component.facts, component.check)):
        assert callable(getattr(light, function.removeprefix("ftstudio_models.light:")))


@pytest.mark.parametrize("package", ["ftstudio_models", "ftstudio_tokenizers"])
def test_describing_and_checking_loads_no_library(package: str) -> None:
    code = f"import sys, {package}.options, {package}.light; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "datasets", "huggingface_hub", "tokenizers", "pyarrow", "numpy", "pandas"}
    assert not heavy & set(done.stdout.split())
