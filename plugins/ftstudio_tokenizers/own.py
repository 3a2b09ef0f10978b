"""The tokenizers `bytes` and `bpe`: vocabularies of our own, for models from scratch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ftstudio.api import ComponentError, Encoded, ModelRef, Run, Table
from ftstudio_tokenizers.encode import batches, encode
from ftstudio_tokenizers.options import BpeOptions, BytesOptions, CommonOptions

END = "<|endoftext|>"


def byte_level(vocabulary: models.BPE) -> Tokenizer:
    """A tokenizer over bytes: any text goes in and comes back the same."""
    tokenizer = Tokenizer(vocabulary)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """As transformers knows it, with one token for the end of a text."""
    tokenizer.add_special_tokens([AddedToken(END, special=True)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, unk_token=END, clean_up_tokenization_spaces=False
    )


class _Own:
    """What both share: they need a model that has not learnt other ids."""

    options: CommonOptions

    def tokenizer(self, data: Mapping[str, Table]) -> PreTrainedTokenizerFast:
        raise NotImplementedError

    def encode(self, data: Mapping[str, Table], model: ModelRef, run: Run) -> Encoded:
        """Make the tokenizer and tokenise. Raises ComponentError for a model with weights."""
        if model.weights:
            raise ComponentError(
                f"The model {model.name!r} was trained with another tokenizer, so these ids would mean nothing to it.",
                'Write use = "pretrained" in [tokenizer], or use = "scratch" in [model].',
            )
        return encode(data, self.tokenizer(data), self.options, model, run)


class Bytes(_Own):
    """256 tokens, and the end of a text."""

    def __init__(self, options: BytesOptions) -> None:
        self.options = options

    def tokenizer(self, data: Mapping[str, Table]) -> PreTrainedTokenizerFast:
        """The same for all data."""
        vocabulary = {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
        return wrapped(byte_level(models.BPE(vocab=vocabulary, merges=[])))


class Bpe(_Own):
    """Merges learnt from the training rows; the validation rows are not looked at."""

    def __init__(self, options: BpeOptions) -> None:
        self.options: BpeOptions = options

    def tokenizer(self, data: Mapping[str, Table]) -> PreTrainedTokenizerFast:
        """Trained on `data["train"]`; the same rows give the same merges."""
        tokenizer = byte_level(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=self.options.vocab_size - 1,
            min_frequency=self.options.min_frequency,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(_texts(data["train"]), trainer)
        return wrapped(tokenizer)


def _texts(table: Table) -> Iterator[list[str]]:
    """All text of a table, a batch at a time, whatever its row shape."""
    for batch in batches(table):
        yield [text for column in batch.values() for value in column for text in _flat(value)]


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        yield from (message["content"] for message in value)
