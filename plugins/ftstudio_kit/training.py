"""What a training loop needs around itself: a model that is ready, its weights in checkpoints, words for trouble.

model = open_for_training(...)          before the first step
write_model(model, draft.path)          in a checkpoint
load_weights(model, checkpoint)         at a resume
export_model(checkpoint, base, folder)  what a trainer's `export` does
with trouble_explained(...):            around the loop
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from transformers import PreTrainedModel

from ftstudio.api import Checkpoint, ComponentError, Encoded, ModelRef, Run, TrainingError
from ftstudio_kit import lora, memory
from ftstudio_kit.loading import (
    align_special_tokens,
    embedding_rows,
    leave_file,
    link_or_copy,
    load_model,
    load_tokenizer,
    looks_ahead,
    mend_generation_config,
    save_model,
)

if TYPE_CHECKING:
    from peft import PeftModel

MODEL_FILES = ("config.json", "generation_config.json", "model.safetensors")


def open_for_training(
    source: ModelRef, data: Encoded, run: Run, *, dropout: float | None, settings: lora.LoraSettings | None
) -> tuple[PreTrainedModel, Any]:
    """The model in float32 and its tokenizer, on the CPU, so that it is the same for every device.

    Embeddings that the tokenizer needs beyond the model's are added, with a warning; `settings` lays adapters over the
    model. Raises ComponentError for a model that cannot be opened or is not causal, and for adapters over no weights.
    """
    if settings is not None and not source.weights:
        raise ComponentError(
            f"{source.name} has no weights yet, and LoRA adapters train on top of weights.", "Set lora_rank = 0."
        )
    tokenizer = load_tokenizer(data.tokenizer)
    model = load_model(source, seed=run.seed, dropout=dropout, vocab_size=data.vocab_size)
    if looks_ahead(model):
        raise ComponentError(
            f"{type(model).__name__} of {source.name} sees the tokens that it should foretell: it would learn to copy.",
            "Choose a causal language model, for example gpt2.",
        )
    have = embedding_rows(model)
    if data.vocab_size > have:
        model.resize_token_embeddings(data.vocab_size, mean_resizing=False)
        run.warn(
            f"The tokenizer has {data.vocab_size} tokens and {source.name} only {have}: "
            f"{data.vocab_size - have} embeddings were added and start at random."
        )
    align_special_tokens(model, tokenizer, data.pad_token_id)
    lost = mend_generation_config(model)
    if lost:
        run.warn(
            f"The generation_config.json of {source.name} contradicts itself, so it goes on without "
            f"{', '.join(lost)[:200]}."
        )
    if settings is not None:
        return cast("PreTrainedModel", lora.attach(model, settings)), tokenizer
    leave_file(model)
    return model, tokenizer


def write_model(model: PreTrainedModel, folder: Path) -> None:
    """The weights of a checkpoint: a whole model, or the adapter alone."""
    if lora.is_adapted(model):
        lora.save_adapter(model, folder)
    else:
        save_model(model, folder)


def load_weights(model: PreTrainedModel, checkpoint: Checkpoint) -> None:
    """Put back what `write_model` wrote. Raises ComponentError when the checkpoint holds something else."""
    if lora.is_adapted(model) != lora.is_adapter(checkpoint.path):
        what = "an adapter" if lora.is_adapter(checkpoint.path) else "a whole model"
        rank = model.peft_config["default"].r if lora.is_adapted(model) else 0
        raise ComponentError(
            f"Checkpoint {checkpoint.path.name} holds {what}: lora_rank = {rank} does not fit.",
            "Set lora_rank as it was.",
        )
    if lora.is_adapted(model):
        lora.load_adapter(model, checkpoint.path)
        return
    try:
        model.load_state_dict(load_model(Checkpoint(checkpoint.path, checkpoint.step)).state_dict())
    except RuntimeError as error:
        raise ComponentError(
            f"The weights of checkpoint {checkpoint.path.name} do not fit the model of this project.",
            "Resume with the model and tokenizer that it was trained with.",
        ) from error


def export_model(checkpoint: Checkpoint, base: ModelRef | None, folder: Path) -> None:
    """A self-contained model in `folder`: linked where the checkpoint is one already, merged where it is an adapter."""
    folder.mkdir(parents=True, exist_ok=True)
    if not lora.is_adapter(checkpoint.path):
        for name in MODEL_FILES:
            if (checkpoint.path / name).is_file():
                link_or_copy(checkpoint.path / name, folder / name)
        return
    with_base = Checkpoint(path=checkpoint.path, step=checkpoint.step, base=checkpoint.base or base)
    merged = lora.merge(cast("PeftModel", load_model(with_base)))
    if checkpoint.tokenizer is not None:
        align_special_tokens(merged, load_tokenizer(checkpoint.tokenizer))
    save_model(merged, folder)


@contextmanager
def trouble_explained(
    batch_size: int, accumulation: int, device: str, at_work: Callable[[], tuple[int, int, int]]
) -> Iterator[None]:
    """Turn a lack of memory and a lost GPU inside into a TrainingError with `at_work`: step, rows, tokens a row.

    Around the whole loop: the first step of the optimizer takes twice the model, and what went wrong on a GPU may come
    out only where a figure is asked for.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if memory.is_out_of_memory(error):
            raise memory.out_of_memory(*at_work(), batch_size, accumulation) from error
        if memory.is_gpu_lost(error):
            raise memory.gpu_lost(*at_work(), device, error) from error
        raise


def not_finite(step: int, good: int | None, what: str = "The loss or its gradient") -> TrainingError:
    """The error of `what` is no number any more; `good` is the step of the last good checkpoint."""
    if not step:
        return TrainingError(
            f"{what} was not finite before the first step.", "Choose another model, or look at the rows."
        )
    kept = f"The checkpoint of step {good} is the last good one." if good is not None else "No checkpoint was kept yet."
    return TrainingError(
        f"{what} was not finite in step {step}. {kept}",
        "Lower learning_rate, or give warmup_steps; nothing was saved after that step.",
    )
