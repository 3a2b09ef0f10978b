"""Where a run may compute, found without torch."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path

from ftstudio.errors import InputError
from ftstudio.files import quote

_DEVICE = re.compile(r"cpu|mps|cuda(:[0-9]+)?\Z")


def choose_device(wanted: str = "auto") -> str:
    """The device's name in torch's words. Raises InputError for a word that is none."""
    if wanted != "auto":
        if not _DEVICE.match(wanted):
            raise InputError(f"{quote(wanted)} is no device.", "Write cpu, cuda, cuda:0 ... or mps.")
        return "cuda:0" if wanted == "cuda" else wanted
    if _has_cuda():
        return "cuda:0"
    return "mps" if platform.system() == "Darwin" and platform.machine() == "arm64" else "cpu"


def _has_cuda() -> bool:
    """An NVIDIA driver with a GPU that may be used, and a torch that was not built for the CPU alone."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in {"", "-1"}:
        return False
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return False
    try:
        return not importlib.metadata.version("torch").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
