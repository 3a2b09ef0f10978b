"""The tokenizer `pairs`: preference rows -> one row of tokens a pair.

    input_ids   prompt chosen <eos> prompt rejected <eos>
    labels      ...... chosen <eos> ...... rejected <eos>      (. is -100)
    chosen_tokens           how many the first half has

One row a pair keeps the contract of every row: `input_ids` and `labels`, equally long. So the token view, the longest
batch and the counts need to know nothing of pairs, and a pair is never torn by whoever picks rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from ftstudio.api import MAX_CUT, SHAPES, ComponentError, Encoded, ModelRef, Run, Table
from ftstudio_dpo.options import PairsOptions
from ftstudio_kit.chat import without_end
from ftstudio_kit.loading import load_tokenizer
from ftstudio_kit.loss import IGNORE
from ftstudio_kit.safe import check_model_folder, context_of_config
from ftstudio_kit.whole import is_whole

UNKNOWN_CONTEXT = 1024
BATCH = 1000
SCHEMA = pa.schema(
    [("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32())), ("chosen_tokens", pa.int32())]
)


class Pairs:
    """Built once a run. `counts` says what happened to the rows of the table that is being read."""

    def __init__(self, options: PairsOptions) -> None:
        self.options = options

    def encode(self, data: Mapping[str, Table], model: ModelRef, run: Run) -> Encoded:
        """Tokenise all pairs with the model's own tokenizer, and save it in the run's folder.

        Raises ComponentError when the model brings none, or when no pair is left that differs.
        """
        config = check_model_folder(model.path, weights=False)
        tokenizer = load_tokenizer(model.path)
        if tokenizer.eos_token_id is None:
            raise ComponentError("The tokenizer has no end-of-text token.", "Choose another model.")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        folder = run.dir / "tokenizer"
        tokenizer.save_pretrained(folder)
        limit = self.options.max_length or context_of_config(config) or UNKNOWN_CONTEXT
        found = {name: self._table(name, table, tokenizer, limit, run) for name, table in data.items()}
        train, counts, cut = found["train"]
        return Encoded(
            train=train,
            validation=found["validation"][0] if "validation" in found else None,
            tokenizer=folder,
            vocab_size=max(len(tokenizer), 1 + max(tokenizer.get_vocab().values())),
            pad_token_id=int(tokenizer.pad_token_id),
            shape="preference",
            counts=counts,
            cut=cut,
        )

    def _table(
        self, name: str, table: Table, tokenizer: Any, limit: int, run: Run
    ) -> tuple[datasets.Dataset, Counter[str], dict[int, int]]:
        counts: Counter[str] = Counter()
        cut: dict[int, int] = {}
        parts, rows = [SCHEMA.empty_table()], iter(table)
        while batch := list(islice(rows, BATCH)):
            encoded = list(self._pairs(batch, tokenizer, limit, counts, cut))
            columns = [pa.array([row[i] for row in encoded], field.type) for i, field in enumerate(SCHEMA)]
            parts.append(pa.table(columns, schema=SCHEMA))
            run.progress(counts["documents"], len(table), "row")
        if not counts["rows"]:
            raise ComponentError(
                f"No pair of {name} is left whose answers differ.", "Look at the data, or give a larger max_length."
            )
        if counts["equal_rows"]:
            run.warn(f"Left out: {counts['equal_rows']:,} pairs of {name} whose answers are the same, cut or not.")
        if counts["truncated_rows"]:
            run.warn(f"Cut at max_length = {limit:,}: {counts['truncated_rows']:,} pairs of {name} lost tokens.")
        return datasets.Dataset(pa.concat_tables(parts)), counts, cut

    def _pairs(
        self, batch: Sequence[Any], tokenizer: Any, limit: int, counts: Counter[str], cut: dict[int, int]
    ) -> Iterator[tuple[Any, Any, int]]:
        """input_ids, labels and the length of the first half of each pair that has something to tell apart."""
        for number, row in enumerate(batch, start=counts["documents"] + 1):
            if not all(is_whole(row[column]) for column in SHAPES["preference"]):
                raise ComponentError(f"Row {number:,} holds half a character, a lone surrogate.", "Write it anew.")
        prompts = _ids(tokenizer, [row["prompt"] for row in batch])
        chosen = _ids(tokenizer, [row["prompt"] + row["chosen"] for row in batch])
        rejected = _ids(tokenizer, [row["prompt"] + row["rejected"] for row in batch])
        eos = [tokenizer.eos_token_id] if self.options.add_eos else []
        for prompt, *answers in zip(prompts, chosen, rejected, strict=True):
            counts["documents"] += 1
            halves = [np.asarray((ids + eos)[:limit], np.int32) for ids in answers]
            if np.array_equal(halves[0], halves[1]) or min(map(len, halves)) <= max(1, len(prompt)):
                counts["equal_rows"] += 1
                continue
            lost = sum(max(0, len(ids) + len(eos) - limit) for ids in answers)
            if lost and len(cut) < MAX_CUT:
                cut[counts["rows"]] = lost
            labels = [np.where(np.arange(len(half)) < len(prompt), np.int32(IGNORE), half) for half in halves]
            counts["rows"] += 1
            counts["tokens"] += sum(map(len, halves))
            counts["trained_tokens"] += sum(len(half) - len(prompt) for half in halves)
            counts["longest"] = max(counts["longest"], sum(map(len, halves)))
            counts["truncated_rows"] += bool(lost)
            counts["truncated_tokens"] += lost
            yield np.concatenate(halves), np.concatenate(labels), len(halves[0])


def _ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Ids of texts, without an end that the tokenizer puts there itself."""
    encoded = tokenizer(texts, verbose=False)["input_ids"]
    return [without_end(tokenizer, text, list(ids)) for text, ids in zip(texts, encoded, strict=True)]
