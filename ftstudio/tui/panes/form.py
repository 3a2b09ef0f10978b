"""A form in step with project.toml: what it says, what that means, and what is wrong with it, where it is typed.

    project.toml ──read──> Project ──look ahead──> Outlook       in workers; each answer carries the turn that it is of
         ^                    │
         └──── SettingsFile.write (Enter, f, U, d) · undo (u)    at once, by the functions that refuse lost updates

The pane holds no unsaved field but the one that is being typed. Whatever changes the file, here or elsewhere, begins
a new turn; answers of earlier turns are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.timer import Timer
from textual.worker import get_current_worker

from ftstudio.api import Problem
from ftstudio.errors import FileChangedError, FtstudioError, InputError, OptionError
from ftstudio.explain import explain
from ftstudio.finding import FILE
from ftstudio.runs.folder import RunFolder
from ftstudio.tui.form import Entry, Form, Section, one_more, sections, switching, with_problems
from ftstudio.tui.form_rows import VALUE_AT, error_rows, rows_of
from ftstudio.tui.panes.base import Pane
from ftstudio.tui.settings_file import SettingsFile
from ftstudio.tui.since import Since, changed_words, since_run
from ftstudio.tui.typed import text_of, value_of
from ftstudio.tui.watch import Seen
from ftstudio.tui.widgets.aside import Aside, aside_text
from ftstudio.tui.widgets.form_lines import FormLines
from ftstudio.tui.widgets.lines import Lines, Row

if TYPE_CHECKING:
    from ftstudio.plan import Outlook
    from ftstudio.project import Project

PAUSE_SECONDS = 0.12
"""From the last keystroke to the look ahead."""


class FormPane(Pane):
    """The form in step with its file, and beside it what it means."""

    class Read(Message):
        """project.toml was read, because it was `asked` for or had changed; `error` says why it was not."""

        def __init__(self, turn: int, project: Project | None, error: FtstudioError | None, *, asked: bool) -> None:
            super().__init__()
            self.turn, self.project, self.error, self.asked = turn, project, error, asked

    class Looked(Message):
        """What a project means: the one of the file, or `key` names the field whose typed value it holds."""

        def __init__(self, turn: int, key: str, outlook: Outlook, since: Since, said: str, offers: list[str]) -> None:
            super().__init__()
            self.turn, self.key, self.outlook, self.since = turn, key, outlook, since
            self.said, self.offers = said, offers

    def __init__(self, project: Path) -> None:
        super().__init__(project)
        self.turn = 0
        self.file = SettingsFile()
        self.error: FtstudioError | None = None
        self.waits = ""
        self.outlook: Outlook | None = None
        self.tried: Outlook | None = None
        self.typed_problem: Problem | None = None
        self.since = Since()
        self.more = False
        self.form = Form()
        self.run: RunFolder | None = None
        self._stamp: tuple[int, ...] = ()
        self._pause: Timer | None = None

    def compose(self) -> ComposeResult:
        """The form on the left."""
        with Horizontal():
            yield FormLines(VALUE_AT)
            yield Aside()

    @property
    def lines(self) -> FormLines:
        """The form's list."""
        return self.query_one(FormLines)

    # ----------------------------------------------------------------------------------------- reading

    def enter(self) -> None:
        """Read the file again."""
        self.lines.lines.focus()
        self.read_file(self.turn)

    def leave(self) -> None:
        """What is being typed is left."""
        self._close()

    def show_run(self, run: RunFolder | None) -> None:
        """Changes are shown since this run."""
        self.run = run
        if self.file.current is not None:
            self.look_ahead(self.turn, self.file.current)

    def seen(self, seen: Seen) -> None:
        """Somebody else may have written the file meanwhile; while it was not read once, say what that waits for."""
        if self.file.current is None and self.error is None:
            from ftstudio.describing import waits_for  # noqa: PLC0415 - the first reading loads it

            self.waits = waits_for() or f"{FILE} is being read ..."
            self.draw()
        if self._at_rest:
            self.read_file(self.turn, only_if_changed=True)

    @property
    def _at_rest(self) -> bool:
        """Nothing is being changed. While something is, it is the write that finds out what others wrote."""
        return not self.lines.editing and self.app.screen is self.screen

    @work(thread=True, exclusive=True, group="setup-read")
    def read_file(self, turn: int, *, only_if_changed: bool = False) -> None:
        """Read project.toml; in a thread, since the first reading loads plugins."""
        from ftstudio.project import load  # noqa: PLC0415 - loads the plugins

        stamp = self.file_stamp()
        if only_if_changed and stamp == self._stamp:
            return
        self._stamp = stamp
        project, error = None, None
        try:
            project = load(self.project)
        except FtstudioError as failure:
            error = failure
        self.post_message(self.Read(turn, project, error, asked=not only_if_changed))

    def on_form_pane_read(self, message: Read) -> None:
        """Take it in, and say what somebody else changed."""
        if message.turn != self.turn or self.lines.editing or not (message.asked or self._at_rest):
            self._stamp = ()  # it is read again at the next look
            return
        before, now, self.error = self.file.current, message.project, message.error
        if before is not None and now is not None and before.source.text == now.source.text:
            return
        if before is not None and now is not None:
            changed = changed_words(before.source.table, now.source.table)
            self.studio.say(f"{FILE} was changed outside: {changed}")
        self.file.read(now)
        self._new_turn()

    def _new_turn(self) -> None:
        """The file is another: draw what it says, then what that means."""
        self.turn += 1
        self.tried, self.typed_problem = None, None
        self.draw()
        self.project_screen.refresh_keys()
        if self.file.current is not None:
            self.look_ahead(self.turn, self.file.current)

    @work(thread=True, exclusive=True, group="setup-look")
    def look_ahead(self, turn: int, project: Project, entry: Entry | None = None, text: str = "") -> None:
        """What the file means, or what it would with the text that is being typed for an entry; or why none can say."""
        try:
            looked = self._look(turn, project, entry, text)
        except FtstudioError as error:
            self._lost(turn, error)
        except OSError as error:
            self._lost(turn, explain(error))
        else:
            if not get_current_worker().is_cancelled:
                self.post_message(looked)

    def _lost(self, turn: int, error: FtstudioError) -> None:
        """Out of the thread: the project's folder is not what it was; the next look at its file may say more."""
        if not get_current_worker().is_cancelled:
            self.post_message(self.Read(turn, None, error, asked=False))

    def _look(self, turn: int, project: Project, entry: Entry | None, text: str) -> Looked:
        """In the thread. Raises FtstudioError, OSError."""
        from ftstudio import plan  # noqa: PLC0415 - loads the plugins
        from ftstudio.process.devices import choose_device  # noqa: PLC0415
        from ftstudio.project import with_changes  # noqa: PLC0415
        from ftstudio.runs import measured  # noqa: PLC0415
        from ftstudio.tui.offers import offers, path_words  # noqa: PLC0415

        said, offered, key = "", [], ""
        if entry is not None:
            key, value = entry.key, value_of(entry.field, text)
            project = with_changes(project, {key: value})
            said = path_words(entry.field, value, self.project)
        known = None if project.errors else measured.recall(project, choose_device())
        outlook = plan.look_ahead(project, known)
        if entry is not None:
            columns = outlook.facts.columns or ()
            offered = offers(entry.field, text, self.project, columns, ascii_only=self.studio.look.ascii)
        since = since_run(self.run, project)
        return self.Looked(turn, key, outlook, since, said, offered)

    def on_form_pane_looked(self, message: Looked) -> None:
        """Show it, if it is still asked for."""
        if message.turn != self.turn or message.key != self.lines.editing:
            return
        self.since = message.since
        if message.key:
            self.tried = message.outlook
            self.lines.field.offers = message.offers
            self.typed_problem = Problem(level="note", message=message.said) if message.said else None
        else:
            self.outlook = message.outlook
        self.draw()
        self.project_screen.refresh_keys()

    # ----------------------------------------------------------------------------------------- drawing

    def draw(self) -> None:
        """Draw the form and what stands beside it."""
        look, width, current = self.studio.look, self.form_width, self.file.current
        if current is None:
            self.form = Form()
            waits = [Row(None, look.plain(f" {look.words(self.waits)}", "dim"))] if self.waits else []
            way = self.studio.way_on("setup.editor", "opens it in your editor; it is read again when it was written")
            if self.file.gone:
                way = self.studio.way_on("setup.undo", "writes it again, as it was read last")
            self.lines.set_rows(waits if self.error is None else error_rows(self.error, look, width, way))
            self.query_one(Aside).show(Text(""))
            return
        outlook = self.tried or self.outlook
        project = self.tried.project if self.tried is not None else current
        form = sections(project, outlook.problems if outlook is not None else project.problems)
        *parts, head = form.sections
        self.form = self._with_typed(Form((*parts, one_more(project), head), form.rest))
        fix = "fix" if self.studio.manners.readonly else self.studio.key("setup.fix")
        rest = self.studio.key("setup.more")
        self.lines.set_rows(rows_of(self.form, look, width, more=self.more, rest=rest, fix=fix))
        self.query_one(Aside).show(aside_text(outlook, self.since, look))

    @property
    def form_width(self) -> int:
        """Columns that the form has."""
        return max(40, self.lines.size.width or self.size.width)

    def _with_typed(self, form: Form) -> Form:
        """What is wrong with the typed text takes the place of what was wrong with the field; a note only joins it."""
        typed, key = self.typed_problem, self.lines.editing
        if typed is None:
            return form
        kept = form.problems_of(key) if typed.level == "note" else ()
        return with_problems(form, key, (typed, *kept))

    def rebound(self) -> None:
        """The form names keys."""
        self.draw()

    def on_resize(self) -> None:
        """Another width wraps elsewhere."""
        self.call_after_refresh(self.draw)

    # ----------------------------------------------------------------------------------------- editing

    def on_lines_chosen(self, event: Lines.Chosen) -> None:
        """Enter on a row."""
        event.stop()
        self.project_screen.action_act("setup.edit")

    def do_setup_edit(self) -> None:
        """Go into the field under the cursor, by its type."""
        entry, section = self.form.entry(self.lines.key), self.form.section(self.lines.key)
        if section is not None:
            from ftstudio.tui.screens.fields import ask_component  # noqa: PLC0415 - made when it is asked for

            if not section.kind:
                raise InputError("That observer is one of your settings.", "They are in settings.toml.")
            ask_component(
                self.app, self.studio.look, section.kind, section.use, lambda name: self._switch(section, name)
            )
        elif entry is not None:
            self._edit(entry)

    def _edit(self, entry: Entry) -> None:
        from ftstudio.tui.screens.fields import ask_lines, ask_value, on_lines  # noqa: PLC0415

        f, look = entry.field, self.studio.look
        if entry.fixed:
            raise InputError(
                f"{entry.key} is shown as it stands.",
                f"{self.studio.key('setup.reset')} takes it out, {self.studio.key('setup.editor')} opens the file.",
            )
        if f.base == "bool" and not f.nullable:
            self.write({entry.key: not entry.in_force})
        elif f.base == "bool" or (f.choices and f.base != "tuple"):
            ask_value(self.app, look, entry, self.write)
        elif on_lines(entry):
            ask_lines(self.app, look, entry, self.write)
        else:
            text = text_of(entry.value, ascii_only=look.ascii)
            self.lines.edit(entry.key, text, text_of(f.default, ascii_only=look.ascii) or "not set")
            self.studio.say("Enter writes, esc leaves it, down offers values; empty is the default.")
            self._try(entry, text)

    def _switch(self, section: Section, name: str) -> None:
        """Choose another component; say which of the former's options went out."""
        assert self.file.current is not None
        try:
            changes = switching(self.file.current, section.kind, name, section.table)
        except FtstudioError as error:
            self.studio.say_error(error)
            return
        gone = [key.removeprefix(f"{section.table}.") for key, value in changes.items() if value is None]
        back = f"{self.studio.key('setup.undo')} brings it back."
        self.write(changes, said=f"{name} has no {', '.join(gone)}: taken out. {back}" if gone else "")

    def on_form_lines_typed(self, message: FormLines.Typed) -> None:
        """A keystroke in the field."""
        entry = self.form.entry(message.key)
        if entry is not None:
            self._try(entry, message.text)

    def _try(self, entry: Entry, text: str) -> None:
        """Check what is typed at once, and look ahead when the keys rest."""
        if self._pause is not None:
            self._pause.stop()
        self.workers.cancel_group(self, "setup-look")
        current, turn = self.file.current, self.turn
        assert current is not None
        try:
            value_of(entry.field, text)
        except OptionError as error:
            self.typed_problem = Problem(level="error", option=error.field, message=error.message, fix=error.hint)
            self.draw()
            return
        if self.typed_problem is not None:
            self.typed_problem = None
            self.draw()
        self._pause = self.set_timer(PAUSE_SECONDS, lambda: self.look_ahead(turn, current, entry, text))

    def on_form_lines_entered(self, message: FormLines.Entered) -> None:
        """Enter writes a value that is one."""
        entry = self.form.entry(message.key)
        if entry is None:
            return
        try:
            value = value_of(entry.field, message.text)
        except OptionError:
            return  # it stands below the field
        current = self.file.current
        assert current is not None
        before = sections(current, ()).entry(entry.key)
        self._close()
        if before is None or value != before.value or type(value) is not type(before.value):
            self.write({entry.key: value})

    def on_form_lines_left(self, message: FormLines.Left) -> None:
        """Esc leaves the field as it was."""
        self._close()

    def _close(self) -> None:
        if not self.lines.editing:
            return
        if self._pause is not None:
            self._pause.stop()
        self.lines.close()
        self.tried, self.typed_problem = None, None
        self.draw()
        if self.file.current is not None:
            self.look_ahead(self.turn, self.file.current)

    # ----------------------------------------------------------------------------------------- writing

    def write(self, changes: Mapping[str, Any], said: str = "") -> bool:
        """Write changed values into project.toml now. False when that was refused, which is said."""
        if self.file.current is None:
            return False
        try:
            self.file.write(changes)
        except FtstudioError as error:
            self._refused(error)
            return False
        self._new_turn()
        if said:
            self.studio.say(said)
        return True

    def _refused(self, error: FtstudioError) -> None:
        """Nothing was written: say why, with the difference, and read what is there now."""
        if not isinstance(error, FileChangedError):
            self.studio.say_error(error)
            return
        from ftstudio.tui.screens.showing import Showing  # noqa: PLC0415 - made when it is asked for

        look = self.studio.look
        text = Text.assemble(look.lines(error, "red"), "\n\n", look.lines(error.difference))
        self.app.push_screen(Showing(Text("Not written", "bold"), text))
        self.read_file(self.turn)
