"""Tables -> Encoded, batch by batch into memory-mapped Arrow files that a second run finds again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from ftstudio.api import ComponentError, Encoded, ModelRef, Run, Table, shape_of
from ftstudio_kit.chat import ensure_chat_template
from ftstudio_kit.safe import check_model_folder, context_of_config, vocabulary_of_config
from ftstudio_tokenizers.options import CommonOptions
from ftstudio_tokenizers.rows import Part, RowEncoder
from ftstudio_tokenizers.store import batches, content_hash, files_hash, key_of, made, parallel

SCHEMA = pa.schema([("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])
AT_ONCE = 2**20
"""Tokens of a batch of the file."""
UNKNOWN_CONTEXT = 1024
"""Where neither max_length nor the model's config says how long a row may be."""


def encode(data: Mapping[str, Table], tokenizer: Any, options: CommonOptions, model: ModelRef, run: Run) -> Encoded:
    """Tokenise all tables with a tokenizer of transformers, and save it in the run's folder.

    Raises ComponentError when it does not fit the model, or when nothing that can be trained is left.
    """
    shape = shape_of(data["train"].column_names)
    if shape not in {"text", "prompt_completion", "messages"}:
        raise ComponentError("These rows have no shape that this tokenizer knows.", "Map their columns in [dataset].")
    config = check_model_folder(model.path, weights=False)
    prepare(tokenizer, shape, config, run)
    vocabulary = _vocabulary(tokenizer, model, config)
    limit = _limit(options, model, config)
    folder = run.dir / "tokenizer"
    tokenizer.save_pretrained(folder)
    key = key_of("tokens", files_hash(folder), asdict(options), limit, shape)
    found = {
        name: _encode_table(name, table, RowEncoder(tokenizer, options, limit, shape), key, run)
        for name, table in data.items()
    }
    counts = found["train"][1]
    if "validation" in found:
        counts |= {f"validation_{name}": found["validation"][1].get(name, 0) for name in ("rows", "tokens")}
    return Encoded(
        train=found["train"][0],
        validation=found["validation"][0] if "validation" in found else None,
        tokenizer=folder,
        vocab_size=vocabulary,
        pad_token_id=int(tokenizer.pad_token_id),
        shape=shape,
        counts=counts,
        cut=found["train"][2],
    )


def prepare(tokenizer: Any, shape: str, config: Mapping[str, Any], run: Run) -> None:
    """Padding falls back to the end of text without a new embedding; conversations need a template."""
    end = config.get("eos_token_id")
    if tokenizer.eos_token_id is None and isinstance(end, int):
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    if tokenizer.eos_token_id is None:
        raise ComponentError("The tokenizer has no end-of-text token.", "Choose another tokenizer.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:  # some files ask for rows of 512: how long rows are is said by max_length
        backend.no_truncation()
        backend.no_padding()
    if shape == "messages" and ensure_chat_template(tokenizer):
        run.say("The tokenizer has no chat template: each turn is written as 'User:' or 'Assistant:' above its words.")


def _vocabulary(tokenizer: Any, model: ModelRef, config: Mapping[str, Any]) -> int:
    """How many embeddings the ids need. A model from scratch may have asked for more than that."""
    needed: int = max(len(tokenizer), 1 + max(tokenizer.get_vocab().values()))
    rows = vocabulary_of_config(config)
    if rows is not None and needed > rows:
        raise ComponentError(
            f"The tokenizer has {needed:,} tokens and the model '{model.name}' {rows:,} embeddings: they do not belong "
            "together.",
            "Use the model's own tokenizer." if model.weights else f"Set vocab_size = {needed} in [model], or drop it.",
        )
    return needed if model.weights else max(needed, rows or 0)


def _limit(options: CommonOptions, model: ModelRef, config: Mapping[str, Any]) -> int:
    context = context_of_config(config)
    if options.max_length is not None and context is not None and options.max_length > context:
        raise ComponentError(
            f"max_length = {options.max_length:,} is beyond the {context:,} positions of the model '{model.name}'.",
            f"max_length = {context} at most.",
        )
    return options.max_length or context or UNKNOWN_CONTEXT


def _encode_table(
    name: str, table: Table, encoder: RowEncoder, key: str, run: Run
) -> tuple[datasets.Dataset, dict[str, int], dict[int, int]]:
    """The rows of a table from the cache, or written there first; what there is to warn of is said each time."""

    def make(folder: Path) -> None:
        with parallel():
            _write(table, encoder, folder / "rows.arrow", run)
        (folder / "counts.json").write_text(json.dumps(encoder.counts), "utf-8")
        (folder / "cut.json").write_text(json.dumps(list(encoder.cut.items())), "utf-8")

    folder = made(run.cache / "tokens" / key_of(key, content_hash(table)), make)
    counts: dict[str, int] = json.loads((folder / "counts.json").read_text("utf-8"))
    for sentence in _warnings(name, counts, encoder.limit):
        run.warn(sentence)
    if not counts.get("rows"):
        raise ComponentError(f"No row of {name} is left that has a token to train on.", _way_out(counts))
    cut = dict(json.loads((folder / "cut.json").read_text("utf-8")))
    return datasets.Dataset.from_file(str(folder / "rows.arrow")), counts, cut


def _way_out(counts: Mapping[str, int]) -> str:
    """What to do when no row is left, by why they went."""
    if counts.get("untrained_rows"):
        return "Give a larger max_length."
    if counts.get("unanswered_rows"):
        return "Give conversations in which the assistant speaks, or set assistant_only_loss = false."
    if counts.get("single_rows"):
        return "A row needs two tokens: set add_eos = true, or give longer texts."
    return "Look at the data: its texts are empty."


def _write(table: Table, encoder: RowEncoder, path: Path, run: Run) -> None:
    done, total = 0, len(table)

    def encoded() -> Iterator[Part]:
        nonlocal done
        for batch in batches(table):
            yield from encoder.encode(batch)
            done += len(next(iter(batch.values())))
            run.progress(done, total, "row")

    with path.open("wb") as stream:
        with pa.ipc.new_stream(stream, SCHEMA) as writer:
            for parts in _some(encoded()):
                writer.write_batch(_record_batch(parts))
                run.progress(done, total, "row")  # within a long document too: a stop is read here
        stream.flush()
        os.fsync(stream.fileno())


def _some(parts: Iterator[Part]) -> Iterator[list[Part]]:
    """Lists of parts with about `AT_ONCE` tokens: one document may become any number of rows, and a row have two.

    A part itself takes the memory of some 64.
    """
    held: list[Part] = []
    size = 0
    for part in parts:
        held.append(part)
        size += len(part.ids) + 64
        if size >= AT_ONCE:
            yield held
            held, size = [], 0
    if held:
        yield held


def _record_batch(parts: list[Part]) -> pa.RecordBatch:
    ends = np.cumsum(np.concatenate([[0], *(part.lengths for part in parts)]), dtype=np.int32)
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "labels")]
    return pa.record_batch([pa.ListArray.from_arrays(ends, column) for column in columns], schema=SCHEMA)


def _warnings(name: str, counts: Mapping[str, int], limit: int) -> Iterator[str]:
    """What tokenising did that a person would want to know."""

    def rows(which: str) -> str:
        return f"{counts[which]:,} row{'s' if counts[which] != 1 else ''} of {name}"

    if counts.get("truncated_rows"):
        yield (
            f"Cut at max_length = {limit:,}: {rows('truncated_rows')} lost {counts['truncated_tokens']:,} tokens "
            "at the end."
        )
    if counts.get("untrained_rows"):
        yield (
            f"Left out: {rows('untrained_rows')} without a token to train on. "
            f"A prompt that fills max_length = {limit:,} leaves none."
        )
    if counts.get("unanswered_rows"):
        which = "in which no token belongs to an answer, and answers alone are trained"
        yield f"Left out: {rows('unanswered_rows')} {which}."
    if counts.get("split_prompts"):
        yield (
            f"In {rows('split_prompts')} a token spans the end of the prompt and the start of the completion. "
            "End prompts with a line break, or start completions with a space."
        )
    if counts.get("empty_rows"):
        yield f"Left out: {rows('empty_rows')} without a token."
    if counts.get("single_rows"):
        yield f"Left out: {rows('single_rows')} of a single token, from which nothing can be learnt."
