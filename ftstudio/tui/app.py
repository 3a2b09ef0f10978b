"""The studio's app: its screens, what all of them share, and the one thread that reads files.

docs/studio.md says how the parts meet. `Studio` holds no state that a file does not hold too.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.binding import BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.css.query import NoMatches
from textual.events import Event, InputEvent, Key, Paste, Resize
from textual.filter import LineFilter, NoColor
from textual.screen import Screen
from textual.worker import get_current_worker

from ftstudio.errors import FtstudioError, InputError
from ftstudio.finding import FILE, holds
from ftstudio.runs.find import is_run
from ftstudio.runs.state import LIVE
from ftstudio.tui.actions import READONLY, Action, action_of, writes
from ftstudio.tui.harmless import Harmless
from ftstudio.tui.keymap import clashes, key_of, usable
from ftstudio.tui.last_touch import AsciiOnly
from ftstudio.tui.look import Look
from ftstudio.tui.memory import Memory
from ftstudio.tui.own_terminal import leave_when_told, own_terminal
from ftstudio.tui.screens.base import SMALLEST, StudioScreen
from ftstudio.tui.screens.home import Home
from ftstudio.tui.type_ahead import TypeAhead
from ftstudio.tui.watch import Found, Seen, Watcher

if TYPE_CHECKING:
    from ftstudio.process.bench import Bench

LOOK_SECONDS = 1.0
IDLE_SECONDS = 5.0
"""So long after the last key, click or paste, files are looked at half as often: being open should cost little."""
MOST_SAID = 4
"""Sentences on the keymap that the panel has room for."""
NO_KEY = "none"
"""What no key is called: Textual takes an empty word for the default's."""


@dataclass(frozen=True)
class Manners:
    """How the studio was opened: what its terminal can, and what the person allows."""

    ascii: bool = False
    mouse: bool = True
    readonly: bool = False


class Commands(Provider):
    """The palette: every action of what is shown, the nearest place first, with the reason when one is off now."""

    def _actions(self) -> Iterable[tuple[Action, str]]:
        screen = self.screen
        if isinstance(screen, StudioScreen):
            places = screen.places()
            for action in sorted(screen.offered(), key=lambda a: -places.index(a.place)):
                if action.id != "palette":
                    yield action, screen.why_off(action)

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for action, off in self._actions():
            yield DiscoveryHit(
                f"{action.words}  {action.key}", self._take(action), text=action.words, help=off or action.help
            )

    async def search(self, query: str) -> Hits:
        """Those whose words or help match, ranked by where they do."""
        match = self.matcher(query).match
        for action, off in self._actions():
            score = rank(query, action, match)
            if score > 0:
                yield Hit(
                    score,
                    f"{action.words}  {action.key}",
                    self._take(action),
                    text=action.words,
                    help=off or action.help,
                )

    def _take(self, action: Action) -> Any:
        screen = self.screen
        assert isinstance(screen, StudioScreen)
        return lambda: screen.action_act(action.id)


def rank(query: str, action: Action, match: Callable[[str], float]) -> float:
    """How well an action fits what was typed, 0 for not at all: by its name, and only then by its help, so that what
    merely speaks of a checkpoint never stands before the command of that name.

    `match` gives a fuzzy score of any size. Of names that begin alike the palette keeps the order.
    """
    typed, name = query.strip().casefold(), action.words.casefold()
    if name == typed:
        return 5
    if name.startswith(typed):
        return 4
    if any(word.startswith(typed) for word in name.split()):
        return 3
    for least, text in ((1, name), (0, action.help)):
        if (score := match(text)) > 0:
            return least + score / (1 + score)
    return 0


class Studio(TypeAhead):
    """The app. Screens are modes: Home, which is the default one, and one for each open project."""

    TITLE = "ftstudio"
    DEFAULT_MODE = "home"
    CSS_PATH: ClassVar[list[str | PurePath]] = ["app.tcss", "screens/home.tcss"]  # read with the first parsing
    COMMANDS: ClassVar[set[Any]] = {Commands}
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, root: Path, manners: Manners | None = None, memory: Memory | None = None) -> None:
        super().__init__()
        self.root = root
        self.manners = manners or Manners()
        self.look = Look(ascii=self.manners.ascii)
        self._harmless, self._ascii_only = Harmless(), AsciiOnly(self.manners.ascii)
        self._no_color = NoColor(self.no_color)
        self.memory = memory or Memory()
        self.watcher = Watcher(root)
        self.found = Found()
        self.keymap: Mapping[str, str] = {}
        """Which keys a person bound to which actions, as settings.toml has them."""
        self.touched = time.monotonic()
        """When somebody last pressed a key, moved the mouse or pasted."""
        self.compared: tuple[Path, ...] = ()
        """The runs that were marked on Home, until Compare takes them."""
        self.away_since = self.memory.seen_until(root) if root.is_dir() else 0.0
        self.animation_level = "none"
        self.over_ssh = "SSH_CONNECTION" in os.environ
        self._benches: dict[str, Bench] = {}
        self._leaves = threading.Event()
        """Set once the app ends, which would wait for the thread that looks at the files to have slept."""

    # ------------------------------------------------------------------------------------------- life

    @property
    def too_small(self) -> bool:
        """Whether there is no room for anything but the word that says so."""
        return self.has_class("too-small")

    def on_resize(self, event: Resize) -> None:
        """A terminal too small for anything says so, on whatever screen and over any dialog.

        All is painted again even at a size that it had: a terminal that was small for a moment has lost what it showed.
        """
        self.set_class(event.size.width < SMALLEST[0] or event.size.height < SMALLEST[1], "too-small")
        if self.screen_stack:
            self.screen.refresh()

    async def on_event(self, event: Event) -> None:
        """A key takes away what was said before it; where nothing can be seen, nothing can be done but leave."""
        from_person = isinstance(event, (InputEvent, Paste))
        if from_person:
            self.touched = time.monotonic()
        if from_person and not event.is_forwarded and self.too_small:
            if isinstance(event, Key) and event.key in {*action_of("leave", self.keymap).keys.split(","), "ctrl+q"}:
                self.exit()
            return
        if isinstance(event, Key) and not event.is_forwarded:
            screen = self.screen
            if isinstance(screen, StudioScreen) and screen.is_whole:
                screen.forget_said()
        await super().on_event(event)

    def on_load(self) -> None:
        """Find what the folder names and state.toml say: the first picture is made of it."""
        theme = self.memory.get("theme", str, "")
        if theme in self.available_themes:
            self.theme = theme
        self.found = self.watcher.look(quickly=True).found

    def on_mount(self) -> None:
        """Home can be come back to; go to the project that was open last."""
        if not self.is_headless:
            leave_when_told(lambda: self.exit(return_code=128 + signal.SIGTERM))
        self.add_mode(self.DEFAULT_MODE, Home)
        shown = self.memory.shown_project()
        if shown is not None and (shown in self.found.projects):
            self.call_later(self.open_project, shown, "", self.memory.run(shown))

    def on_ready(self) -> None:
        """The first picture is there: now for all else."""
        if not gc.isenabled():  # as it was opened by a person, not within another program
            gc.freeze()
            gc.enable()
        self._read_keymap()
        if self.root.is_dir():
            self.memory.opened(self.root)
        self.watch_files()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Whatever a widget draws, no control character leaves, with --ascii nothing that is not ASCII.

        With NO_COLOR no colour does, where Textual would take shades of grey.
        """
        colours = [self._no_color] if self.no_color else [*super().get_line_filters()]
        return [*colours, self._harmless, *([self._ascii_only] if self.manners.ascii else [])]

    def _read_keymap(self) -> None:
        from ftstudio.settings import read_settings  # noqa: PLC0415 - all that options are made of, 30 ms

        try:
            keymap = read_settings().keymap
        except InputError as error:
            said = [str(error)]
        else:
            said = clashes(keymap)
            self.set_keymap(keymap)
        if len(said) > MOST_SAID:
            said[MOST_SAID - 1 :] = [f"{len(said) - MOST_SAID + 1} more: Settings, in the palette, says all."]
        if said:
            self.say_error(InputError("\n".join(said), "It is in settings.toml."))

    def set_keymap(self, keymap: Mapping[str, str]) -> None:
        """Bind actions to other keys, and say so wherever keys are named."""
        self.keymap = usable(keymap)
        super().set_keymap({name: keys or NO_KEY for name, keys in self.keymap.items()})
        for screen in self.screen_stack:
            if isinstance(screen, StudioScreen) and screen.is_whole:
                screen.rebound()

    def key(self, id: str) -> str:
        """The key that takes an action, for a sentence that names it."""
        return key_of(id, self.keymap)

    def way_on(self, id: str, does: str) -> str:
        """A sentence on what leads on, "S starts one."; where that writes and nothing may be written, that."""
        return READONLY if self.manners.readonly and writes(id) else f"{self.key(id)} {does}."

    @work(thread=True, exclusive=True, group="watch")
    def watch_files(self) -> None:
        """Look at the files again and again; a look that the app has not taken in yet is waited for."""
        worker = get_current_worker()
        while not worker.is_cancelled:
            seen = self.watcher.look()
            self.call_from_thread(self._take_in, seen)
            self._leaves.wait(self.seconds_until_look() if seen.found.whole else 0.05)

    def seconds_until_look(self) -> float:
        """How long the files are left alone between two looks."""
        idle = time.monotonic() - self.touched > IDLE_SECONDS
        return 2 * LOOK_SECONDS if idle else LOOK_SECONDS

    def _take_in(self, seen: Seen) -> None:
        before, self.found = self.found, seen.found
        ended = [p for p in seen.changed if (s := seen.found.statuses.get(p)) is not None and s.state not in LIVE]
        watched = [p for p in ended if p not in before.statuses or before.statuses[p].state in LIVE]
        if before.whole and watched:
            self.memory.watched(watched)
        screen = self.screen if isinstance(self.screen, StudioScreen) else self.screen_stack[0]
        if isinstance(screen, StudioScreen) and screen.is_whole:  # one that is being made reads when it is there
            with contextlib.suppress(NoMatches):  # one that is being taken apart has no widgets any more
                screen.seen(seen)

    # --------------------------------------------------------------------------------------- projects

    def open_project(self, project: Path, pane: str = "", run: Path | None = None) -> None:
        """Show a project's screen, made at its first time."""
        from ftstudio.tui.screens.project import ProjectScreen  # noqa: PLC0415 - Home paints before it is needed

        name = f"project {project}"
        if name not in self._modes:
            self.add_mode(name, lambda: ProjectScreen(project, pane or self.memory.pane(project), run))
            self.switch_mode(name)
        else:
            self.switch_mode(name)
            screen = self.screen
            if isinstance(screen, ProjectScreen):
                screen.turn_to(pane, run)

    def open_home(self) -> None:
        """Show Home."""
        self.memory.showed(None)
        self.switch_mode(self.DEFAULT_MODE)

    def bench(self, purpose: str) -> Bench:
        """The workbench for "data" or "generate": one each, so that tokenising is in nobody's way. For any thread."""
        from ftstudio.process.bench import Bench  # noqa: PLC0415 - Home paints before it is needed

        return self._benches.setdefault(purpose, Bench())

    def on_unmount(self) -> None:
        """End what lives for this studio alone."""
        from ftstudio.describing import end_probes  # noqa: PLC0415 - Home paints before it is needed

        self._leaves.set()
        end_probes()
        for bench in self._benches.values():
            bench.close()

    # ----------------------------------------------------------------------------------------- saying

    def say(self, text: str) -> None:
        """One line at the bottom for a few seconds."""
        if isinstance(self.screen, StudioScreen):
            self.screen.say(text)

    def say_error(self, error: FtstudioError) -> None:
        """An error as a panel with the next step, until it is dismissed."""
        if isinstance(self.screen, StudioScreen):
            self.screen.say_error(error)

    def leave_words(self) -> str:
        """What is said on the shell after leaving: which runs go on, and how to come back."""
        live = [s for s in self.found.statuses.values() if s.state in {"queued", "starting", "running", "stopping"}]
        if not live:
            return ""
        count = "1 run goes on." if len(live) == 1 else f"{len(live)} runs go on."
        return f"{count} Come back with: ftstudio {shlex.quote(str(self.root))}"

    def get_default_screen(self) -> Screen[Any]:
        """Home: as the default screen it comes without a second parsing of all styles."""
        return Home()


def open_studio(root: Path, manners: Manners | None = None) -> int:
    """Run the studio on a folder of projects, a project's or a run's, until the person leaves; the exit code."""
    run = root.resolve() if is_run(root) else None
    project = root.absolute() if run is None else run.parent.parent
    if project.name == "runs" and holds(project.parent, FILE):
        project = project.parent
    if holds(project, FILE):
        project = project.resolve()
        root = project.parent
        Memory().showed(project, "train" if run else "", run)
    studio = Studio(root, manners)
    with own_terminal():
        studio.run(mouse=studio.manners.mouse)
    words = studio.leave_words()
    if words:
        print(studio.look.plain(words))  # noqa: T201 - the terminal is the shell's again
    return studio.return_code or 0
