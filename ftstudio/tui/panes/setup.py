"""Setup: the project's settings as a form, or a run's, and what can be done with them besides typing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from ftstudio.errors import FtstudioError, InputError
from ftstudio.finding import FILE
from ftstudio.runs.folder import RunFolder
from ftstudio.text import quote
from ftstudio.tui.actions import READONLY, bindings
from ftstudio.tui.background import Asks
from ftstudio.tui.copying import copy
from ftstudio.tui.form import as_frozen, fix_of, sections
from ftstudio.tui.form_rows import rows_of
from ftstudio.tui.larger import explained
from ftstudio.tui.panes.form import FormPane
from ftstudio.tui.since import changed_words, changes_text
from ftstudio.tui.typed import toml_of
from ftstudio.tui.widgets.aside import Aside, run_text
from ftstudio.tui.widgets.line_input import LineInput
from ftstudio.tui.widgets.lines import Row

if TYPE_CHECKING:
    from ftstudio.project import Project

CHANGES = frozenset({"setup.edit", "setup.fix", "setup.undo", "setup.reset", "setup.editor", "setup.deep"})
"""What is done with the project's settings, and never with a run's."""


class SetupPane(FormPane, Asks):
    """The form with its keys: undo, fixes, defaults, an editor, a deep check; in its place a run's settings."""

    SCOPED_CSS = False  # what is shown depends on how wide the screen is
    DEFAULT_CSS = """
    SetupPane.aside FormLines { display: none; }
    SetupPane.aside Aside { display: block; width: 1fr; border-left: none; }
    .wide SetupPane.aside FormLines { display: block; }
    .wide SetupPane.aside Aside { width: 54; border-left: vkey $panel; }
    SetupPane #find { display: none; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("setup")]

    def __init__(self, project: Path) -> None:
        super().__init__(project)
        self.frozen: tuple[RunFolder, Project] | None = None
        """The run whose settings stand in the form's place, and the project as it was then."""
        self._sought = ""
        """What an option's name holds that is looked for."""

    def compose(self) -> ComposeResult:
        """The form, and below it the line for what is looked for."""
        yield from super().compose()
        yield LineInput(placeholder="go to an option: a part of its name", id="find")

    def explain(self) -> str:
        """What it means where only that is shown, else the option under the cursor."""
        if self._only_aside:
            return (
                "What the settings mean: how much work the run is, what it needs, and what changed since the last run."
                f" {self.studio.key('setup.view')} turns back to the form."
            )
        said = self._explained()
        return (
            said if self.frozen is None else f"{said}\n\nSo run {self.frozen[0].name} was made, which stays as it is."
        )

    def _explained(self) -> str:
        entry, section = self.form.entry(self.lines.key), self.form.section(self.lines.key)
        if entry is not None:
            return f"{entry.key}: {explained(entry.field)}"
        if section is not None and section.kind == "observer" and not section.use:
            return "The place for one more observer, which is told all that a run reports. Enter adds one."
        if section is not None:
            said = f"{section.summary[:1].upper()}{section.summary[1:].removesuffix('.')}." if section.summary else ""
            return f"{section.table}.use: Which component does this part of the work. {said}".strip()
        return "The settings of the project. What is written here is in project.toml at once."

    def why_not(self, id: str) -> str:
        """Why an action cannot be taken now."""
        if self.frozen is not None and id in CHANGES:
            return f"Run {self.frozen[0].name} stays as it was made: {self._frozen_keys()}."
        if id == "setup.editor":
            return ""
        if id == "setup.edit" and self.studio.manners.readonly:
            return READONLY
        if id == "setup.undo" and self.file.gone:
            return ""
        if id.startswith("setup.") and id != "setup.settings" and self.file.current is None:
            return (
                f"{FILE} cannot be read. {self.studio.way_on('setup.editor', 'opens it')}"
                if self.error
                else f"{FILE} is being read."
            )
        if id == "setup.fix" and not self.form.fixable():
            return "No problem here has a fix that can be taken."
        if id == "setup.undo" and self.file.no_undo:
            return self.file.no_undo
        if id in {"setup.settings", "setup.copy"} and self.run is None:
            return f"There is no run yet. {self.studio.way_on('run.start', 'starts one')}"
        if id == "setup.copy" and not self.since.changes:
            return self.since.problem or f"The project has the settings of run {self.since.run}."
        if id == "setup.deep" and self.outlook is not None and self.outlook.errors:
            return "There are errors: mend them first."
        return ""

    # ----------------------------------------------------------------------------------------- writing

    def do_setup_undo(self) -> None:
        """Write the text from before the last change again; of a file that is gone, what it said."""
        before = self.file.current
        try:
            self.file.undo()
        except FtstudioError as error:
            self._refused(error)
            return
        assert self.file.current is not None
        self.error = None
        self._new_turn()
        if before is None:
            self.studio.say(f"{FILE} is there again.")
            return
        self.studio.say(f"Undone: {changed_words(before.source.table, self.file.current.source.table)}")

    def do_setup_reset(self) -> None:
        """Take the option under the cursor out of the file: its default holds again; or a whole observer."""
        entry, section = self.form.entry(self.lines.key), self.form.section(self.lines.key)
        if section is not None and section.kind == "observer" and section.use:
            self.write(
                {section.table: None},
                said=f"Observer {section.use} is out of the file. {self.studio.key('setup.undo')} brings it back.",
            )
        elif entry is None or entry.value is None:
            self.studio.say("Nothing is set here.")
        elif entry.table.startswith("settings.") or "." in entry.field.name:
            self.studio.say(f"That is edited in the file: {self.studio.key('setup.editor')} opens it.")
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
        self.lines.lines.put_cursor(self.form.fixable()[0])
        self.studio.say(f"This one has a fix: {self.studio.key('setup.fix')} takes it.")

    def do_setup_copy(self) -> None:
        """Write the run's settings into the project, after a yes."""
        from ftstudio.tui.screens.asking import Confirming  # noqa: PLC0415 - made when it is asked for

        changes, since = self.since.settings(), self.since
        if not changes:
            raise InputError("Only observers differ.", "They are changed in the form.")
        shown = {key: (since.changes[key][1], before) for key, before in changes.items()}

        def answered(yes: bool | None) -> None:
            if yes:
                self._show_frozen(None)
                self.write(
                    changes, said=f"{FILE} has the settings of run {since.run}. {self.studio.key('setup.undo')} undoes."
                )

        text = changes_text(shown, self.studio.look)
        self.app.push_screen(Confirming(f"Take the settings of run {since.run}?", text), answered)

    def do_copy(self) -> None:
        """The option under the cursor as `--set` takes it; of a component, that it is chosen."""
        entry, section = self.form.entry(self.lines.key), self.form.section(self.lines.key)
        if entry is not None and entry.in_force is not None:
            self.studio.say(copy(self.app, f"{entry.key}={toml_of(entry.in_force)}"))
        elif section is not None and section.use:
            self.studio.say(copy(self.app, f"{section.table}.use={toml_of(section.use)}"))
        else:
            self.studio.say("Nothing is set here.")

    # ----------------------------------------------------------------------------------------- looking

    def do_setup_more(self) -> None:
        """Show all options, or the first ones again."""
        self.more = not self.more
        self.draw()

    def do_setup_find(self) -> None:
        """Type a part of an option's name."""
        if self._only_aside:
            self.do_setup_view()
        field = self.query_one("#find", Input)
        field.display, field.value = True, ""
        field.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go to the next option of that name."""
        self._leave_find()
        self._sought = event.value.strip()
        if self._sought:
            self.do_setup_next()

    def _leave_find(self) -> bool:
        """Away with the line; whether it was there."""
        field = self.query_one("#find", Input)
        there = field.display
        if there:
            field.display = False
            self.lines.lines.focus()
        return there

    def do_setup_next(self) -> None:
        """The next option of the name that is looked for, behind the last one again the first; unfold it if need be."""
        key = self.studio.key
        if self._only_aside:
            self.do_setup_view()
        if not self._sought:
            raise InputError("Nothing was looked for yet.", f"{key('setup.find')} finds an option by its name.")
        found = self.form.named(self._sought)
        if not found:
            self.studio.say(f"No option's name holds {quote(self._sought)}.")
            return
        order = self.form.named("")
        here = order.index(self.lines.key) if self.lines.key in order else -1
        wanted = next((name for name in found if order.index(name) > here), found[0])
        if not self.more and all(row.key != wanted for row in self.lines.lines.rows):
            self.do_setup_more()
        self.lines.lines.put_cursor(wanted)
        number = found.index(wanted) + 1
        further = f", {number} of {len(found)}: {key('setup.next')} goes to the next." if len(found) > 1 else ""
        self.studio.say(wanted + further)

    def do_setup_view(self) -> None:
        """Turn between the form and what it means, where both have no room."""
        self.toggle_class("aside")
        (self.query_one(Aside) if self._only_aside else self.lines.lines).focus()

    @property
    def _only_aside(self) -> bool:
        return self.has_class("aside") and not self.screen.has_class("wide")

    def do_setup_editor(self) -> None:
        """Open project.toml in the person's editor, and read it again."""
        from ftstudio.tui.editor import open_editor  # noqa: PLC0415 - made when it is asked for

        try:
            open_editor(self.app, self.project / FILE)
        finally:
            self.read_file(self.turn)

    def do_setup_deep(self) -> None:
        """Try everything once, in a process of its own."""
        from ftstudio.tui.screens.deep_check import DeepCheck  # noqa: PLC0415 - made when it is asked for

        def checked(_: None) -> None:
            if self.file.current is not None:
                self.look_ahead(self.turn, self.file.current)

        assert self.file.current is not None
        self.app.push_screen(DeepCheck(self.file.current), checked)

    # ------------------------------------------------------------------------------------- a run's settings

    def do_setup_settings(self) -> None:
        """Show the settings that the run was made with, or the project's again."""
        if self.frozen is not None:
            self._show_frozen(None)
        else:
            self._read_frozen()

    def _read_frozen(self) -> None:
        """In a thread: it asks the plugins."""
        run = self.run
        if run is not None:
            self.ask(lambda: (run, _as_made(run)), self._take_frozen, group="frozen")

    def _take_frozen(self, made: tuple[RunFolder, Project | FtstudioError]) -> None:
        run, project = made
        if run != self.run or not self.display:  # somebody went on meanwhile
            return
        if isinstance(project, FtstudioError):
            self._show_frozen(None)  # another run's settings would stand below this one's name
            self.studio.say_error(project)
        else:
            self._show_frozen((run, project))

    def _show_frozen(self, frozen: tuple[RunFolder, Project] | None) -> None:
        self.frozen = frozen
        self.draw()
        self.project_screen.refresh_keys()

    def _frozen_keys(self, whose: str = "its") -> str:
        """What leads on from a run's settings."""
        uses = "" if self.studio.manners.readonly else f"{self.studio.key('setup.copy')} uses {whose} settings, "
        return f"{uses}{self.studio.key('setup.settings')} goes back"

    def show_run(self, run: RunFolder | None) -> None:
        """Another run's settings take the place of those of the one before."""
        super().show_run(run)
        if self.frozen is not None and run != self.frozen[0]:
            if run is None:
                self._show_frozen(None)
            self._read_frozen()

    def leave(self) -> None:
        """Whoever comes back sees the project's settings."""
        super().leave()
        self._leave_find()
        if self.frozen is not None:
            self._show_frozen(None)

    def go_back(self) -> bool:
        """Away with the line for what is looked for; else from a run's settings to the project's."""
        if self._leave_find():
            return True
        there = self.frozen is not None
        if there:
            self._show_frozen(None)
        return there

    def draw(self) -> None:
        """The form of the project, or of a run."""
        if self.frozen is None:
            super().draw()
            return
        look, (run, project) = self.studio.look, self.frozen
        self.form = as_frozen(sections(project, ()))
        title = look.plain(f" Run {run.name}, as it was made: {self._frozen_keys('these')}", "bold reverse")
        rows = rows_of(self.form, look, self.form_width, more=self.more, rest=self.studio.key("setup.more"))
        self.lines.set_rows([Row(None, title), *rows])
        self.query_one(Aside).show(run_text(self.since, look))


def _as_made(run: RunFolder) -> Project | FtstudioError:
    """The project as it was when the run was made, or why that cannot be said."""
    from ftstudio.runs.record import frozen_project  # noqa: PLC0415 - loads the plugins

    try:
        return frozen_project(run)
    except FtstudioError as error:
        return error
