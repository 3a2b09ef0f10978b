"""What the models of the Generate pane were asked and answered so far, each by its own column."""

from __future__ import annotations

from ftstudio.api import Message, Prompt
from ftstudio.tui.sampling import Source


class Conversation:
    """Questions, and what each column's model answered; a model that continues text takes each prompt by itself."""

    def __init__(self) -> None:
        self.asked = ""
        """The last prompt, to which the answers on the screen belong."""
        self._turns: list[tuple[str, dict[int, str]]] = []

    def ask(self, prompt: str, answers: dict[int, str], *, talks: bool) -> None:
        """The next prompt; where the models talk, `answers` (by column) to the one before belong to what was said."""
        if self.asked and talks:
            self._turns.append((self.asked, answers))
        self.asked = prompt

    def prompt(self, column: int, source: Source) -> Prompt:
        """What the model of a column is given: a text, or all that was said between it and the person."""
        if source.shape != "messages":
            return self.asked
        messages: list[Message] = []
        for asked, answer in self._said(column):
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        return [*messages, {"role": "user", "content": self.asked}]

    def above(self, column: int, source: Source) -> list[tuple[str, str]]:
        """Style and text of what stands above the answer that is being written."""
        if source.shape != "messages":
            return [("dim", self.asked)]
        shown: list[tuple[str, str]] = []
        for asked, answer in self._said(column):
            shown += [("bold", f"> {asked}\n"), ("", f"{answer}\n\n")]
        return [*shown, ("bold", f"> {self.asked}\n")]

    def _said(self, column: int) -> list[tuple[str, str]]:
        return [(asked, answers.get(column, "")) for asked, answers in self._turns]
