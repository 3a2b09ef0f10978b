"""Settings that differ, in a few words of one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

SHOWN = 3
LONGEST_VALUE = 16


def in_short(changes: Mapping[str, tuple[Any, Any]], written: Callable[[Any], str]) -> str:
    """Changed settings in a few words: "learning_rate 5e-5 → 1e-4, lora_rank 0 → 8, and 2 more".

    `changes` are those of `record.changes_since`; `written` writes a value that is set.
    """
    bare = Counter(key.rpartition(".")[2] for key in changes)
    words = []
    for key, (before, now) in list(changes.items())[:SHOWN]:
        name, old, new = key.rpartition(".")[2], _short(before, written), _short(now, written)
        named = key if bare[name] > 1 or name in {"use", "name"} else name
        words.append(f"{named} {old} → {new}" if old != new else named)
    left = len(changes) - len(words)
    return ", ".join(words) + (f", and {left} more" if left else "")


def _short(value: Any, written: Callable[[Any], str]) -> str:
    """A value that stands within a line."""
    if value is None:
        return "unset"
    if isinstance(value, (list, tuple)) and len(value) > 1:
        return f"{len(value)} items"
    shown = written(value[0] if isinstance(value, (list, tuple)) and value else value)
    return shown if len(shown) <= LONGEST_VALUE else f"{shown[: LONGEST_VALUE - 1]}…"
