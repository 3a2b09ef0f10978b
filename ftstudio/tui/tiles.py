"""The line at the top of Train: state, last values, how far, how long."""

from __future__ import annotations

from rich.text import Text

from ftstudio.runs.status import LIVE, Status
from ftstudio.text import safe_text
from ftstudio.tui.look import Look
from ftstudio.tui.words import progress, value, when

TILES = (("loss", "loss"), ("eval_loss", "eval_loss"), ("perplexity", "ppl"), ("learning_rate", "lr"))
TILES_HELP = (
    "The line at the top has the last value of each metric that tells most, the step of all steps, and the time that "
    "is left at the pace so far. ppl is perplexity, lr the learning rate."
)


def tiles(status: Status, look: Look, filter: str) -> Text:
    """One line on a run; `filter` is the expression that its charts are chosen by, "" for none."""
    parts = [f"/{safe_text(filter)}"] if filter else []
    for name, label in TILES:
        if name in status.metrics:
            parts.append(f"{label} {value(status.metrics[name])}")
    parts += [progress(status)] if progress(status) else []
    if "tokens_per_second" in status.metrics:
        parts.append(f"{value(status.metrics['tokens_per_second'], 3)} tokens/s")
    if status.eta_s is not None:
        parts.append(f"{when(status)} left")
    elif status.state in LIVE and when(status):
        parts.append(f"last event {when(status)}")
    glyph, colour = look.state(status.state)
    text = Text.assemble(
        " ", (glyph, colour), f" {status.state}   ", look.words("   ".join(parts)), no_wrap=True, end=""
    )
    if status.note:
        text.append_text(look.plain(f"   {status.note}", "yellow"))
    elif status.state not in LIVE and status.reason:
        text.append_text(look.plain(f"   {status.reason}", "dim"))
    return text
