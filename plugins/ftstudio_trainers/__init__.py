"""The built-in trainers: `native`, a loop of our own, and `hf`, transformers.Trainer."""

from __future__ import annotations

from collections.abc import Iterator

from ftstudio.api import Component, Metric, hookimpl
from ftstudio_trainers.options import HfOptions, NativeOptions

METRICS = (
    Metric(name="loss", label="loss", better="min", tile=True),
    Metric(name="eval_loss", label="eval loss", better="min", tile=True),
    Metric(name="perplexity", label="perplexity", better="min", log=True),
    Metric(name="learning_rate", label="learning rate", tile=True),
    Metric(name="grad_norm", label="gradient norm"),
    Metric(name="epoch", label="epoch", unit="epochs"),
    Metric(name="tokens", label="tokens", unit="tokens"),
    Metric(name="tokens_per_second", label="speed", unit="tokens/s", better="max", tile=True),
    Metric(name="peak_memory_bytes", label="peak memory", unit="bytes", better="min", tile=True),
)
TAKES = ("text", "prompt_completion", "messages")


@hookimpl
def ftstudio_trainers() -> Iterator[Component]:
    """Describe both; they share options, plan, checks and metrics."""
    yield Component(
        name="native",
        exact_resume=True,
        summary="our own loop: exact resume, packing, LoRA, bfloat16",
        target="ftstudio_trainers.native:Native",
        options=NativeOptions,
        takes=TAKES,
        plan="ftstudio_trainers.light:plan",
        check="ftstudio_trainers.light:check",
        metrics=METRICS,
    )
    yield Component(
        name="hf",
        summary="transformers.Trainer, with all of TrainingArguments",
        target="ftstudio_trainers.hf:Hf",
        options=HfOptions,
        takes=TAKES,
        plan="ftstudio_trainers.light:plan",
        check="ftstudio_trainers.light:check",
        metrics=METRICS,
    )
