"""The fast way through a causal model, and the plain one: both learn from a batch, or only judge it.

`Lean` computes what `Plain` computes, from less memory traffic, which is what bounds training on a CPU: rows lie one
behind the other without padding (attention.py), matrices are copies in bfloat16 whose gradients are added into float32
(matrices.py), dropout draws cheaper numbers (dropout.py), and logits are made of trained tokens only, a part at a time,
and become their own gradient.

It fits models whose attention goes through transformers' interface and whose head is one matrix on the last hidden
states. No list says which do: `way_through` asks both of a tiny batch, and takes the plain way where answers differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from typing import Any, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor, nn
from transformers import PreTrainedModel

from ftstudio_kit import adapters, attention, dropout, gelu
from ftstudio_kit.batching import Batch, join, rounded
from ftstudio_kit.loading import context_of, embedding_rows, leave_file
from ftstudio_kit.lora import is_adapted
from ftstudio_kit.loss import IGNORE, shift_labels, summed_loss
from ftstudio_kit.matrices import Gradients, Matrices, product
from ftstudio_kit.precision import autocast
from ftstudio_kit.token_rows import Rows

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

    def __init__(self, model: PreTrainedModel, *, bf16: bool, join: bool = True) -> None:
        """Without `join`, layers with adapters stay peft's. Raises AttributeError or NotImplementedError when the head
        is not one matrix on a base of its own.
        """
        self.whole: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # beneath peft's
        self.base, self.bf16 = self.whole.base_model, bf16
        head: Any = self.whole.get_output_embeddings()
        if head.bias is not None or type(head) is not nn.Linear or self.base is self.whole:
            raise NotImplementedError("a head that is more than a matrix")
        self.head = cast("nn.Parameter", head.weight)
        self.gradients = Gradients()
        dtype = torch.bfloat16 if bf16 else torch.float32
        adapted = [layer for layer in model.modules() if adapters.fits(layer)]
        self.joined = [adapters.Joined(layer, dtype, self.gradients) for layer in adapted if join]
        self.matrices = Matrices(model, dtype, self.gradients, {part for layer in adapted for part in layer.modules()})
        dropout.cheapen(model)
        gelu.hasten(model)

    def undo(self) -> None:
        """Give the layers their own forward passes back."""
        for layer in self.whole.modules():
            layer.__dict__.pop("forward", None)

    def learn(self, batch: Batch, weight: float) -> Tensor:
        """See `Way`."""
        with attention.rows(self.whole, _layout_of(batch)):  # a backward pass may repeat the forward
            hidden, targets = self._hidden(batch)
            loss, gradient = self._head_gradient(hidden.detach(), targets, weight)
            if hidden.requires_grad:  # else the head alone is trained
                hidden.backward(gradient)  # type: ignore[no-untyped-call]
        return loss

    @torch.no_grad()
    def judge(self, batch: Batch) -> Tensor:
        """See `Way`."""
        loss = torch.zeros(())
        for logits, targets in self._logits(batch):
            for some, wanted in _some(logits, targets):
                loss += F.cross_entropy(some.float(), wanted, ignore_index=IGNORE, reduction="sum")
        return loss

    def refresh(self) -> None:
        """See `Way`."""
        self.matrices.refresh()
        for joined in self.joined:
            joined.refresh()

    def drop_frozen(self) -> None:
        """Let the model hold frozen weights in bfloat16 alone, where that is what products are made with."""
        self.matrices.drop_frozen(but=self.head)
        for joined in self.joined:
            joined.drop_own()
        if self.bf16:  # one weight that is still a page of the file would keep all of the file's pages in memory
            leave_file(self.whole)

    def clear(self, parameters: Iterable[nn.Parameter]) -> None:
        """See `Way`."""
        self.gradients.clear(parameters)

    @torch.no_grad()
    def logits(self, batch: Batch) -> Tensor:
        """(M, V) for the M positions that foretell a trained token."""
        return torch.cat([logits[targets != IGNORE] for logits, targets in self._logits(batch)])

    def _logits(self, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits and their targets, a part at a time."""
        with attention.rows(self.whole, _layout_of(batch)):
            hidden, targets = self._hidden(batch)
        head = self.matrices.of(self.head)
        for states, wanted in zip(torch.split(hidden, HEAD_TOKENS), torch.split(targets, HEAD_TOKENS), strict=True):
            yield product(states.to(head.dtype), head.t()), wanted

    def _hidden(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The last hidden states (M, D) that foretell a trained token, and these tokens (M,).

        M is rounded up, by states that foretell none: each new size of a product is compiled anew, and kept.
        """
        with autocast("cpu", self.bf16):  # for what is neither a linear layer nor attention
            found = self.base(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False)
        hidden, targets = found.last_hidden_state[0], shift_labels(batch.labels)[0]  # (N, D), (N,)
        chosen = torch.nonzero(targets != IGNORE)[:, 0]
        more = torch.nonzero(targets == IGNORE)[: rounded(len(chosen)) - len(chosen), 0]
        chosen = torch.cat([chosen, more])
        return hidden.index_select(0, chosen), targets[chosen]

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
                self.gradients.add_product(self.head, logits, states)
        return loss, gradient


def way_through(model: PreTrainedModel, device: str, *, bf16: bool, compiled: bool = False) -> Way:
    """The fast way where it gives the model's own answers, else the plain one; costs some tiny passes."""
    plain = Plain(model, device, bf16=bf16, compiled=compiled)
    if compiled or torch.device(device).type != "cpu":  # GPUs have fused kernels of their own, and compilers for more
        return plain
    training = model.training
    model.eval()
    lean: Lean | None = None
    try:
        probe, powers = _probe(model), _powers(model)
        own = [_answers(model, probe, power) for power in powers]
        # an adapter adds nothing yet, and joining copies all that it lies over
        lean = Lean(model, bf16=False, join=False)
        with attention.heard() as windows:
            answers = [_scaled(lean.head, power, partial(lean.logits, probe)) for power in powers]
        if windows != _windows(lean.whole) * len(powers) or not all(map(_alike, answers, own)):
            lean.undo()
            return plain
        lean = Lean(model, bf16=bf16)
        lean.learn(probe, 1.0)
        lean.clear(model.parameters())
    except Exception:  # noqa: BLE001 - whatever a stranger's model raises here, it has a forward pass of its own
        if lean is not None:
            lean.undo()
        model.zero_grad()
        return plain
    finally:
        model.train(training)
    if is_adapted(model):  # adapters are all that will be saved of it
        lean.drop_frozen()
    return lean


def _layout_of(batch: Batch) -> attention.Layout:
    return attention.Layout.of(batch.lengths, batch.input_ids.shape[1])


def _become_gradient(logits: Tensor, targets: Tensor, weight: float) -> Tensor:
    """The summed cross-entropy; the logits become `weight` times its gradient: softmax minus one-hot, in float32."""
    loss = torch.zeros(())
    for some, wanted in _some(logits, targets):
        real = wanted != IGNORE
        at = torch.where(real, wanted, 0)[:, None]
        shares = torch.softmax(some, -1, dtype=torch.float32)
        chosen = shares.gather(1, at)
        losses = -chosen[:, 0].log()
        far = chosen[:, 0] < 1e-30  # float32 has no smaller shares
        if far.any():
            losses[far] = torch.logsumexp(some[far].float(), -1) - some[far].gather(1, at[far])[:, 0].float()
        loss += losses[real].sum()
        shares.scatter_(1, at, chosen - 1)
        some.copy_(shares.mul_(real[:, None] * weight))
    return loss


def _some(logits: Tensor, targets: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
    rows = max(1, SOFTMAX_BYTES // (4 * logits.shape[1]))
    return zip(torch.split(logits, rows), torch.split(targets, rows), strict=True)


# ----------------------------------------------------------------------------------------------- the probe


def _probe(model: PreTrainedModel) -> Batch:
    """Two short rows, to be kept apart."""
    longest = context_of(model) or 5
    lengths = min(5, longest), min(3, longest)
    ids = (np.arange(7, 7 + sum(lengths)) % embedding_rows(model)).astype(np.int32)
    return join(Rows([(ids, ids)], np.array(lengths)), [(0,), (1,)])


def _windows(model: Any) -> list[int | None]:
    """The window of each layer's attention as the config says it: a short row cannot show one."""
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if getattr(config, "use_sliding_window", True) is False:
        window = None
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * config.num_hidden_layers
    if not set(kinds) <= {"full_attention", "sliding_attention"}:
        raise NotImplementedError("layers that are no attention over a row, or over a window of it")
    return [window if kind == "sliding_attention" else None for kind in kinds]


def _powers(model: Any) -> tuple[int, int]:
    """Powers of two to multiply the head by: as it is, and so that logits are large, where a cap on them shows."""
    least, most = torch.aminmax(model.get_output_embeddings().weight.detach())
    return 0, 8 - round(math.log2(max(1e-9, -float(least), float(most))))


def _scaled(weight: Tensor, power: int, ask: Callable[[], Tensor]) -> Tensor:
    """What is answered while the weight is so many powers of two larger, which takes no bit of it away."""
    with torch.no_grad():
        weight.mul_(2.0**power)
        try:
            return ask()
        finally:
            weight.mul_(2.0**-power)


def _answers(model: Any, probe: Batch, power: int) -> Tensor:
    """The logits that the model itself gives for each row alone."""

    def ask() -> Tensor:
        rows = torch.split(probe.input_ids[:, : probe.tokens], list(probe.lengths), dim=1)
        return torch.cat([model(input_ids=ids, use_cache=False).logits[0, :-1] for ids in rows])

    return _scaled(model.get_output_embeddings().weight, power, ask)


def _alike(one: Tensor, other: Tensor) -> bool:
    """Honest differences are of 1e-6; a state that leaks from row to row begins at 1e-4."""
    return bool((one - other).abs().max() <= 2e-5 * other.abs().max())
