"""Options of the built-in tokenizers."""

from __future__ import annotations

from dataclasses import dataclass

from ftstudio.api import OptionError, option
from ftstudio_kit.hub_cache import check_name


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """How rows become tokens, whichever tokenizer makes them."""

    max_length: int | None = option(
        None,
        help="Longest row; absent: the model's context. A longer text becomes consecutive rows.",
        ge=2,
        unit="tokens",
    )
    truncation: bool = option(False, help="Cut a text at max_length instead of going on in a further row.")
    completion_only_loss: bool = option(
        True, help="Rows of prompt and completion: train on the completion alone, as TRL does.", advanced=True
    )
    assistant_only_loss: bool = option(
        False, help="Rows of messages: train on what the assistant says alone.", advanced=True
    )
    add_eos: bool = option(
        True,
        help="End each row with the end-of-text token and train it, so that the model learns to stop.",
        advanced=True,
    )


@dataclass(frozen=True, kw_only=True)
class PretrainedOptions(CommonOptions):
    """The tokenizer that belongs to a pretrained model."""

    name: str | None = option(
        None, help="Another tokenizer than the model's own: a Hub id or a folder.", kind="model", advanced=True
    )
    chat_template: str | None = option(
        None,
        help="For rows of messages, in place of the tokenizer's: a Jinja template, or a file that holds one.",
        kind="text",
        advanced=True,
    )

    def __post_init__(self) -> None:
        for field in ("name", "chat_template"):
            value = getattr(self, field)
            if value is not None and not value.strip():
                raise OptionError(field, f"{field} is empty.", "Take it out, or give it a value.")
        check_name(self.name or "")


@dataclass(frozen=True, kw_only=True)
class BytesOptions(CommonOptions):
    """A token a byte."""


@dataclass(frozen=True, kw_only=True)
class BpeOptions(CommonOptions):
    """A byte-level BPE trained on the project's own rows."""

    vocab_size: int = option(
        8192,
        help="Tokens in the vocabulary at most, the 256 bytes and the end of a text included.",
        ge=258,
        le=1_000_000,
    )
    min_frequency: int = option(2, help="How often a pair must occur to be merged.", ge=1, advanced=True)
