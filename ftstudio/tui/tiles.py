"""The line at the top of Train: state, last values, how far, how long, and the memory it took."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.text import Text

from ftstudio.api import Metric
from ftstudio.runs.status import LIVE, Status, age_text, ago
from ftstudio.text import safe_text, size_text
from ftstudio.tui.look import Look
from ftstudio.tui.words import progress, value, when

TILES_HELP = (
    "The line at the top has the last value of each metric that tells most, the step of all steps, the time that is "
    "left at the pace so far, the time it took until now, and the most memory that was held. ppl is perplexity, lr "
    "the learning rate."
)
GAP = "   "


def tiles(status: Status, look: Look, filter: str, seconds: float, width: int, own: Sequence[Metric] = ()) -> Text:
    """One line on a run, at most `width` columns: where that is too few, what tells least goes first.

    `filter` is the expression that the run's charts are chosen by, "" for none; `seconds` is how long it has trained;
    `own` are metrics that its trainer wants here besides those that every trainer logs.
    """
    glyph, colour = look.state(status.state)
    text = Text.assemble(" ", (glyph, colour), f" {status.state}", no_wrap=True, end="")
    said = look.plain(status.note, "yellow") if status.note else Text()
    if not status.note and (status.state not in LIVE or status.state == "queued"):  # behind what it waits
        said = look.plain(status.reason, "dim")
    room = width - text.cell_len - (min(len(GAP) + said.cell_len, width // 2) if said else 0)
    kept = set[str]()
    parts = _parts(status, filter, seconds, own)
    for _, part in sorted(parts):
        if len(GAP) + len(part) <= room:
            room -= len(GAP) + len(part)
            kept.add(part)
    for _, part in parts:
        if part in kept:
            text.append(GAP + look.words(part))
    if said:
        text.append(GAP).append_text(said)
    return text


def _parts(status: Status, filter: str, seconds: float, own: Sequence[Metric]) -> list[tuple[int, str]]:
    """Rank and words of all that there is to say, in the order it stands in; the least rank tells most."""
    metrics, live = status.metrics, status.state in LIVE
    left, last = when(status) if status.eta_s is not None and live else "", ago(status.last_event_t)
    parts = [
        (0, f"/{safe_text(filter)}" if filter else ""),
        (1, _metric(metrics, "loss", "loss {}")),
        (2, _metric(metrics, "eval_loss", "eval_loss {}")),
        *((3, _own(metrics, metric)) for metric in own),
        (6, _metric(metrics, "perplexity", "ppl {}")),
        (7, _metric(metrics, "learning_rate", "lr {}")),
        (5, _metric(metrics, "tokens_per_second", "{} tokens/s", digits=3)),
        (0, progress(status)),
        (3, f"{left} left" if left else ""),
        (9, f"{'so far' if live else 'took'} {age_text(seconds)}" if seconds > 0 else ""),
        (
            8,
            size_text(metrics["peak_memory_bytes"])
            if math.isfinite(metrics.get("peak_memory_bytes", math.nan))
            else "",
        ),
        (4, f"last event {last}" if live and status.state != "queued" and last and not status.note else ""),
    ]
    return [(rank, words) for rank, words in parts if words]


def _own(metrics: Mapping[str, float], metric: Metric) -> str:
    if metric.name not in metrics:
        return ""
    return " ".join(
        filter(None, (safe_text(metric.label or metric.name), value(metrics[metric.name]), safe_text(metric.unit)))
    )


def _metric(metrics: Mapping[str, float], name: str, words: str, digits: int = 4) -> str:
    return words.format(value(metrics[name], digits)) if name in metrics else ""
