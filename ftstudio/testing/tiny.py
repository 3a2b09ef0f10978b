"""A GPT-2 of 15 kB and a tokenizer of bytes, written without torch and opened by transformers as any other.

It is a real model, only small: one block, eight dimensions, a vocabulary of 257.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ftstudio.api import ModelRef

END = 256
"""The token that ends a text, and pads: tokens 0 to 255 are the bytes."""
VOCABULARY = 257
CONTEXT = 64
WIDTH = 8


def write_safetensors(path: Path, tensors: Mapping[str, tuple[str, Sequence[int], Sequence[float]]]) -> None:
    """Write name -> (dtype "F32" or "F64", shape, values) as a safetensors file."""
    header: dict[str, Any] = {}
    body = bytearray()
    for name, (dtype, shape, values) in tensors.items():
        start = len(body)
        body += struct.pack(f"<{len(values)}{'f' if dtype == 'F32' else 'd'}", *values)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, len(body)]}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + body)


def tiny_model(folder: Path, *, weights: bool = True, context: int = CONTEXT, seed: int = 0) -> ModelRef:
    """A GPT-2 of one block that `from_pretrained` opens, with its tokenizer of bytes: about 15 kB, no torch needed.

    Without weights its config leaves the size of the vocabulary open, for any tokenizer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_positions": context,
        "n_embd": WIDTH, "n_layer": 1, "n_head": 2, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
        "initializer_range": 0.02, "bos_token_id": END, "eos_token_id": END, "tie_word_embeddings": True,
        "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1, "torch_dtype": "float32",
    }  # fmt: skip
    config |= {"vocab_size": VOCABULARY} if weights else {}
    (folder / "config.json").write_text(json.dumps(config, indent=1), "utf-8")
    if weights:
        write_safetensors(folder / "model.safetensors", _weights(context, random.Random(seed)))  # noqa: S311
    fake_tokenizer(folder)
    return ModelRef(folder, weights=weights, name="tiny", revision="1")


def _weights(context: int, draw: random.Random) -> dict[str, tuple[str, Sequence[int], Sequence[float]]]:
    """GPT-2's tensors: matrices at random, norms at one, biases at zero."""
    w = WIDTH
    shapes: dict[str, tuple[int, ...]] = {
        "wte.weight": (VOCABULARY, w), "wpe.weight": (context, w),
        "h.0.ln_1.weight": (w,), "h.0.ln_1.bias": (w,), "h.0.ln_2.weight": (w,), "h.0.ln_2.bias": (w,),
        "h.0.attn.c_attn.weight": (w, 3 * w), "h.0.attn.c_attn.bias": (3 * w,),
        "h.0.attn.c_proj.weight": (w, w), "h.0.attn.c_proj.bias": (w,),
        "h.0.mlp.c_fc.weight": (w, 4 * w), "h.0.mlp.c_fc.bias": (4 * w,),
        "h.0.mlp.c_proj.weight": (4 * w, w), "h.0.mlp.c_proj.bias": (w,),
        "ln_f.weight": (w,), "ln_f.bias": (w,),
    }  # fmt: skip

    def values(name: str, shape: tuple[int, ...]) -> list[float]:
        if len(shape) == 2:
            return [draw.gauss(0, 0.2) for _ in range(shape[0] * shape[1])]
        return [1.0 if name.endswith("weight") else 0.0] * shape[0]

    return {f"transformer.{name}": ("F32", shape, values(name, shape)) for name, shape in shapes.items()}


def _byte_symbols() -> list[str]:
    """GPT-2's printable character for each byte: its own where it has one, else from U+0100 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def fake_tokenizer(folder: Path) -> Path:
    """A tokenizer of bytes that AutoTokenizer opens, written into a folder: token n is byte n, 256 ends a text."""
    folder.mkdir(parents=True, exist_ok=True)
    end = {"id": END, "content": "<|endoftext|>", "single_word": False, "lstrip": False, "rstrip": False,
           "normalized": False, "special": True}  # fmt: skip
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    vocabulary = {symbol: byte for byte, symbol in enumerate(_byte_symbols())} | {end["content"]: END}
    model: dict[str, Any] = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary,
             "merges": []}  # fmt: skip
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [end], "normalizer": None,
                 "pre_tokenizer": level, "post_processor": None, "decoder": level, "model": model}  # fmt: skip
    specials = {f"{name}_token": end["content"] for name in ("bos", "eos", "pad", "unk")}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **specials}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1), "utf-8")
    return folder
