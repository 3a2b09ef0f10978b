"""How far the weights of two checkpoints are apart, without torch.

A resumed trainer that does not promise the same bits may end elsewhere, but not as far off as one that began with the
base model again. Only a part of each tensor is looked at, so that a large model costs no more than a small one.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from ftstudio.testing.working import WEIGHTS

MOST_VALUES = 4_096
"""Values of a tensor that are looked at, from its beginning."""
_CODES = {"F64": (8, "d"), "F32": (4, "f"), "F16": (2, "e"), "BF16": (2, "H")}
"""Type of safetensors -> bytes of a value, and its letter in `struct`."""

Weights = Mapping[str, Sequence[float]]


def weights_of(folder: Path) -> Weights:
    """Name of a tensor -> its first values, of a checkpoint's model or adapter. Raises OSError or ValueError."""
    found: dict[str, Sequence[float]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        if path.name.startswith(WEIGHTS):
            found |= _tensors(path)
    return found


def _tensors(path: Path) -> dict[str, Sequence[float]]:
    found: dict[str, Sequence[float]] = {}
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        for name, about in header.items():
            if about.get("dtype") not in _CODES:  # whole numbers, or what is packed: no distance there
                continue
            width, code = _CODES[about["dtype"]]
            start, end = about["data_offsets"]
            count = min((end - start) // width, MOST_VALUES)
            file.seek(8 + size + start)
            found[name] = _values(file.read(count * width), count, code)
    return found


def _values(data: bytes, count: int, code: str) -> Sequence[float]:
    if code != "H":
        return struct.unpack(f"<{count}{code}", data)
    halves = struct.unpack(f"<{count}H", data)  # a bfloat16 is the upper half of a float32
    return struct.unpack(f"<{count}f", struct.pack(f"<{count}I", *(half << 16 for half in halves)))


def distance(one: Weights, other: Weights) -> float:
    """The length of their difference, over the tensors that both have in the same size."""
    both = [name for name in one if name in other and len(one[name]) == len(other[name])]
    return math.hypot(*(math.dist(one[name], other[name]) for name in both))
