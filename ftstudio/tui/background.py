"""Questions that can take long are asked in a thread; the answer comes back as a message, and only then widgets change.

self.ask(lambda: run_use(run), self.draw)      draw(use) is called in the app's thread
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from ftstudio.errors import FtstudioError
from ftstudio.explain import explain

if TYPE_CHECKING:
    from ftstudio.tui.screens.base import StudioScreen

T = TypeVar("T")


class Answer(Message, bubble=False):
    """What a thread found out, or the error that it met, and who takes it."""

    def __init__(self, take: Callable[[Any], None], value: Any, error: FtstudioError | None = None) -> None:
        super().__init__()
        self.take, self.value, self.error = take, value, error


class CancelledError(Exception):
    """Nobody waits for the answer any more."""


class Asks(Widget):
    """A widget or screen that asks in threads. Of one group only the last question is answered."""

    def ask(self, question: Callable[[], T], take: Callable[[T], None], *, group: str = "ask") -> None:
        """Call `question` in a thread and `take` with what it returns. An FtstudioError or OSError of it is said."""
        self.run_worker(partial(self._answer, question, take), thread=True, exclusive=True, group=group)

    def tell(self, take: Callable[[T], None], value: T) -> None:
        """Out of a question that goes on: a first part of the answer. Raises CancelledError when nobody wants it."""
        if get_current_worker().is_cancelled:
            raise CancelledError
        self.post_message(Answer(take, value))

    def _answer(self, question: Callable[[], T], take: Callable[[T], None]) -> None:
        value, error = None, None
        try:
            value = question()
        except CancelledError:
            return
        except FtstudioError as raised:
            error = raised
        except OSError as raised:
            error = explain(raised)
        if not get_current_worker().is_cancelled:
            self.post_message(Answer(take, value, error))

    def on_answer(self, message: Answer) -> None:
        """Take an answer, or say why there is none."""
        if message.error is None:
            message.take(message.value)
        elif self.is_attached:
            cast("StudioScreen", self.screen).say_error(message.error)
