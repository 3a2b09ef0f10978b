"""A tiny random GPT-2 and toy preferences: the answer to every question is yes."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from ftstudio.api import ModelRef

torch.set_num_threads(1)  # tiny matrices on several threads wait for one another
QUESTIONS = ("sun", "moon", "rain", "snow", "wind", "hail", "fog", "ice")


class Rows:
    """The least that the contract calls a table."""

    column_names = ("prompt", "chosen", "rejected")

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows)


def preferences(count=16):
    return Rows([
        {"prompt": f"{QUESTIONS[i % 8]} {i}? ", "chosen": "yes", "rejected": "no!!"} for i in range(count)
    ])  # fmt: skip


def save_model(folder: Path, positions: int = 64) -> ModelRef:
    """Two layers of 32 dimensions and a tokenizer of one token a byte, with dropout, as GPT-2 has it."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)} | {"<|end|>": 256}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>").save_pretrained(folder)
    torch.manual_seed(0)
    ends = {"eos_token_id": 256, "bos_token_id": 256}
    config = GPT2Config(vocab_size=257, n_positions=positions, n_embd=32, n_layer=2, n_head=2, **ends)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return ModelRef(folder, weights=True, name="tiny")
