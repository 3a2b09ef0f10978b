"""Tiny random models, a byte tokenizer and toy data for the tests of trainers and generators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM as Auto
from transformers import (
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from ftstudio.api import Encoded, ModelRef

torch.set_num_threads(1)  # tiny matrices on several threads wait for one another a hundred times longer

VOCAB = 257
"""256 bytes and the end-of-text token."""
CONTEXT = 64


def config_of(family: str, *, dropout: float = 0.1) -> PreTrainedConfig:
    """A config of two layers and 32 dimensions."""
    ends: dict[str, Any] = {"eos_token_id": 256, "bos_token_id": 256, "vocab_size": VOCAB}
    if family == "gpt2":
        return GPT2Config(
            n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=2,
            attn_pdrop=dropout, resid_pdrop=dropout, embd_pdrop=dropout, **ends,
        )  # fmt: skip
    shape: dict[str, Any] = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "max_position_embeddings": CONTEXT, "attention_dropout": dropout, **ends,
    }  # fmt: skip
    return LlamaConfig(**shape) if family == "llama" else Qwen2Config(tie_word_embeddings=True, **shape)


def save_tokenizer(folder: Path) -> Path:
    """A tokenizer of one token a byte."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate(letters)} | {"<|end|>": 256}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")
    fast.save_pretrained(folder)
    return folder


def save_model(
    folder: Path, family: str = "gpt2", *, dropout: float = 0.1, dtype: torch.dtype = torch.float32
) -> ModelRef:
    """A random model of a family ("gpt2", "llama", "qwen2") in a folder."""
    torch.manual_seed(0)
    model = Auto.from_config(config_of(family, dropout=dropout)).to(dtype)
    model.save_pretrained(folder)
    return ModelRef(folder, weights=True, name=f"tiny-{family}")


@dataclass
class ListTable:
    """The least that the contract calls a table."""

    rows: list[dict[str, list[int]]]
    column_names: Sequence[str] = ("input_ids", "labels")

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Any:
        return iter(self.rows)


def toy_rows(count: int, *, seed: int = 0, longest: int = 24, masked: int = 0) -> ListTable:
    """Rows of 3 to `longest` tokens in a repeating pattern; the first `masked` labels of each are -100."""
    draw = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        length, start = int(draw.integers(3, longest + 1)), int(draw.integers(97, 107))
        ids = [97 + (start + i) % 10 for i in range(length - 1)] + [256]
        rows.append({"input_ids": ids, "labels": [-100] * min(masked, length) + ids[masked:]})
    return ListTable(rows)


def toy_data(folder: Path, count: int = 20, *, validation: int = 0, **rows: int) -> Encoded:
    """Encoded toy rows with a byte tokenizer whose pad is its end-of-text."""
    return Encoded(
        train=toy_rows(count, **rows),
        validation=toy_rows(validation, seed=1, **rows) if validation else None,
        tokenizer=save_tokenizer(folder / "tokenizer"),
        vocab_size=VOCAB,
        pad_token_id=256,
        shape="text",
    )
