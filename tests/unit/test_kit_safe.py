"""Model folders that may be opened, and those that may not: each refusal is a sentence."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ftstudio.api import ComponentError
from ftstudio_kit.safe import (
    check_model_folder,
    check_tokenizer_folder,
    context_of_config,
    safetensors_parameters,
    weights_files,
)

CONFIG = {"model_type": "gpt2", "n_positions": 64, "vocab_size": 257}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(5, dtype=torch.bfloat16)}, tmp_path / "model.safetensors")
    return tmp_path


def refusal(folder: Path) -> str:
    with pytest.raises(ComponentError) as caught:
        check_model_folder(folder)
    assert caught.value.hint
    return caught.value.message


def container(header: Any, size: int) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * size


def tensor(start: int, end: int, shape: list[Any], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_a_whole_folder_gives_its_config(folder: Path) -> None:
    assert check_model_folder(folder) == CONFIG


def test_the_parameters_are_read_from_the_headers_alone(folder: Path) -> None:
    count, size, dtypes = safetensors_parameters(folder)
    assert (count, size, dtypes) == (17, 58, {"F32", "BF16"})


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "There is no model folder" in refusal(tmp_path / "gone")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "has no config.json"),
        (b"{", "is no JSON, not a config"),
        (b"", "is empty, not a config"),
        (b'{"model_type": "gpt2", "n_pos', "is JSON that is cut off, not a config"),
        (b'\xef\xbb\xbf{"model_type": "gpt2"}', "is text with a byte order mark, not a config"),
        (b"\xff\xfe", "is no JSON, not a config"),
        (b"[" * 100_000, "is no JSON, not a config"),
        (b"[1]", "holds no table of settings"),
        (b"<!DOCTYPE html><title>login</title>", "is an HTML page, not a config"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer, not a config"),
        (b'{"model_type": "x", "auto_map": {"AutoModel": "evil.Model"}}', "asks to run code of its own (auto_map"),
    ],
)
def test_configs_that_are_refused(folder: Path, content: bytes | None, sentence: str) -> None:
    path = folder / "config.json"
    path.unlink() if content is None else path.write_bytes(content)
    assert sentence in refusal(folder)


def test_an_adapter_beside_whole_weights_is_refused_since_either_may_be_meant(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ComponentError, match="holds a whole model and an adapter") as caught:
        check_model_folder(folder)
    assert "into a folder of their own" in caught.value.hint
    assert "merge_and_unload" in caught.value.hint


def test_an_adapter_alone_is_called_one_and_its_base_is_named(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    with pytest.raises(ComponentError, match="is no whole model but an adapter, made for 'org/base'") as caught:
        check_model_folder(tmp_path)
    assert "merge_and_unload" in caught.value.hint
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "made for another model" in refusal(tmp_path)


BROKEN = [
    (b"", "is empty, not"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a Git LFS pointer, not"),
    (b"<!DOCTYPE html><title>login</title>", "is an HTML page, not"),
    (b'{"model": {"vocab": {"a": 1},', "is JSON that is cut off, not"),
    (b'{"a": 1}}', "is no JSON, not"),
    (b"[]", "holds no table of settings"),
]


@pytest.mark.parametrize(("content", "sentence"), BROKEN)
def test_a_generation_config_that_is_none_is_not_passed_over(folder: Path, content: bytes, sentence: str) -> None:
    (folder / "generation_config.json").write_text('{"do_sample": true}')
    check_model_folder(folder)
    (folder / "generation_config.json").write_bytes(content)
    assert f"generation_config.json' {sentence}" in refusal(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize(("content", "sentence"), BROKEN)
def test_a_tokenizers_file_that_is_none_is_told_in_plain_words(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / "tokenizer.json").write_text('{"model": {}}')
    (tmp_path / name).write_text('{"model": {}}')
    check_tokenizer_folder(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ComponentError) as caught:
        check_tokenizer_folder(tmp_path)
    assert f"{name}' {sentence}" in caught.value.message
    assert ("git lfs pull" in caught.value.hint) == ("LFS" in sentence)


def test_a_folder_in_place_of_a_tokenizer_and_a_vocabulary_that_was_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    with pytest.raises(ComponentError, match=r"tokenizer.model' is a Git LFS pointer, not a vocabulary"):
        check_tokenizer_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")  # opened in place of the other
    check_tokenizer_folder(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer.json").mkdir()
    with pytest.raises(ComponentError, match=r"tokenizer.json' is a folder, not a tokenizer"):
        check_tokenizer_folder(tmp_path)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.pt", "model.pth", "a.ckpt"]
)
def test_pickles_alone_are_refused_with_the_way_to_convert_them(folder: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(ComponentError, match="are pickles") as caught:
        check_model_folder(folder)
    assert name in caught.value.message
    assert "save_pretrained" in caught.value.hint


def test_pickles_beside_safetensors_do_no_harm(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    check_model_folder(folder)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"abc", "truncated, or no safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "is a Git LFS pointer, not weights"),
        (b"\n <!DOCTYPE html><html>Not found</html>", "is an HTML page, not weights"),
        (struct.pack("<Q", 2**63) + b"x" * 300, "its header would be longer than the file"),
        (struct.pack("<Q", 200_000_000) + b"x" * 300, "its header would be longer than the file"),
        (struct.pack("<Q", 3) + b"{{{", "its header makes no sense"),
        (container([1], 0), "its header makes no sense"),
        (container({"a": tensor(0, 48, [3, 4])}, 40), "is truncated: it has"),
        (container({"a": tensor(0, 48, [3, 4])}, 50), "where its header announces"),
        (container({"a": tensor(0, 48, [3, 5])}, 48), "its header makes no sense"),
        (container({"a": tensor(8, 56, [3, 4])}, 56), "its header makes no sense"),
        (container({"a": tensor(0, 48, [-3, -4])}, 48), "its header makes no sense"),
        (container({"a": tensor(0, 48, ["3"])}, 48), "its header makes no sense"),
        (container({"a": {"dtype": "F32"}}, 0), "its header makes no sense"),
    ],
)
def test_damaged_weights_are_told_in_plain_words(folder: Path, content: bytes, sentence: str) -> None:
    (folder / "model.safetensors").write_bytes(content)
    assert sentence in refusal(folder)


def test_any_cut_of_the_weights_is_noticed(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    for length in range(len(whole)):
        (folder / "model.safetensors").write_bytes(whole[:length])
        refusal(folder)


def test_no_weights_at_all(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "has no weights" in refusal(folder)
    check_model_folder(folder, weights=False)


def shard(folder: Path, index: Any) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_every_shard_has_to_be_there(folder: Path) -> None:
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    shard(folder, {"weight_map": {"a": first, "b": first, "c": second}})
    assert f"lacks the shard '{second}'" in refusal(folder)
    save_file({"c": torch.zeros(2)}, folder / second)
    check_model_folder(folder)
    assert [p.name for p in weights_files(folder)] == [first, second]
    assert safetensors_parameters(folder).parameters == 19


@pytest.mark.parametrize("index", [[], {}, {"weight_map": {}}, {"weight_map": {"a": "../model.safetensors"}}])
def test_an_index_that_is_none(folder: Path, index: Any) -> None:
    shard(folder, index)
    refusal(folder)


def test_the_context_is_read_under_each_of_its_names() -> None:
    assert context_of_config({"n_positions": 64}) == 64
    assert context_of_config({"text_config": {"max_position_embeddings": 8}}) == 8
    assert context_of_config({"n_positions": True}) is None
