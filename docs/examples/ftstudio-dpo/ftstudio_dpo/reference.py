"""What the model that training started from says of every answer: asked once, and kept beside each checkpoint.

    reference.safetensors    train (2N,), validation (2M,): log-probabilities by row of the `PairTable`

Asking once saves a second model in memory and a third of the time; a resumed run finds the same bits again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ftstudio_dpo.pairs import PairTable
from ftstudio_kit.batching import Batch
from ftstudio_kit.state import read_tensors

FILE = "reference.safetensors"
Score = Callable[[Batch], Tensor]


@torch.no_grad()
def ask(table: PairTable, size: int, score: Score, tell: Callable[[int], None]) -> Tensor:
    """(2N,) on the CPU: `score` of every answer, in batches of `size` pairs of like length; `tell` hears how far."""
    found, done = torch.empty(len(table.rows)), 0
    for pairs in table.by_length(size):
        scores = score(table.batch(pairs)).float().cpu()
        found[torch.from_numpy(2 * pairs)], found[torch.from_numpy(2 * pairs + 1)] = scores.chunk(2)
        done += len(pairs)
        tell(done)
    return found


def of(pairs: Tensor, reference: Tensor) -> Tensor:
    """(2B,) for the pairs of a batch, the chosen answers first: as `PairTable.batch` lays rows out."""
    return reference[torch.cat([2 * pairs, 2 * pairs + 1])]


def save(folder: Path, tables: Mapping[str, PairTable], reference: Mapping[str, Tensor]) -> None:
    """Write the values, and for which tokens they are."""
    digests = {f"{name}.digest": _digest(table) for name, table in tables.items()}
    save_file({**reference, **digests}, folder / FILE)


def load(folder: Path, tables: Mapping[str, PairTable]) -> dict[str, Tensor]:
    """What `save` wrote for just these tokens; nothing of a table that changed since.

    Raises ComponentError when the file is damaged.
    """
    if not (folder / FILE).is_file():
        return {}
    found = read_tensors(folder / FILE)
    same = [n for n, t in tables.items() if n in found and torch.equal(found[f"{n}.digest"], _digest(t))]
    return {name: found[name] for name in same}


def _digest(table: PairTable) -> Tensor:
    return torch.frombuffer(bytearray(table.digest()), dtype=torch.uint8)
