"""The tokenizers `bytes` and `bpe`: vocabularies of our own, for models from scratch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ftstudio.api import ComponentError, Encoded, ModelRef, Run, Table
from ftstudio_kit.hub_cache import has_tokenizer
from ftstudio_tokenizers.encode import encode
from ftstudio_tokenizers.options import BpeOptions, BytesOptions, CommonOptions
from ftstudio_tokenizers.pretrained import same_vocabulary
from ftstudio_tokenizers.rows import split_text
from ftstudio_tokenizers.store import batches, content_hash, key_of, made, parallel

END = "<|endoftext|>"


def byte_symbols() -> list[str]:
    """The printable character that stands for each byte, in the order of the bytes.

    GPT-2's alphabet: a byte whose character is printable is that character; the others follow from U+0100 on.
    """
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    others = iter(sorted(c for c in alphabet if ord(c) > 255))
    return [chr(byte) if chr(byte) in alphabet else next(others) for byte in range(256)]


def byte_level(vocabulary: models.BPE) -> Tokenizer:
    """A tokenizer over bytes: any text goes in and comes back the same."""
    tokenizer = Tokenizer(vocabulary)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def wrapped(tokenizer: Tokenizer) -> Any:
    """As transformers knows it, with one token for the end of a text, which pads too."""
    tokenizer.add_special_tokens([AddedToken(END, special=True)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        unk_token=END,
        clean_up_tokenization_spaces=False,
    )


class _Own:
    """What both share: they need a model that has not learnt other ids."""

    options: CommonOptions

    def tokenizer(self, data: Mapping[str, Table], run: Run) -> Any:
        raise NotImplementedError

    def encode(self, data: Mapping[str, Table], model: ModelRef, run: Run) -> Encoded:
        """Make the tokenizer and tokenise. Raises ComponentError for a model that was trained with other ids."""
        tokenizer = self.tokenizer(data, run)
        if model.weights and not (has_tokenizer(model.path) and same_vocabulary(tokenizer, model)):
            raise ComponentError(
                f"The model '{model.name}' was trained with another tokenizer, so these ids would mean nothing to it.",
                'Write use = "pretrained" in [tokenizer], or use = "scratch" in [model].',
            )
        return encode(data, tokenizer, self.options, model, run)


class Bytes(_Own):
    """Token n is byte n; token 256 is the end of a text."""

    def __init__(self, options: BytesOptions) -> None:
        self.options = options

    def tokenizer(self, data: Mapping[str, Table], run: Run) -> Any:
        """The same for all data."""
        vocabulary = {symbol: byte for byte, symbol in enumerate(byte_symbols())}
        return wrapped(byte_level(models.BPE(vocab=vocabulary, merges=[])))


class Bpe(_Own):
    """Merges learnt from the training rows; the validation rows are not looked at."""

    def __init__(self, options: BpeOptions) -> None:
        self.options: BpeOptions = options

    def tokenizer(self, data: Mapping[str, Table], run: Run) -> Any:
        """Learnt from `data["train"]`, or found in the cache; the same rows give the same merges."""
        options, train = self.options, data["train"]
        key = key_of("bpe", options.vocab_size, options.min_frequency, content_hash(train))

        def learn(folder: Path) -> None:
            with parallel():
                self._learn(train, run).save(str(folder / "tokenizer.json"))

        return wrapped(Tokenizer.from_file(str(made(run.cache / "bpe" / key, learn) / "tokenizer.json")))

    def _learn(self, train: Table, run: Run) -> Tokenizer:
        run.say(f"Learning a vocabulary from {len(train):,} rows.")
        tokenizer = byte_level(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=self.options.vocab_size - 1,  # the end of a text is added after
            min_frequency=self.options.min_frequency,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(_texts(train), trainer)
        return tokenizer


def _texts(table: Table) -> Iterator[list[str]]:
    """All text of a table, a batch at a time, whatever its row shape."""
    for batch in batches(table):
        yield [
            piece
            for column in batch.values()
            for value in column
            for text in _flat(value)
            for piece in split_text(text)
        ]


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        yield from (message["content"] for message in value)
