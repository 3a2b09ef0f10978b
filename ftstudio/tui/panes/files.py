"""Files: what the current run holds, checkpoint by checkpoint, and making room in it.

All that is written goes through the functions of `ftstudio prune` and `ftstudio rm`; what is deleted for good is first
tried without deleting, so that one question says the sizes before and after.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from ftstudio.errors import FtstudioError, InputError
from ftstudio.runs import trash
from ftstudio.runs.checkpoints import verify
from ftstudio.runs.disk import Held, freed_by
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.housekeeping import Keep, Pruned, prune
from ftstudio.text import plural, size_text
from ftstudio.tui.actions import bindings
from ftstudio.tui.background import Asks
from ftstudio.tui.contents import Contents, read_contents
from ftstudio.tui.copying import copy
from ftstudio.tui.look import Look
from ftstudio.tui.panes.base import Pane
from ftstudio.tui.watch import Seen
from ftstudio.tui.widgets.lines import Lines, Row

SAY_EVERY = 0.3
"""Seconds between two words on how far the hashing is."""


class FilesPane(Pane, Asks):
    """A line for each thing that the run holds. Marks belong to checkpoints, and go with the run that is left."""

    DEFAULT_CSS = "FilesPane Static { height: auto; max-height: 4; background: $surface; }"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("files")]

    def __init__(self, project: Path) -> None:
        super().__init__(project)
        self.contents = Contents(None)
        self.marked: set[int] = set()
        self.checked: dict[Path, str] = {}
        """Checkpoint -> what verifying it said; "" is good."""
        self._run: RunFolder | None = None
        self._stale, self._next_look = True, 0.0

    def compose(self) -> ComposeResult:
        """One list, and below it the whole path of what is under the cursor."""
        yield Lines()
        yield Static("", markup=False)

    # --------------------------------------------------------------------------------------- reading

    def enter(self) -> None:
        """Take the focus, and look."""
        self.query_one(Lines).focus()
        self._stale = True

    def show_run(self, run: RunFolder | None) -> None:
        """Another run, or the same one again."""
        if run != self._run:
            self._run = run
            self.marked.clear()
            self.checked.clear()
        self.look_again()

    def seen(self, seen: Seen) -> None:
        """Look again when the run changed, but not more than a small part of the time."""
        if self.project_screen.run != self._run:
            self.show_run(self.project_screen.run)
        self._stale |= self._run is not None and self._run.path in seen.changed
        if self._stale and time.monotonic() >= self._next_look:
            self.look_again()

    def look_again(self) -> None:
        """Read what is there, in a thread."""
        project, run = self.project, self._run
        self._stale = False
        self.ask(lambda: read_contents(project, run), self.take, group="look")

    def take(self, contents: Contents) -> None:
        """Draw it."""
        self.contents = contents
        self._next_look = time.monotonic() + max(2.0, 20 * contents.seconds)
        self.marked &= {held.step for held in contents.checkpoints if held.step is not None}
        self.draw()

    def draw(self) -> None:
        """All lines."""
        rows = [*self._run_rows(), *self._trash_rows()]
        self.query_one(Lines).set_rows(rows)
        self._draw_words()
        self.project_screen.refresh_keys()

    def on_lines_moved(self, event: Lines.Moved) -> None:
        """Something else is under the cursor."""
        self._draw_words()
        self.project_screen.refresh_keys()

    def _draw_words(self) -> None:
        key, look = self.key, self.studio.look
        text = Text()
        if isinstance(key, Path):
            said = self.checked.get(key) or dict(self.contents.quarantine).get(key, "")
            text = Text.assemble(look.plain(f" {key}", "dim"), "\n" * bool(said), look.lines(said.strip(), "red"))
        self.query_one(Static).update(text)

    def _run_rows(self) -> Iterator[Row]:
        look, use = self.studio.look, self.contents.use
        if use is None:
            yield Row(None, Text(f" There is no run yet. {self.studio.way_on('run.start', 'starts one')}"))
            return
        title = Text.assemble(" ", look.plain(use.run.title, "bold"), f"  {size_text(use.bytes)}", end="", no_wrap=True)
        title.append("  pinned", "bold") if self.contents.note.pinned else None
        yield Row(
            None, title.append_text(look.plain(f"  {self.contents.note.text}" if self.contents.note.text else ""))
        )
        if not self.contents.checkpoints:
            yield Row(None, Text("   no checkpoint yet", "dim"))
        for held in reversed(self.contents.checkpoints):
            yield Row(held.path, self._checkpoint_line(held))
        for folder, reason in self.contents.quarantine:
            yield Row(folder, _line("!", folder.name, None, f"damaged: {reason.strip()}", look, "red"))
        names = {"final": "final model", "origin": "origin of the fork", "logs": "events and console", "other": "other"}
        for held in use.held:
            if held.what in names and held.bytes:
                shared = (
                    "its weights are a checkpoint's, counted here"
                    if held.what == "final" and self._is_linked(held)
                    else ""
                )
                yield Row(held.path if held.what == "final" else None,
                          _line(" ", names[held.what], held.bytes, shared, look))  # fmt: skip

    def _is_linked(self, final: Held) -> bool:
        """Whether final/ shares its weights with a checkpoint, so that its own size is small."""
        return any(p.stat().st_nlink > 1 for p in final.path.glob("*.safetensors"))

    def _checkpoint_line(self, held: Held) -> Text:
        look = self.studio.look
        marks = " ".join(word for word, holds in (("best", held.best), ("last", held.last)) if holds)
        optimizer = f"optimizer {size_text(held.optimizer_bytes)}" if held.optimizer_bytes else "no optimizer state"
        text = _line(look.mark if held.step in self.marked else " ", f"step {held.step:,}", held.bytes, "", look)
        text.append(f"{marks:<9}", "bold").append(f"  {optimizer:<20}", "" if held.optimizer_bytes else "dim")
        if held.path in self.checked:
            said = self.checked[held.path]
            text.append_text(look.plain(f"  {look.words('✗' if said else '✓')} {'damaged' if said else 'verified'}",
                                        "red" if said else "green"))  # fmt: skip
        return text

    def _trash_rows(self) -> Iterator[Row]:
        look, removed = self.studio.look, self.contents.trash
        if removed:
            yield Row(None, Text(" Trash", "bold").append(f"  {size_text(sum(s for _, s in removed))}", ""))
        for place, size in removed:
            yield Row(place, _line(" ", f"run {place.name}", size, "", look))

    def explain(self) -> str:
        """For help."""
        return (
            "A checkpoint can be sampled from, forked and, with its optimizer state, resumed; more of them take more "
            "disk. What is deleted here is gone, but a removed run lies in the trash until that is emptied."
        )

    # --------------------------------------------------------------------------------------- actions

    @property
    def key(self) -> Hashable:
        """What is under the cursor."""
        return self.query_one(Lines).key

    @property
    def picked(self) -> list[Held]:
        """The marked checkpoints, else the one under the cursor."""
        there = self.contents.checkpoints
        return [h for h in there if h.step in self.marked] or [h for h in there if h.path == self.key]

    def why_not(self, id: str) -> str:
        """Why an action cannot be taken now."""
        if id in {"files.mark", "files.prune", "files.optimizer"} and not self.picked:
            return "No checkpoint is marked or under the cursor."
        if id in {"files.verify", "files.old"} and not self.contents.checkpoints:
            return "There is no checkpoint."
        if id == "files.remove" and self._run is None:
            return "There is no run."
        if id == "files.restore" and self.key not in dict(self.contents.trash):
            return "No removed run is under the cursor."
        if id == "files.empty" and not self.contents.trash:
            return "The trash is empty."
        return ""

    def do_files_mark(self) -> None:
        """Mark the checkpoint under the cursor, or take its mark away, and go to the next."""
        held = next((h for h in self.contents.checkpoints if h.path == self.key), None)
        if held is not None and held.step is not None:
            self.marked ^= {held.step}
            self.draw()
            self.query_one(Lines).action_move(1)

    def do_files_old(self) -> None:
        """Mark what is neither best nor last."""
        old = {h.step for h in self.contents.checkpoints if h.step is not None and not h.best and not h.last}
        self.marked = set() if self.marked == old else old
        self.draw()
        if not old:
            self.project_screen.say("Every checkpoint is the best or the last.")

    def do_copy(self) -> None:
        """The path of what is under the cursor, else of the run."""
        path = self.key if isinstance(self.key, Path) else self._run.path if self._run else None
        if path is None:
            raise InputError("There is no file to copy the path of.")
        self.studio.say(copy(self.app, str(path)))

    # ---------------------------------------------------------------------------------------- verify

    def do_files_verify(self) -> None:
        """Hash the marked ones, or all, one after the other."""
        wanted = [h for h in self.contents.checkpoints if h.step in self.marked] or self.contents.checkpoints
        self.ask(lambda: self._verify(wanted), self._verified, group="verify")

    def _verify(self, wanted: list[Held]) -> int:
        """In a thread: how many were good."""
        good = 0
        for number, held in enumerate(wanted, start=1):
            said = ""
            try:
                verify(held.path, told=self._progress(held, f"{number} of {len(wanted)}"))
                good += 1
            except (ValueError, FtstudioError) as error:
                said = str(error)
            self.tell(self._checked_one, (held.path, said))
        return good

    def _progress(self, held: Held, which: str) -> Callable[[int], None]:
        """Says how far the hashing of a checkpoint is, a few times a second."""
        done, said_at = 0, float("-inf")

        def told(count: int) -> None:
            nonlocal done, said_at
            done += count
            if time.monotonic() - said_at >= SAY_EVERY:
                said_at = time.monotonic()
                self.tell(self.project_screen.say, f"Reading step {held.step:,}, {which}: {size_text(done)} so far")

        return told

    def _checked_one(self, answer: tuple[Path, str]) -> None:
        self.checked[answer[0]] = answer[1]
        self.draw()

    def _verified(self, good: int) -> None:
        bad = [path for path, said in self.checked.items() if said]
        if bad:
            differ = "differs" if len(bad) == 1 else "differ"
            self.project_screen.say(f"{plural(len(bad), 'checkpoint')} {differ} from what was committed.")
        else:
            self.project_screen.say(f"{plural(good, 'checkpoint')} verified: every byte is what was committed.")

    # ----------------------------------------------------------------------------------------- prune

    def do_files_prune(self) -> None:
        """Say what deleting them would free, ask, delete."""
        self._prune(drop_optimizer=False)

    def do_files_optimizer(self) -> None:
        """Say what dropping their optimizer state would free, ask, drop it."""
        self._prune(drop_optimizer=True)

    def _prune(self, *, drop_optimizer: bool) -> None:
        run = self._run
        assert run is not None
        picked = {h.step for h in self.picked if h.step is not None}
        kept = {h.step for h in self.contents.checkpoints if h.step is not None} - picked
        keep = Keep(best=False, last=False, steps=frozenset(kept))
        self.project_screen.say("Reading what would stay ...")

        def now(dry_run: bool) -> Callable[[], Pruned]:
            return lambda: prune(run, keep, drop_optimizer=drop_optimizer, dry_run=dry_run)

        def answered(yes: bool | None) -> None:
            if yes:
                self.ask(now(False), self._pruned, group="prune")

        def tried(would: Pruned) -> None:
            self._ask_whether(would, picked, answered, drop_optimizer=drop_optimizer)

        self.ask(now(True), tried, group="prune")

    def _ask_whether(
        self, would: Pruned, picked: set[int], answered: Callable[[bool | None], None], *, drop_optimizer: bool
    ) -> None:
        from ftstudio.tui.screens.asking import Confirming  # noqa: PLC0415 - made when it is asked for

        said = list(would.said)
        without = [h.step for h in self.picked if not h.optimizer_bytes and h.step is not None]
        if drop_optimizer and without:
            said.append(f"Step {_steps(without)} has no optimizer state.")
        if picked & set(would.kept):
            said.append(f"Step {_steps(picked & set(would.kept))} stays: no other one verifies.")
        if not would.changed:
            reason = " ".join(said) or "There is nothing to delete."
            self.project_screen.say_error(InputError(reason, "Nothing was changed."))
            return
        title = f"Drop the optimizer state of step {_steps(would.changed)}?" if drop_optimizer else (
            f"Delete {plural(len(would.changed), 'checkpoint')} of {would.run.title}?"
        )  # fmt: skip
        lines = [] if drop_optimizer else [f"Step {_steps(would.changed)}"]
        lines += [
            f"{size_text(would.before)} before, {size_text(would.after)} after, {size_text(would.freed)} freed.",
            *said,
        ]
        lines += ["They can then be sampled from, but not be resumed."] if drop_optimizer else []
        self.app.push_screen(Confirming(title, self.studio.look.lines("\n".join(lines))), answered)

    def _pruned(self, done: Pruned) -> None:
        self.marked.clear()
        self.project_screen.say(f"{size_text(done.freed)} freed; {done.run.title} holds {size_text(done.after)} now.")
        self.look_again()

    # ----------------------------------------------------------------------------------------- trash

    def do_files_remove(self) -> None:
        """Ask, and move the run into the trash."""
        from ftstudio.tui.screens.asking import Confirming  # noqa: PLC0415 - made when it is asked for

        run, use = self._run, self.contents.use
        assert run is not None

        def answered(yes: bool | None) -> None:
            if yes:
                self.ask(lambda: trash.remove(run), partial(self._removed, run), group="trash")

        size = size_text(use.bytes) if use else ""
        text = Text(
            f"{size} move into .trash; {self.studio.key('files.restore')} brings them back, "
            f"and nothing is freed before {self.studio.key('files.empty')} empties it."
        )
        self.app.push_screen(Confirming(f"Remove {run.title}?", text), answered)

    def _removed(self, run: RunFolder, removed: trash.Removed) -> None:
        self.project_screen.let_go(run.path)
        self.project_screen.say(f"Run {removed.path.name} is in the trash; B on its line brings it back.")
        self.look_again()

    def do_files_restore(self) -> None:
        """Bring the run under the cursor back."""
        place = self.key
        assert isinstance(place, Path)
        self.ask(lambda: trash.restore(place), self._restored, group="trash")

    def _restored(self, run: RunFolder) -> None:
        self.project_screen.say(f"{run.title} is back.")
        self.look_again()

    def do_files_empty(self) -> None:
        """Ask, and delete for good."""
        from ftstudio.tui.screens.asking import Confirming  # noqa: PLC0415 - made when it is asked for

        project = self.project

        def answered(yes: bool | None) -> None:
            if yes:
                self.ask(lambda: trash.purge(project), self._emptied, group="trash")

        names = ", ".join(place.name for place, _ in self.contents.trash)
        size = size_text(freed_by(place for place, _ in self.contents.trash))
        text = self.studio.look.lines(f"{names}: {size} would be freed. They cannot be brought back.")
        self.app.push_screen(Confirming("Delete what lies in the trash for good?", text), answered)

    def _emptied(self, freed: int) -> None:
        self.project_screen.say(f"The trash is empty; {size_text(freed)} freed.")
        self.look_again()


def _steps(steps: object) -> str:
    """Steps in words: "50, 100"."""
    assert isinstance(steps, (list, tuple, set, frozenset))
    return ", ".join(f"{step:,}" for step in sorted(steps))


def _line(mark: str, name: str, size: int | None, words: str, look: Look, style: str = "") -> Text:
    title = look.cell(name, 22, style)
    shown = "" if size is None else size_text(size)
    text = Text.assemble(f" {mark} ", title, f" {shown:>8}  ", end="", no_wrap=True)
    return text.append_text(look.plain(words, style))
