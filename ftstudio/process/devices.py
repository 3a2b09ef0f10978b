"""Where runs may compute, found without torch: devices, the places that they take, and who else is there.

A *device* has torch's name, which depends on CUDA_VISIBLE_DEVICES; its *place* is the same for every process of this
machine: "cpu", "mps", or "gpu" and the number that nvidia-smi gives it. Workers number GPUs in that order too
(CUDA_DEVICE_ORDER=PCI_BUS_ID), so that both names mean one card.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ftstudio.errors import InputError
from ftstudio.text import quote

_DEVICE = re.compile(r"(?:cpu|mps|cuda(?::([0-9]+))?)\Z")
NVIDIA_SECONDS = 5.0


@dataclass(frozen=True)
class Device:
    """Where to compute: `name` in torch's words, `place` on this machine."""

    name: str
    place: str


@dataclass(frozen=True)
class Tenant:
    """A process that holds memory of a GPU; `user` is "" where it cannot be known."""

    pid: int
    user: str
    bytes: int


def candidates(wanted: str = "auto") -> tuple[Device, ...]:
    """The devices that a word allows, best first; never empty.

    Asked before anything is started. Raises InputError for a word that names none, and for a device that is not here.
    """
    found = devices_of(wanted)
    absent = _absent(wanted)
    if absent:
        raise InputError(f"Nothing can be computed on {wanted} here: {absent}.", "Leave --device out, or name cpu.")
    return found


def devices_of(wanted: str) -> tuple[Device, ...]:
    """As `candidates`, for a process whose starter has asked that: the word is trusted, and nothing is looked for.

    Raises InputError for a word that names no device.
    """
    match = _DEVICE.match(wanted)
    if wanted != "auto" and match is None:
        raise InputError(f"{quote(wanted)} is no device.", "Write cpu, cuda, cuda:0 ... or mps.")
    if wanted in {"cpu", "mps"}:
        return (Device(wanted, wanted),)
    if wanted == "auto" and not torch_has_cuda():
        return (Device("mps", "mps"),) if _is_apple() else (Device("cpu", "cpu"),)
    gpus = tuple(Device(f"cuda:{i}", f"gpu{number}") for i, number in enumerate(_visible_gpus()))
    if match is not None and match[1] is not None:
        index = int(match[1])
        return (gpus[index],) if index < len(gpus) else (Device(wanted, f"gpu{index}"),)
    if wanted == "cuda":
        return gpus or (Device("cuda:0", "gpu0"),)
    return gpus or (Device("cpu", "cpu"),)


def choose_device(wanted: str = "auto") -> str:
    """The best allowed device in torch's words. Raises InputError as `candidates` does."""
    return candidates(wanted)[0].name


def _absent(wanted: str) -> str:
    """Why there can be no device of a word that names one, or ""."""
    if wanted == "mps" and not _is_apple():
        return "that is the GPU of a Mac with an Apple chip"
    if not wanted.startswith("cuda"):
        return ""
    if not torch_has_cuda():
        return "the torch that is installed was built for the CPU alone"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count, index = len(_visible_gpus()), int(wanted.partition(":")[2] or 0)
    uncounted = Path("/dev/kfd").exists() or (visible or "").startswith(("MIG-", "GPU-"))
    if index < count or (uncounted and not count):  # AMD's cards, parts of a card, names that nvidia-smi did not tell
        return ""
    said = "there is no GPU" if not count else f"there is only cuda:{', cuda:'.join(map(str, range(count)))}"
    return f"{said} (CUDA_VISIBLE_DEVICES is {quote(visible)})" if visible is not None else said


def _is_apple() -> bool:
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def _visible_gpus() -> list[int]:
    """The numbers of the GPUs that CUDA_VISIBLE_DEVICES leaves, in its order."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    present = _present_gpus()
    if listed is None:
        return present
    numbers: list[int] = []
    for word in map(str.strip, listed.split(",")):
        number = _number_of(word)
        if number not in present:
            break  # as CUDA does: what follows an invalid entry is invisible
        numbers.append(number)
    return numbers


def _present_gpus() -> list[int]:
    """By their names in /dev, where nvidia-smi would take half a second; WSL2 has no such names, and asks it."""
    names = (p.name.removeprefix("nvidia") for p in Path("/dev").glob("nvidia[0-9]*"))
    return sorted(int(name) for name in names if name.isdigit()) or list(_told_by_nvidia(os.environ.get("PATH", "")))


def _number_of(word: str) -> int:
    """The GPU that an entry of CUDA_VISIBLE_DEVICES means: its number, or the beginning of its UUID; -1 for none."""
    if word.isdigit():
        return int(word)
    told = _told_by_nvidia(os.environ.get("PATH", "")) if word.startswith("GPU-") else {}
    return next((number for number, uuid in told.items() if uuid.startswith(word)), -1)


@lru_cache(maxsize=1)
def _told_by_nvidia(path: str) -> Mapping[int, str]:
    """Number -> UUID of each GPU, asked once a process; `path` is where nvidia-smi is looked for."""
    del path
    return {int(index): uuid for index, uuid in _ask_nvidia("--query-gpu=index,uuid") if index.isdigit()}


def torch_has_cuda() -> bool:
    """Whether the torch that is installed was built for more than the CPU."""
    try:
        return not importlib.metadata.version("torch").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return False


def tenants() -> Mapping[str, list[Tenant]]:
    """Place -> the processes that hold memory of that GPU; empty where there is no nvidia-smi to ask."""
    numbers = {uuid: f"gpu{index}" for index, uuid in _ask_nvidia("--query-gpu=index,uuid")}
    found: dict[str, list[Tenant]] = {place: [] for place in numbers.values()}
    for uuid, pid, mebibytes in _ask_nvidia("--query-compute-apps=gpu_uuid,pid,used_memory"):
        if uuid in numbers and pid.isdigit():
            size = int(mebibytes) << 20 if mebibytes.isdigit() else 0
            found[numbers[uuid]].append(Tenant(int(pid), _user_of(int(pid)), size))
    return found


@dataclass(frozen=True)
class Gauge:
    """How busy a GPU is: the share of time in percent, and bytes of its memory."""

    percent: int | None
    used: int
    total: int


def gauges() -> Mapping[str, Gauge]:
    """Place -> how busy that GPU is; empty where there is no nvidia-smi to ask."""
    found = {}
    for index, percent, used, total in _ask_nvidia("--query-gpu=index,utilization.gpu,memory.used,memory.total"):
        if used.isdigit() and total.isdigit():
            share = int(percent) if percent.isdigit() else None
            found[f"gpu{index}"] = Gauge(share, int(used) << 20, int(total) << 20)
    return found


def _ask_nvidia(query: str) -> list[list[str]]:
    try:
        answer = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader,nounits"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=NVIDIA_SECONDS, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines() if line.strip()]


def _user_of(pid: int) -> str:
    import pwd  # noqa: PLC0415 - only where a GPU has tenants

    with contextlib.suppress(OSError, KeyError):
        return pwd.getpwuid(Path(f"/proc/{pid}").stat().st_uid).pw_name
    return ""
