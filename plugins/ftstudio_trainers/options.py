"""Options of the trainers. Names and, where nothing is said, defaults are those of `transformers.TrainingArguments`.

Ours are smaller: logging_steps 10 (not 500), save_total_limit 2 (not all). What TrainingArguments lacks has the
name it has in peft (lora_...), trl (packing) or transformers' callbacks (early_stopping_patience).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ftstudio.api import OptionError, option
from ftstudio_kit.schedule import SCHEDULER_KWARGS, SchedulerType
from ftstudio_trainers.arguments import RENAMED, Elsewhere

MOST_STEPS = 1_000_000_000
"""Beyond it nothing that counts steps was tried, and no machine comes to their end."""


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What both trainers offer."""

    renamed: ClassVar[Mapping[str, str]] = RENAMED

    num_train_epochs: float = option(
        3.0, help="Passes over the training rows; may be a fraction.", gt=0, le=1_000_000, unit="epochs"
    )
    per_device_train_batch_size: int = option(8, help="Rows in a batch.", ge=1, unit="rows")
    gradient_accumulation_steps: int = option(1, help="Batches to add up for one optimizer step.", ge=1, unit="batches")
    learning_rate: float = option(5e-5, help="Peak learning rate of AdamW.", gt=0, suggestions=(5e-5, 2e-4, 1e-3))
    warmup_steps: float = option(
        0, help="Steps to reach the peak in; below 1 a share of all steps.", ge=0, le=MOST_STEPS, unit="steps or share"
    )
    lora_rank: int = option(
        0, help="Rank of LoRA adapters; 0 trains all weights.", ge=0, le=65_536, suggestions=(0, 8, 16, 64)
    )

    max_steps: int = option(
        -1, help="Optimizer steps in all, instead of num_train_epochs; -1 is off.", ge=-1, le=MOST_STEPS, unit="steps"
    )
    lr_scheduler_type: SchedulerType = option("linear", help="How the learning rate goes down after the warm-up.")
    lr_scheduler_kwargs: dict[str, float] = option(
        {}, help="Parameters of the schedule: num_cycles, min_lr_rate, lr_end, power, timescale.", advanced=True
    )
    weight_decay: float = option(0.0, help="Weight decay; biases and norms are left out.", ge=0, advanced=True)
    adam_beta1: float = option(0.9, help="Decay of AdamW's first moment.", ge=0, lt=1, advanced=True)
    adam_beta2: float = option(0.999, help="Decay of AdamW's second moment.", ge=0, lt=1, advanced=True)
    adam_epsilon: float = option(1e-8, help="Keeps AdamW from dividing by zero.", gt=0, advanced=True)
    max_grad_norm: float = option(1.0, help="Clip gradients to this norm; 0 is off.", ge=0, advanced=True)

    bf16: bool | None = option(None, help="Compute in bfloat16; not set: where the machine has it.", advanced=True)
    gradient_checkpointing: bool = option(
        False, help="Recompute activations: less memory, about a third more time.", advanced=True
    )
    torch_compile: bool = option(False, help="Compile the model; pays off on GPUs in long runs.", advanced=True)
    packing: bool = option(False, help="Join short rows into full ones that do not see each other: no padding.")
    packing_length: int | None = option(
        None,
        help="Tokens of a packed row; not set: the longest row.",
        ge=2,
        unit="tokens",
        shown_if="packing",
        advanced=True,
    )
    train_sampling_strategy: Literal["random", "sequential", "group_by_length"] = option(
        "random", help="Order of the rows; group_by_length puts rows of like length together.", advanced=True
    )
    dropout: float | None = option(
        None, help="Replaces every dropout of the model; GPT-2's own is 0.1. 0 is faster.", ge=0, lt=1, advanced=True
    )
    freeze: tuple[str, ...] = option(
        (), help='Patterns of parameter names that stay as they are: "*.wte.*", "*.h.[0-5].*".', advanced=True
    )

    lora_alpha: float = option(16, help="Adapters weigh lora_alpha / lora_rank.", gt=0, shown_if="lora_rank")
    lora_dropout: float = option(0.0, help="Dropout before the adapters.", ge=0, lt=1, shown_if="lora_rank")
    lora_target_modules: tuple[str, ...] = option(
        (), help="Names of linear layers to adapt; empty: all but the output head.", shown_if="lora_rank"
    )

    logging_steps: int = option(10, help="Log every so many steps.", ge=1, unit="steps")
    logging_first_step: bool = option(True, help="Log the first step too.", advanced=True)
    per_device_eval_batch_size: int = option(8, help="Rows in an evaluation batch.", ge=1, unit="rows", advanced=True)
    eval_strategy: Literal["no", "steps", "epoch"] | None = option(
        None, help="When to evaluate; not set: every eval_steps, or each epoch, if there are validation rows."
    )
    eval_steps: int | None = option(None, help="Evaluate every so many steps; not set: each epoch.", ge=1, unit="steps")
    load_best_model_at_end: bool = option(False, help="The result is the checkpoint with the lowest eval_loss.")
    early_stopping_patience: int = option(
        0,
        help="Stop after so many evaluations without a lower eval_loss; 0 is off.",
        ge=0,
        unit="evaluations",
        advanced=True,
    )
    save_strategy: Literal["no", "steps", "epoch"] = option(
        "steps", help="When to commit a checkpoint; one is always committed at the end.", advanced=True
    )
    save_steps: int = option(500, help="Commit a checkpoint every so many steps.", ge=1, unit="steps")
    save_total_limit: int = option(
        2, help="Checkpoints to keep; the best is kept besides.", ge=1, unit="checkpoints", advanced=True
    )

    sample_prompts: tuple[str, ...] = option((), help="Prompts to continue while training, to watch it learn.")
    sample_steps: int | None = option(
        None,
        help="Continue sample_prompts every so many steps; not set: at evaluations and the end.",
        ge=1,
        unit="steps",
        advanced=True,
    )
    sample_max_new_tokens: int = option(40, help="Length of these continuations.", ge=1, unit="tokens", advanced=True)

    def __post_init__(self) -> None:
        """Check what one field alone cannot say."""
        if self.max_steps == 0:
            raise OptionError("max_steps", "max_steps is 0, so nothing would be trained.", "Use -1 to go by epochs.")
        known = SCHEDULER_KWARGS.get(self.lr_scheduler_type, {})
        for name, value in self.lr_scheduler_kwargs.items():
            if name not in known:
                words = f"It takes {', '.join(known)}." if known else "It takes none."
                raise OptionError(
                    "lr_scheduler_kwargs",
                    f"The schedule {self.lr_scheduler_type} has no parameter {name[:60]!r}.",
                    words,
                )
            if isinstance(value, (bool, str)) or value < 0:
                raise OptionError("lr_scheduler_kwargs", f"lr_scheduler_kwargs.{name} must be a number from 0.")
        if self.lora_rank and self.freeze:
            raise OptionError("freeze", "With lora_rank all weights of the model are frozen anyway.", "Remove freeze.")


@dataclass(frozen=True, kw_only=True)
class NativeOptions(CommonOptions):
    """Options of the trainer `native`: the common ones."""


@dataclass(frozen=True, kw_only=True)
class HfOptions(CommonOptions):
    """Options of the trainer `hf`: the common ones, and everything else that TrainingArguments has."""

    renamed: ClassVar[Mapping[str, str]] = Elsewhere()

    optim: str = option("adamw_torch_fused", help="Optimizer, by TrainingArguments' name.", advanced=True)
    label_smoothing_factor: float = option(0.0, help="Label smoothing.", ge=0, lt=1, advanced=True)
    neftune_noise_alpha: float | None = option(
        None, help="Noise on the embeddings while training (arXiv:2310.05914).", gt=0, le=1_000_000, advanced=True
    )
    training_arguments: dict[str, bool | int | float | str] = option(
        {}, help="Further fields of TrainingArguments, passed on as they are.", advanced=True
    )
