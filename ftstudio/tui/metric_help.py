"""What a metric is and what a larger value says, in plain sentences for help; a stranger's by what it declares."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from ftstudio.api import Metric
from ftstudio.errors import FtstudioError
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.record import frozen_project
from ftstudio.text import quote

MEANING: Mapping[str, str] = {
    "loss": (
        "What training makes smaller: mostly how badly the model foresees the tokens it is trained on, as a mean over "
        "them. Larger is worse; one that rises for long, or is nan, speaks of a learning rate that is too large."
    ),
    "eval_loss": (
        "The loss over rows that are kept apart and never trained on. Larger is worse; where it rises while loss "
        "falls, the model learns by heart."
    ),
    "perplexity": (
        "Among how many tokens the model is as good as undecided at each place: e to the power of eval_loss. Larger is "
        "worse; 1 would be certainty."
    ),
    "learning_rate": (
        "How far each step moves the weights; the schedule and warmup_steps give the curve its form. Larger learns "
        "faster, until the loss jumps or is nan."
    ),
    "grad_norm": (
        "How strongly a step's rows pull at the weights, before max_grad_norm clips it. Larger is more unrest; single "
        "peaks are usual, a steady rise comes before the loss jumps."
    ),
    "tokens_per_second": (
        "How many tokens are trained on in a second. Larger is faster; a fall speaks of longer rows, or of others who "
        "compute on the device."
    ),
    "peak_memory_bytes": (
        "The most memory that was held so far, in bytes: of the GPU, or of the process on a CPU. Larger is nearer to "
        "where it runs out; a smaller batch or max_length needs less."
    ),
    "epoch": "How often all rows were gone through so far. Larger is later in the run; it says nothing of quality.",
    "tokens": "How many tokens were trained on so far. Larger is later in the run; it says nothing of quality.",
}
"""Metrics that every trainer logs under the same name."""
BETTER: Mapping[str, str] = {"min": "Larger is worse.", "max": "Larger is better."}


def explained(run: RunFolder, name: str) -> str:
    """A metric in plain sentences, by what the trainer of the run declares where it is none of everybody's."""
    if name in MEANING:
        return f"{name}: {MEANING[name]}"
    declared = _declared(run, name)
    if declared is None:
        return f"{name}: the trainer logs it, and declares nothing of it. Its own documentation says what it is."
    unit = f", in {declared.unit}" if declared.unit else ""
    better = BETTER.get(str(declared.better), "Neither larger nor smaller is said to be better.")
    return f"{name}: {quote(declared.label or name)}{unit}, as the trainer declares it. {better}"


def tiles_of(run: RunFolder) -> tuple[Metric, ...]:
    """The metrics that the trainer of a run wants among the tiles, besides those that every trainer logs."""
    return tuple(metric for metric in _all_declared(run) if metric.tile and metric.name not in MEANING)


def _declared(run: RunFolder, name: str) -> Metric | None:
    """What the trainer of a run declares of a metric; None when that cannot be said."""
    return next((metric for metric in _all_declared(run) if metric.name == name), None)


def _all_declared(run: RunFolder) -> tuple[Metric, ...]:
    with contextlib.suppress(FtstudioError, TypeError, AttributeError):  # a stranger may declare what is no list
        declared = tuple(frozen_project(run).offer("trainer").component.metrics)
        return declared if all(isinstance(metric, Metric) for metric in declared) else ()
    return ()
