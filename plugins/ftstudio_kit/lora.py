"""Low-rank adapters in peft's format: which layers, attaching, saving, loading, merging.

peft is imported where there are adapters: it takes a third of a second, and most runs have none.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ftstudio.api import ComponentError

if TYPE_CHECKING:
    from peft import PeftModel

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
STATE_SPACE = frozenset({"falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"})
"""Models that read the weights of these two past their layers: there an adapter learns nothing, or peft refuses it."""
READ_PAST = ("dt_proj", "out_proj")


@dataclass(frozen=True)
class LoraSettings:
    """rank r, alpha and dropout of Hu et al. 2021 (arXiv:2106.09685): W + (alpha / r) B A."""

    rank: int
    alpha: float = 16
    dropout: float = 0.0
    target_modules: tuple[str, ...] = ()


def is_adapted(model: nn.Module) -> TypeGuard[PeftModel]:
    """True for a model with adapters over it."""
    peft = sys.modules.get("peft")  # nobody has made any with a library that is not there
    return peft is not None and isinstance(model, peft.PeftModel)


def is_adapter(folder: Path) -> bool:
    """True for a folder in peft's format."""
    return (folder / CONFIG).is_file()


def linear_modules(model: PreTrainedModel) -> list[str]:
    """Full names of all linear layers in the model's blocks that may have an adapter, so not the output head."""
    head = model.get_output_embeddings()
    layers = model.named_modules()
    found = [name for name, layer in layers if isinstance(layer, (nn.Linear, Conv1D)) and layer is not head]
    if getattr(model.config, "model_type", None) in STATE_SPACE:
        return [name for name in found if not name.endswith(READ_PAST)]
    return found


def find_targets(model: PreTrainedModel, wanted: Sequence[str] = ()) -> list[str]:
    """Last name parts of the layers to adapt; all linear ones when none is wanted.

    Raises ComponentError for a name that no linear layer has, naming those that there are.
    """
    there = sorted({name.rpartition(".")[2] for name in linear_modules(model)})
    if not wanted:
        return there
    full = linear_modules(model)
    for name in wanted:
        if not any(one == name or one.endswith(f".{name}") for one in full):
            raise ComponentError(
                f"lora_target_modules names {name[:60]!r}, but {type(model).__name__} has no such layer to adapt.",
                f"It has {', '.join(there)}; leave the option empty to adapt all of them.",
            )
    return list(wanted)


def attach(model: PreTrainedModel, settings: LoraSettings) -> PeftModel:
    """Freeze the model and lay trainable adapters over it; draws from torch's generator."""
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415

    targets = find_targets(model, settings.target_modules)
    by_name = dict(model.named_modules())
    adapted = [by_name[n] for n in linear_modules(model) if any(n == t or n.endswith(f".{t}") for t in targets)]
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        fan_in_fan_out=all(isinstance(layer, Conv1D) for layer in adapted),
        task_type="CAUSAL_LM",
        base_model_name_or_path=model.name_or_path or None,
    )
    with warnings.catch_warnings():
        # peft 0.21 still asks for a property that transformers 5.23 has renamed
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing. is deprecated", FutureWarning)
        return cast("PeftModel", get_peft_model(model, config))


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write adapter_config.json and adapter_model.safetensors.

    Not `PeftModel.save_pretrained`: that asks the Hub for the base model's vocabulary and adds a README.
    """
    from peft import get_peft_model_state_dict  # noqa: PLC0415

    weights = get_peft_model_state_dict(model, save_embedding_layers=False)
    save_file({name: _plain(value) for name, value in weights.items()}, folder / WEIGHTS, metadata={"format": "pt"})
    model.peft_config["default"].save_pretrained(str(folder))


def load_adapter(model: PeftModel, folder: Path) -> None:
    """Put the weights of an adapter folder into the adapters that are attached. Raises ComponentError if unlike."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict  # noqa: PLC0415

    weights = load_file(folder / WEIGHTS)
    have = get_peft_model_state_dict(model, save_embedding_layers=False)
    if weights.keys() != have.keys() or any(weights[name].shape != have[name].shape for name in have):
        raise ComponentError(
            f"The adapter in {folder.name} does not fit the lora options of this run.",
            "Resume with the lora_rank and lora_target_modules that it was trained with.",
        )
    set_peft_model_state_dict(model, weights)


def open_adapter(model: PreTrainedModel, folder: Path) -> PeftModel:
    """A model with the adapter of a folder over it, for inference. Raises ComponentError when it is not LoRA."""
    table: Mapping[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if table.get("peft_type") != "LORA":
        raise ComponentError(
            f"The adapter in {folder.name} is of type {str(table.get('peft_type'))[:60]!r}.", "Only LORA is read here."
        )
    settings = LoraSettings(
        rank=int(table["r"]),
        alpha=float(table["lora_alpha"]),
        target_modules=tuple(sorted(table["target_modules"])),
    )
    adapted = attach(model, settings)
    load_adapter(adapted, folder)
    return cast("PeftModel", adapted.eval())


def merge(model: PeftModel) -> PreTrainedModel:
    """The plain model with the adapters added into its weights."""
    with torch.no_grad():
        return cast("PreTrainedModel", model.merge_and_unload())


def _plain(value: Tensor) -> Tensor:
    return value.detach().contiguous().cpu()
