"""Token ids as they come -> pieces of text that are final."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

REPLACEMENT = "\ufffd"


class Pieces:
    """One sequence's text, piece by piece; their concatenation is the text up to a stop string.

    A character of several tokens comes whole: a piece never ends in half a character. What might be the beginning of
    a stop string is held back until it is or is not one. Ids are decoded behind the prompt's last few, since
    SentencePiece drops the space before the first token of a text.
    """

    CONTEXT = 5

    def __init__(self, tokenizer: Any, prompt_ids: Sequence[int], stop_strings: Sequence[str] = ()) -> None:
        self.tokenizer, self.stop_strings = tokenizer, stop_strings
        self.ids = list(prompt_ids[-self.CONTEXT :])
        self.begin, self.read = 0, len(self.ids)  # decoded together: ids[begin:]; already given: ids[begin:read]
        self.held = ""
        self.stopped = False

    def put(self, token: int) -> str:
        """The text that this token makes final; may be empty."""
        if self.stopped:
            return ""
        self.ids.append(token)
        known, text = self._decode(self.begin, self.read), self._decode(self.begin)
        if text.endswith(REPLACEMENT) or len(text) <= len(known):
            return ""
        self.begin, self.read = self.read, len(self.ids)
        return self._until_stop(text[len(known) :])

    def end(self) -> str:
        """What is left, half characters included."""
        rest = self._decode(self.begin)[len(self._decode(self.begin, self.read)) :]
        self.begin = self.read = len(self.ids)
        text = "" if self.stopped else self._until_stop(rest) + self.held
        self.held = ""
        return text

    def _decode(self, begin: int, end: int | None = None) -> str:
        text: str = self.tokenizer.decode(
            self.ids[begin:end], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _until_stop(self, text: str) -> str:
        text = self.held + text
        found = [at for stop in self.stop_strings if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self.held = True, ""
            return text[: min(found)]
        keep = max((_overlap(text, stop) for stop in self.stop_strings), default=0)
        self.held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
