"""The state of every random number generator that training may draw from, as plain tensors.

Captured as `{name: tensor}` so that it goes into a safetensors file: no pickle is needed to write it or to read it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def seed_all(seed: int) -> None:
    """Seed python's, numpy's and torch's generators on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # the libraries beneath us draw from the global generator
    torch.manual_seed(seed)


def capture() -> dict[str, Tensor]:
    """The state of python's, numpy's and torch's generators (CPU, each CUDA device in use, MPS)."""
    version, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state()
    state = {
        "python": torch.tensor([version, *words], dtype=torch.int64),
        "python.gauss": torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
        "numpy": torch.tensor([int(k) for k in keys], dtype=torch.int64),
        "numpy.position": torch.tensor([int(position), int(has_gauss)], dtype=torch.int64),
        "numpy.gauss": torch.tensor([float(cached)], dtype=torch.float64),
        "torch.cpu": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state |= {f"torch.cuda.{i}": s for i, s in enumerate(torch.cuda.get_rng_state_all())}
    if torch.backends.mps.is_available():
        state["torch.mps"] = torch.mps.get_rng_state()
    return state


def restore(state: Mapping[str, Tensor]) -> None:
    """Put back what `capture` gave. A device that the state knows and this machine lacks is left out."""
    version, *words = state["python"].tolist()
    gauss = state["python.gauss"].tolist()
    random.setstate((version, tuple(words), gauss[0] if gauss else None))
    position, has_gauss = state["numpy.position"].tolist()
    keys = state["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, position, has_gauss, state["numpy.gauss"].item()))
    torch.set_rng_state(state["torch.cpu"].cpu())
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            if f"torch.cuda.{i}" in state:
                torch.cuda.set_rng_state(state[f"torch.cuda.{i}"].cpu(), i)
    if torch.backends.mps.is_available() and "torch.mps" in state:
        torch.mps.set_rng_state(state["torch.mps"].cpu())


@contextmanager
def preserved() -> Iterator[None]:
    """Evaluate or sample inside without moving the generators that training draws from."""
    state = capture()
    try:
        yield
    finally:
        restore(state)
