"""A batch of rows as token ids and labels, one function a row shape.

Labels are the ids themselves, or -100 where nothing is trained. Padding, packing and grouping are the trainer's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ftstudio_kit.chat import encode_messages
from ftstudio_tokenizers.options import CommonOptions

IGNORE = -100
Row = dict[str, list[int]]


class RowEncoder:
    """Turns batches of one row shape into rows of input_ids and labels, and counts what happened to them.

    `counts` holds documents, rows, tokens, trained_tokens, longest, truncated_rows, truncated_tokens, empty_rows,
    untrained_rows (cut before their first trained token; they are dropped) and split_prompts.
    """

    def __init__(self, tokenizer: Any, options: CommonOptions, limit: int | None, shape: str) -> None:
        self.tokenizer, self.options, self.limit, self.shape = tokenizer, options, limit, shape
        self.eos = tokenizer.eos_token_id if options.add_eos else None
        self.counts: Counter[str] = Counter()

    def encode(self, batch: Mapping[str, Sequence[Any]]) -> Iterator[Row]:
        """Rows of one batch of columns, in order."""
        pairs = {"text": self._text, "prompt_completion": self._prompt_completion, "messages": self._messages}
        for ids, labels in pairs[self.shape](batch):
            self.counts["documents"] += 1
            if not any(label != IGNORE for label in labels) and not ids:
                self.counts["empty_rows"] += 1
                continue
            for piece in self._fit(ids, labels):
                yield self._counted(piece)

    def _counted(self, row: Row) -> Row:
        length = len(row["input_ids"])
        self.counts["rows"] += 1
        self.counts["tokens"] += length
        self.counts["trained_tokens"] += sum(label != IGNORE for label in row["labels"])
        self.counts["longest"] = max(self.counts["longest"], length)
        return row

    def _fit(self, ids: list[int], labels: list[int]) -> Iterable[Row]:
        """A text goes on in further rows; a prompt or a conversation cannot, so it is cut at the end."""
        limit = self.limit or len(ids)
        if self.shape == "text" and not self.options.truncation:
            return [
                {"input_ids": ids[at : at + limit], "labels": labels[at : at + limit]}
                for at in range(0, len(ids), limit)
            ]
        if len(ids) > limit:
            self.counts["truncated_rows"] += 1
            self.counts["truncated_tokens"] += len(ids) - limit
        row = {"input_ids": ids[:limit], "labels": labels[:limit]}
        if all(label == IGNORE for label in row["labels"]):
            self.counts["untrained_rows"] += 1
            return []
        return [row]

    def _ended(self, ids: list[int]) -> list[int]:
        """With the end-of-text token once, at the end."""
        return ids if self.eos is None or ids[-1:] == [self.eos] else [*ids, self.eos]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of texts, without an end that the tokenizer itself may append."""
        encoded: list[list[int]] = self.tokenizer(list(texts), return_attention_mask=False)["input_ids"]
        end = self.tokenizer.eos_token_id
        return [ids[:-1] if end is not None and len(ids) > 1 and ids[-1] == end else ids for ids in encoded]

    def _text(self, batch: Mapping[str, Sequence[Any]]) -> Iterator[tuple[list[int], list[int]]]:
        for ids in self._ids(batch["text"]):
            ended = self._ended(ids) if ids else ids
            yield ended, ended

    def _prompt_completion(self, batch: Mapping[str, Sequence[Any]]) -> Iterator[tuple[list[int], list[int]]]:
        """As TRL joins: the prompt alone tells how many tokens of prompt + completion are the prompt's."""
        prompts = self._ids(batch["prompt"])
        joined = self._ids([p + c for p, c in zip(batch["prompt"], batch["completion"], strict=True)])
        for prompt, ids in zip(prompts, joined, strict=True):
            if ids[: len(prompt)] != prompt:
                self.counts["split_prompts"] += 1
            ended = self._ended(ids)
            masked = len(prompt) if self.options.completion_only_loss else 0
            yield ended, [IGNORE] * min(masked, len(ended)) + ended[masked:]

    def _messages(self, batch: Mapping[str, Sequence[Any]]) -> Iterator[tuple[list[int], list[int]]]:
        for messages in batch["messages"]:
            ids, assistant = encode_messages(self.tokenizer, messages)
            # A template closes turns in its own way; only one that never says the end gets it from us.
            if self.eos is not None and self.eos not in ids[-3:]:
                ids, assistant = [*ids, self.eos], [*assistant, bool(assistant and assistant[-1])]
            mask = assistant if self.options.assistant_only_loss else [True] * len(ids)
            yield ids, [i if trained else IGNORE for i, trained in zip(ids, mask, strict=True)]
