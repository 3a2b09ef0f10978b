"""How fast training is, without what is not training."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Tokens per second of training alone: evaluation and saving do not count."""

    def __init__(self) -> None:
        self._tokens, self._seconds, self._since = 0, 0.0, time.perf_counter()

    def count(self, tokens: int) -> None:
        """So many tokens were trained on."""
        self._tokens += tokens

    def rate(self) -> float:
        """Tokens per second since the last call, up to the pause that it is called in."""
        rate = self._tokens / max(1e-9, self._seconds)
        self._tokens, self._seconds = 0, 0.0
        return rate

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time spent inside is left out."""
        self._seconds += time.perf_counter() - self._since
        yield
        self._since = time.perf_counter()
