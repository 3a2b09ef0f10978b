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
from ftstudio_kit.safe import check_model_folder, context_of_config, safetensors_parameters, weights_files

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
