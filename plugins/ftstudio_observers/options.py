"""Options of the built-in observers."""

from __future__ import annotations

from dataclasses import dataclass

from ftstudio.api import OptionError, option

WEBHOOK_URL = "FTSTUDIO_WEBHOOK_URL"
"""The environment variable with the address: who knows it may post there, so it is a secret."""
FIRST_WAIT = 1.0
"""Seconds before the second try; each further wait is twice as long."""
ENDINGS = ("finished", "failed", "stopped", "interrupted")


@dataclass(frozen=True, kw_only=True)
class CsvOptions:
    """What the table holds."""

    metrics: tuple[str, ...] = option((), help="Only these metrics, by name; all where none is named.")


@dataclass(frozen=True, kw_only=True)
class TensorBoardOptions:
    """What is written for TensorBoard beside the metrics."""

    samples: bool = option(True, help="Write the samples too, as texts.")


@dataclass(frozen=True, kw_only=True)
class WebhookOptions:
    """When to send, what, and how patiently."""

    endings: tuple[str, ...] = option(("finished", "failed"), help="The ends of a run to tell.", choices=ENDINGS)
    reason: bool = option(
        False, help="Send the sentence on why it ended, too; an error may quote a piece of your data in it."
    )
    timeout_seconds: float = option(
        5.0, help="How long one try may wait for an answer.", gt=0, le=60, unit="s", advanced=True
    )
    retries: int = option(
        2, help="Tries after the first; they wait 1 s, 2 s, 4 s ... before.", ge=0, le=6, advanced=True
    )

    def __post_init__(self) -> None:
        """Check what would tell nothing."""
        if not self.endings:
            raise OptionError("endings", "endings names no end of a run, so nothing would be sent.", "Name one.")
