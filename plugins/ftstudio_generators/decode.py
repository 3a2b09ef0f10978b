"""generate(), a step at a time: transformers prepares, the loop is here, and a step is made when it is asked for.

By itself generate() calls a streamer back. To come out as an iterator it then needs a thread of its own, and beside
the threads of the process's first one OpenMP has that one's wait asleep: on two cores a third of the speed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from ftstudio.api import Requests
from ftstudio_kit import rng


def steps(model: Any, ids: Sequence[int], config: GenerationConfig, seed: int) -> Iterator[list[int]]:
    """Each step's tokens, one a sequence, without end: a sequence that has ended goes on, and is to be left."""
    so_far, processors, inputs = _prepare(model, ids, config)  # (S, T)
    generator = torch.Generator(so_far.device).manual_seed(seed)
    first = True
    while True:
        with torch.no_grad():
            lacks = None if first or not inputs["use_cache"] else 1  # tokens that the cache lacks: all where None
            given = model.prepare_inputs_for_generation(
                so_far, next_sequence_length=lacks, is_first_iteration=first, **inputs
            )
            outputs = model(**given, return_dict=True)
            inputs = model._update_model_kwargs_for_generation(outputs, inputs)
            scores = processors(so_far, outputs.logits[:, -1].float())  # (S, V)
            if config.do_sample:
                chosen = torch.multinomial(torch.softmax(scores, -1), 1, generator=generator)[:, 0]
            else:
                chosen = scores.argmax(-1)
            so_far = torch.cat([so_far, chosen[:, None]], dim=1)
        first = False
        yield chosen.tolist()


def beams(
    model: Any, ids: Sequence[int], config: GenerationConfig, seed: int, requests: Requests
) -> Iterator[list[int]]:
    """The same of a search with beams, where no token is final before the end; less of it where a stop is asked for."""
    with rng.preserved():
        torch.manual_seed(seed)
        found = _generate(model, ids, config, stopping_criteria=StoppingCriteriaList([_Asked(requests)]))
    yield from found[:, len(ids) :].T.tolist()


class _Asked(StoppingCriteria):  # type: ignore[misc]
    def __init__(self, requests: Requests) -> None:
        self.requests = requests

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return torch.full((input_ids.shape[0],), self.requests.stop, dtype=torch.bool, device=input_ids.device)


def _prepare(
    model: Any, ids: Sequence[int], config: GenerationConfig
) -> tuple[Tensor, LogitsProcessorList, dict[str, Any]]:
    """What generate() gives to its loop: ids of each sequence, what changes the scores, the model's other inputs."""
    given: list[tuple[Tensor, LogitsProcessorList, dict[str, Any]]] = []

    def instead(
        model: Any, input_ids: Tensor, logits_processor: LogitsProcessorList, stopping_criteria: Any,
        generation_config: Any, **inputs: Any,
    ) -> Tensor:  # fmt: skip
        given.append((input_ids, logits_processor, inputs))
        return input_ids

    _generate(model, ids, config, custom_generate=instead)
    return given[0]


def _generate(model: Any, ids: Sequence[int], config: GenerationConfig, **more: Any) -> Tensor:
    prompt = torch.tensor([ids], device=model.device)  # (1, T)
    found: Tensor = model.generate(
        input_ids=prompt, attention_mask=torch.ones_like(prompt), generation_config=config, **more
    )
    return found
