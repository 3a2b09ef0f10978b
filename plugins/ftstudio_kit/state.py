"""A trainer's state as safetensors and JSON, never a pickle: what a run needs to go on to the same bits.

    optimizer.safetensors   the optimizer's tensors, by parameter name
    rng.safetensors         every random number generator (ftstudio_kit.rng)
    trainer_state.json      step, running sums, the best so far, what is due, and what the machine was like

Bit-identity on a CPU also needs the same number of threads and the same torch; `differences` says what changed.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ftstudio.api import ComponentError
from ftstudio_kit import rng

OPTIMIZER, RNG, STATE = "optimizer.safetensors", "rng.safetensors", "trainer_state.json"
FORMAT = 1
_NUMBER = "#number"  # marks what was a python number rather than a tensor


@dataclass
class TrainerState:
    """Where a run is. Everything that the loop carries from one step to the next, besides weights and moments."""

    trainer: str
    step: int = 0
    tokens: int = 0  # real tokens trained on so far
    loss_sum: float = 0.0  # since the last log
    loss_tokens: int = 0
    best_metric: float | None = None  # the lowest eval_loss so far, whether its step was committed or not
    best_step: int | None = None
    evaluations_without_gain: int = 0
    evaluation_due: bool = False  # a stop came before the evaluation of this step: whoever goes on makes it first
    evaluated: dict[str, float] = field(default_factory=dict)  # eval_loss of the committed steps that have one
    sums: dict[str, float] = field(default_factory=dict)  # what else a trainer adds up between two logs, by name
    about: dict[str, Any] = field(default_factory=dict)


def about_machine(device: str, bf16: bool) -> dict[str, Any]:
    """What has to be the same for the same bits."""
    return {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "processor": platform.machine(),
        "bf16": bf16,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def save(
    folder: Path, state: TrainerState, optimizer: torch.optim.Optimizer, model: nn.Module, file: str = STATE
) -> None:
    """Write the three files into a folder; `file` is another name for the JSON."""
    save_optimizer(folder / OPTIMIZER, optimizer, model)
    save_file(rng.capture(), folder / RNG)
    text = json.dumps({"format": FORMAT, **asdict(state)}, indent=1)
    (folder / file).write_text(text + "\n", encoding="utf-8")


def load(folder: Path, trainer: str, file: str = STATE) -> TrainerState:
    """Read what `save` wrote. Raises ComponentError when a file is missing, damaged or another trainer's."""
    for name in (OPTIMIZER, RNG, file):
        if not (folder / name).is_file():
            raise ComponentError(
                f"Checkpoint {folder.name} has no {name}, so the run cannot go on as it was.",
                "Resume from another checkpoint, or start a new run from its weights.",
            )
    table = read_json(folder / file)
    writer = table.get("trainer")
    if table.get("format") != FORMAT or writer != trainer:
        raise ComponentError(
            f"Checkpoint {folder.name} was written by trainer {str(writer)[:60]!r}, not by {trainer!r}.",
            "Resume with the trainer that wrote it, or start a new run from its weights.",
        )
    known = {f.name for f in fields(TrainerState)}
    return TrainerState(**{key: value for key, value in table.items() if key in known})


def restore(folder: Path, optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    """Put back the optimizer's moments and every random number generator."""
    load_optimizer(folder / OPTIMIZER, optimizer, model)
    rng.restore(read_tensors(folder / RNG))


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not as it was, as "threads 2 -> 4"."""
    return [f"{key} {before[key]} -> {now[key]}" for key in now if key in before and before[key] != now[key]]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises ComponentError naming it when it is damaged."""
    try:
        return cast("dict[str, Tensor]", load_file(path))
    except (SafetensorError, OSError) as error:
        raise ComponentError(
            f"{path.name} is damaged: {str(error)[:120]}", "Resume from another checkpoint."
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises ComponentError naming it when it is none."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ComponentError(f"{path.name} could not be read: {str(error)[:120]}") from error
    if not isinstance(table, dict):
        raise ComponentError(f"{path.name} holds no JSON object.")
    return table


def save_optimizer(path: Path, optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    """Write an optimizer's state by parameter name; python numbers become tensors of one value."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    tensors: dict[str, Tensor] = {}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            at = f"{names[id(parameter)]}/{key}"
            if isinstance(value, Tensor):
                tensors[at] = value.detach().contiguous().cpu()
            elif isinstance(value, (int, float)):
                tensors[at + _NUMBER] = torch.tensor(value, dtype=torch.float64)
    save_file(tensors, path)


def load_optimizer(path: Path, optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    """Fill an optimizer of the same kind. Raises ComponentError when the parameters are not the same."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    order = [names[id(p)] for group in optimizer.param_groups for p in group["params"]]
    by_name: dict[str, dict[str, Any]] = {}
    for at, value in read_tensors(path).items():
        name, _, key = at.rpartition("/")
        number = key.endswith(_NUMBER)
        by_name.setdefault(name, {})[key.removesuffix(_NUMBER)] = value.item() if number else value
    if by_name and set(by_name) != set(order):
        odd = min(set(by_name) ^ set(order))
        raise ComponentError(
            f"The optimizer of checkpoint {path.parent.name} does not fit the model: {odd} is in only one of them.",
            "Resume with the freeze and lora options that it was trained with.",
        )
    table = optimizer.state_dict()
    table["state"] = {i: by_name[name] for i, name in enumerate(order) if name in by_name}
    optimizer.load_state_dict(table)
