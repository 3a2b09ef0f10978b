"""What processes that hold torch are started with."""

from __future__ import annotations

import os
import platform

_MEMORY = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1099511627776:glibc.malloc.hugetlb=1"
"""Keep freed memory, and in huge pages. As it comes, glibc gives every large tensor back to the kernel and has it
zeroed anew in the next step, 4 KiB at a time: a third of the time of a training step on two cores. Other C libraries
do not read this."""

_PRODUCTS = "256"
"""Compiled products that oneDNN keeps: 1,024 of them, as it comes, hold up to 1.5 GB where rows have all lengths."""

_PATIENCE = "30000"
"""How often an OpenMP thread looks for work before it sleeps, a millisecond and a half. libgomp's own 300,000 is longer
than the kernel's turns: with one more busy process on two cores, threads that wait keep those that work from their
core, and a step of 1.1 s takes 12."""


def keeps_memory() -> bool:
    """Whether memory that this process frees stays its own: glibc was told so at the start."""
    told = "glibc.malloc.mmap_max=0" in os.environ.get("GLIBC_TUNABLES", "")
    return told and platform.libc_ver()[0] == "glibc"


def environment(**more: str) -> dict[str, str]:
    """This process's, with GPUs numbered as nvidia-smi does, and memory kept; what a person has set stays."""
    ours = {"GLIBC_TUNABLES": _MEMORY, "ONEDNN_PRIMITIVE_CACHE_CAPACITY": _PRODUCTS}
    if "OMP_WAIT_POLICY" not in os.environ:  # which says the same, and would lose against it
        ours["GOMP_SPINCOUNT"] = _PATIENCE
    return {**ours, **os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", **more}
