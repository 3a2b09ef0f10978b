"""Tables -> Encoded, batch by batch into memory-mapped Arrow files, cached by content.

    cache/tokens/KEY/train.arrow, validation.arrow, counts.json       renamed into place as a whole, or not there

KEY is a hash of the rows themselves, the tokenizer's files, the options, and the source of this package, so a changed
tokenizer, option or row can never find old tokens. Memory stays that of one batch, whatever the size of the data.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from ftstudio.api import ComponentError, Encoded, ModelRef, Run, Table, shape_of
from ftstudio_kit.chat import ensure_chat_template
from ftstudio_kit.safe import check_model_folder
from ftstudio_tokenizers.options import CommonOptions
from ftstudio_tokenizers.rows import RowEncoder

BATCH = 1000
SCHEMA = pa.schema([("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])


def encode(data: Mapping[str, Table], tokenizer: Any, options: CommonOptions, model: ModelRef, run: Run) -> Encoded:
    """Tokenise all tables with a tokenizer of transformers. Raises ComponentError when it does not fit the model."""
    shape = shape_of(data["train"].column_names)
    if shape is None:
        raise ComponentError("These rows have no shape that a tokenizer knows.", "Map their columns in [dataset].")
    prepare(tokenizer, shape, run)
    folder = run.dir / "tokenizer"
    tokenizer.save_pretrained(folder)
    vocabulary = _check_vocabulary(tokenizer, model)
    limit = options.max_length or _context(model)
    key = _key(data, folder, options, limit, shape)
    cached = run.cache / "tokens" / key
    if not (cached / "counts.json").is_file():
        _write(data, partial(RowEncoder, tokenizer, options, limit, shape), cached, run)
    counts = json.loads((cached / "counts.json").read_text("utf-8"))
    for sentence in warnings_of(counts):
        run.warn(sentence)
    tables = {name: datasets.Dataset.from_file(str(cached / f"{name}.arrow")) for name in data}
    return Encoded(
        train=tables["train"],
        validation=tables.get("validation"),
        tokenizer=folder,
        vocab_size=vocabulary,
        pad_token_id=int(tokenizer.pad_token_id),
        shape=shape,
        counts=counts,
    )


def prepare(tokenizer: Any, shape: str, run: Run) -> None:
    """Padding falls back to the end of text without a new embedding; conversations need a template."""
    if tokenizer.eos_token_id is None:
        raise ComponentError("The tokenizer has no end-of-text token.", "Choose another tokenizer.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
    if shape == "messages" and ensure_chat_template(tokenizer):
        run.say("The tokenizer has no chat template: conversations are written as 'User: ...' and 'Assistant: ...'.")


def _check_vocabulary(tokenizer: Any, model: ModelRef) -> int:
    """Every id needs an embedding; a model without weights is made as large as the tokenizer unless it was told."""
    config = check_model_folder(model.path, weights=False)
    rows, vocabulary = config.get("vocab_size"), len(tokenizer)
    if isinstance(rows, int) and vocabulary > rows:
        raise ComponentError(
            f"The tokenizer has {vocabulary:,} tokens and the model {rows:,} embeddings: they do not belong together.",
            "Use the model's own tokenizer, or a model from scratch.",
        )
    return vocabulary


def _context(model: ModelRef) -> int | None:
    config = check_model_folder(model.path, weights=False)
    found = config.get("max_position_embeddings") or config.get("n_positions")
    return int(found) if isinstance(found, int) and found > 1 else None


def warnings_of(counts: Mapping[str, int]) -> Iterator[str]:
    """What tokenising did that a person would want to know."""
    if counts.get("truncated_rows"):
        yield (
            f"{counts['truncated_rows']:,} rows were longer than max_length and lost {counts['truncated_tokens']:,} "
            "tokens at their end."
        )
    if counts.get("untrained_rows"):
        yield f"{counts['untrained_rows']:,} rows were left out: max_length cuts them before anything that is trained."
    if counts.get("split_prompts"):
        yield (
            f"In {counts['split_prompts']:,} rows a token spans the end of the prompt and the start of the completion; "
            "end prompts with a line break, or start completions with a space."
        )
    if counts.get("empty_rows"):
        yield f"{counts['empty_rows']:,} rows without a token were left out."


# -------------------------------------------------------------------------------------------------- cache


def _key(data: Mapping[str, Table], tokenizer: Path, options: CommonOptions, limit: int | None, shape: str) -> str:
    digest = hashlib.sha256(json.dumps([asdict(options), limit, shape, sorted(data)], default=str).encode())
    for file in sorted(p for p in tokenizer.iterdir() if p.is_file()):
        digest.update(file.name.encode() + file.read_bytes())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    for name, table in data.items():
        digest.update(name.encode())
        _hash_rows(table, digest)
    return digest.hexdigest()[:40]


def _hash_rows(table: Table, digest: Any) -> None:
    """The content of rows, not the identity of a file: by Arrow batches where the table has them (1 GB/s)."""
    if isinstance(table, datasets.Dataset):
        for batch in table.with_format("arrow").iter(batch_size=10_000):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_table(batch.combine_chunks())
            digest.update(sink.getvalue())
        return
    for row in table:
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())


def _write(data: Mapping[str, Table], new_encoder: Callable[[], RowEncoder], target: Path, run: Run) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=target.parent))
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # no fork happens while it counts
    try:
        for name, table in data.items():
            encoder = new_encoder()
            _write_table(table, encoder, staging / f"{name}.arrow", run)
            if name == "train":
                (staging / "counts.json").write_text(json.dumps(dict(encoder.counts)), "utf-8")
        try:
            os.replace(staging, target)  # noqa: PTH105 - named as the system call that makes this atomic
        except OSError:
            if not (target / "counts.json").is_file():  # else another run made the same tokens first
                raise
    finally:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        shutil.rmtree(staging, ignore_errors=True)


def _write_table(table: Table, encoder: RowEncoder, path: Path, run: Run) -> None:
    done, total = 0, len(table)
    with path.open("wb") as stream, pa.ipc.new_stream(stream, SCHEMA) as writer:
        for batch in batches(table):
            rows = list(encoder.encode(batch))
            columns = [pa.array([row[name] for row in rows], SCHEMA.field(name).type) for name in SCHEMA.names]
            writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
            done += len(next(iter(batch.values())))
            run.progress(done, total, "row")


def batches(table: Table) -> Iterator[dict[str, list[Any]]]:
    """The rows as columns, a batch at a time."""
    if isinstance(table, datasets.Dataset):
        yield from table.iter(batch_size=BATCH)
        return
    rows = iter(table)
    while some := list(islice(rows, BATCH)):
        yield {name: [row[name] for row in some] for name in table.column_names}
