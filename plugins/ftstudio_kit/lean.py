"""The fast way through a causal model, and the plain one: both learn from a batch, or only judge it.

`Lean` computes what `Plain` computes, from less memory traffic, which is what bounds training on a CPU: rows lie one
behind the other without padding (attention.py), matrices are copies in bfloat16 whose gradients are added into float32
(matrices.py), dropout draws cheaper numbers (dropout.py), and logits are made of trained tokens only, a part at a time,
and become their own gradient.

It fits models whose attention goes through transformers' interface and whose head is one matrix on the last hidden
states. No list says which do: `way_through` asks both of a tiny batch, and takes the plain way where answers differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from ftstudio_kit import attention, dropout, gelu
from ftstudio_kit.batching import Batch, Rows, join
from ftstudio_kit.loading import context_of, embedding_rows
from ftstudio_kit.loss import IGNORE, shift_labels, summed_loss
from ftstudio_kit.matrices import Gradients, Matrices, product
from ftstudio_kit.precision import autocast

HEAD_TOKENS = 2048
"""Trained tokens whose logits are held at once: 0.2 GB for a vocabulary of 50,257 in bfloat16."""
SOFTMAX_BYTES = 1 << 21
"""Of logits in float32 at a time: what stays in the cache takes a third of the time."""


class Way(Protocol):
    """How a trainer gets losses and gradients out of its model."""

    flat: bool  # whether batches are rows one behind the other (batching.collate)

    def learn(self, batch: Batch, weight: float) -> Tensor:
        """Add the gradient of `weight` times the summed loss to the parameters'; returns the summed loss (nats)."""

    def judge(self, batch: Batch) -> Tensor:
        """The summed loss (nats), without gradients."""

    def refresh(self) -> None:
        """To be called after the weights have changed."""

    def clear(self, parameters: Iterable[nn.Parameter]) -> None:
        """Begin the gradients anew."""


class Plain:
    """The model's own forward pass, under autocast where `bf16`; compiled where asked."""

    flat = False

    def __init__(self, model: PreTrainedModel, device: str, *, bf16: bool, compiled: bool = False) -> None:
        self.model: Any = model
        self.device, self.bf16, self.compiled = device, bf16, compiled

    @cached_property
    def forward(self) -> Any:
        """The model as it learns: compiled where asked, at the first batch."""
        return torch.compile(self.model) if self.compiled else self.model

    def learn(self, batch: Batch, weight: float) -> Tensor:
        """See `Way`."""
        loss = self._loss(self.forward, batch)
        (loss * weight).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    @torch.no_grad()
    def judge(self, batch: Batch) -> Tensor:
        """See `Way`."""
        return self._loss(self.model, batch)

    def _loss(self, forward: Any, batch: Batch) -> Tensor:
        with autocast(self.device, self.bf16):
            logits = forward(**batch.inputs(), use_cache=False).logits  # (B, T, V)
        return summed_loss(logits, batch.labels)

    def refresh(self) -> None:
        """Nothing: the weights themselves are used."""

    def clear(self, parameters: Iterable[nn.Parameter]) -> None:
        """See `Way`."""
        for parameter in parameters:
            parameter.grad = None


class Lean:
    """See the module. Building one changes the forward passes of the model's layers, until `undo`."""

    flat = True

    def __init__(self, model: PreTrainedModel, *, bf16: bool) -> None:
        """Raises AttributeError or NotImplementedError when the head is not one matrix on a base of its own."""
        self.whole: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # beneath peft's
        self.base, self.bf16 = self.whole.base_model, bf16
        head: Any = self.whole.get_output_embeddings()
        if head.bias is not None or type(head) is not nn.Linear or self.base is self.whole:
            raise NotImplementedError("a head that is more than a matrix")
        self.head = cast("nn.Parameter", head.weight)
        self.gradients = Gradients()
        self.matrices = Matrices(model, torch.bfloat16 if bf16 else torch.float32, self.gradients)
        dropout.cheapen(model)
        gelu.hasten(model)

    def undo(self) -> None:
        """Give the layers their own forward passes back."""
        for layer in self.whole.modules():
            layer.__dict__.pop("forward", None)

    def learn(self, batch: Batch, weight: float) -> Tensor:
        """See `Way`."""
        with attention.rows(self.whole, attention.Layout.of(batch.lengths)):  # a backward pass may repeat the forward
            hidden, targets = self._hidden(batch)
            loss, gradient = self._head_gradient(hidden.detach(), targets, weight)
            hidden.backward(gradient)  # type: ignore[no-untyped-call]
        return loss

    @torch.no_grad()
    def judge(self, batch: Batch) -> Tensor:
        """See `Way`."""
        loss = torch.zeros(())
        for logits, targets in self._logits(batch):
            for some, wanted in _some(logits, targets):
                loss += F.cross_entropy(some.float(), wanted, reduction="sum")
        return loss

    def refresh(self) -> None:
        """See `Way`."""
        self.matrices.refresh()

    def clear(self, parameters: Iterable[nn.Parameter]) -> None:
        """See `Way`."""
        self.gradients.clear(parameters)

    @torch.no_grad()
    def logits(self, batch: Batch) -> Tensor:
        """(M, V) for the M positions that foretell a trained token."""
        return torch.cat([logits for logits, _ in self._logits(batch)])

    def _logits(self, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits and their targets, a part at a time."""
        with attention.rows(self.whole, attention.Layout.of(batch.lengths)):
            hidden, targets = self._hidden(batch)
        head = self.matrices.of(self.head)
        for states, wanted in zip(torch.split(hidden, HEAD_TOKENS), torch.split(targets, HEAD_TOKENS), strict=True):
            yield product(states.to(head.dtype), head.t()), wanted

    def _hidden(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The last hidden states (M, D) that foretell a trained token, and these tokens (M,)."""
        with autocast("cpu", self.bf16):  # for what is neither a linear layer nor attention
            found = self.base(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False)
        hidden, targets = found.last_hidden_state[0], shift_labels(batch.labels)[0]  # (N, D), (N,)
        trained = torch.nonzero(targets != IGNORE)[:, 0]
        return hidden.index_select(0, trained), targets[trained]

    def _head_gradient(self, hidden: Tensor, targets: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        """The summed loss, and the gradient of `weight` times it in the hidden states; the head's own is added."""
        head = self.matrices.of(self.head)
        loss = torch.zeros(())
        gradient = torch.empty_like(hidden)
        parts = (torch.split(x, HEAD_TOKENS) for x in (hidden, targets, gradient))
        for part, wanted, into in zip(*parts, strict=True):
            states = part.to(head.dtype)
            logits = product(states, head.t())  # (M, V)
            loss += _become_gradient(logits, wanted, weight)
            into.copy_(product(logits, head))
            if self.head.requires_grad:
                self.gradients.add(self.head, logits.t() @ states)
        return loss, gradient


def way_through(model: PreTrainedModel, device: str, *, bf16: bool, compiled: bool = False) -> Way:
    """The fast way where it gives the model's own answers, else the plain one; costs four tiny forward passes."""
    plain = Plain(model, device, bf16=bf16, compiled=compiled)
    if compiled or torch.device(device).type != "cpu":  # GPUs have fused kernels of their own, and compilers for more
        return plain
    lean: Lean | None = None
    training = model.training
    model.eval()
    try:
        probe = _probe(model)
        own = _answers(model, probe)
        lean = Lean(model, bf16=False)
        if not torch.allclose(lean.logits(probe), own, rtol=1e-3, atol=1e-3 * float(own.abs().max())):
            lean.undo()
            return plain
        lean = Lean(model, bf16=bf16)
        lean.logits(probe)
        if isinstance(model, PeftModel):  # adapters are all that will be saved of it
            lean.matrices.drop_frozen(but=lean.head)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        if lean is not None:
            lean.undo()
        return plain
    finally:
        model.train(training)
    return lean


def _probe(model: PreTrainedModel) -> Batch:
    """Two short rows, to be kept apart."""
    longest = context_of(model) or 5
    lengths = min(5, longest), min(3, longest)
    ids = (np.arange(7, 7 + sum(lengths)) % embedding_rows(model)).astype(np.int32)
    return join(Rows(ids, ids, np.cumsum((0, *lengths))), [(0,), (1,)])


@torch.no_grad()
def _answers(model: Any, probe: Batch) -> Tensor:
    """The logits that the model itself gives for each row alone."""
    rows = torch.split(probe.input_ids, list(probe.lengths), dim=1)
    return torch.cat([model(input_ids=ids, use_cache=False).logits[0, :-1] for ids in rows])


def _become_gradient(logits: Tensor, targets: Tensor, weight: float) -> Tensor:
    """The summed cross-entropy; the logits become `weight` times its gradient: softmax minus one-hot, in float32."""
    loss = torch.zeros(())
    for some, wanted in _some(logits, targets):
        shares = torch.softmax(some, -1, dtype=torch.float32)
        chosen = shares.gather(1, wanted[:, None])
        loss -= chosen.log().sum()
        shares.scatter_(1, wanted[:, None], chosen - 1)
        some.copy_(shares.mul_(weight))
    return loss


def _some(logits: Tensor, targets: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
    rows = max(1, SOFTMAX_BYTES // (4 * logits.shape[1]))
    return zip(torch.split(logits, rows), torch.split(targets, rows), strict=True)
