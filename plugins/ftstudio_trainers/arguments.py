"""Names that `transformers.TrainingArguments` of this machine knows, read from its source: to import it takes seconds.

What `check` says and what the trainer refuses comes from the same function, so it is the same.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from ftstudio.api import ComponentError

RENAMED: Mapping[str, str] = {
    "adafactor": 'optim = "adafactor" (trainer hf)',
    "epochs": "num_train_epochs",
    "evaluation_strategy": "eval_strategy",
    "group_by_length": 'train_sampling_strategy = "group_by_length"',
    "logging_dir": 'two lines at the end of the file, [[observers]] and below it use = "tensorboard",',
    "lora_r": "lora_rank",
    "no_cuda": 'ftstudio run --device cpu',
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "use_cpu": 'ftstudio run --device cpu',
    "warmup_ratio": "warmup_steps (a share of the run when below 1)",
}  # fmt: skip
"""Old names of options -> what they are called now."""
# fmt: off
OWNED = frozenset({
    "accelerator_config", "auto_find_batch_size", "data_seed", "ddp_backend", "ddp_broadcast_buffers",
    "dataloader_drop_last", "ddp_bucket_cap_mb", "ddp_find_unused_parameters", "ddp_static_graph", "ddp_timeout",
    "deepspeed", "disable_tqdm", "do_eval", "do_predict", "do_train", "enable_jit_checkpoint", "eval_delay",
    "eval_on_start",
    "fp16", "fsdp", "fsdp_config", "hub_always_push", "hub_model_id", "hub_private_repo", "hub_revision",
    "hub_strategy", "hub_token", "ignore_data_skip", "label_names", "local_rank", "log_level",
    "log_level_replica", "log_on_each_node", "logging_nan_inf_filter", "logging_strategy", "output_dir",
    "parallelism_config", "project", "push_to_hub", "remove_unused_columns", "report_to",
    "restore_callback_states_from_checkpoint", "resume_from_checkpoint", "run_name", "save_on_each_node",
    "save_only_model", "seed", "trackio_bucket_id", "trackio_space_id", "trackio_static_space_id", "use_cpu",
})
# fmt: on
"""Fields of TrainingArguments that the studio decides: where it writes, what it reports to, which device and seed."""

_WORDS: Mapping[str, str] = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a text"}


class Elsewhere(Mapping[str, str]):
    """Names that are no options of `hf` -> what to write instead: old names, further fields of TrainingArguments."""

    def __getitem__(self, name: str) -> str:
        """Raise KeyError for a name that means nothing."""
        if name not in RENAMED and name in fields() and name not in OWNED:
            return f"training_arguments = {{ {name} = ... }}"
        return RENAMED[name]

    def __iter__(self) -> Iterator[str]:
        return iter({*RENAMED, *fields()} - OWNED)

    def __len__(self) -> int:
        return len({*RENAMED, *fields()} - OWNED)


def fields() -> Mapping[str, tuple[str, ...]]:
    """Field of TrainingArguments -> names of the types that it takes. Empty where transformers is not installed."""
    return {
        line.target.id: tuple(arm.strip() for arm in ast.unparse(line.annotation).split("|"))
        for line in _body("TrainingArguments")
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    }


def optimizers() -> tuple[str, ...]:
    """Names that `optim` may have. Empty where transformers is not installed."""
    lines = (line.value for line in _body("OptimizerNames") if isinstance(line, ast.Assign))
    return tuple(str(value.value) for value in lines if isinstance(value, ast.Constant))


@lru_cache(maxsize=2)
def _body(name: str) -> list[ast.stmt]:
    try:
        source = Path(str(distribution("transformers").locate_file("transformers/training_args.py"))).read_bytes()
    except (PackageNotFoundError, OSError):
        return []
    classes = (line for line in ast.parse(source).body if isinstance(line, ast.ClassDef))
    return next((line.body for line in classes if line.name == name), [])


def checked_optimizer(name: str) -> str:
    """`optim`, when it is a name that TrainingArguments knows. Raises ComponentError."""
    known = optimizers()
    if known and name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        raise ComponentError(
            f"TrainingArguments knows no optimizer {name[:60]!r}.",
            f"Did you mean {near[0]}?" if near else f"It knows {', '.join(known[:8])} and {len(known) - 8} more.",
        )
    return name


def checked_arguments(options: Any) -> dict[str, Any]:
    """`training_arguments`, when each is a field that is not decided elsewhere. Raises ComponentError."""
    known = fields()
    declared = {field.name for field in dataclasses.fields(options)}
    for name, value in options.training_arguments.items():
        if name in declared:
            raise ComponentError(f"training_arguments.{name} is an option of its own.", f"Write {name} in [trainer].")
        if name in OWNED:
            raise ComponentError(f"training_arguments.{name} is decided by the studio.", "Leave it out.")
        if name in RENAMED:
            raise ComponentError(f"training_arguments.{name} is not an option here.", f"Use {RENAMED[name]} instead.")
        if known and name not in known:
            near = difflib.get_close_matches(name, set(known) - OWNED, n=1, cutoff=0)
            raise ComponentError(
                f"TrainingArguments has no field {name[:60]!r}.", f"The nearest is {near[0]}." if near else ""
            )
        _check_type(name, value, known.get(name, ()))
    return dict(options.training_arguments)


def _check_type(name: str, value: object, hint: tuple[str, ...]) -> None:
    """TrainingArguments compares and counts with what it gets, and says no name when that fails."""
    takes = [arm for arm in hint if arm in _WORDS]
    kind = type(value).__name__
    if hint and kind not in takes and not ("float" in takes and kind == "int"):
        words = " or ".join(_WORDS[arm] for arm in takes) or "something that no table holds"
        raise ComponentError(f"training_arguments.{name} must be {words}, not {str(value)[:60]!r}.", "Mend it.")
