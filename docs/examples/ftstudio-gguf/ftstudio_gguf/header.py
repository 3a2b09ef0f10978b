"""The beginning of a GGUF file, read without any library: what the model is, and how large.

The format is at github.com/ggml-org/ggml, docs/gguf.md. Little-endian, versions 2 and 3:

    "GGUF", version u32, tensors u64, pairs u64
    pairs:    key string, type u32, value
    tensors:  name string, dimensions u32, their sizes u64 each, type u32, offset u64
    string:   length u64, bytes
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ftstudio.api import ComponentError

MOST = 1 << 20  # no string, array or list of tensors of a real file comes near it, but for arrays of tokens
MOST_TOKENS = 1 << 24
_PLAIN = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
Value = bool | int | float | str | None


class Header(NamedTuple):
    """Values by key (of an array its length, under "len:KEY"), and how many numbers all tensors have together."""

    values: dict[str, Value]
    parameters: int

    @property
    def architecture(self) -> str:
        """The family: "llama", "qwen2"."""
        return str(self.values.get("general.architecture", ""))

    def number(self, key: str) -> int | None:
        """A whole number under a key of the architecture, None when there is none."""
        value = self.values.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_header(path: Path, name: str) -> Header:
    """Read a file's header; `name` is how sentences call it. Raises ComponentError for what is no whole GGUF file."""
    try:
        with path.open("rb") as stream:
            return _header(stream, name)
    except OSError as error:
        raise ComponentError(
            f"'{name}' cannot be read: {error.strerror or error}.", "Check path in [model]."
        ) from error
    except (struct.error, ValueError, KeyError, UnicodeDecodeError, OverflowError) as error:
        raise ComponentError(
            f"'{name}' is damaged, or cut: its header makes no sense.", "Get the file again."
        ) from error


def _header(stream: BinaryIO, name: str) -> Header:
    magic = stream.read(4)
    if magic != b"GGUF":
        raise ComponentError(f"'{name}' is no GGUF file.", "Name a file that ends in .gguf.")
    version, tensors, pairs = _take(stream, "IQQ")
    if version not in {2, 3}:
        raise ComponentError(f"'{name}' is GGUF of version {version}; versions 2 and 3 are read.", "Convert it anew.")
    if max(tensors, pairs) > MOST:
        raise ValueError
    values: dict[str, Value] = {}
    for _ in range(pairs):
        key = _string(stream)
        (kind,) = _take(stream, "I")
        if kind == _ARRAY:
            values[f"len:{key}"] = _skip_array(stream)
        else:
            values[key] = _string(stream) if kind == _STRING else _take(stream, _PLAIN[kind])[0]
    parameters = 0
    for _ in range(tensors):
        _string(stream)
        (dimensions,) = _take(stream, "I")
        if dimensions > 8:
            raise ValueError
        parameters += math.prod(_take(stream, "Q" * dimensions))
        _take(stream, "IQ")
    return Header(values, parameters)


def _take(stream: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(f"<{layout}", stream.read(struct.calcsize(f"<{layout}")))


def _string(stream: BinaryIO) -> str:
    (length,) = _take(stream, "Q")
    if length > MOST:
        raise ValueError
    data = stream.read(length)
    if len(data) < length:
        raise ValueError
    return data.decode()


def _skip_array(stream: BinaryIO) -> int:
    kind, count = _take(stream, "IQ")
    if count > MOST_TOKENS:
        raise ValueError
    if kind == _STRING:
        for _ in range(count):
            (length,) = _take(stream, "Q")
            stream.seek(length, 1)
    else:
        stream.seek(count * struct.calcsize(f"<{_PLAIN[kind]}"), 1)
    return count
