"""The generator `sample`: transformers' generate(), streamed.

It promises: the same checkpoint, prompt, options and seed give the same text, whatever other prompts there are; a
piece never ends in half a character; a request to stop is heard at the next token. Prompts are continued one after
the other (their several sequences together), so none is padded. decode.py makes tokens, stream.py text of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel

from ftstudio.api import Checkpoint, Chunk, Prompt, Run
from ftstudio_generators import decode
from ftstudio_generators.options import DEFAULT_NEW_TOKENS, SampleOptions
from ftstudio_generators.stream import Pieces
from ftstudio_kit import chat
from ftstudio_kit.loading import align_special_tokens, context_of, load_model, load_tokenizer
from ftstudio_kit.packed import pack
from ftstudio_kit.precision import has_bf16


@dataclass
class Loaded:
    """A checkpoint in memory."""

    model: PreTrainedModel
    tokenizer: Any
    device: str
    dtype: str

    @property
    def ends(self) -> frozenset[int]:
        """Ids that end a text."""
        value = self.model.generation_config.eos_token_id
        ids = value if isinstance(value, (list, tuple)) else [value]
        return frozenset(int(i) for i in (*ids, self.tokenizer.eos_token_id) if i is not None)


class Sample:
    """Keeps the model of the last checkpoint in memory until another comes or it is closed."""

    def __init__(self, options: SampleOptions) -> None:
        self.options = options
        self.loaded: Loaded | None = None
        self.checkpoint: Checkpoint | None = None

    def generate(self, checkpoint: Checkpoint, prompts: Sequence[Prompt], run: Run) -> Iterator[Chunk]:
        """Continue each prompt. The last piece of a sequence has `done`; its reason is eos, length or stop.

        Raises ComponentError when the checkpoint is not a model that can be opened, or a prompt cannot be read.
        """
        loaded = self._load(checkpoint, run)
        for index, prompt in enumerate(prompts):
            if run.requests.stop:
                return
            ids = self._encode(loaded, prompt, index, checkpoint.shape, run)
            limit = self._limit(loaded, len(ids))
            if limit < 1:
                run.warn(
                    f"Prompt {index + 1} has {len(ids)} tokens and max_length, which counts them too, is "
                    f"{self.options.max_length}: nothing was written."
                )
                yield from (
                    Chunk(index, "", n, done=True, finish_reason="length")
                    for n in range(self.options.num_return_sequences)
                )
                continue
            yield from self._continue(loaded, index, ids, limit, run)

    def change(self, options: SampleOptions) -> None:
        """Go on with other options; the model is loaded again only for another dtype."""
        self.options = options

    def close(self) -> None:
        """Let go of the model."""
        self.loaded = self.checkpoint = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    # ------------------------------------------------------------------------------------------- prepare

    def _load(self, checkpoint: Checkpoint, run: Run) -> Loaded:
        device = run.devices[0]
        wanted, held = self.options.dtype, self.loaded
        if held is not None and self.checkpoint == checkpoint and (held.device, held.dtype) == (device, wanted):
            return held
        self.close()
        run.phase("loading the model")
        cpu = torch.device(device).type == "cpu"
        bf16 = wanted == "bfloat16" or (wanted == "auto" and has_bf16(device))
        whole = bf16 and not (cpu and wanted == "auto")
        tokenizer = load_tokenizer(checkpoint.tokenizer or checkpoint.path)
        model = load_model(checkpoint, device=device, dtype=torch.bfloat16 if whole else torch.float32)
        if cpu and bf16:
            pack(model)
        align_special_tokens(model, tokenizer)
        self.loaded, self.checkpoint = Loaded(model.eval(), tokenizer, device, wanted), checkpoint
        return self.loaded

    def _encode(self, loaded: Loaded, prompt: Prompt, index: int, shape: str, run: Run) -> list[int]:
        """Token ids of a prompt, its beginning cut off where it leaves the model no position to write in."""
        ids = chat.encode_prompt(loaded.tokenizer, prompt, shape)
        context = context_of(loaded.model)
        if context is not None and len(ids) >= context:
            wanted = self.options.max_new_tokens or DEFAULT_NEW_TOKENS
            keep = max(1, context - min(wanted, context // 2))
            run.warn(
                f"Prompt {index + 1} has {len(ids)} tokens and the model {context} positions: "
                f"only its last {keep} tokens were used."
            )
            ids = ids[-keep:]
        return ids

    def _limit(self, loaded: Loaded, prompt_tokens: int) -> int:
        """The most tokens to write after a prompt."""
        o = self.options
        limit = o.max_new_tokens or DEFAULT_NEW_TOKENS
        if o.max_length is not None:
            limit = o.max_length - prompt_tokens
        context = context_of(loaded.model)
        return limit if context is None else min(limit, context - prompt_tokens)

    def _config(self, loaded: Loaded, limit: int) -> GenerationConfig:
        o, ends = self.options, sorted(loaded.ends)
        pad = loaded.tokenizer.pad_token_id
        settings: dict[str, Any] = {
            "max_new_tokens": limit,
            "do_sample": o.do_sample,
            "num_beams": o.num_beams,
            "num_return_sequences": o.num_return_sequences,
            "repetition_penalty": o.repetition_penalty,
            "no_repeat_ngram_size": o.no_repeat_ngram_size,
            "eos_token_id": ends or None,
            "bos_token_id": loaded.tokenizer.bos_token_id,
            "pad_token_id": pad if pad is not None else next(iter(ends), 0),
            "use_cache": True,  # gradient checkpointing leaves a false behind, which is slow and changes no text
        }
        if o.min_new_tokens is not None:
            settings["min_new_tokens"] = min(o.min_new_tokens, limit)
        if o.do_sample:
            drawing = {"temperature": o.temperature, "top_k": o.top_k, "top_p": o.top_p, "typical_p": o.typical_p}
            settings |= drawing | ({} if o.min_p is None else {"min_p": o.min_p})
        if o.num_beams > 1:
            settings |= {"length_penalty": o.length_penalty, "early_stopping": o.early_stopping}
        return GenerationConfig(**settings)

    # ------------------------------------------------------------------------------------------ generate

    def _continue(self, loaded: Loaded, index: int, ids: list[int], limit: int, run: Run) -> Iterator[Chunk]:
        config = self._config(loaded, limit)
        if config.num_beams > 1:
            steps = decode.beams(loaded.model, ids, config, run.seed, run.requests)
        else:
            steps = decode.steps(loaded.model, ids, config, run.seed)
        sequences = [
            _Sequence(Pieces(loaded.tokenizer, ids, self.options.stop_strings), loaded.ends, limit)
            for _ in range(self.options.num_return_sequences)
        ]
        for step in islice(steps, limit):
            for number, (sequence, token) in enumerate(zip(sequences, step, strict=True)):
                text = "" if sequence.reason else sequence.put(token)
                if text or sequence.just_ended():
                    yield Chunk(index, text, number, bool(sequence.reason), sequence.reason)
            if all(sequence.reason for sequence in sequences) or (config.num_beams == 1 and run.requests.stop):
                break
        for number, sequence in enumerate(sequences):
            if not sequence.reason:  # stopped from outside
                yield Chunk(index, sequence.pieces.end(), number, done=True, finish_reason="stop")


@dataclass
class _Sequence:
    """One of the texts being written for a prompt."""

    pieces: Pieces
    ends: frozenset[int]
    limit: int
    count: int = 0
    reason: str = ""
    told: bool = False

    def put(self, token: int) -> str:
        self.count += 1
        if token in self.ends:
            self.reason = "eos"
            return self.pieces.end()
        last = self.count == self.limit
        text = self.pieces.put(token) + (self.pieces.end() if last else "")
        if self.pieces.stopped:
            self.reason = "stop"
        elif last:
            self.reason = "length"
        return text

    def just_ended(self) -> bool:
        """True once, when the sequence has ended."""
        new = bool(self.reason) and not self.told
        self.told |= new
        return new
