"""GPT-2 and its training written by hand, as one writes it today: bfloat16 autocast, fused attention, fused AdamW.

One file without ftstudio or transformers' model code, in the manner of the well-known small GPTs; the weights are
those of a folder that GPT2LMHeadModel reads.
"""

import json
from pathlib import Path

import common
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file
from torch import nn


class Attention(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (y.view(b, t, self.heads, c // self.heads).transpose(1, 2) for y in self.qkv(x).split(c, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0, is_causal=True)
        return self.drop(self.out(y.transpose(1, 2).contiguous().view(b, t, c)))


class Block(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.ln1, self.attention, self.ln2 = nn.LayerNorm(width), Attention(width, heads, dropout), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gelu, self.drop = nn.GELU(approximate="tanh"), nn.Dropout(dropout)

    def forward(self, x):
        x = x + self.attention(self.ln1(x))
        return x + self.drop(self.down(self.gelu(self.up(self.ln2(x)))))


class GPT(nn.Module):
    def __init__(self, vocabulary, positions, width, heads, layers, dropout):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(positions, width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.ln = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids, targets):
        x = self.drop(self.tokens(ids) + self.positions(torch.arange(ids.shape[1])))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.ln(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1), ignore_index=-100)

    def load(self, weights):
        """Weights by GPT2LMHeadModel's names, whose matrices are the other way round."""
        names = {
            "wte": "tokens", "wpe": "positions", "ln_f": "ln", "h": "blocks", "ln_1": "ln1", "ln_2": "ln2",
            "attn.c_attn": "attention.qkv", "attn.c_proj": "attention.out", "mlp.c_fc": "up", "mlp.c_proj": "down",
        }  # fmt: skip
        mine = self.state_dict()
        for name, value in weights.items():
            short = name.removeprefix("transformer.")
            for theirs, ours in names.items():
                short = f".{short}".replace(f".{theirs}.", f".{ours}.").removeprefix(".")
            turned = value.t() if value.ndim == 2 and "blocks" in short else value
            mine[short].copy_(turned)


def optimizer_of(model, learning_rate, weight_decay=0.0):
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.999), eps=1e-8, fused=True)


def step(model, optimizer, ids, targets, max_norm=1.0):
    """One step; targets are moved by one already."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(ids, targets)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item(), norm.item()


def main():
    """`python plain_loop.py WORK`: the work's steps on rows of one length."""
    work = common.work()
    torch.set_num_threads(work["threads"])
    torch.manual_seed(0)
    config = json.loads((Path(work["model"]) / "config.json").read_text())
    model = GPT(
        config["vocab_size"], config["n_positions"], config["n_embd"], config["n_head"], config["n_layer"],
        work["dropout"],
    )  # fmt: skip
    with torch.no_grad():
        model.load(load_file(Path(work["model"]) / "model.safetensors"))
    optimizer = optimizer_of(model.train(), work["learning_rate"])
    rows, size = work["rows"], work["batch_size"]
    steps, tokens = common.Steps(), 0
    for number in range(work["steps"]):
        some = [rows[(number * size + at) % len(rows)] for at in range(size)]
        ids = torch.from_numpy(np.stack([ids for ids, _ in some]))
        targets = F.pad(torch.from_numpy(np.stack([labels for _, labels in some]))[:, 1:], (0, 1), value=-100)
        for group in optimizer.param_groups:
            group["lr"] = work["learning_rate"] * (1 - number / work["steps"])
        steps.done(step(model, optimizer, ids, targets)[0])
        tokens += ids.numel()
    steps.tell(tokens)


if __name__ == "__main__":
    main()
