"""What processes that hold torch are started with."""

from __future__ import annotations

import os

_MEMORY = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1099511627776:glibc.malloc.hugetlb=1"
"""Keep freed memory, and in huge pages. As it comes, glibc gives every large tensor back to the kernel and has it
zeroed anew in the next step, 4 KiB at a time: a third of the time of a training step on two cores. Other C libraries
do not read this."""

_PRODUCTS = "256"
"""Compiled products that oneDNN keeps: 1,024 of them, as it comes, hold up to 1.5 GB where rows have all lengths."""


def environment(**more: str) -> dict[str, str]:
    """This process's, with GPUs numbered as nvidia-smi does, and memory kept; what a person has set stays."""
    ours = {"GLIBC_TUNABLES": _MEMORY, "ONEDNN_PRIMITIVE_CACHE_CAPACITY": _PRODUCTS}
    return {**ours, **os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", **more}
