"""Which number format to compute in: bfloat16 where the machine has it in hardware, float32 elsewhere.

Weights stay float32 (the masters); bfloat16 is what the matrix products run in. On a CPU without bfloat16
instructions it is emulated and several times slower than float32, hence the look at the CPU's flags.
"""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path

import torch

_CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


@lru_cache(maxsize=8)
def has_bf16(device: str) -> bool:
    """True when `device` ("cpu", "cuda:0", "mps") multiplies bfloat16 matrices in hardware."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_available() and bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind == "mps":
        return _macos_version() >= (14, 0)
    return kind == "cpu" and bool(_CPU_FLAGS & cpu_flags())


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """The CPU's feature flags as Linux names them; empty where /proc/cpuinfo is not there."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    lines = (line for line in text.splitlines() if line.lower().startswith(("flags", "features")))
    return frozenset(next(lines, "").partition(":")[2].split())


def use_bf16(wanted: bool | None, device: str) -> bool:
    """What an option `bf16` comes to: None means where the machine has it."""
    return has_bf16(device) if wanted is None else wanted


def autocast(device: str, bf16: bool) -> AbstractContextManager[object]:
    """The context to run a forward pass in."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16) if bf16 else nullcontext()


def _macos_version() -> tuple[int, ...]:
    release = platform.mac_ver()[0]
    return tuple(int(part) for part in release.split(".")[:2] if part.isdigit())
