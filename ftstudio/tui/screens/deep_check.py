"""A deep check as it goes: its lines while it works, then its report. Esc ends it, or closes the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static
from textual.worker import get_current_worker

from ftstudio.errors import FtstudioError
from ftstudio.text import prompt_text, size_text
from ftstudio.tui.look import Look
from ftstudio.tui.words import value

if TYPE_CHECKING:
    from ftstudio.api import Event
    from ftstudio.project import Project
    from ftstudio.tui.app import Studio

LINES_KEPT = 200
VIEW_LINES = 12
"""Lines of the token view of each row in the report."""


class DeepCheck(ModalScreen[None]):
    """Runs the errand in a thread; the process that does the work ends with the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss", show=False)]

    class Said(Message):
        """A line; one of progress takes the place of that before it."""

        def __init__(self, text: str, *, progress: bool) -> None:
            super().__init__()
            self.text, self.progress = text, progress

    class Done(Message):
        """The report, or why there is none."""

        def __init__(self, report: Mapping[str, Any] | None, error: FtstudioError | None) -> None:
            super().__init__()
            self.report, self.error = report, error

    def __init__(self, project: Project) -> None:
        super().__init__()
        self.project = project
        self._lines: list[str] = []
        self._progress = ""

    @property
    def look(self) -> Look:
        """How things look."""
        return cast("Studio", self.app).look

    def compose(self) -> ComposeResult:
        """Title, lines, hint."""
        with Vertical(classes="dialog broad"):
            yield Static(self.look.plain(f"Deep check of {self.project.name}", "bold"))
            with VerticalScroll():
                yield Static("starting a process of its own ...", id="lines", markup=False)
            yield Static("esc ends it", classes="hint", markup=False)

    def on_mount(self) -> None:
        """Begin."""
        self.query_one(VerticalScroll).focus()
        self.check()

    @work(thread=True, exclusive=True, group="deep")
    def check(self) -> None:
        """Run it, and post what it says."""
        from ftstudio.process.errand import run_errand  # noqa: PLC0415 - made when it is asked for

        worker = get_current_worker()

        def on_event(event: Event) -> None:
            said = _words(event)
            if said:
                self.post_message(self.Said(said, progress=event.kind == "progress"))

        try:
            report = run_errand(self.project, {"kind": "deep"}, on_event, cancelled=lambda: worker.is_cancelled)
        except FtstudioError as error:
            self.post_message(self.Done(None, error))
        else:
            self.post_message(self.Done(report, None))

    def on_deep_check_said(self, message: Said) -> None:
        """One more line."""
        if message.progress:
            self._progress = message.text
        else:
            self._progress = ""
            self._lines = [*self._lines, message.text][-LINES_KEPT:]
        shown = [*self._lines, self._progress] if self._progress else self._lines
        self.query_one("#lines", Static).update(self.look.lines("\n".join(shown[-VIEW_LINES:])))

    def on_deep_check_done(self, message: Done) -> None:
        """The report in place of the lines."""
        shown = (
            report_text(message.report, self.look, max(30, self.query_one("#lines").size.width))
            if message.report is not None
            else self.look.lines(message.error, "red")
        )
        self.query_one("#lines", Static).update(shown)
        self.query_one(".hint", Static).update("esc closes this")


def _words(event: Event) -> str:
    """An event as a line, "" for one that needs none."""
    data = event.data
    match event.kind:
        case "phase":
            return str(data.get("name", ""))
        case "message" | "warning":
            return f"  {data.get('text', '')}"
        case "progress":
            done, total, unit = data.get("done"), data.get("total"), data.get("unit", "")
            return f"  {unit} {done}" + (f" of {total}" if total else "")
        case "metrics":
            metrics = data.get("metrics", {})
            return f"  step {event.step}  loss {value(metrics['loss'])}" if "loss" in metrics else ""
        case "checkpoint":
            return "  checkpoint committed"
    return ""


def report_text(report: Mapping[str, Any], look: Look, width: int) -> Text:
    """What a deep check found."""
    from ftstudio.process.token_view import lines, summary  # noqa: PLC0415

    rows = [("tokens", summary(report["counts"]))]
    rows.append((
        "longest",
        f"{report['batch']}: forward, backward, step done, loss {value(report['loss'])}",
    ))  # fmt: skip
    memory, speed = report["peak_memory_bytes"], report["tokens_per_second"]
    if memory and speed:
        rows.append(("measured", f"{size_text(memory)} at most, {speed:,.0f} tokens/s on {report['device']}"))
    rows.append(("checkpoint", f"{size_text(report['checkpoint_bytes'])}, committed and read back"))
    text = Text()
    for what, figure in rows:
        text.append(f"{what:<12}").append_text(look.lines(look.words(figure))).append("\n")
    text.append("sample      ").append_text(look.plain(prompt_text(report["sample"]["prompt"]), "dim"))
    text.append(look.words(" → ")).append_text(look.plain(report["sample"]["text"])).append("\n")
    for row in report["view"]:
        text.append(f"\nrow {row['row']}\n", "bold")
        for line in lines(row, width)[:VIEW_LINES]:
            text.append_text(look.lines(line)).append("\n")
    return text
