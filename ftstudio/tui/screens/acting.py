"""What is done to a run, alike on Home, to the one under the cursor, and in a project, to the one in its header."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from ftstudio.errors import InputError
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.status import LIVE, Status
from ftstudio.tui.screens.base import StudioScreen

if TYPE_CHECKING:
    from ftstudio.runs.control import Request

OF_LIVE = frozenset({"run.stop", "run.checkpoint", "run.kill"})
OF_ANY = frozenset({"run.previous", "run.next", "run.list", "run.note", "run.pin", "run.fork"})


class ActingScreen(StudioScreen):
    """A screen with a current run. What only an action needs is imported when it is taken: Home paints before."""

    def current(self) -> Path | None:
        """The folder of the run that is acted on."""
        raise NotImplementedError

    def started(self, run: Path) -> None:
        """A run was started from here."""
        raise NotImplementedError

    @property
    def status(self) -> Status | None:
        """The current run as the files were at the last look."""
        path = self.current()
        return self.studio.found.statuses.get(path) if path else None

    @property
    def run(self) -> RunFolder | None:
        """The current run's folder."""
        path = self.current()
        return RunFolder(path) if path else None

    def why_not(self, id: str) -> str:
        """Why an action on the run cannot be taken now."""
        state = self.status.state if self.status else None
        if id in OF_LIVE and state not in LIVE:
            return "There is no run yet." if state is None else f"The run is {state}: there is nothing to ask of it."
        if id == "run.resume" and (state is None or state in LIVE or state == "finished"):
            return "There is no run yet." if state is None else f"The run is {state}: there is nothing to resume."
        if id in OF_ANY and state is None:
            return f"There is no run yet. {self.studio.way_on('run.start', 'starts one')}"
        return ""

    def do_run_stop(self) -> None:
        """Ask the run to stop."""
        self._ask("stop", self.run)

    def do_run_checkpoint(self) -> None:
        """Ask for a checkpoint."""
        self._ask("checkpoint", self.run)

    def do_run_kill(self) -> None:
        """End the run at once, after a yes; it is the one that the question names, wherever the cursor is by then."""
        from ftstudio.tui.screens.asking import Confirming  # noqa: PLC0415

        run = self.run
        assert run is not None

        def answered(yes: bool | None) -> None:
            if yes:
                self._ask("kill", run)

        text = Text("What came after its last checkpoint is lost.")
        title = self.studio.look.plain(f"Kill {run.title}?").plain
        self.app.push_screen(Confirming(title, text), answered)

    def _ask(self, what: Request, run: RunFolder | None) -> None:
        from ftstudio.process.asking import request  # noqa: PLC0415

        assert run is not None
        self.say(f"{run.title}: {request(run, what)}")

    def do_run_resume(self) -> None:
        """Go on with the run."""
        from ftstudio.process.launch import resume  # noqa: PLC0415

        assert self.run is not None
        attempt = resume(self.run)
        self.studio.watcher.again(self.run.path)
        self.say(f"{self.run.title} goes on: attempt {attempt}.")

    def start(self, project: Path, parent: RunFolder | None = None) -> None:
        """Ask how a run is to start: with these settings, on that device."""
        from ftstudio.tui.screens.start import Start  # noqa: PLC0415

        def started(run: Path | None) -> None:
            if run is not None:
                self.started(run)

        self.app.push_screen(Start(project, parent), started)

    def do_run_fork(self) -> None:
        """Start a run from a checkpoint of this one."""
        if self.run is None:
            raise InputError("There is no run to go out from.", self.studio.way_on("run.start", "starts one"))
        self.start(self.run.project, self.run)

    def do_run_note(self) -> None:
        """Write on the run; an empty text takes the note away."""
        from ftstudio.runs.notes import note_of, write_note  # noqa: PLC0415
        from ftstudio.tui.screens.asking import Asking  # noqa: PLC0415

        run = self.run
        assert run is not None

        def answered(text: str | None) -> None:
            if text is not None:
                self.say(f"{run.title}: the note is {'written' if text else 'gone'}.")

        title, hint = f"Note on {run.title}", "enter writes, esc leaves it; an empty text takes the note away"
        asking = Asking(title, note_of(run).text, hint, check=lambda text: write_note(run, text))
        self.app.push_screen(asking, answered)

    def do_run_pin(self) -> None:
        """Pin the run, or unpin it."""
        from ftstudio.runs.notes import note_of, write_note  # noqa: PLC0415

        run = self.run
        assert run is not None
        pinned = write_note(run, pinned=not note_of(run).pinned).pinned
        self.say(f"{run.title} is {'pinned' if pinned else 'no longer pinned'}.")
