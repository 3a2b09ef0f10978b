"""What both trainers do alike: prepare the model and the batches, evaluate, sample."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np
import torch
from transformers import PreTrainedModel

from ftstudio.api import ComponentError, Encoded, ModelRef, Run
from ftstudio_kit import chat, lora, rng
from ftstudio_kit.batching import Batches, packing_is_exact
from ftstudio_kit.bins import Bins, Singles, pack
from ftstudio_kit.lean import Plain, Way
from ftstudio_kit.loading import context_of, recompute_activations, to_device
from ftstudio_kit.precision import use_bf16
from ftstudio_kit.token_rows import Rows
from ftstudio_kit.training import open_for_training
from ftstudio_trainers.options import CommonOptions


class Choice(Protocol):
    """`Plain`, or `way_through`, which takes a faster way where there is one."""

    def __call__(self, model: PreTrainedModel, device: str, *, bf16: bool, compiled: bool) -> Way:
        """Called with the model on its device."""


@dataclass(frozen=True)
class Setup:
    """A model that is ready to train, its data and its tokenizer."""

    model: PreTrainedModel
    tokenizer: Any
    batches: Batches
    validation: Rows | None
    device: str
    bf16: bool
    way: Way


def prepare(options: CommonOptions, data: Encoded, source: ModelRef, run: Run, choose: Choice = Plain) -> Setup:
    """Load and lay out everything; `choose` says which way through the model to take.

    Raises ComponentError for data and options that do not fit the model.
    """
    device = run.devices[0]
    if len(run.devices) > 1:
        run.say(f"This trainer uses one device: {device}.")
    rows = Rows.of(data.train)
    if not len(rows):
        raise ComponentError("There are no rows to train on.", "Look at the dataset: ftstudio data PROJECT.")
    validation = Rows.of(data.validation, "validation") if data.validation is not None else None
    _check_validation(options, validation)
    rng.seed_all(run.seed)
    model, tokenizer = _model(options, data, source, run)
    for prompt in options.sample_prompts:  # one that no token can follow is not for the end of a run to find
        chat.encode_prompt(tokenizer, prompt, data.shape)
    longest = max(rows.longest, validation.longest if validation else 0, options.packing_length or 0)
    context = context_of(model)
    if context is not None and longest > context:
        raise ComponentError(
            f"A row has {longest} tokens, but {source.name} has {context} positions.",
            f"Set max_length = {context} or less in [tokenizer].",
        )
    model, bf16 = to_device(model, device), use_bf16(options.bf16, device)
    way = choose(model, device, bf16=bf16, compiled=options.torch_compile)
    if options.packing and not way.flat and not packing_is_exact(model):
        raise ComponentError(
            f"{type(model).__name__} lets packed rows see each other, so packing would change what it learns.",
            "Set packing = false.",
        )
    batches = _batches(options, rows, data.pad_token_id, run, flat=way.flat)
    return Setup(
        model, tokenizer, batches, validation if validation is not None and len(validation) else None, device, bf16, way
    )


def _check_validation(options: CommonOptions, validation: Rows | None) -> None:
    if validation is not None and len(validation):
        return
    wanting = [
        name
        for name, wanted in {
            "load_best_model_at_end": options.load_best_model_at_end,
            "early_stopping_patience": options.early_stopping_patience > 0,
            "eval_strategy": options.eval_strategy not in {None, "no"},
            "eval_steps": options.eval_steps is not None,
        }.items()
        if wanted
    ]
    if wanting:
        raise ComponentError(
            f"{wanting[0]} needs validation rows, and there are none.", "Set validation_fraction = 0.1."
        )


def _model(options: CommonOptions, data: Encoded, source: ModelRef, run: Run) -> tuple[PreTrainedModel, Any]:
    """The model in float32 with the options laid over it, on the CPU, so that it is the same for every device."""
    settings = None
    if options.lora_rank:
        settings = lora.LoraSettings(
            options.lora_rank, options.lora_alpha, options.lora_dropout, options.lora_target_modules
        )
    model, tokenizer = open_for_training(source, data, run, dropout=options.dropout, settings=settings)
    _freeze(model, options.freeze)
    if options.gradient_checkpointing:
        recompute_activations(model)
    return model, tokenizer


def _freeze(model: PreTrainedModel, patterns: tuple[str, ...]) -> None:
    parameters = dict(model.named_parameters())
    for pattern in patterns:
        names = fnmatch.filter(parameters, pattern)
        if not names:
            raise ComponentError(
                f"freeze names {pattern[:60]!r}, which is no parameter of {type(model).__name__}.",
                f"Its parameters are called like {next(iter(parameters))}.",
            )
        for name in names:
            parameters[name].requires_grad_(False)
    if not any(p.requires_grad for p in parameters.values()):
        raise ComponentError("freeze leaves no parameter to train.", "Name fewer parameters.")


def _batches(options: CommonOptions, rows: Rows, pad_token_id: int, run: Run, *, flat: bool) -> Batches:
    bins: Bins
    if options.packing:
        capacity = options.packing_length or rows.longest
        bins = pack(rows.lengths, capacity, run.seed)
        if longer := int((rows.lengths > capacity).sum()):
            run.warn(
                f"{longer:,} of {len(rows):,} rows are longer than packing_length: each is a packed row of its own."
            )
        run.say(f"Packed {len(rows)} rows into {len(bins)} of up to {max(capacity, rows.longest)} tokens.")
    else:
        bins = Singles(len(rows))
    return Batches(
        rows=rows,
        bins=bins,
        batch_size=options.per_device_train_batch_size,
        accumulation=options.gradient_accumulation_steps,
        pad_token_id=pad_token_id,
        seed=run.seed,
        strategy=options.train_sampling_strategy,
        packed=options.packing,
        flat=flat,
    )


def evaluate(setup: Setup, batch_size: int) -> float:
    """Mean loss (nats) over all trained tokens of the validation rows; no random number generator moves."""
    rows, model = cast("Rows", setup.validation), setup.model
    training = model.training
    model.eval()
    total, trained = torch.zeros((), device=setup.device), 0
    batches = replace(setup.batches, rows=rows, packed=False)
    by_length = np.argsort(rows.lengths, kind="stable")  # rows of like length together need the least padding
    with rng.preserved():
        for start in range(0, len(rows), batch_size):
            batch = batches.batch([(int(i),) for i in by_length[start : start + batch_size]]).to(setup.device)
            total += setup.way.judge(batch)
            trained += batch.trained
    model.train(training)
    if not trained:
        raise ComponentError("No token of the validation rows is trained on, so there is no eval_loss.")
    return total.item() / trained


def sample(setup: Setup, options: CommonOptions, shape: str, step: int, run: Run) -> None:
    """Continue each of `sample_prompts` with the model as it is now; no random number generator moves."""
    model = setup.model
    training = model.training
    model.eval()
    context = context_of(model) or 1 << 30
    for prompt in options.sample_prompts:
        with rng.preserved(), torch.no_grad():
            torch.manual_seed(run.seed)  # the same draw at every step: what differs is the model
            room = max(1, context - options.sample_max_new_tokens)
            ids = chat.encode_prompt(setup.tokenizer, prompt, shape)[-room:]
            given = torch.tensor([ids], device=setup.device)  # (1, T)
            output = cast("Any", model).generate(
                input_ids=given,
                attention_mask=torch.ones_like(given),
                max_new_tokens=min(options.sample_max_new_tokens, context - len(ids)),
                do_sample=True,
                pad_token_id=setup.batches.pad_token_id,
                use_cache=True,
            )
        text = setup.tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True)
        run.sample(step, prompt, text)
    model.train(training)


def decay_groups(model: PreTrainedModel, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups with and without weight decay: biases and norms have none, as in transformers.Trainer."""
    norms = {name for name, layer in model.named_modules() if "norm" in type(layer).__name__.lower()}
    decayed: list[torch.nn.Parameter] = []
    plain: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            owner, _, last = name.rpartition(".")
            (plain if "bias" in last or owner in norms else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
