"""Options of both components. Names are those of `transformers.TrainingArguments` and, beyond it, of trl and peft."""

from __future__ import annotations

from dataclasses import dataclass

from ftstudio.api import option
from ftstudio_kit.schedule import SchedulerType


@dataclass(frozen=True, kw_only=True)
class PairsOptions:
    """How preference rows become tokens."""

    max_length: int | None = option(
        None, help="Tokens of prompt and answer at most; not set: as many as the model has positions.", ge=2,
        unit="tokens",
    )  # fmt: skip
    add_eos: bool = option(True, help="End each answer with the end-of-text token, so that its end is judged too.")


@dataclass(frozen=True, kw_only=True)
class DpoOptions:
    """How the model is trained. Batches count pairs; each pair is two rows in memory."""

    beta: float = option(0.1, help="How much a step away from the base model counts; lower lets it go further.", gt=0)
    num_train_epochs: float = option(1.0, help="Passes over the pairs; may be a fraction.", gt=0)
    per_device_train_batch_size: int = option(4, help="Pairs in a batch.", ge=1, unit="pairs")
    gradient_accumulation_steps: int = option(1, help="Batches to add up for one optimizer step.", ge=1)
    learning_rate: float = option(1e-6, help="Peak learning rate of AdamW.", gt=0, suggestions=(5e-7, 1e-6, 1e-5))
    lora_rank: int = option(0, help="Rank of LoRA adapters; 0 trains all weights.", ge=0, suggestions=(0, 8, 16, 64))

    max_steps: int | None = option(None, help="Optimizer steps in all, instead of num_train_epochs.", ge=1)
    warmup_steps: float = option(0, help="Steps to reach the peak in; below 1 a share of all steps.", ge=0)
    lr_scheduler_type: SchedulerType = option("linear", help="How the learning rate goes down after the warm-up.")
    label_smoothing: float = option(
        0.0, help="The share of pairs whose labels may be the wrong way round (conservative DPO).", ge=0, lt=0.5,
        advanced=True,
    )  # fmt: skip
    max_grad_norm: float = option(1.0, help="Clip gradients to this norm; 0 is off.", ge=0, advanced=True)
    dropout: float = option(
        0.0, help="Every dropout of the model while training; the base model is always asked without.", ge=0, lt=1,
        advanced=True,
    )  # fmt: skip
    bf16: bool | None = option(None, help="Compute in bfloat16; not set: where the machine has it.", advanced=True)
    gradient_checkpointing: bool = option(
        False, help="Recompute activations: less memory, about a third more time.", advanced=True
    )

    lora_alpha: float = option(16, help="Adapters weigh lora_alpha / lora_rank.", gt=0, shown_if="lora_rank")
    lora_dropout: float = option(0.0, help="Dropout before the adapters.", ge=0, lt=1, shown_if="lora_rank")
    lora_target_modules: tuple[str, ...] = option(
        (), help="Names of linear layers to adapt; empty: all but the output head.", shown_if="lora_rank"
    )

    logging_steps: int = option(10, help="Log every so many steps.", ge=1, unit="steps")
    eval_steps: int | None = option(
        None, help="Evaluate every so many steps; not set: before and after.", ge=1, unit="steps"
    )
    per_device_eval_batch_size: int = option(8, help="Pairs in an evaluation batch.", ge=1, advanced=True)
    save_steps: int = option(500, help="Commit a checkpoint every so many steps.", ge=1, unit="steps")
    save_total_limit: int = option(2, help="Checkpoints to keep.", ge=1, advanced=True)
