"""Direct preference optimisation: a tokenizer for preference rows, and a trainer that learns from them."""

from __future__ import annotations

from collections.abc import Iterator

from ftstudio.api import Component, Metric, hookimpl
from ftstudio_dpo.options import DpoOptions, PairsOptions

METRICS = (
    Metric(name="loss", label="loss", better="min", tile=True),
    Metric(name="rewards/accuracies", label="accuracy", better="max", tile=True),
    Metric(name="rewards/margins", label="margin", unit="nats", better="max", tile=True),
    Metric(name="rewards/chosen", label="reward of the chosen", unit="nats"),
    Metric(name="rewards/rejected", label="reward of the rejected", unit="nats"),
    Metric(name="eval_loss", label="eval loss", better="min", tile=True),
    Metric(name="eval_rewards/accuracies", label="eval accuracy", better="max", tile=True),
    Metric(name="eval_rewards/margins", label="eval margin", unit="nats", better="max"),
    Metric(name="learning_rate", label="learning rate"),
    Metric(name="grad_norm", label="gradient norm"),
    Metric(name="epoch", label="epoch", unit="epochs"),
    Metric(name="tokens", label="tokens", unit="tokens"),
    Metric(name="tokens_per_second", label="speed", unit="tokens/s", better="max", tile=True),
    Metric(name="peak_memory_bytes", label="peak memory", unit="bytes", better="min"),
)


@hookimpl
def ftstudio_tokenizers() -> Iterator[Component]:
    """Pairs of token rows."""
    yield Component(
        name="pairs",
        summary="preference rows by the model's own tokenizer, for the trainer dpo",
        target="ftstudio_dpo.tokenizer:Pairs",
        options=PairsOptions,
        takes=("preference",),
        facts="ftstudio_dpo.light:facts",
        check="ftstudio_dpo.light:check_pairs",
    )


@hookimpl
def ftstudio_trainers() -> Iterator[Component]:
    """The trainer."""
    yield Component(
        name="dpo",
        summary="direct preference optimisation: raise the chosen answer above the rejected one",
        target="ftstudio_dpo.trainer:Dpo",
        options=DpoOptions,
        takes=("preference",),
        plan="ftstudio_dpo.light:plan",
        check="ftstudio_dpo.light:check",
        metrics=METRICS,
        exact_resume=True,
    )
