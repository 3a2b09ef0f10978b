"""Synthetic corpus for the starter model: prompts, a fast sampler, cleaning.

The starter model is pretrained on short English texts that a small open
teacher (SmolLM2-135M-Instruct, Apache-2.0) writes from prompts made here.
Throughput decides how much text fits into an hour on two CPU cores, so the
sampler below runs every row of a large batch in lockstep through one ring
buffer of keys and values: when a row finishes its document, the next prompt
is fed into the same row at once and older slots are masked, so that no row
ever waits for another one.
"""

from __future__ import annotations

import itertools
import json
import logging
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everyone uses)
from transformers import AutoModelForCausalLM, AutoTokenizer

from .starter_prompts import Prompt, prompts

logger = logging.getLogger(__name__)

MAX_DOCUMENT_TOKENS = 130
WINDOW = 176
TEMPERATURE = 0.85
TOP_P = 0.9
SENTENCE_END = re.compile(r"[.!?][\"')]?(?=\s|$)")
PLAIN_TOKEN = re.compile(r"[A-Za-z0-9 .,;:'\"?!()%$\n-]+")
CHATTY_OPENER = re.compile(
    r"^(sure|certainly|of course|absolutely|okay|great|here(?:'s| is| are)|"
    r"(?:the )?following (?:is|are)|title|subject)\b[^\n]*?(?::|\n|!)\s*",
    re.IGNORECASE,
)
LIST_MARKER = re.compile(r"^\s*(?:\d+[.)]|-|[a-z]\))\s+", re.MULTILINE)
REJECTED = re.compile(
    r"as an ai\b|i'm sorry|i am sorry|i can't assist|i am not equipped|smollm|hugging ?face|please provide|"
    r"\[|paragraph|short story|the prompt|original text|this sentence|a sentence|revised|rewrit|refined version|"
    r"more concise|plain sentences|simple words|the passage|this question|imo\b",
    re.IGNORECASE,
)


@dataclass
class Layer:
    """Weights of one teacher layer, with parallel projections joined."""

    norm_in: torch.Tensor
    qkv: torch.Tensor
    out: torch.Tensor
    norm_mlp: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor


@dataclass
class Row:
    """State of one batch row: the prompt still to feed and the text so far."""

    prompt: Prompt
    pending: list[int]
    position: int = 0
    tokens: list[int] = field(default_factory=list)


def _layers(model: Any) -> list[Layer]:
    """Copy a Llama model's weights to bf16, joining what shares an input."""
    layers = []
    for block in model.model.layers:
        attn, mlp = block.self_attn, block.mlp
        joined = (
            block.input_layernorm.weight,
            torch.cat([attn.q_proj.weight, attn.k_proj.weight, attn.v_proj.weight]),
            attn.o_proj.weight,
            block.post_attention_layernorm.weight,
            torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]),
            mlp.down_proj.weight,
        )
        layers.append(Layer(*(w.detach().bfloat16().contiguous() for w in joined)))
    return layers


def _rotary_table(length: int, head_dim: int, theta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine tables of rotary position embedding, (length, head_dim)."""
    frequencies = theta ** -(torch.arange(0, head_dim, 2).float() / head_dim)
    angles = torch.outer(torch.arange(length).float(), frequencies).repeat(1, 2)
    return angles.cos().bfloat16(), angles.sin().bfloat16()


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Apply rotary position embedding to (rows, heads, head_dim)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Teacher:
    """The teacher model with a ring-buffer cache for lockstep decoding."""

    def __init__(self, gguf: Path, batch: int) -> None:
        """Load the GGUF file and reserve the cache for ``batch`` rows."""
        source = {"gguf_file": gguf.name}
        self.tokenizer: Any = AutoTokenizer.from_pretrained(str(gguf.parent), **source)
        model: Any = AutoModelForCausalLM.from_pretrained(str(gguf.parent), **source)
        config = model.config
        self.kv_heads: int = config.num_key_value_heads
        self.head_dim: int = config.head_dim
        self.group: int = config.num_attention_heads // self.kv_heads
        self.eps: float = config.rms_norm_eps
        self.layers = _layers(model)
        self.embedding = model.model.embed_tokens.weight.detach().bfloat16()
        self.final_norm = model.model.norm.weight.detach().bfloat16()
        self.end_ids = {self.tokenizer.eos_token_id, 0}
        self.allowed = self._allowed_ids(config.vocab_size)
        self.head = model.lm_head.weight.detach().bfloat16()[self.allowed].contiguous()
        self.cos, self.sin = _rotary_table(WINDOW, self.head_dim, config.rope_parameters["rope_theta"])
        shape = (len(self.layers), batch, self.kv_heads, WINDOW, self.head_dim)
        self.keys = torch.zeros(shape, dtype=torch.bfloat16)
        self.values = torch.zeros(shape, dtype=torch.bfloat16)

    def _allowed_ids(self, vocab_size: int) -> torch.Tensor:
        """Ids that may be sampled: plain ASCII text and the end markers.

        Leaving markdown, code and other scripts out of the output layer keeps
        them out of the corpus and makes the output layer cheaper; so does
        leaving out the rarer two thirds of the vocabulary, whose words the
        remaining pieces can still spell.
        """
        pieces = [self.tokenizer.decode([i]) for i in range(vocab_size // 3)]
        plain = [i for i, piece in enumerate(pieces) if PLAIN_TOKEN.fullmatch(piece)]
        return torch.tensor(sorted(self.end_ids | set(plain)))

    def step(self, tokens: torch.Tensor, positions: torch.Tensor, slot: int) -> torch.Tensor:
        """Feed one token per row, return logits over the allowed ids.

        ``positions`` counts from the start of each row's own document; every
        row writes the same ring ``slot``, and a slot older than the row's
        document is masked.
        """
        rows = len(tokens)
        age = (slot - torch.arange(WINDOW)) % WINDOW
        mask = torch.zeros(rows, 1, WINDOW, dtype=torch.bfloat16)
        mask.masked_fill_(age > positions.view(-1, 1, 1), float("-inf"))
        mask = mask.repeat_interleave(self.kv_heads, 0)
        cos, sin = self.cos[positions].unsqueeze(1), self.sin[positions].unsqueeze(1)
        hidden = self.embedding[tokens]
        for index, layer in enumerate(self.layers):
            normed = F.rms_norm(hidden, hidden.shape[-1:], layer.norm_in, self.eps)
            hidden = hidden + self._attend(index, layer, normed, (cos, sin, mask), slot)
            normed = F.rms_norm(hidden, hidden.shape[-1:], layer.norm_mlp, self.eps)
            gate, up = F.linear(normed, layer.gate_up).chunk(2, dim=-1)
            hidden = hidden + F.linear(F.silu(gate) * up, layer.down)
        hidden = F.rms_norm(hidden, hidden.shape[-1:], self.final_norm, self.eps)
        return F.linear(hidden, self.head).float()

    def _attend(
        self,
        index: int,
        layer: Layer,
        normed: torch.Tensor,
        tables: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        slot: int,
    ) -> torch.Tensor:
        """Grouped-query attention of one new token per row over the ring."""
        cos, sin, mask = tables
        rows, size, kv = len(normed), self.head_dim, self.kv_heads
        heads = F.linear(normed, layer.qkv).view(rows, -1, size)
        query, key, value = torch.split(heads, [kv * self.group, kv, kv], dim=1)
        keys, values = self.keys[index], self.values[index]
        keys[:, :, slot] = _rotate(key, cos, sin)
        values[:, :, slot] = value
        query = _rotate(query, cos, sin).reshape(rows * kv, self.group, size)
        keys, values = keys.view(rows * kv, WINDOW, size), values.view(rows * kv, WINDOW, size)
        scores = torch.baddbmm(mask, query, keys.transpose(1, 2), alpha=size**-0.5)
        mixed = torch.bmm(scores.softmax(-1), values)
        return F.linear(mixed.view(rows, -1), layer.out)

    def encode(self, prompt: Prompt) -> list[int]:
        """Chat-format ids of a prompt, ending with the answer's opening."""
        chat = f"<|im_start|>user\n{prompt.request}<|im_end|>\n<|im_start|>assistant\n"
        ids: list[int] = self.tokenizer.encode(chat + prompt.opening)
        return ids


def sample(logits: torch.Tensor, temperature: float, top_p: float, generator: torch.Generator) -> torch.Tensor:
    """Draw one index per row by nucleus sampling among the 50 likeliest.

    Sorting 50 candidates in place of the whole vocabulary keeps this step at
    a few milliseconds; the Gumbel trick draws without a cumulative search.
    """
    top, indices = logits.topk(50, dim=-1)
    scaled = top / temperature
    chances = scaled.softmax(-1)
    outside = chances.cumsum(-1) - chances >= top_p
    uniform = torch.rand(scaled.shape, generator=generator).clamp_(1e-9, 1 - 1e-7)
    noisy = scaled.masked_fill(outside, float("-inf")) - torch.log(-torch.log(uniform))
    return indices.gather(1, noisy.argmax(-1, keepdim=True)).squeeze(1)


@torch.inference_mode()
def generate(teacher: Teacher, source: Iterator[Prompt], batch: int, seed: int) -> Iterator[str]:
    """Yield raw documents without end, in the order in which they are finished."""
    generator = torch.Generator().manual_seed(seed)
    rows = [_new_row(teacher, source) for _ in range(batch)]
    slot = sampled = 0
    current = torch.tensor([row.pending.pop(0) for row in rows])
    while True:
        positions = torch.tensor([row.position for row in rows])
        logits = teacher.step(current, positions, slot)
        chosen = teacher.allowed[sample(logits, TEMPERATURE, TOP_P, generator)].tolist()
        for index, token in enumerate(chosen):
            row = rows[index]
            row.position += 1
            if row.pending:
                chosen[index] = row.pending.pop(0)
                continue
            sampled += 1
            ended = token in teacher.end_ids
            if not ended:
                row.tokens.append(token)
            if ended or len(row.tokens) >= MAX_DOCUMENT_TOKENS or row.position >= WINDOW - 1:
                text = row.prompt.opening + teacher.tokenizer.decode(row.tokens)
                yield text if ended else cut_to_sentence(text)
                rows[index] = row = _new_row(teacher, source)
                chosen[index] = row.pending.pop(0)
        current = torch.tensor(chosen)
        slot = (slot + 1) % WINDOW
        if slot == 0:
            logger.info("%d tokens sampled", sampled)


def _new_row(teacher: Teacher, source: Iterator[Prompt]) -> Row:
    prompt = next(source)
    return Row(prompt, teacher.encode(prompt))


def cut_to_sentence(text: str) -> str:
    """Drop the unfinished last sentence of a text that met the length limit."""
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else ""


def clean(text: str) -> str | None:
    """Return the text as plain paragraphs, or None where it is not usable."""
    text = CHATTY_OPENER.sub("", text.strip(), count=1)
    text = LIST_MARKER.sub("", text)
    text = re.sub(r"[ \t]+", " ", text)
    text = re.sub(r"\s*\n\s*", "\n", text).strip()
    words = text.lower().split()
    if not text.isascii() or REJECTED.search(text) or len(words) < 25:
        return None
    if not text.endswith((".", "!", "?", '"', ")")):
        text = cut_to_sentence(text)
    triples = list(zip(words, words[1:], words[2:], strict=False))
    if len(set(triples)) < 0.85 * len(triples) or len(text) < 120:
        return None
    return text


class Deduplicator:
    """Remember eight-word runs and recognise texts made of known ones."""

    def __init__(self) -> None:
        """Start with no text seen."""
        self.seen: set[int] = set()

    def overlap(self, text: str) -> float:
        """Share of the text's runs that were seen before."""
        runs = _runs(text)
        return len(runs & self.seen) / len(runs)

    def add(self, text: str) -> None:
        """Remember the text's runs."""
        self.seen |= _runs(text)


def _runs(text: str) -> set[int]:
    words = re.findall(r"[a-z']+", text.lower())
    return {hash(tuple(words[i : i + 8])) for i in range(max(1, len(words) - 7))}


def write_raw(gguf: Path, out: Path, count: int, batch: int, seed: int) -> Path:
    """Let the teacher write ``count`` texts; return the file they are added to."""
    teacher = Teacher(gguf, batch)
    source = prompts(random.Random(seed))  # noqa: S311  (no secret)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "raw.jsonl"
    texts = generate(teacher, source, batch, seed)
    with path.open("a", encoding="utf-8") as stream:
        for done, text in enumerate(itertools.islice(texts, count), 1):
            stream.write(json.dumps({"text": text}) + "\n")
            if done % 500 == 0:
                stream.flush()
                logger.info("%d of %d raw documents", done, count)
    return path


def write_clean(raw: Path, documents: Path) -> tuple[int, int]:
    """Write the usable, new documents of ``raw``; return how many of how many."""
    deduplicator = Deduplicator()
    total = kept = 0
    with raw.open(encoding="utf-8") as source, documents.open("w", encoding="utf-8") as target:
        for line in source:
            total += 1
            text = clean(json.loads(line)["text"])
            if text is not None and deduplicator.overlap(text) < 0.25:
                deduplicator.add(text)
                target.write(json.dumps({"text": text}) + "\n")
                kept += 1
    return kept, total
