"""Memory: the most that was held, and what to say when there was not enough, or when the GPU that held it is gone."""

from __future__ import annotations

import resource
import sys

import torch

from ftstudio.api import TrainingError

_WORDS = (
    "out of memory",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator",
    "can't allocate memory",
)

_LOST = (
    "GPU is lost", "fallen off the bus", "unspecified launch failure", "uncorrectable ECC", "hardware stack error",
    "no CUDA-capable device", "devices are busy or unavailable", "CUDA driver error: device not ready",
    "unknown error",
)  # fmt: skip
"""What CUDA says of a device that answers no more; a kernel's own fault (an index out of range) is not among it."""


def reset_peak(device: str) -> None:
    """Begin to measure anew where the device allows it; a process's own peak cannot be reset."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: str) -> int:
    """The most bytes held so far: of tensors on a GPU, of the whole process on a CPU."""
    kind = torch.device(device).type
    if kind == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if kind == "mps":
        return int(torch.mps.driver_allocated_memory())
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes on macOS and KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def is_out_of_memory(error: BaseException) -> bool:
    """True for what torch raises when memory ran out: a class on GPUs, only a wording on CPUs."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def is_gpu_lost(error: BaseException) -> bool:
    """True for a CUDA error after which the device is of no use to this process; torch says so by words only."""
    text = str(error)
    return isinstance(error, RuntimeError) and "CUDA" in text and any(word in text for word in _LOST)


def gpu_lost(step: int, rows: int, length: int, device: str, error: BaseException) -> TrainingError:
    """The error to raise in its place: which device, at what, and what to look at."""
    said = str(error).strip().splitlines()[0][:200]
    return TrainingError(
        f"{device} was lost in step {step}, on a batch of {rows} rows of {length} tokens: {said}.",
        "Look at it (nvidia-smi, dmesg); once it answers, resume the run. If it is lost at the same place again, try a "
        "smaller per_device_train_batch_size.",
    )


def out_of_memory(step: int, rows: int, length: int, batch_size: int, accumulation: int) -> TrainingError:
    """The error to raise in its place: names the batch and proposes settings with the same batch in smaller parts."""
    message = f"Memory ran out in step {step}, on a batch of {rows} rows of {length} tokens."
    if batch_size > 1:
        smaller = batch_size // 2
        more = -(-batch_size * accumulation // smaller)
        settings = f"per_device_train_batch_size = {smaller} and gradient_accumulation_steps = {more}"
        hint = f"Set {settings}: the same step, in smaller parts."
    else:
        hint = "Set gradient_checkpointing = true, train with lora_rank = 8, or lower the tokenizer's max_length."
    return TrainingError(message, hint)
