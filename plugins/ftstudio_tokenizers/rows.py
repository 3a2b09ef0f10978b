"""A batch of rows as token ids and labels, one method a row shape.

Labels are the ids themselves, or -100 where nothing is trained. Padding, packing and grouping are the trainer's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftstudio.api import MAX_CUT, ComponentError
from ftstudio_kit.chat import encode_conversations, end_ids, without_end
from ftstudio_tokenizers.options import CommonOptions

IGNORE = -100
PIECE = 2**18
"""Characters of a text that are tokenised at a time: a file of 1 GB may be one row."""
Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Part:
    """Some rows, one behind the other: `ids` and `labels` (N,), which are one array where all is trained, and how many
    tokens each row has (R,). Most rows are short: one by one they take a fifth more than to tokenise them.
    """

    ids: Ids
    labels: Ids
    lengths: NDArray[np.int64]

    @classmethod
    def row(cls, ids: Ids, labels: Ids | None = None) -> Part:
        """A single row, all of it trained unless there are labels."""
        return cls(ids, ids if labels is None else labels, np.array([len(ids)]))


class RowEncoder:
    """Turns batches of one row shape into rows of ids and labels, and counts what happened to them.

    `counts` holds documents, rows, tokens, trained_tokens (labels that are not -100), longest, truncated_rows,
    truncated_tokens, empty_rows (no token: left out), single_rows (one token, which nothing predicts and
    which predicts nothing: left out), untrained_rows (cut before their first trained token: left
    out), unanswered_rows (no token is an answer's: left out), split_prompts (the prompt's
    ids are not the first ids of prompt and completion). `cut` holds of the first `MAX_CUT` rows that lost their end
    how many tokens they lost, by the row's index.
    """

    def __init__(self, tokenizer: Any, options: CommonOptions, limit: int, shape: str) -> None:
        self.tokenizer, self.options, self.limit, self.shape = tokenizer, options, limit, shape
        self.eos = tokenizer.eos_token_id if options.add_eos else None
        self.ends = end_ids(tokenizer)
        self.counts: Counter[str] = Counter()
        self.cut: dict[int, int] = {}

    def encode(self, batch: Mapping[str, Sequence[Any]]) -> Iterator[Part]:
        """Rows of one batch of columns, in order. Raises ComponentError when a template refuses a conversation."""
        shapes = {"text": self._text, "prompt_completion": self._prompt_completion, "messages": self._messages}
        tokens = trained = longest = 0
        for part in shapes[self.shape](batch):
            self.counts["rows"] += len(part.lengths)
            tokens += len(part.ids)
            trained += len(part.ids) if part.labels is part.ids else int(np.count_nonzero(part.labels != IGNORE))
            longest = max(longest, int(part.lengths.max()))
            yield part
        self.counts["tokens"] += tokens
        self.counts["trained_tokens"] += trained
        self.counts["longest"] = max(self.counts["longest"], longest)

    # --------------------------------------------------------------------------------------------- shapes

    def _text(self, batch: Mapping[str, Sequence[Any]]) -> Iterator[Part]:
        texts: Sequence[str] = batch["text"]
        short = [text for text in texts if len(text) <= PIECE]
        encoded = iter(self._ids(short))
        self.counts["documents"] += len(texts)
        held: list[list[int]] = []  # like most: one row each, with room for its end
        for text in texts:
            pieces: Iterable[list[int]]
            if len(text) > PIECE:
                pieces = self._long(text)
            else:
                ids = next(encoded)
                if ids and len(ids) < self.limit:
                    if self.eos is not None and ids[-1] != self.eos:
                        ids.append(self.eos)
                    if len(ids) > 1:
                        held.append(ids)
                        continue
                pieces = [ids]
            yield from _together(held)
            held = []
            for row in self._consecutive(pieces):
                yield Part.row(row)
        yield from _together(held)

    def _long(self, text: str) -> Iterator[list[int]]:
        """Ids of a text piece by piece; only the first piece gets what the tokenizer puts before a text."""
        pieces = split_text(text)
        yield from self._ids([next(pieces)])
        while some := list(islice(pieces, 4)):
            yield from self._ids(some, special=False)

    def _consecutive(self, pieces: Iterable[list[int]]) -> Iterator[Ids]:
        """Rows of `limit` tokens, and one with the rest, the end of text at the true end. With truncation the first.

        A rest of a single token would have nothing to predict, so the row before gives it one of its own.
        """
        held = np.empty(0, np.int32)
        rows, lost = 0, self.counts["truncated_tokens"]
        for ids in self._ended(pieces):
            held = np.concatenate([held, np.asarray(ids, np.int32)]) if len(held) else np.asarray(ids, np.int32)
            while len(held) > self.limit + 1:
                if rows and self.options.truncation:
                    break
                yield held[: self.limit]
                held, rows = held[self.limit :], rows + 1
            if rows and self.options.truncation:
                self.counts["truncated_tokens"] += len(held)
                held = held[:0]
        yield from self._rest(held, rows)
        self._note_cut(self.counts["truncated_tokens"] - lost)

    def _rest(self, held: Ids, rows: int) -> Iterator[Ids]:
        if rows and self.options.truncation:
            self.counts["truncated_rows"] += 1
        elif len(held) > self.limit and self.options.truncation:
            self.counts["truncated_rows"] += 1
            self.counts["truncated_tokens"] += len(held) - self.limit
            yield held[: self.limit]
        elif len(held) > self.limit:
            at = self.limit - 1 if self.limit > 2 else self.limit
            yield held[:at]
            yield held[at:]
        elif len(held) > 1 or (len(held) and rows):
            yield held
        elif not rows:
            self.counts["single_rows" if len(held) else "empty_rows"] += 1

    def _ended(self, pieces: Iterable[list[int]]) -> Iterator[list[int]]:
        """The pieces of a text that has tokens, and behind them its end, unless the text says it itself."""
        last: list[int] = []
        for ids in pieces:
            last = ids or last
            yield ids
        if last and self.eos is not None and last[-1] != self.eos:
            yield [self.eos]

    def _prompt_completion(self, batch: Mapping[str, Sequence[Any]]) -> Iterator[Part]:
        """As TRL joins: the prompt alone tells how many tokens of prompt and completion are the prompt's."""
        prompts = self._ids(batch["prompt"])
        joined = self._ids([p + c for p, c in zip(batch["prompt"], batch["completion"], strict=True)])
        for prompt, ids in zip(prompts, joined, strict=True):
            self.counts["documents"] += 1
            self.counts["split_prompts"] += ids[: len(prompt)] != prompt
            if ids and self.eos is not None and ids[-1] != self.eos:
                ids.append(self.eos)
            trained = np.ones(len(ids), bool)
            if self.options.completion_only_loss:
                trained[: len(prompt)] = False
            yield from self._cut(ids, trained)

    def _messages(self, batch: Mapping[str, Sequence[Any]]) -> Iterator[Part]:
        """By the template, which closes turns in its own way; only one that never says an end gets it from us."""
        rows = batch["messages"]
        for messages, (ids, assistant) in zip(rows, self._conversations(rows), strict=True):
            self.counts["documents"] += 1
            trained = list(assistant)
            if ids and self.eos is not None and not self.ends & set(ids[-3:]):
                ids.append(self.eos)  # the answer's end, though a newline that nobody said may stand before it
                trained.append(not self.options.assistant_only_loss or messages[-1]["role"] == "assistant")
            yield from self._cut(ids, np.asarray(trained, bool))

    def _conversations(self, rows: Sequence[Any]) -> Iterator[tuple[list[int], list[bool]]]:
        mask = self.options.assistant_only_loss
        try:
            yield from list(encode_conversations(self.tokenizer, rows, mask=mask))
            return
        except ComponentError:
            pass  # which of them was it?
        for row in rows:
            try:
                (found,) = encode_conversations(self.tokenizer, [row], mask=mask)
            except ComponentError as error:
                number = self.counts["documents"] + 1
                raise ComponentError(f"Row {number:,}: {error.message}", error.hint) from error
            yield found

    # ---------------------------------------------------------------------------------------------- common

    def _cut(self, ids: list[int], trained: NDArray[np.bool_]) -> Iterator[Part]:
        """A prompt or a conversation cannot go on in a further row, so it is cut at the end."""
        if len(ids) < 2:
            self.counts["single_rows" if ids else "empty_rows"] += 1
            return
        over = len(ids) - self.limit
        if over > 0:
            self.counts["truncated_rows"] += 1
            self.counts["truncated_tokens"] += over
        row, kept = np.asarray(ids[: self.limit], np.int32), trained[: self.limit]
        if not kept.any():
            self.counts["untrained_rows" if trained.any() else "unanswered_rows"] += 1
            return
        yield Part.row(row, np.where(kept, row, np.int32(IGNORE)))
        self._note_cut(over)

    def _note_cut(self, tokens: int) -> None:
        """The last row lost so many tokens."""
        if tokens > 0 and len(self.cut) < MAX_CUT:
            self.cut[self.counts["rows"] - 1] = tokens

    def _ids(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        """Ids of texts, on all cores, without an end of text that the tokenizer may append itself.

        Straight from the tokenizers library: transformers on top takes as long again.
        """
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            encoded = self.tokenizer(list(texts), add_special_tokens=special, verbose=False)["input_ids"]
        else:
            encoded = [e.ids for e in backend.encode_batch_fast(list(texts), add_special_tokens=special)]
        end = self.tokenizer.eos_token_id
        return [
            without_end(self.tokenizer, text, ids) if ids and ids[-1] == end else ids
            for text, ids in zip(texts, encoded, strict=True)
        ]


def _together(rows: Sequence[Sequence[int]]) -> Iterator[Part]:
    if rows:
        lengths = np.array([len(ids) for ids in rows])
        ids = np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum()))
        yield Part(ids, ids, lengths)


def split_text(text: str, size: int = PIECE) -> Iterator[str]:
    """The text in pieces of at most `size` characters, cut where no tokenizer that starts words at spaces joins them.

    Before a space between two words; else behind a line break between two lines; else anywhere.
    """
    start = 0
    while len(text) - start > size:
        end = _place(text, start + size // 2, start + size)
        yield text[start:end]
        start = end
    yield text[start:]


def _place(text: str, low: int, high: int) -> int:
    for letter, shift in ((" ", 0), ("\n", 1)):
        at = text.rfind(letter, low, high)
        while at > low:
            if not text[at - 1].isspace() and not text[at + 1].isspace():
                return at + shift
            at = text.rfind(letter, low, at)
    return high
