"""Options of the generator `sample`: names and defaults of transformers' `generate()`.

Two differ: without `max_length` and `max_new_tokens` it writes 100 tokens (generate(): 20), and `seed` is the run's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ftstudio.api import OptionError, option

DEFAULT_NEW_TOKENS = 100


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """How to continue a prompt."""

    renamed: ClassVar[Mapping[str, str]] = {
        "max_tokens": "max_new_tokens",
        "n": "num_return_sequences",
        "seed": "seed, at the top of project.toml",
        "stop": "stop_strings",
        "torch_dtype": "dtype",
    }

    max_new_tokens: int | None = option(
        None, help="Most tokens to write.", ge=1, unit="tokens", suggestions=(50, 100, 200)
    )
    do_sample: bool = option(False, help="Draw the next token; off takes the likeliest.")
    temperature: float = option(1.0, help="Below 1 is bolder on likely tokens, above 1 more random.", gt=0)
    top_k: int = option(50, help="Draw from the k likeliest tokens; 0 is off.", ge=0)
    top_p: float = option(
        1.0, help="Draw from the likeliest tokens that together have this share; 1 is off.", gt=0, le=1
    )
    num_return_sequences: int = option(1, help="Texts for each prompt.", ge=1, le=64)

    max_length: int | None = option(None, help="Most tokens of prompt and text together.", ge=2, unit="tokens")
    min_new_tokens: int | None = option(None, help="Fewest tokens to write.", ge=1, unit="tokens", advanced=True)
    min_p: float | None = option(None, help="Least share of the likeliest token's.", ge=0, le=1, advanced=True)
    typical_p: float = option(
        1.0, help="Locally typical sampling (arXiv:2202.00666); 1 is off.", gt=0, le=1, advanced=True
    )
    repetition_penalty: float = option(1.0, help="Above 1 shuns tokens that were there (arXiv:1909.05858).", gt=0)
    no_repeat_ngram_size: int = option(0, help="No sequence of so many tokens twice; 0 is off.", ge=0, advanced=True)
    stop_strings: tuple[str, ...] = option((), help="Texts to stop before.", advanced=True)
    num_beams: int = option(1, help="Beams to search with; 1 is no beam search.", ge=1, le=64, advanced=True)
    length_penalty: float = option(
        1.0, help="Of beams: above 0 favours long texts.", shown_if="num_beams", advanced=True
    )
    early_stopping: bool = option(
        False, help="Of beams: stop as soon as there are num_beams complete texts.", shown_if="num_beams", advanced=True
    )
    dtype: Literal["auto", "float32", "bfloat16"] = option(
        "auto",
        help="Number format; auto is bfloat16 where the device has it; on a CPU, in matrix products only.",
        advanced=True,
    )

    def __post_init__(self) -> None:
        """Check what contradicts itself."""
        if self.max_length is not None and self.max_new_tokens is not None:
            raise OptionError(
                "max_length", "max_length and max_new_tokens are both set, and they say different things.", "Keep one."
            )
        limit = self.max_new_tokens or self.max_length or DEFAULT_NEW_TOKENS
        if self.min_new_tokens is not None and self.min_new_tokens > limit:
            raise OptionError(
                "min_new_tokens", f"min_new_tokens is {self.min_new_tokens}, beyond the limit of {limit}."
            )
        if self.num_return_sequences > 1 and not self.do_sample and self.num_beams == 1:
            raise OptionError(
                "num_return_sequences",
                f"num_return_sequences is {self.num_return_sequences}, but without do_sample all texts are the same.",
                "Set do_sample = true.",
            )
        if not self.do_sample and self.num_return_sequences > self.num_beams:
            raise OptionError(
                "num_return_sequences",
                f"num_return_sequences is {self.num_return_sequences}, more than num_beams, which is {self.num_beams}.",
                f"Set num_beams = {self.num_return_sequences} or more.",
            )
        if "" in self.stop_strings:
            raise OptionError("stop_strings", "stop_strings holds an empty text.", "Remove it.")
