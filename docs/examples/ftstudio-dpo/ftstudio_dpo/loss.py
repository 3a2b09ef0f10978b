"""The loss of direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290, equation 7).

With p the model in training, r the model that it started from, c the chosen and d the rejected answer to a prompt:

    reward(y) = beta * (log p(y) - log r(y))
    loss      = -log sigmoid(reward(c) - reward(d))
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor

from ftstudio_kit.loss import IGNORE, shift_labels


class Judged(NamedTuple):
    """Of each pair (B,): the loss, and the rewards of both answers in nats."""

    loss: Tensor
    chosen: Tensor
    rejected: Tensor

    def sums(self) -> Tensor:
        """(5,) sums over the pairs, in the order of `NAMES`."""
        chosen, rejected = self.chosen.detach(), self.rejected.detach()
        better = (chosen > rejected).float()
        return torch.stack(
            [self.loss.detach().sum(), chosen.sum(), rejected.sum(), better.sum(), (chosen - rejected).sum()]
        )


NAMES = ("loss", "rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins")


def answer_logps(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) log-probabilities (nats, float32) of the trained tokens of each row: logits (B, T, V), labels (B, T)."""
    targets = shift_labels(labels)
    losses = F.cross_entropy(logits.float().transpose(1, 2), targets, ignore_index=IGNORE, reduction="none")  # (B, T)
    return -losses.sum(dim=1)


def judge(logps: Tensor, reference: Tensor, beta: float, label_smoothing: float = 0.0) -> Judged:
    """Loss and rewards of B pairs; both arguments are (2B,), the chosen answers first.

    `label_smoothing` is the share of pairs that are labelled the wrong way round (Mitchell 2023, conservative DPO).
    """
    chosen, rejected = (beta * (logps - reference)).chunk(2)
    margin = chosen - rejected
    loss = -(1 - label_smoothing) * F.logsigmoid(margin) - label_smoothing * F.logsigmoid(-margin)
    return Judged(loss, chosen, rejected)
