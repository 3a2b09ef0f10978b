"""Setup: the project's settings as a form, what they mean, and what is wrong with them, where it is typed.

    project.toml ──read──> Project ──look ahead──> Outlook       in workers; each answer carries the turn that it is of
         ^                    │
         └──── SettingsFile.write (Enter, f, U, d) · undo (u)    at once, by the functions that refuse lost updates

The pane holds no unsaved field but the one that is being typed. Whatever changes the file, here or elsewhere, begins
a new turn; answers of earlier turns are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.timer import Timer
from textual.worker import get_current_worker

from ftstudio.api import Problem
from ftstudio.errors import FileChangedError, FtstudioError, InputError, OptionError
from ftstudio.files import toml_text
from ftstudio.finding import FILE
from ftstudio.runs.folder import RunFolder
from ftstudio.tui.actions import bindings
from ftstudio.tui.form import Entry, Form, fix_of, sections, switching, with_problems
from ftstudio.tui.form_rows import VALUE_AT, error_rows, rows_of
from ftstudio.tui.larger import explained
from ftstudio.tui.panes.base import Pane
from ftstudio.tui.settings_file import SettingsFile
from ftstudio.tui.since import Since, changed_words, changes_text, since_run
from ftstudio.tui.typed import text_of, toml_of, value_of
from ftstudio.tui.watch import Seen
from ftstudio.tui.widgets.aside import Aside, aside_text
from ftstudio.tui.widgets.form_lines import FormLines
from ftstudio.tui.widgets.lines import Lines

if TYPE_CHECKING:
    from ftstudio.plan import Outlook
    from ftstudio.project import Project

PAUSE_SECONDS = 0.12
"""From the last keystroke to the look ahead."""


class SetupPane(Pane):
    """The form, and beside it what it means."""

    SCOPED_CSS = False  # what is shown depends on how wide the screen is
    DEFAULT_CSS = """
    SetupPane.aside FormLines { display: none; }
    SetupPane.aside Aside { display: block; width: 1fr; border-left: none; }
    .wide SetupPane.aside FormLines { display: block; }
    .wide SetupPane.aside Aside { width: 54; border-left: vkey $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("setup")]

    class Read(Message):
        """project.toml was read; `error` says why it was not."""

        def __init__(self, turn: int, project: Project | None, error: FtstudioError | None) -> None:
            super().__init__()
            self.turn, self.project, self.error = turn, project, error

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
        """Somebody else may have written the file meanwhile; while a field is open, Enter is what finds out."""
        if not self.lines.editing:
            self.read_file(self.turn, only_if_changed=True)

    @work(thread=True, exclusive=True, group="setup-read")
    def read_file(self, turn: int, *, only_if_changed: bool = False) -> None:
        """Read project.toml; in a thread, since the first reading loads plugins."""
        from ftstudio.project import load  # noqa: PLC0415 - loads the plugins

        stamp = _stamp(self.project / FILE)
        if only_if_changed and stamp == self._stamp:
            return
        self._stamp = stamp
        project, error = None, None
        try:
            project = load(self.project)
        except FtstudioError as failure:
            error = failure
        self.post_message(self.Read(turn, project, error))

    def on_setup_pane_read(self, message: Read) -> None:
        """Take it in, and say what somebody else changed."""
        if message.turn != self.turn or self.lines.editing:
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
        if self.file.current is not None:
            self.look_ahead(self.turn, self.file.current)

    @work(thread=True, exclusive=True, group="setup-look")
    def look_ahead(self, turn: int, project: Project, entry: Entry | None = None, text: str = "") -> None:
        """What the file means, or what it would with the text that is being typed for an entry."""
        from ftstudio import plan  # noqa: PLC0415 - loads the plugins
        from ftstudio.process.devices import choose_device  # noqa: PLC0415
        from ftstudio.project import with_changes  # noqa: PLC0415
        from ftstudio.runs import measured  # noqa: PLC0415
        from ftstudio.tui.offers import offers, path_words  # noqa: PLC0415

        worker, said, offered, key = get_current_worker(), "", [], ""
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
        if not worker.is_cancelled:
            self.post_message(self.Looked(turn, key, outlook, since, said, offered))

    def on_setup_pane_looked(self, message: Looked) -> None:
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

    # ----------------------------------------------------------------------------------------- drawing

    def draw(self) -> None:
        """Draw the form and what stands beside it."""
        look, width = self.studio.look, max(40, self.lines.size.width or self.size.width)
        current = self.file.current
        if current is None:
            self.form = Form()
            rows = error_rows(self.error, look, width) if self.error is not None else []
            self.lines.set_rows(rows)
            self.query_one(Aside).show(Text(""))
            return
        outlook = self.tried or self.outlook
        project = self.tried.project if self.tried is not None else current
        form = sections(project, outlook.problems if outlook is not None else project.problems)
        self.form = self._with_typed(form)
        self.lines.set_rows(rows_of(self.form, look, width, more=self.more))
        self.query_one(Aside).show(aside_text(outlook, self.since, look))

    def _with_typed(self, form: Form) -> Form:
        """What is wrong with the typed text takes the place of what was wrong with the field; a note only joins it."""
        typed, key = self.typed_problem, self.lines.editing
        if typed is None:
            return form
        kept = form.problems_of(key) if typed.level == "note" else ()
        return with_problems(form, key, (typed, *kept))

    def on_resize(self) -> None:
        """Another width wraps elsewhere."""
        self.call_after_refresh(self.draw)

    def explain(self) -> str:
        """The option under the cursor."""
        entry, section = self.form.entry(self.lines.key), self.form.section(self.lines.key)
        if entry is not None:
            return f"{entry.key}: {explained(entry.field)}"
        if section is not None:
            return f"{section.table}.use: Which component does this part of the work. {section.summary}".strip()
        return "The settings of the project. What is written here is in project.toml at once."

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

            kind = section.table
            if "[" in kind:
                raise InputError("A list of tables is edited in the file.", "e opens it.")
            ask_component(self.app, self.studio.look, kind, section.use, lambda name: self._switch(kind, name))
        elif entry is not None:
            self._edit(entry)

    def _edit(self, entry: Entry) -> None:
        from ftstudio.tui.screens.fields import ask_lines, ask_value, on_lines  # noqa: PLC0415

        f, look = entry.field, self.studio.look
        if entry.fixed:
            raise InputError(f"{entry.key} is shown as it stands.", "d takes it out, e opens the file.")
        if f.base == "bool" and not f.nullable:
            self.write({entry.key: not entry.in_force})
        elif f.base == "bool" or f.choices:
            ask_value(self.app, look, entry, self.write)
        elif on_lines(entry):
            ask_lines(self.app, look, entry, self.write)
        else:
            text = text_of(entry.value, ascii_only=look.ascii)
            self.lines.edit(entry.key, text, text_of(f.default, ascii_only=look.ascii) or "not set")
            self.studio.say("Enter writes, esc leaves it, down offers what may be meant; empty is the default.")
            self._try(entry, text)

    def _switch(self, kind: str, name: str) -> None:
        """Choose another component; say which of the former's options went out."""
        assert self.file.current is not None
        try:
            changes = switching(self.file.current, kind, name)
        except FtstudioError as error:
            self.studio.say_error(error)
            return
        gone = [key.partition(".")[2] for key, value in changes.items() if value is None]
        self.write(changes, said=f"{name} has no {', '.join(gone)}: taken out. u brings it back." if gone else "")

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

    def write(self, changes: Mapping[str, Any], said: str = "") -> None:
        """Write changed values into project.toml now."""
        if self.file.current is None:
            return
        try:
            self.file.write(changes)
        except FtstudioError as error:
            self._refused(error)
            return
        self._new_turn()
        if said:
            self.studio.say(said)

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

    def do_setup_undo(self) -> None:
        """Write the text from before the last change again."""
        before = self.file.current
        assert before is not None
        try:
            self.file.undo()
        except FtstudioError as error:
            self._refused(error)
            return
        assert self.file.current is not None
        self._new_turn()
        self.studio.say(f"Undone: {changed_words(before.source.table, self.file.current.source.table)}")

    def do_setup_reset(self) -> None:
        """Take the option under the cursor out of the file: its default holds again."""
        entry = self.form.entry(self.lines.key)
        if entry is None or entry.value is None:
            self.studio.say("Nothing is set here.")
        elif "[" in entry.table:
            self.studio.say("A list of tables is edited in the file: e opens it.")
        elif entry.field.required:
            self.studio.say(f"{entry.key} must be given.")
        else:
            self.write({entry.key: None})

    def do_setup_fix(self) -> None:
        """Take the fix of the problem under the cursor; else go to the next one that has a fix."""
        assert self.file.current is not None
        for problem in self.form.problems_of(self.lines.key):
            changes = fix_of(self.file.current, problem)
            if changes:
                self.write(changes, said=f"Fixed: {', '.join(f'{k} = {toml_of(v)}' for k, v in changes.items())}")
                return
        keys = [k for k in self.form.all_keys() if any(p.edit for p in self.form.problems_of(k))]
        if keys:
            self.lines.lines.put_cursor(keys[0])
            self.studio.say("This one has a fix: f takes it.")
        else:
            self.studio.say("No problem here has a fix that can be taken.")

    def do_setup_copy(self) -> None:
        """Write the run's settings into the project, after a yes."""
        from ftstudio.tui.screens.asking import Confirming  # noqa: PLC0415 - made when it is asked for

        changes, since = self.since.settings(), self.since
        if not changes:
            raise InputError("Only observers differ.", "They are a list of tables: e opens the file.")
        shown = {key: (since.changes[key][1], before) for key, before in changes.items()}

        def answered(yes: bool | None) -> None:
            if yes:
                self.write(changes, said=f"{FILE} has the settings of run {since.run}. u undoes.")

        text = changes_text(shown, self.studio.look)
        self.app.push_screen(Confirming(f"Take the settings of run {since.run}?", text), answered)

    # ----------------------------------------------------------------------------------------- actions

    def why_not(self, id: str) -> str:
        """Why an action cannot be taken now."""
        if id == "setup.editor":
            return ""
        if id == "setup.edit" and self.studio.manners.readonly:
            return "The studio was opened with --readonly."
        if id.startswith("setup.") and self.file.current is None:
            return f"{FILE} cannot be read: e opens it." if self.error else f"{FILE} is being read."
        if id == "setup.undo" and not self.file.can_undo:
            return "Nothing was written here that can be undone."
        if id in {"setup.settings", "setup.copy"} and self.run is None:
            return "There is no run yet. S starts one."
        if id == "setup.copy" and not self.since.changes:
            return self.since.problem or f"The project has the settings of run {self.since.run}."
        if id == "setup.deep" and self.outlook is not None and self.outlook.errors:
            return "There are errors: mend them first."
        return ""

    def do_setup_more(self) -> None:
        """Show all options, or the first ones again."""
        self.more = not self.more
        self.draw()

    def do_setup_view(self) -> None:
        """Turn between the form and what it means, where both have no room."""
        self.toggle_class("aside")
        only_aside = self.has_class("aside") and not self.screen.has_class("wide")
        (self.query_one(Aside) if only_aside else self.lines.lines).focus()

    def do_setup_editor(self) -> None:
        """Open project.toml in the person's editor, and read it again."""
        from ftstudio.tui.editor import open_editor  # noqa: PLC0415 - made when it is asked for

        code = open_editor(self.app, self.project / FILE)
        if code:
            self.studio.say(f"The editor ended with exit code {code}.")
        self.read_file(self.turn)

    def do_setup_deep(self) -> None:
        """Try everything once, in a process of its own."""
        from ftstudio.tui.screens.deep_check import DeepCheck  # noqa: PLC0415 - made when it is asked for

        def checked(_: None) -> None:
            if self.file.current is not None:
                self.look_ahead(self.turn, self.file.current)

        assert self.file.current is not None
        self.app.push_screen(DeepCheck(self.file.current), checked)

    def do_setup_settings(self) -> None:
        """Show the settings that the run was made with."""
        from ftstudio.runs.record import read_record  # noqa: PLC0415 - loads the plugins
        from ftstudio.tui.screens.showing import Showing  # noqa: PLC0415 - made when it is asked for

        assert self.run is not None
        look = self.studio.look
        title = look.plain(f"Settings of {self.run.title}, as they were frozen", "bold")
        self.app.push_screen(Showing(title, look.lines(toml_text(read_record(self.run).settings))))


def _stamp(path: Path) -> tuple[int, ...]:
    """Changes whenever the file is written."""
    try:
        info = path.stat()
    except OSError:
        return (0,)
    return (info.st_mtime_ns, info.st_size, info.st_ino)
