"""How fast training is, without what is not training."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Tokens per second of training alone: evaluation, sampling and saving do not count."""

    tokens: int = 0
    seconds: float = 0.0
    since: float = field(default_factory=time.perf_counter)

    def rate(self) -> float:
        """Tokens per second since the last call, up to the pause that it is called in."""
        rate = self.tokens / max(1e-9, self.seconds)
        self.tokens, self.seconds = 0, 0.0
        return rate

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time spent inside is left out."""
        self.seconds += time.perf_counter() - self.since
        yield
        self.since = time.perf_counter()
