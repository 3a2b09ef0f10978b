"""The samples of a run: what the same prompts were continued with, from before training to the finished model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.text import Text

from ftstudio.event import Event
from ftstudio.runs.series import resumed_from
from ftstudio.text import prompt_text
from ftstudio.tui.look import Look

KEPT = 5_000
"""Of a run with more samples the newest are shown."""
CHARACTERS = 20_000
"""Of a longer text the beginning is shown; the log has all of it."""
LINE_CHARACTERS = 1_000
NAMES = {"base": "before", "final": "final"}


@dataclass(frozen=True)
class Sample:
    """One text. `model` is "base", "final", or "" while it trains; samples of one moment have its number."""

    step: int | None
    prompt: str
    text: str
    model: str
    attempt: int
    number: int
    moment: int
    answers: bool = False
    """The text answers the prompt; else it continues it."""

    @property
    def when(self) -> str:
        """Of which model it is: "before", "1,200", "final"."""
        return NAMES.get(self.model) or ("" if self.step is None else f"{self.step:,}")


class Samples:
    """Gathers them from events. An attempt that goes on from step S hides what was sampled beyond S before."""

    def __init__(self) -> None:
        self.found: list[Sample] = []
        self._number = self._moment = 0
        self._of: tuple[object, ...] = ()

    def add(self, events: Iterable[Event]) -> None:
        """Take in more events, in order."""
        for event in events:
            step = resumed_from(event)
            if step is not None:
                self.found = [s for s in self.found if s.attempt >= event.attempt or (s.step or 0) <= step]
            elif event.kind == "sample":
                self._take(event)
        del self.found[:-KEPT]

    def _take(self, event: Event) -> None:
        model = str(event.data.get("model", ""))
        of = (event.attempt, event.step, model)
        self._moment += of != self._of
        self._number, self._of = self._number + 1, of
        prompt, text = event.data.get("prompt"), str(event.data.get("text", ""))[:CHARACTERS]
        place = (event.attempt, self._number, self._moment)
        self.found.append(
            Sample(event.step, prompt_text(prompt)[:CHARACTERS], text, model, *place, answers=isinstance(prompt, list))
        )

    def prompts(self) -> list[str]:
        """The prompts, in the order in which they first came."""
        return list(dict.fromkeys(sample.prompt for sample in self.found))

    def newest_first(self, prompt: str | None = None) -> list[Sample]:
        """All of them, or those of one prompt; of one moment in the order of their prompts."""
        wanted = [s for s in self.found if prompt is None or s.prompt == prompt]
        return sorted(wanted, key=lambda s: (-s.moment, s.number))


def sample_line(when: str, prompt: str, text: str, look: Look) -> Text:
    """A sample on one line: of which step, the prompt, and what it was continued with; "" leaves the prompt out."""
    line = Text.assemble(f" {when}  " if when else " ", no_wrap=True, end="")
    if prompt:
        line.append_text(look.plain(prompt[:LINE_CHARACTERS], "dim")).append(look.words(" → "))
    said = text.strip()[:LINE_CHARACTERS]
    return line.append_text(look.plain(said) if said else Text("nothing", "dim italic"))
