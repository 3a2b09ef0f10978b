"""Models from folders, safely: safetensors only, no code from a folder is run, float32 masters."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as hf_logging

from ftstudio.api import Checkpoint, ComponentError, ModelRef
from ftstudio_kit import lora, memory
from ftstudio_kit.config import open_config, words_of
from ftstudio_kit.safe import check_model_folder


def quiet() -> None:
    """No bars and hints of transformers on the terminal: a component speaks through its run."""
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else tokenizers warns on stderr at every fork


def load_model(
    source: ModelRef | Checkpoint,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    dropout: float | None = None,
    vocab_size: int | None = None,
) -> PreTrainedModel:
    """A causal language model in eval mode; an adapter checkpoint is laid over its base (a PeftModel).

    A `ModelRef` without weights is initialised from `seed`, with `vocab_size` rows of embeddings when given: there
    are no weights to lose. Embeddings with weights are never resized here. `dropout` replaces every dropout
    probability of the config. Raises ComponentError when the folder is not a model that can be opened safely.
    """
    quiet()
    if isinstance(source, Checkpoint) and lora.is_adapter(source.path):
        if source.base is None:
            raise ComponentError(
                f"The adapter in {source.path.name} does not say which model it belongs to.",
                "Its base model is needed.",
            )
        base = load_model(source.base, dtype=dtype, seed=seed, dropout=dropout, vocab_size=vocab_size)
        return to_device(lora.open_adapter(base, source.path), device)
    with_weights = source.weights if isinstance(source, ModelRef) else True
    check_model_folder(source.path, weights=with_weights)
    config = open_config(source.path)
    if dropout is not None:
        set_dropout(config, dropout)
    if with_weights:
        model = _open(source.path, config, dtype)
    else:
        if vocab_size is not None:
            config.vocab_size = vocab_size
        model = _fresh(config, dtype, seed)
    return to_device(model, device).eval()


def leave_file(model: PreTrainedModel) -> None:
    """Have float32 weights in memory of their own. Until then they are pages of their file, and each page is copied for
    itself when it is first written to: a second for half a gigabyte.
    """
    for parameter in model.parameters():
        if parameter.dtype == torch.float32:
            parameter.data = parameter.data.clone()


def to_device(model: PreTrainedModel, device: str) -> PreTrainedModel:
    """The model on a device. Raises ComponentError where there is no such device."""
    try:
        return cast("PreTrainedModel", cast("Any", model).to(device))
    except (AssertionError, RuntimeError) as error:  # torch asserts that it was built for CUDA
        if memory.is_out_of_memory(error):
            raise
        raise ComponentError(
            f"There is no device {device} here: {str(error).splitlines()[0][:120]}.", "Leave --device out, or name cpu."
        ) from error


def _open(path: Path, config: PretrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    arguments: dict[str, Any] = {
        "config": config, "dtype": dtype, "trust_remote_code": False, "use_safetensors": True, "local_files_only": True,
        "output_loading_info": True,
    }  # fmt: skip
    try:
        return _whole(path, *_read(path, arguments))
    except RuntimeError as error:
        if "mismatched_sizes" not in str(error):
            raise
        raise ComponentError(
            f"The weights in '{path}' have other shapes than its config.json says.", _TOGETHER
        ) from error


_TOGETHER = "Get config.json and the weights from the same place."


def _read(path: Path, arguments: Mapping[str, Any]) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    """The model, and what transformers says of keys that were missing."""
    try:
        found = AutoModelForCausalLM.from_pretrained(path, attn_implementation="sdpa", **arguments)
    except (ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        if not isinstance(error, ValueError) or "attention" not in str(error):
            raise ComponentError(f"The model in '{path}' could not be opened: {words_of(error)}.", _TOGETHER) from error
        # an architecture without SDPA runs in its own way
        found = AutoModelForCausalLM.from_pretrained(path, **arguments)
    return cast("tuple[PreTrainedModel, Mapping[str, Any]]", found)


def _whole(path: Path, model: PreTrainedModel, read: Mapping[str, Any]) -> PreTrainedModel:
    """The model, when each of its weights was in the files and is finite.

    transformers fills in random ones and goes on; a NaN would only show as the loss of the first step.
    """
    missing = sorted(read["missing_keys"])
    if missing:
        others = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise ComponentError(
            f"The weights in '{path}' lack '{missing[0][:100]}'{others} of {type(model).__name__}: "
            "they would be random.",
            _TOGETHER,
        )
    for name, weight in model.named_parameters():
        if not is_finite(weight):
            raise ComponentError(
                f"The weights in '{path}' hold a value that is no number (NaN or infinity) in '{name[:100]}'.",
                "Get the file again; if it is so where it came from, the training that made it went wrong.",
            )
    return model


def is_finite(weight: Tensor) -> bool:
    """Whether each of its numbers is one. Looks at the least and the largest, which asks for no memory."""
    return not weight.numel() or bool(torch.isfinite(torch.stack(torch.aminmax(weight.detach()))).all())


def _fresh(config: PretrainedConfig, dtype: torch.dtype, seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    try:
        model = AutoModelForCausalLM.from_config(
            config, dtype=dtype, trust_remote_code=False, attn_implementation="sdpa"
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if not isinstance(error, ValueError) or "attention" not in str(error):
            raise ComponentError(f"No model can be made from this config: {words_of(error)}.") from error
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    return cast("PreTrainedModel", model)


def set_dropout(config: PretrainedConfig, value: float) -> int:
    """Set every dropout probability that a config has (attn_pdrop, attention_dropout, ...); returns how many."""
    names = [
        name
        for name, old in config.to_dict().items()
        if ("dropout" in name or name.endswith("pdrop")) and isinstance(old, (int, float)) and not isinstance(old, bool)
    ]
    for name in names:
        setattr(config, name, value)
    return len(names)


def recompute_activations(model: Any) -> None:
    """Gradient checkpointing, under the name that this transformers has for it (5.23 renamed it)."""
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable({"use_reentrant": False})
    else:
        model.gradient_checkpointing_enable({"use_reentrant": False})


def context_of(model: PreTrainedModel) -> int | None:
    """Positions that the model has, None when its config does not say."""
    config = getattr(model, "config", None)
    value = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return int(value) if isinstance(value, int) and value > 0 else None


@torch.no_grad()
def looks_ahead(model: PreTrainedModel, tolerance: float = 1e-4) -> bool:
    """Whether a token's logits depend on the tokens behind it, as BERT's do; costs two tiny forward passes.

    No config says so: `is_decoder` is false of GPT-NeoX too.
    """
    length = min(8, context_of(model) or 8)
    ids = torch.arange(length, device=next(model.parameters()).device).remainder(embedding_rows(model))[None, :]
    other = torch.cat([ids[:, :-1], ids[:, :1]], dim=1)  # (1, T), another token at the end
    training = model.training
    model.eval()
    one, two = (cast("Any", model)(input_ids=x, use_cache=False).logits[:, : length - 1] for x in (ids, other))
    model.train(training)
    return bool((one - two).abs().max() > tolerance * one.abs().max())


def embedding_rows(model: PreTrainedModel) -> int:
    """Token ids that the model has embeddings for."""
    return int(cast("Any", model.get_input_embeddings()).num_embeddings)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder. Raises ComponentError when there is none that opens."""
    quiet()
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ComponentError(
            f"The tokenizer in {folder.name} could not be opened: {str(error)[:200]}", "It is what AutoTokenizer reads."
        ) from error


def align_special_tokens(model: PreTrainedModel, tokenizer: Any, pad_token_id: int | None = None) -> None:
    """Let config and generation config name the tokenizer's own end, begin and pad tokens.

    GPT-2's weights with another tokenizer would else never stop: their config ends texts with token 50256. An end that
    is a list holding the tokenizer's (chat models) stays.
    """
    for name in ("eos_token_id", "bos_token_id", "pad_token_id"):
        value = getattr(tokenizer, name, None)
        if name == "pad_token_id" and value is None:
            value = pad_token_id
        for config in (model.config, model.generation_config):
            old = getattr(config, name, None)
            if value is not None and old != value and not (isinstance(old, (list, tuple)) and value in old):
                setattr(config, name, value)


def mend_generation_config(model: PreTrainedModel) -> tuple[str, ...]:
    """Leave out of the generation config what transformers refuses to save, and return the names of that.

    Published chat models ship a temperature without do_sample: it is read with a shrug, does nothing, and is refused
    at the first save. What contradicts nothing stays as it is.
    """
    given = model.generation_config
    if given is None or _is_valid(given):
        return ()
    mended, lost = GenerationConfig(), []
    decide_first = ("do_sample", "num_beams")  # what they say decides whether the others may be there
    for name in sorted(given.to_diff_dict(), key=lambda name: name not in decide_first):
        before = getattr(mended, name, None)
        setattr(mended, name, getattr(given, name, None))
        if not _is_valid(mended):
            setattr(mended, name, before)
            lost.append(name)
    model.generation_config = mended
    return tuple(lost)


def _is_valid(config: GenerationConfig) -> bool:
    try:
        config.validate(strict=True)
    except (ValueError, TypeError, AttributeError):  # a text where it compares numbers
        return False
    return True


def save_model(model: PreTrainedModel, folder: Path) -> None:
    """config.json, generation_config.json and one model.safetensors (tied weights once)."""
    mend_generation_config(model)
    model.save_pretrained(folder, max_shard_size="1TB")


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the file system allows it (0.5 GB saved for GPT-2), else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
