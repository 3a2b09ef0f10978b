"""The models `starter` and `scratch`, and the options of all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import save_model

from ftstudio.api import ComponentError, Facts, OptionError, ProjectInfo
from ftstudio.testing import FakeRun
from ftstudio_datasets.hub_cache import folder_of
from ftstudio_datasets.options import HubOptions as DatasetOptions
from ftstudio_kit.loading import load_model
from ftstudio_models import light, starter
from ftstudio_models.options import HubOptions, ScratchOptions, StarterOptions
from ftstudio_models.scratch import Scratch
from ftstudio_tokenizers import light as tokenizer
from ftstudio_tokenizers.options import PretrainedOptions

INFO = ProjectInfo(folder=Path(), name="x", seed=1, uses={}, options={})


def test_the_starter_is_the_packaged_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = save_model(tmp_path / "starter_gpt2").path
    monkeypatch.setattr(starter, "FOLDER", packaged)
    monkeypatch.setattr(light, "STARTER", packaged)
    ref = starter.Starter(StarterOptions()).fetch(FakeRun(tmp_path))
    assert (ref.path, ref.weights, ref.name) == (packaged, True, "starter")
    assert light.starter_facts(StarterOptions(), tmp_path).parameters == 35_744
    assert list(light.starter_check(StarterOptions(), INFO, Facts())) == []


def test_an_installation_without_the_starter_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "FOLDER", tmp_path / "gone")
    monkeypatch.setattr(light, "STARTER", tmp_path / "gone")
    with pytest.raises(ComponentError, match="There is no model folder"):
        starter.Starter(StarterOptions()).fetch(FakeRun(tmp_path))
    (problem,) = light.starter_check(StarterOptions(), INFO, Facts())
    assert (problem.level, problem.fix) == ("error", "Install ftstudio again.")
    assert light.starter_facts(StarterOptions(), tmp_path) == Facts()


def test_the_starter_lies_inside_its_package() -> None:
    assert starter.FOLDER == light.STARTER
    assert starter.FOLDER.parent == Path(light.__file__).parent


CHANGES: dict[str, tuple[Any, str]] = {
    "n_layer": (3, "n_layer"),
    "n_head": (2, "n_head"),
    "n_embd": (64, "n_embd"),
    "n_positions": (32, "n_positions"),
    "vocab_size": (300, "vocab_size"),
    "resid_pdrop": (0.3, "resid_pdrop"),
    "embd_pdrop": (0.3, "embd_pdrop"),
    "attn_pdrop": (0.3, "attn_pdrop"),
}


@pytest.mark.parametrize("option", [f.name for f in dataclasses.fields(ScratchOptions)])
def test_every_option_of_scratch_reaches_the_model(tmp_path: Path, option: str) -> None:
    value, attribute = CHANGES[option]
    model = load_model(Scratch(ScratchOptions(**{option: value})).fetch(FakeRun(tmp_path)))
    assert getattr(model.config, attribute) == value


def test_scratch_is_a_config_without_weights_whose_vocabulary_is_the_tokenizers(tmp_path: Path) -> None:
    ref = Scratch(ScratchOptions()).fetch(FakeRun(tmp_path))
    assert not ref.weights
    assert [p.name for p in ref.path.iterdir()] == ["config.json"]
    assert "vocab_size" not in json.loads((ref.path / "config.json").read_text())
    first, second = (load_model(ref, seed=1, vocab_size=300) for _ in range(2))
    assert first.config.vocab_size == 300
    assert first.config.eos_token_id is None
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize(
    "options",
    [ScratchOptions(vocab_size=300), ScratchOptions(vocab_size=99, n_layer=1, n_head=2, n_embd=6, n_positions=7)],
)
def test_the_parameters_of_scratch_are_computed_exactly(tmp_path: Path, options: ScratchOptions) -> None:
    model = load_model(Scratch(options).fetch(FakeRun(tmp_path)))
    facts = light.scratch_facts(options, tmp_path)
    assert facts.parameters == sum(p.numel() for p in model.parameters())
    assert facts.weights_bytes == 4 * facts.parameters
    assert (facts.context, facts.vocab_size, facts.architecture) == (options.n_positions, options.vocab_size, "gpt2")
    assert light.scratch_facts(ScratchOptions(), tmp_path).parameters is None


def test_heads_that_do_not_divide_the_width_are_refused_with_a_width_that_does() -> None:
    with pytest.raises(OptionError) as caught:
        ScratchOptions(n_embd=130, n_head=4)
    assert (caught.value.field, caught.value.hint) == ("n_embd", "For example n_embd = 132.")


def test_a_name_has_to_be_given() -> None:
    with pytest.raises(OptionError):
        HubOptions(name=" ")


def test_the_starter_has_nothing_to_choose() -> None:
    with pytest.raises(TypeError):
        StarterOptions(name="other")  # type: ignore[call-arg]


def test_a_folder_that_may_not_be_looked_at_is_one_problem_of_the_models_name(closed: Path, tmp_path: Path) -> None:
    options = HubOptions(name=str(closed))
    assert light.hub_facts(options, tmp_path) == Facts()
    (problem,) = light.hub_check(options, INFO, Facts())
    assert (problem.level, problem.option) == ("error", "name")
    assert problem.message == f"'{closed}' cannot be read: Permission denied."
    brought = ProjectInfo(folder=tmp_path, name="x", seed=1, uses={"model": "hub"}, options={"model": options})
    assert list(tokenizer.check(PretrainedOptions(), brought, Facts())) == []
    (named,) = tokenizer.check(PretrainedOptions(name=str(closed)), INFO, Facts())
    assert named.message == f"'{closed}' holds no tokenizer."
    with pytest.raises(ComponentError, match="There is no folder"):
        folder_of(DatasetOptions(name=str(closed)), tmp_path)
