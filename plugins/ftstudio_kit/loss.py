"""The loss of next-token prediction, summed so that batches of any size can be weighed by their tokens."""

from __future__ import annotations

import math

import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor

IGNORE = -100
"""The label of a token that is not trained on."""


def shift_labels(labels: Tensor) -> Tensor:
    """What each position has to predict: (B, T) labels moved one to the left, the last position predicts nothing."""
    return F.pad(labels[:, 1:], (0, 1), value=IGNORE)


def summed_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum of the cross-entropies (nats) of all trained tokens, in float32.

    logits (B, T, V), labels (B, T) not shifted. Moving the labels rather than the logits saves a copy of the
    largest tensor there is: 8 x 1024 x 50257 floats are 1.6 GB.
    """
    targets = shift_labels(labels)
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum")


def perplexity(loss: float) -> float:
    """exp(loss); infinite where that is beyond a float, and no number where the loss is none."""
    return math.inf if loss >= 700 else math.exp(loss)
