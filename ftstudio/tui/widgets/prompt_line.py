"""The line that a prompt is typed into. Up and down go through the prompts of before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from ftstudio.tui.widgets.line_input import LineInput


class PromptLine(LineInput):
    """An input that remembers."""

    ENTER: ClassVar[str] = "generate"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "history(-1)", show=False),
        Binding("down", "history(1)", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(placeholder="a prompt", select_on_focus=False)
        self._history: list[str] = []
        self._at = 0
        self._draft = ""

    def propose(self, prompt: str) -> None:
        """Put a prompt there that can be taken as it is: what is typed takes its place."""
        self.value = prompt
        self.select_all()

    async def action_submit(self) -> None:
        """Enter. What is typed next begins another prompt, even before anybody has heard of this one."""
        await super().action_submit()
        self.select_all()

    def remember(self, prompts: Sequence[str]) -> None:
        """These were asked before, the last one last."""
        self._history = list(prompts)
        self._at = len(self._history)

    def action_history(self, by: int) -> None:
        """An older prompt, or a newer one; behind the newest is what was being typed."""
        at = min(max(0, self._at + by), len(self._history))
        if at == self._at:
            return
        if self._at == len(self._history):
            self._draft = self.value
        self._at = at
        self.value = self._history[at] if at < len(self._history) else self._draft
        self.cursor_position = len(self.value)

    def explain(self) -> str:
        """What is typed here."""
        return (
            "The text that the models go on from, or the question that they answer. A longer one leaves them fewer "
            "tokens to write in."
        )
