"""What processes that hold torch are started with."""

from __future__ import annotations

import os

_MEMORY = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1099511627776:glibc.malloc.hugetlb=1"
"""Keep freed memory, and in huge pages. As it comes, glibc gives every large tensor back to the kernel and has it
zeroed anew in the next step, 4 KiB at a time: a third of the time of a training step on two cores. Other C libraries
do not read this."""


def environment(**more: str) -> dict[str, str]:
    """This process's, with GPUs numbered as nvidia-smi does, and memory kept; a person's own tunables stay."""
    return {"GLIBC_TUNABLES": _MEMORY, **os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", **more}
