"""Is this folder a model that may be opened? Answered without torch, and before anything of it is run or loaded.

Safetensors only: a pickle runs the code that its maker put into it, so such weights are refused with a way to convert
them. The headers of safetensors files are checked against the files' sizes here, because the library's own words for
an HTML page or a Git LFS pointer are "header too large".
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftstudio.api import ComponentError

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "model*.bin")
MAX_HEADER = 100_000_000  # the safetensors library's own limit, bytes


@dataclass(frozen=True)
class Tensors:
    """What the headers of a model's weights say."""

    parameters: int = 0
    bytes: int = 0
    dtypes: frozenset[str] = field(default_factory=frozenset)


def check_model_folder(folder: Path, *, weights: bool = True) -> dict[str, Any]:
    """The config of a model folder that may be opened.

    Raises ComponentError, one sentence and what to do, when the folder or its config is missing or broken, asks for
    remote code, or (with `weights`) when its weights are pickles, missing, or damaged.
    """
    if not folder.is_dir():
        raise ComponentError(f"There is no model folder '{folder}'.", "Name a folder that exists, or a Hub id.")
    config = _config(folder)
    if "auto_map" in config:
        raise ComponentError(
            f"The model in '{folder}' asks to run code of its own (auto_map in config.json).",
            "ftstudio runs no code from a model's folder; choose an architecture that transformers knows.",
        )
    if weights:
        safetensors_of(folder)
    return config


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ComponentError(
            f"'{folder}' is no model: it has no config.json.", "Name the folder that save_pretrained() wrote."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ComponentError(f"'{path}' cannot be read: {error}.", "Get the file again.") from error
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        what = _disguise(text.encode("utf-8", "replace")) or "no JSON"
        raise ComponentError(f"'{path}' is {what}, not a config.", "Get the file again.") from None
    if not isinstance(config, dict):
        raise ComponentError(f"'{path}' holds no table of settings.", "Get the file again.")
    return config


def _disguise(head: bytes) -> str | None:
    """What a file really is that was downloaded in place of another."""
    start = head[:200].lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer"
    if start.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "an HTML page"
    return None


# ------------------------------------------------------------------------------------------------ weights


def weights_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a model; of a sharded one, every shard that its index names.

    Raises ComponentError when there are none, or only pickles, or a shard is missing.
    """
    single, index = (folder / name for name in WEIGHTS)
    if single.exists():
        return (single,)
    if index.exists():
        return tuple(_shards(index))
    pickles = sorted(p.name for pattern in PICKLES for p in folder.glob(pattern))
    if pickles:
        raise ComponentError(
            f"The weights in '{folder}' are pickles ({pickles[0]}), which run code when they are opened.",
            "Convert them where you trust them: model.save_pretrained(folder), which writes model.safetensors.",
        )
    raise ComponentError(
        f"The model in '{folder}' has no weights: there is no model.safetensors.", "Get the whole folder."
    )


def _shards(index: Path) -> Iterator[Path]:
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise ComponentError(f"'{index}' is no index of weights.", "Get the file again.") from None
    for name in names:
        path = index.parent / str(name)
        if Path(str(name)).name != name or not path.exists():
            raise ComponentError(f"'{index.parent}' lacks the shard {str(name)[:80]!r}.", "Get the whole folder.")
        yield path


def safetensors_of(folder: Path) -> Tensors:
    """Parameters, bytes and dtypes of a model's weights, from their headers. Raises ComponentError when damaged."""
    parameters = size = 0
    dtypes: set[str] = set()
    for path in weights_files(folder):
        for tensor in _header(path).values():
            count = 1
            for extent in tensor["shape"]:
                count *= extent
            start, end = tensor["data_offsets"]
            parameters, size = parameters + count, size + end - start
            dtypes.add(str(tensor["dtype"]))
    return Tensors(parameters, size, frozenset(dtypes))


def _header(path: Path) -> dict[str, dict[str, Any]]:
    """The tensors that a safetensors file announces, checked against its size."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(200)
        if not head:
            raise _damaged(path, "is empty")
        disguise = _disguise(head)
        if disguise:
            hint = "Fetch the real file: git lfs pull." if "LFS" in disguise else "Download the file itself."
            raise ComponentError(f"'{path}' is {disguise}, not weights.", hint)
        length = struct.unpack("<Q", head[:8])[0] if len(head) >= 8 else 0
        if not 0 < length <= min(MAX_HEADER, size - 8):
            raise _damaged(path, "is truncated or no safetensors file: its header does not fit into it")
        file.seek(8)
        text = file.read(length)
    try:
        header: dict[str, Any] = json.loads(text)
        header.pop("__metadata__", None)
        announced = 0
        for tensor in header.values():
            start, end = tensor["data_offsets"]
            if not (0 <= start <= end) or not all(isinstance(n, int) and n >= 0 for n in tensor["shape"]):
                raise ValueError
            announced = max(announced, end)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _damaged(path, "is no safetensors file: its header cannot be read") from None
    if size != 8 + length + announced:
        raise _damaged(path, f"is truncated: it has {size:,} bytes of {8 + length + announced:,}")
    return header


def _damaged(path: Path, what: str) -> ComponentError:
    return ComponentError(f"'{path}' {what}.", "Get the file again.")
