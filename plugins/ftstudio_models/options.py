"""Options of the built-in models."""

from __future__ import annotations

from dataclasses import dataclass

from ftstudio.api import OptionError, option
from ftstudio_kit.hub_cache import check_name


@dataclass(frozen=True, kw_only=True)
class HubOptions:
    """A model of the Hub or of a local folder."""

    name: str = option(help="A Hub id (gpt2, org/name), or a folder that save_pretrained() wrote.", kind="model")
    revision: str | None = option(
        None, help="A branch, tag or commit of the Hub; the commit that it means is recorded.", advanced=True
    )

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise OptionError("name", "name is empty.", "Write a Hub id, for example gpt2, or a folder.")
        check_name(self.name)


@dataclass(frozen=True, kw_only=True)
class StarterOptions:
    """The starter has nothing to choose."""


@dataclass(frozen=True, kw_only=True)
class ScratchOptions:
    """A GPT-2 with random weights, by the names of transformers' GPT2Config."""

    n_layer: int = option(4, help="Transformer blocks.", ge=1, le=200, unit="blocks")
    n_head: int = option(
        4, help="Attention heads a block; n_embd must be a multiple of it.", ge=1, le=256, unit="heads"
    )
    n_embd: int = option(128, help="Width of the embeddings and the hidden states.", ge=1, le=65_536)
    n_positions: int = option(256, help="Context: the longest sequence.", ge=2, le=1_000_000, unit="tokens")
    vocab_size: int | None = option(
        None, help="Rows of the embedding; absent: as many as the tokenizer has.", ge=2, advanced=True
    )
    resid_pdrop: float = option(0.1, help="Dropout after each block's projections.", ge=0, lt=1, advanced=True)
    embd_pdrop: float = option(0.1, help="Dropout on the embeddings.", ge=0, lt=1, advanced=True)
    attn_pdrop: float = option(0.1, help="Dropout on the attention.", ge=0, lt=1, advanced=True)

    def __post_init__(self) -> None:
        if self.n_embd % self.n_head:
            raise OptionError(
                "n_embd",
                f"n_embd = {self.n_embd} is no multiple of n_head = {self.n_head}.",
                f"For example n_embd = {(self.n_embd // self.n_head + 1) * self.n_head}.",
            )
