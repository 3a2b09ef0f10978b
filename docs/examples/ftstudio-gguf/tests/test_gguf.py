import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gguf", reason="the package gguf, which writes the files of these tests, is not installed")

import tiny
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ftstudio.api import ComponentError, ProjectInfo
from ftstudio.testing import FakeRun
from ftstudio_gguf import light
from ftstudio_gguf.options import GgufOptions
from ftstudio_gguf.source import Gguf


@pytest.fixture
def run(tmp_path):
    return FakeRun(tmp_path)


@pytest.fixture
def net():
    return tiny.model()


def fetch(run, name="tiny.gguf"):
    return Gguf(GgufOptions(path=Path(name))).fetch(run)


def test_a_file_becomes_a_folder_that_gives_the_same_logits(run, net):
    tiny.write(run.project / "tiny.gguf", net)
    found = fetch(run)
    assert (found.name, found.weights, len(found.revision)) == ("tiny.gguf", True, 12)
    assert found.path.is_relative_to(run.cache)
    assert (found.path / "model.safetensors").is_file()
    ids = torch.tensor([[1, 5, 9, 200, 257]])
    opened = AutoModelForCausalLM.from_pretrained(found.path)
    with torch.no_grad():
        assert torch.allclose(opened(ids).logits, net(ids).logits, atol=1e-5)
    tokenizer = AutoTokenizer.from_pretrained(found.path)
    assert tokenizer.tokenize("a reed") == ["a", "\u0120", "re", "e", "d"]
    assert tokenizer.decode(tokenizer("a reed")["input_ids"]) == "a reed"
    assert tokenizer.eos_token == "<|endoftext|>"
    assert len(tokenizer) == 258


def test_quantised_weights_become_numbers_again(run, net):
    tiny.write(run.project / "tiny.gguf", net, quantised=True)
    opened = AutoModelForCausalLM.from_pretrained(fetch(run).path)
    assert opened.dtype == torch.float32
    for name, weight in net.state_dict().items():
        found = opened.state_dict()[name]
        assert torch.allclose(found, weight, atol=weight.abs().max().item() / 127)
    assert not torch.equal(opened.lm_head.weight, net.lm_head.weight)


def test_tokens_that_transformers_adds_get_embeddings_and_it_is_said(run, net):
    tiny.write(run.project / "tiny.gguf", net, end="<|end|>")
    found = fetch(run)
    opened, tokenizer = AutoModelForCausalLM.from_pretrained(found.path), AutoTokenizer.from_pretrained(found.path)
    assert opened.get_input_embeddings().num_embeddings == len(tokenizer) == 259
    assert "adds 1 tokens that the file lacks" in run.warnings[0]


def test_it_is_converted_once_and_again_when_the_file_changes(run, net):
    tiny.write(run.project / "tiny.gguf", net)
    first = fetch(run)
    said = len(run.messages)
    (run.project / "tiny.gguf").rename(run.project / "other.gguf")
    assert fetch(run, "other.gguf").path == first.path
    assert len(run.messages) == said
    with torch.no_grad():
        net.lm_head.weight += 1
    tiny.write(run.project / "tiny.gguf", net)
    assert fetch(run).path != first.path
    assert {p.name for p in (run.cache / "gguf").iterdir() if p.name.startswith(".")} == set()


def test_facts_come_from_the_header(run, net):
    tiny.write(run.project / "tiny.gguf", net)
    found = light.facts(GgufOptions(path=Path("tiny.gguf")), run.project)
    assert (found.context, found.vocab_size, found.architecture) == (tiny.CONTEXT, 258, "llama")
    assert found.parameters == sum(p.numel() for p in net.parameters())


def problems(run, name):
    options = GgufOptions(path=Path(name))
    info = ProjectInfo(folder=run.project, name="p", seed=1, uses={}, options={})
    return [p.message for p in light.check(options, info, light.facts(options, run.project))]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "There is no file 'x.gguf'."),
        (b"", "'x.gguf' is no GGUF file."),
        (b"<html>", "'x.gguf' is no GGUF file."),
        (b"GGUF\x03", "'x.gguf' is damaged, or cut"),
        (b"GGUF\x09" + b"\0" * 30, "'x.gguf' is GGUF of version 9"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 16, "'x.gguf' is damaged, or cut"),
    ],
)
def test_what_is_no_model_is_said_before_a_start_and_at_it(run, content, sentence):
    if content is not None:
        (run.project / "x.gguf").write_bytes(content)
    assert sentence in problems(run, "x.gguf")[0]
    with pytest.raises(ComponentError) as caught:
        fetch(run, "x.gguf")
    assert sentence in caught.value.message


def test_a_header_cut_anywhere_is_damage_and_nothing_worse(run, net):
    tiny.write(run.project / "tiny.gguf", net)
    data = (run.project / "tiny.gguf").read_bytes()
    for size in range(0, 3000, 97):
        (run.project / "cut.gguf").write_bytes(data[:size])
        assert problems(run, "cut.gguf")


def test_a_family_that_nobody_reads_and_weights_that_are_missing_are_refused(run, net):
    tiny.write(run.project / "odd.gguf", net, architecture="oddity")
    with pytest.raises(ComponentError, match="architecture oddity is not supported"):
        fetch(run, "odd.gguf")
    tiny.write(run.project / "less.gguf", net, leave_out="blk.0.ffn_up.weight")
    with pytest.raises(
        ComponentError, match=r"lacks weights that would be random: 1, first 'model\.layers\.0\.mlp\.up_proj\.weight'"
    ):
        fetch(run, "less.gguf")
    assert list((run.cache / "gguf").iterdir()) == []


def test_describing_it_and_its_facts_need_neither_torch_nor_gguf():
    code = (
        "import sys, ftstudio_gguf, ftstudio_gguf.light\n"
        "heavy = {'torch', 'transformers', 'gguf', 'numpy'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
