"""Is this folder a model that may be opened? Answered without torch, and before anything of it is run or loaded.

Safetensors only: a pickle runs the code that its maker put into it, so such weights are refused with a way to convert
them. The headers of safetensors files are checked against the files' sizes here, because the library's own words for
an HTML page or a Git LFS pointer are "header too large".
"""

from __future__ import annotations

import codecs
import json
import math
import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ftstudio.api import ComponentError
from ftstudio_kit.hub_cache import TOKENIZER_FILES, is_there

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model*.bin", "model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
MAX_HEADER = 100_000_000
"""The safetensors library's own limit, in bytes."""
SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "n_embd", "n_layer", "n_head", "n_positions")
"""Entries of config.json that are a positive number in every architecture that has them."""
BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16}
BITS |= {"I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64}
HTML = (b"<!doctype html", b"<html", b"<head", b"<?xml")
ADAPTER = "adapter_config.json"
MERGE = (
    "To go on from the adapter merge it first: "
    "PeftModel.from_pretrained(model, its_folder).merge_and_unload().save_pretrained(new_folder)."
)
TOKENIZER_JSON = ("tokenizer.json", "tokenizer_config.json")
"""Files of a tokenizer that are opened wherever they are."""


class Tensors(NamedTuple):
    """What the headers of a model's weights say: numbers, the bytes that they take, and their types ("F32")."""

    parameters: int
    bytes: int
    dtypes: frozenset[str]


def check_model_folder(folder: Path, *, weights: bool = True) -> dict[str, Any]:
    """The config of a model folder that may be opened.

    Raises ComponentError, one sentence and what to do, when the folder or its config is missing or broken, asks for
    remote code, or (with `weights`) when its weights are pickles, missing, damaged, or not the only ones.
    """
    if not _is_folder(folder):
        raise ComponentError(f"There is no model folder '{folder}'.", "Name a folder that exists, or a Hub id.")
    config = _config(folder)
    if "auto_map" in config:
        raise ComponentError(
            f"The model in '{folder}' asks to run code of its own (auto_map in config.json).",
            "No code from a model's folder is ever run here: choose an architecture that transformers has itself.",
        )
    if weights:
        _check_values(folder / "config.json", config)
        _refuse_adapter(folder)
        safetensors_parameters(folder)
        if (folder / "generation_config.json").exists():  # transformers passes over one that it cannot read
            read_json(folder / "generation_config.json", "a config of generation")
    return config


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise _unreadable(path, error) from error


def _refuse_adapter(folder: Path) -> None:
    """Of an adapter beside whole weights: transformers lays it over them, and says nothing."""
    if (folder / ADAPTER).exists():
        raise ComponentError(
            f"'{folder}' holds a whole model and an adapter ({ADAPTER}): which of them is meant is not plain.",
            f"Move the adapter's two files into a folder of their own, and the model is meant. {MERGE}",
        )


def _check_values(path: Path, config: Mapping[str, Any]) -> None:
    """What no model that can be trained has: weights in a packed form, a size that is no number of things."""
    packed = config.get("quantization_config")
    if packed:
        method = packed.get("quant_method") if isinstance(packed, dict) else packed
        raise ComponentError(
            f"The model in '{path.parent}' is quantised ({str(method)[:40]}), and packed weights cannot be trained.",
            "Choose the model that it was made from.",
        )
    for name in SIZES:
        value = config.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ComponentError(
                f"'{path}' says {name} = {json.dumps(value)[:40]}, which no model can have.", "Get the file again."
            )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        path.stat()
    except FileNotFoundError:
        raise _no_model(folder) from None
    except OSError as error:
        raise _unreadable(path, error) from error
    return read_json(path, "a config")


def _no_model(folder: Path) -> ComponentError:
    if not (folder / ADAPTER).exists():
        return ComponentError(
            f"'{folder}' is no model: it has no config.json.", "Name the folder that save_pretrained() wrote."
        )
    base = read_json(folder / ADAPTER, "an adapter's config").get("base_model_name_or_path")
    made_for = f"'{str(base)[:100]}'" if base else "another model"
    return ComponentError(
        f"'{folder}' is no whole model but an adapter, made for {made_for}.",
        f"Name that model to train it alone. {MERGE}",
    )


def check_tokenizer_folder(folder: Path) -> None:
    """Raise ComponentError, one sentence and what to do, for a file of a tokenizer that is not what its name says."""
    for name in TOKENIZER_JSON:
        path = folder / name
        if is_there(path):
            info = path.stat()
            _table(path, info.st_size, info.st_mtime_ns)
    if not is_there(folder / TOKENIZER_JSON[0]):
        for path in (folder / name for name in TOKENIZER_FILES):
            if is_there(path) and (told := _no_file(path, _read(path, 200))) is not None:
                raise _not_it(path, told, "a vocabulary")


@lru_cache(maxsize=64)  # a form asks at every key press, and 17 MB of vocabulary take 0.3 s
def _table(path: Path, size: int, mtime: int) -> None:
    del size, mtime
    read_json(path, "a tokenizer" if path.name == TOKENIZER_JSON[0] else "a tokenizer's config")


def read_json(path: Path, what: str) -> dict[str, Any]:
    """The settings in a JSON file of a model's folder; `what` it should be, "a config".

    Read as the libraries read it: UTF-8 without a mark. Raises ComponentError that says what the file is instead.
    """
    data = _read(path)
    try:
        found = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise _not_it(path, _no_file(path, data) or _no_json(data), what) from None
    if not isinstance(found, dict):
        raise ComponentError(f"'{path}' holds no table of settings.", "Get the file again.")
    return found


def _read(path: Path, size: int = -1) -> bytes:
    """The first `size` bytes of a file, or all; none of what is no regular file. Raises ComponentError."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise _unreadable(path, error) from error


def _not_it(path: Path, told: str, what: str) -> ComponentError:
    hint = "Fetch the real file: git lfs pull." if "LFS" in told else "Get the file again."
    return ComponentError(
        f"'{path}' is {told}, not {what}.", "Save it as UTF-8 without the mark." if "mark" in told else hint
    )


def _no_file(path: Path, data: bytes) -> str | None:
    """What stands in the place of a file with content; None when it may be one."""
    if not path.is_file():
        return "a folder" if path.is_dir() else "no regular file"
    return "empty" if not data.strip() else disguise(data)


def _no_json(data: bytes) -> str:
    if data.startswith(codecs.BOM_UTF8):
        return "text with a byte order mark"
    cut_off = data.lstrip().startswith(b"{") and not data.rstrip().endswith(b"}")
    return "JSON that is cut off" if cut_off and len(data.strip()) > 1 else "no JSON"


def disguise(head: bytes) -> str | None:
    """What a file really is that came in place of another, told from its first bytes; None when it looks like neither.

    A clone without LFS leaves pointers of three lines, and a download through a proxy or a login wall leaves HTML.
    """
    start = head[:200].lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer"
    return "an HTML page" if start.startswith(HTML) else None


# ------------------------------------------------------------------------------------------------- config


def context_of_config(config: Mapping[str, Any]) -> int | None:
    """Positions that a model has, by its config; None when it does not say."""
    return _number(config, "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")


def vocabulary_of_config(config: Mapping[str, Any]) -> int | None:
    """Rows of a model's embedding, by its config; None when it does not say."""
    return _number(config, "vocab_size")


def _number(config: Mapping[str, Any], *names: str) -> int | None:
    """The first of these that is a positive int. Models of text and pictures keep the text's part in `text_config`."""
    text = config.get("text_config")
    inner = {**config, **text} if isinstance(text, dict) else config
    found = (inner.get(name) for name in names)
    return next((n for n in found if isinstance(n, int) and not isinstance(n, bool) and n > 0), None)


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
            f"The weights in '{folder}' are pickles ({pickles[0]}), which can run code when they are opened.",
            "Convert them to safetensors on a machine that may run that code: "
            "from_pretrained(folder).save_pretrained(new_folder).",
        )
    raise ComponentError(
        f"The model in '{folder}' has no weights: there is no model.safetensors.", "Get the whole folder."
    )


def _shards(index: Path) -> Iterator[Path]:
    try:
        data = index.read_bytes()
        names = sorted({str(name) for name in json.loads(data)["weight_map"].values()})
    except OSError as error:
        raise _unreadable(index, error) from error
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        what = disguise(data) or "no index of weights"
        raise ComponentError(f"'{index}' is {what}.", "Get the file again.") from None
    if not names:
        raise ComponentError(f"'{index}' names no weights.", "Get the file again.")
    for name in names:
        path = index.parent / name
        if Path(name).name != name or not path.exists():
            raise ComponentError(f"'{index.parent}' lacks the shard '{name[:60]}'.", "Get the whole folder.")
        yield path


def safetensors_parameters(folder: Path) -> Tensors:
    """Numbers, bytes and dtypes of a model's weights, from the headers of its files alone.

    Raises ComponentError when they are missing, pickles, or damaged.
    """
    tensors = [tensor for path in weights_files(folder) for tensor in _header(path).values()]
    return Tensors(
        parameters=sum(math.prod(t["shape"]) for t in tensors),
        bytes=sum(t["data_offsets"][1] - t["data_offsets"][0] for t in tensors),
        dtypes=frozenset(str(t["dtype"]) for t in tensors),
    )


def _header(path: Path) -> dict[str, dict[str, Any]]:
    """The tensors that a safetensors file announces, checked against its size.

    The format: 8 bytes with the header's length (little-endian), the header (JSON), the tensors without gaps.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            head = file.read(200)
            if not head:
                raise _damaged(path, "is empty")
            if (what := disguise(head)) is not None:
                hint = "Fetch the real file: git lfs pull." if "LFS" in what else "Download the file itself."
                raise ComponentError(f"'{path}' is {what}, not weights.", hint)
            length = struct.unpack("<Q", head[:8])[0] if len(head) >= 8 else 0
            if not 0 < length <= min(MAX_HEADER, size - 8):
                raise _damaged(path, "is truncated, or no safetensors file: its header would be longer than the file")
            file.seek(8)
            text = file.read(length)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        header: dict[str, dict[str, Any]] = json.loads(text)
        header.pop("__metadata__", None)
        announced = _extent(header)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _damaged(path, "is no safetensors file, or damaged: its header makes no sense") from None
    if size < 8 + length + announced:
        raise _damaged(path, f"is truncated: it has {size:,} bytes of {8 + length + announced:,}")
    if size > 8 + length + announced:
        raise _damaged(path, f"is damaged: it has {size:,} bytes where its header announces {8 + length + announced:,}")
    return header


def _extent(header: Mapping[str, Mapping[str, Any]]) -> int:
    """Bytes of all tensors. Raises ValueError for a gap, an overlap, or a size that does not fit shape and dtype."""
    at = 0
    for tensor in sorted(header.values(), key=lambda t: tuple(t["data_offsets"])):
        start, end = tensor["data_offsets"]
        shape, bits = tensor["shape"], BITS.get(tensor["dtype"])  # packed types (4 bits) are left to the library
        if start != at or end < start or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError
        if bits is not None and (end - start) * 8 != math.prod(shape) * bits:
            raise ValueError
        at = end
    return at


def _damaged(path: Path, what: str) -> ComponentError:
    return ComponentError(f"'{path}' {what}.", "Get the file again.")


def _unreadable(path: Path, error: OSError) -> ComponentError:
    return ComponentError(f"'{path}' cannot be read: {error.strerror or error}.", "Make it readable, or get it again.")
