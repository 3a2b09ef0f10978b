"""Start a run: what it implies and what was warned of, with room for overrides, a device, and several values at once.

The same screen forks a run: it then says from which checkpoint, and whether only the weights are taken.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from ftstudio.errors import FtstudioError, InputError, ProblemsError
from ftstudio.explain import explain
from ftstudio.runs.checkpoints import list_checkpoints
from ftstudio.runs.folder import RunFolder
from ftstudio.tui.background import Asks
from ftstudio.tui.typed import toml_of
from ftstudio.tui.widgets.line_input import TAB_AT_ONCE, LineInput

if TYPE_CHECKING:
    from ftstudio.plan import Outlook
    from ftstudio.process.wanted import Wanted
    from ftstudio.tui.app import Studio

FIELDS = (
    ("step", "from checkpoint", "last"),
    ("set", "settings for this once", "trainer.learning_rate=1e-4 trainer.max_steps=100"),
    ("each", "one run a value", "trainer.learning_rate=1e-5,5e-5,1e-4"),
    ("device", "device", "auto; or cpu, cuda:0 ..."),
)
NEWEST = 4
"""Committed steps that are named."""

DIALOG_SHARE, BESIDE_ROWS = 0.92, 5
"""How much of the terminal's height a dialog has; of its rows those of border, title, and keys on two lines."""


class Start(ModalScreen[Path | None], Asks):
    """Gives the folder of the first run that was started, or None."""

    DEFAULT_CSS = """
    Start Input { margin-bottom: 1; }
    Start #outlook { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *TAB_AT_ONCE,
        Binding("escape", "leave", show=False),
        Binding("ctrl+w", "weights", show=False, priority=True),  # a field would take it to delete a word
    ]

    class Started(Message):
        """The runs live; `error` says why not."""

        def __init__(self, run: Path | None, error: FtstudioError | None) -> None:
            super().__init__()
            self.run, self.error = run, error

    def __init__(self, project: Path, parent: RunFolder | None = None) -> None:
        super().__init__()
        self.project, self.origin = project, parent
        self.weights_only = False
        self.starting = False

    def compose(self) -> ComposeResult:
        """The fields, and what they imply."""
        self.studio = cast("Studio", self.app)  # kept: a thread may end when this is no longer part of it
        look = self.studio.look
        title = f"Fork {self.origin.title}" if self.origin else f"Start a run of {self.project.name}"
        with Vertical(classes="dialog"):
            yield Static(look.plain(title, "bold"))
            with VerticalScroll(can_focus=False):  # arrows and pages reach it from each field
                for name, label, example in FIELDS:
                    if name != "step" or self.origin is not None:
                        yield Static(label, classes="label", markup=False)
                        yield LineInput(placeholder=example, id=name, select_on_focus=False)
                yield Static("", id="outlook", markup=False)
            yield Static("", id="keys", classes="hint", markup=False)

    def on_mount(self) -> None:
        """Say at once what would start."""
        self._draw_keys()
        self.query_one("#set", Input).focus()
        if self.origin is not None:
            origin = self.origin
            self.ask(lambda: _newest(origin), self._name_steps, group="steps")
        self.look_ahead()

    def _name_steps(self, steps: Sequence[str]) -> None:
        """Name what may be typed for the checkpoint."""
        if steps:
            self.query_one("#step", Input).placeholder = f"last; or best, {', '.join(steps)}"

    def on_resize(self) -> None:
        """The title and the keys stay in sight; what lies between scrolls."""
        self.query_one(VerticalScroll).styles.max_height = max(3, int(DIALOG_SHARE * self.size.height) - BESIDE_ROWS)

    def _draw_keys(self) -> None:
        keys = self.query_one("#keys", Static)
        if self.starting:
            keys.update("starting ...")
            return
        weights = ""
        if self.origin is not None:
            weights = f", ctrl+w takes {'all of the checkpoint' if self.weights_only else 'the weights alone'}"
        keys.update(f"enter start, tab next field, esc leave it{weights}")

    def action_weights(self) -> None:
        """Take the weights alone, or all of the checkpoint."""
        if self.origin is not None:
            self.weights_only = not self.weights_only
            self._draw_keys()
            self.look_ahead()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Look ahead at each keystroke."""
        self.look_ahead()

    def _values(self) -> dict[str, str]:
        """What stands in the fields."""
        return {str(field.id): field.value.strip() for field in self.query(Input)}

    def _wishes(self, value: Mapping[str, str]) -> list[Wanted]:
        """One wish a value of `each`, whose keys multiply. Raises FtstudioError for what is no answer."""
        from ftstudio.process.wanted import Wanted  # noqa: PLC0415 - loads the plugins
        from ftstudio.project import each_in, each_value  # noqa: PLC0415
        from ftstudio.runs.fork import find_parent  # noqa: PLC0415

        try:
            overrides = tuple(shlex.split(value["set"]))
        except ValueError as error:
            raise InputError(
                f"The settings cannot be read: {error}.", 'Write key.key=VALUE, "quoted" if need be.'
            ) from error
        parent = None
        if self.origin is not None:
            text = f"{self.origin.path}:{value['step'] or 'last'}"
            parent = find_parent(text, self.project.parent, weights_only=self.weights_only)
        return [
            Wanted(project=self.project, overrides=(*overrides, *once), device=value["device"] or "auto", parent=parent)
            for once in each_value(each_in(value["each"]), overrides)
        ]

    def look_ahead(self) -> None:
        """What would start; asked in a thread, since plugins are loaded for it. Only the last question counts."""
        value = self._values()
        self.ask(lambda: self._look(value), self.query_one("#outlook", Static).update, group="look")

    def _look(self, value: Mapping[str, str]) -> Text:
        """The plan of the first run, or why the settings of one do not go."""
        try:
            wishes = self._wishes(value)
            outlooks = [wish.outlook() for wish in wishes]
        except FtstudioError as error:
            return self._why_not(error)
        text = _outlook_text(outlooks[0], self.studio.look.words)
        if self.origin is not None:
            look = self.studio.look
            text.append_text(look.lines(look.words(wishes[0].differs(outlooks[0], toml_of)), "dim"))
        if len(wishes) > 1:
            return Text(f"{len(wishes)} runs, one after the other. The first:\n").append_text(text)
        return text

    def _why_not(self, error: FtstudioError) -> Text:
        """What is wrong, and what to do: of a wish with problems each of them."""
        said: object = error
        if isinstance(error, ProblemsError):
            said = "\n".join(f"{p.message} {p.fix}".strip() for p in error.problems if p.level == "error")
        return self.studio.look.lines(said, "red")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Start, once: while that is being done another Enter does nothing."""
        if not self.starting:
            self.starting = True
            self._draw_keys()
            self.start_them(self._values())

    def action_leave(self) -> None:
        """Start nothing; what is being started goes on, which is said."""
        self.dismiss(None)
        if self.starting:
            self.studio.call_later(self.studio.say, "What was being started starts all the same.")

    @work(thread=True, exclusive=True, group="start")
    def start_them(self, value: Mapping[str, str]) -> None:
        """Make and start all of them; none when one could not start."""
        try:
            wishes = self._wishes(value)
            outlooks = [wish.outlook() for wish in wishes]
            runs = []
            for wish, outlook in zip(wishes, outlooks, strict=True):
                run = wish.create(outlook, ["studio"])
                wish.start(run)
                runs.append(run)
        except FtstudioError as error:
            self._tell(self.Started(None, error))
        except OSError as error:
            self._tell(self.Started(None, explain(error)))
        else:
            self._tell(self.Started(runs[0].path, None))

    def _tell(self, started: Started) -> None:
        """Out of the thread: here, or where this was left for."""
        if not self.post_message(started):
            self.studio.call_from_thread(_say, self.studio, started)

    def on_start_started(self, message: Started) -> None:
        """Done, or the reason why not."""
        if not self.is_current:  # left, with this on its way
            _say(self.studio, message)
            return
        if message.error is None:
            self.dismiss(message.run)
            return
        self.starting = False
        self._draw_keys()
        self.query_one("#outlook", Static).update(self._why_not(message.error))


def _newest(run: RunFolder) -> list[str]:
    """The newest steps that a run has committed, and whether there are more; what keeps it from that is said later."""
    with contextlib.suppress(InputError):
        steps = [str(int(folder.name)) for folder in reversed(list_checkpoints(run.checkpoints))]
        return [*steps[:NEWEST], *(["..."] if len(steps) > NEWEST else [])]
    return []


def _say(studio: Studio, started: Start.Started) -> None:
    """Say on the screen that is open by now what became of it."""
    if started.error is not None:
        studio.say_error(started.error)
    elif started.run is not None:
        studio.say(f"{RunFolder(started.run).title} was started.")


def _outlook_text(outlook: Outlook, words: object) -> Text:
    """The plan in a few lines, and the warnings."""
    from ftstudio.plan import outlook_lines  # noqa: PLC0415 - loads the plugins

    assert callable(words)
    text = Text()
    for what, figure, how in outlook_lines(outlook):
        if what in {"in all", "tokens", "checkpoints", "disk", "time"}:
            text.append(words(f"{what:<14}{figure}"))
            text.append(f"  {how}\n" if how != "exact" else "\n", "dim")
    for problem in outlook.problems:
        if problem.level == "warning":
            text.append(words(f"! {problem.message} {problem.fix}\n"), "yellow")
    return text
