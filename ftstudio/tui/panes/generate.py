"""Generate: one prompt, two models, one seed. Before fine-tuning first, unless somebody chooses others.

    enter ──> generate (a thread) ──bench.ask, one model after the other──> Began, Came ..., Ended ──> the columns

Nothing of this touches project.toml: options are changed for this once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal
from textual.events import Resize
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from ftstudio.api import Prompt
from ftstudio.errors import FtstudioError, InputError, InterruptedRunError
from ftstudio.runs.folder import RunFolder
from ftstudio.text import prompt_text
from ftstudio.tui import sampling
from ftstudio.tui.actions import bindings
from ftstudio.tui.background import Asks
from ftstudio.tui.conversation import Conversation
from ftstudio.tui.copying import copy
from ftstudio.tui.panes.base import Pane
from ftstudio.tui.panes.telling import At, Ended, Heard, Teller
from ftstudio.tui.sampling import Setting, Source
from ftstudio.tui.watch import Seen
from ftstudio.tui.widgets.answer import Answer, Scroll
from ftstudio.tui.widgets.lines import Row
from ftstudio.tui.widgets.once_line import OnceLine
from ftstudio.tui.widgets.prompt_line import PromptLine

SIDE_BY_SIDE = 100
HISTORY = 50
PROMPT_CHARACTERS = 4000
TELL_SECONDS = 0.05
TELL_SECONDS_SSH = 0.3


class GeneratePane(Pane, Asks):
    """A prompt above two answers."""

    DEFAULT_CSS = """
    GeneratePane #asked { height: 1; }
    GeneratePane #asked Static { width: 3; }
    GeneratePane PromptLine { width: 1fr; }
    GeneratePane #said { height: auto; max-height: 2; display: none; color: $warning; }
    GeneratePane #answers { layout: vertical; }
    GeneratePane #answers.side { layout: horizontal; }
    GeneratePane #answers.side Answer { width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("generate")]

    class Found(Message):
        """The models that stand in the columns, and the settings."""

        def __init__(self, sources: Sequence[Source], settings: Sequence[Setting], prompt: str) -> None:
            super().__init__()
            self.sources, self.settings, self.prompt = sources, settings, prompt

    class Choices(Message):
        """The models that may stand in a column."""

        def __init__(self, column: int, sources: Sequence[Source]) -> None:
            super().__init__()
            self.column, self.sources = column, sources

    class Refused(Message):
        """Something cannot be had."""

        def __init__(self, error: FtstudioError) -> None:
            super().__init__()
            self.error = error

    def __init__(self, project: Path) -> None:
        super().__init__(project)
        self.run_folder: RunFolder | None = None
        self.sources: list[Source] = []
        self.chosen: dict[int, Source | None] = {}
        self.once = OnceLine(project)
        self.conversation = Conversation()
        self.time = 0
        self.busy = False
        self._stamp: tuple[int, ...] = ()
        """Of project.toml as it was when the settings were read."""
        self.waits = ""
        """The plugin that the first look waits for."""

    def compose(self) -> ComposeResult:
        """The prompt, the settings, where it computes when that is not as usual, the answers."""
        with Horizontal(id="asked"):
            yield Static(" > ", markup=False)
            yield PromptLine()
        yield self.once
        yield Static("", id="said", markup=False)
        with Container(id="answers"):
            yield Answer()
            yield Answer()

    # ------------------------------------------------------------------------------------------ life

    def enter(self) -> None:
        """Keys act; Enter goes into the prompt."""
        self.query_one(PromptLine).remember(self._history())
        self.query(Scroll).first().focus()
        self.look()

    def show_run(self, run: RunFolder | None) -> None:
        """Another run: its models, unless others were chosen for this one; they have said nothing yet."""
        if run != self.run_folder:
            self.run_folder, self.chosen = run, {}
            if self.talks:
                self._begin_anew()
            self.look()

    def seen(self, seen: Seen) -> None:
        """A live run may have committed a newer checkpoint, and somebody may have written project.toml.

        Before the first look is done, say what it waits for.
        """
        if not self.once.settings:
            from ftstudio.describing import waits_for  # noqa: PLC0415 - the look loads it

            self.waits = waits_for()
            self.draw()
        if self.run_folder is not None and self.run_folder.path in seen.changed and not self.busy:
            self.look()
        self.ask(self.file_stamp, self._stamped, group="generate stamp")

    def _stamped(self, stamp: tuple[int, ...]) -> None:
        if stamp != self._stamp and not self.busy:
            self.look()

    def on_resize(self, event: Resize) -> None:
        """Side by side where there is room."""
        self.query_one("#answers").set_class(event.size.width >= SIDE_BY_SIDE, "side")
        self.draw()

    @work(thread=True, exclusive=True, group="generate look")
    def look(self) -> None:
        """Find the models and the settings."""
        self._stamp = self.file_stamp()
        try:
            sources = sampling.pair(self.project, self.run_folder)
            settings = sampling.settings_of(self.project, self.once.overrides)
            prompt = sampling.first_prompt(self.project)
        except FtstudioError as error:
            self.post_message(self.Refused(error))
            return
        if not get_current_worker().is_cancelled:  # a later look may have been quicker
            self.post_message(self.Found(sources, settings, prompt_text(prompt)))

    def on_generate_pane_found(self, message: Found) -> None:
        """Name the columns."""
        self.waits = ""
        defaults = dict(enumerate(message.sources))
        self.sources = [s for i in (0, 1) if (s := self.chosen.get(i, defaults.get(i))) is not None]
        self.once.settings = message.settings
        line = self.query_one(PromptLine)
        if not line.value and not self.conversation.asked:
            line.propose(message.prompt)
        self._name_columns()
        self.draw()

    def _name_columns(self) -> None:
        for column, answer in enumerate(self.query(Answer)):
            answer.display = column < len(self.sources)
            if column < len(self.sources):
                answer.call_it(self.sources[column].title)

    def on_generate_pane_refused(self, message: Refused) -> None:
        """Say why not."""
        self.waits = ""
        self.draw()
        self.studio.say_error(message.error)

    # --------------------------------------------------------------------------------------- drawing

    @property
    def talks(self) -> bool:
        """Whether the models answer in a conversation."""
        return any(source.shape == "messages" for source in self.sources)

    def draw(self) -> None:
        """The settings that are not the usual ones, and what the models do with a text."""
        if self.waits:
            look = self.studio.look
            self.once.update(look.plain(f" {look.words(self.waits)}"))
        elif self.talks or not self.sources:
            kind = "a conversation" if self.talks else ""
            self.once.show(kind, kind)
        else:
            self.once.show("this model continues text", "continues text")

    def on_once_line_changed(self, message: OnceLine.Changed) -> None:
        """Another value holds for this once."""
        self.look()

    # ------------------------------------------------------------------------------------ generating

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Generate."""
        try:
            self._begin(event.value)
        except FtstudioError as error:
            self.studio.say_error(error)
        else:
            line, asked = self.query_one(PromptLine), event.value
            line.call_later(self._go_on, line, asked)  # behind the keys that came with Enter

    def _go_on(self, line: PromptLine, prompt: str) -> None:
        """What comes next is to read; a conversation goes on with the next question.

        Unless that, or another prompt, is being typed already.
        """
        if line.value != prompt:
            return
        if self.talks:
            line.value = ""
        elif line.has_focus:
            self.screen.set_focus(self.query(Scroll).first())

    def _begin(self, prompt: str) -> None:
        if not prompt.strip():
            raise InputError("There is no prompt yet.", "Write one, and press Enter.")
        if not self.sources:
            mend = self.waits or f"Mend the project. {self.studio.way_on('run.start', 'starts a run')}"
            raise InputError("There is no model to sample yet.", mend)
        answers = list(self.query(Answer))
        self.conversation.ask(prompt, {i: answer.answer for i, answer in enumerate(answers)}, talks=self.talks)
        self.busy, self.time = True, self.time + 1
        self._remember(prompt)
        asked: list[Prompt] = []
        for column, source in enumerate(self.sources):
            asked.append(self.conversation.prompt(column, source))
            answers[column].begin(source.title, self.conversation.above(column, source))
        self.generate(self.time, list(self.sources), asked, dict(self.once.overrides))

    @work(thread=True, exclusive=True, group="generate")
    def generate(self, time: int, sources: list[Source], prompts: list[Prompt], overrides: Mapping[str, str]) -> None:
        """Sample one model after the other, so that each has the whole device."""
        worker = get_current_worker()
        for column, (source, prompt) in enumerate(zip(sources, prompts, strict=True)):
            at, last = At(time, column), column == len(sources) - 1
            teller = Teller(self, at, TELL_SECONDS_SSH if self.studio.over_ssh else TELL_SECONDS)
            try:
                project = sampling.settings(self.project, source.run, overrides)
                self.studio.bench("generate").ask(
                    project, source.job(prompt), teller.event, cancelled=lambda: worker.is_cancelled
                )
                teller.flush()
                note = "cancelled" if worker.is_cancelled else teller.ended
                self.post_message(Ended(at, note, last=last or worker.is_cancelled))
            except InterruptedRunError:
                self.post_message(Ended(at, "cancelled", last=True))
            except FtstudioError as error:
                teller.flush()
                self.post_message(Ended(at, "", error, last=last))
            if worker.is_cancelled:
                return

    def on_heard(self, message: Heard) -> None:
        """Text came, or words on what goes on."""
        if message.at.time != self.time or not self.busy:
            return
        answer = self.query(Answer)[message.at.column]
        if message.pieces:
            answer.add(message.pieces)
        if message.note is not None:
            answer.tell(message.note)
        if message.why is not None:
            said = self.query_one("#said", Static)
            said.display = bool(message.why)
            said.update(self.studio.look.plain(f" {message.why}"))

    def on_ended(self, message: Ended) -> None:
        """A text is done."""
        if message.at.time != self.time or not self.busy:
            return
        self.query(Answer)[message.at.column].end(message.note, message.error)
        self.busy = not message.last

    def _cancel(self) -> None:
        """At once for whoever looks; the workbench has two seconds for it."""
        self.workers.cancel_group(self, "generate")
        self.busy = False
        for answer in self.query(Answer):
            if answer.writing:
                answer.end("cancelled")

    # --------------------------------------------------------------------------------------- history

    def _history(self) -> list[str]:
        return [str(p) for p in self.studio.memory.get("prompts", list, [])]

    def _remember(self, prompt: str) -> None:
        kept = prompt[:PROMPT_CHARACTERS]
        self.studio.memory.change(
            lambda: {"prompts": [*(p for p in self._history() if p not in {prompt, kept}), kept][-HISTORY:]}
        )
        self.query_one(PromptLine).remember(self._history())

    # --------------------------------------------------------------------------------------- actions

    def why_not(self, id: str) -> str:
        """A conversation is needed to begin another one."""
        if id == "generate.new" and not self.talks:
            return "This model continues text: each prompt stands for itself."
        return ""

    def do_generate_prompt(self) -> None:
        """Go into the prompt."""
        self.query_one(PromptLine).focus()

    def do_generate_again(self) -> None:
        """The prompt that stands in the line, or the last one."""
        line = self.query_one(PromptLine)
        self._begin(line.value or self.conversation.asked)
        self._go_on(line, self.conversation.asked)

    def do_generate_new(self) -> None:
        """Forget the conversation."""
        self._cancel()
        self.conversation = Conversation()
        for answer in self.query(Answer):
            answer.begin(answer.title, [])
        self._name_columns()

    def _begin_anew(self) -> None:
        """With other models: what was asked last can be asked again, which is said where the texts were."""
        asked, line = self.conversation.asked, self.query_one(PromptLine)
        self.do_generate_new()
        if asked and not line.value:
            line.propose(asked)
        if line.value:
            for answer in self.query(Answer):
                answer.tell(f"{self.studio.key('generate.again')} generates")

    def do_generate_first(self) -> None:
        """Choose the first column's model."""
        self.find_choices(0)

    def do_generate_second(self) -> None:
        """Choose what stands beside it."""
        self.find_choices(1)

    @work(thread=True, exclusive=True, group="generate choices")
    def find_choices(self, column: int) -> None:
        """List all models; in a thread, since there may be a thousand runs."""
        others = [RunFolder(status.path) for status in self.studio.found.of(self.project)]
        mine = {run.path for run in others}
        others += [RunFolder(path) for path in sorted(self.studio.found.statuses) if path not in mine]
        try:
            self.post_message(self.Choices(column, sampling.choices(self.project, self.run_folder, others)))
        except FtstudioError as error:
            self.post_message(self.Refused(error))

    def on_generate_pane_choices(self, message: Choices) -> None:
        """Ask which."""
        from ftstudio.tui.screens.asking import Picking  # noqa: PLC0415 - made when it is asked for

        look = self.studio.look
        rows = [Row(source, Text.assemble(" ", look.plain(source.title), end="")) for source in message.sources]
        if message.column == 1:
            rows.append(Row("none", Text(" nothing beside it")))
        now = self.sources[message.column] if message.column < len(self.sources) else None

        def picked(source: object) -> None:
            if source is not None:
                self.chosen[message.column] = source if isinstance(source, Source) else None
                self._begin_anew()
                self.look()

        title = "The first model" if message.column == 0 else "The model beside it"
        self.app.push_screen(Picking(title, rows, now), picked)

    def do_generate_options(self) -> None:
        """Choose an option, then its value, for this once."""
        self.once.ask()

    def do_copy(self) -> None:
        """The answer that has the focus, or both."""
        answers = [a for a in self.query(Answer) if a.display and a.answer]
        wanted = [a for a in answers if a.query_one(Scroll).has_focus] or answers
        if not wanted:
            raise InputError("There is no text to copy yet.")
        text = wanted[0].plain if len(wanted) == 1 else "\n\n".join(f"{a.title}:\n{a.plain}" for a in wanted)
        self.studio.say(copy(self.app, text))

    def do_back(self) -> None:
        """End what is being written; else leave the prompt; else one layer up."""
        if self.busy:
            self._cancel()
        elif isinstance(self.screen.focused, PromptLine):
            self.query(Scroll).first().focus()
        else:
            self.project_screen.do_back()
