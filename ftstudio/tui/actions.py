"""All that a person can do with a key: one registry that bindings, key line, help, palette and docs are made from.

An action is named once, here. A screen or pane offers it by a method `do_<id>` (dots become underscores) and may say
by `why_not(id)` why it cannot be taken now. Lower case looks, capitals act on a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from textual.binding import Binding

PLACES: Mapping[str, str] = {
    "everywhere": "Everywhere",
    "home": "Home",
    "project": "In a project (on a run: also on Home)",
    "chart": "In a chart",
    "setup": "Setup",
    "data": "Data",
    "train": "Train",
    "samples": "Samples",
    "logs": "Logs",
    "generate": "Generate",
    "compare": "Compare",
    "files": "Files",
    "queue": "Queue",
    "plugins": "Plugins",
    "settings": "Settings",
    "doctor": "Doctor",
}
"""Where an action can be taken -> what help calls it. A pane's keys hold beside its project's and everywhere's, a
chart's beside its pane's while it has the focus."""


@dataclass(frozen=True)
class Action:
    """Something to do. `keys` are comma-separated names of Textual; `line`: it stands in the key line at the bottom."""

    id: str
    keys: str
    words: str
    help: str
    place: str
    line: bool = True
    writes: bool = False

    @property
    def method(self) -> str:
        """The name of the method that does it."""
        return "do_" + self.id.replace(".", "_").replace("-", "_")

    @property
    def key(self) -> str:
        """Its first key as people write it: "enter", "S", "ctrl+p"."""
        return key_words(self.keys.split(",", maxsplit=1)[0])


READONLY = "The studio was opened with --readonly."
"""Why an action that writes is off then."""
KEY_WORDS: Mapping[str, str] = {
    "question_mark": "?", "colon": ":", "slash": "/", "full_stop": ".", "comma": ",", "number_sign": "#", "at": "@",
    "less_than_sign": "<", "greater_than_sign": ">", "left_square_bracket": "[", "right_square_bracket": "]",
    "plus": "+", "minus": "-", "equals_sign": "=", "escape": "esc",
}  # fmt: skip
"""Keys of Textual's whose names nobody writes -> what people write."""


def key_words(key: str) -> str:
    """A key of Textual's as people write it."""
    return KEY_WORDS.get(key, key)


def _a(id: str, keys: str, words: str, help: str, place: str, **more: bool) -> Action:
    return Action(id, keys, words, help, place, **more)


ACTIONS: tuple[Action, ...] = (
    _a("palette", "colon,ctrl+p", "commands", "Find a command by its name.", "everywhere"),
    _a("help", "question_mark", "help", "Explain what is under the cursor, and list the keys.", "everywhere"),
    _a(
        "back",
        "escape,backspace",
        "back",
        "Go one layer up: hide a chart's cursor, close what lies on top, then the project.",
        "everywhere",
        line=False,
    ),
    _a("leave", "q", "leave", "Leave the studio. Runs go on.", "everywhere"),
    _a(
        "copy",
        "y",
        "copy",
        "Copy what is under the cursor: to the terminal's clipboard, and into a file.",
        "everywhere",
        line=False,
    ),
    _a("queue.open", "Q", "queue", "Show the runs that wait, and change their order.", "everywhere", line=False),
    _a(
        "plugins.open", "", "plugins", "Show the installed plugins and why one does not work.", "everywhere", line=False
    ),
    _a(
        "settings.open",
        "",
        "settings",
        "Show the settings of the studio, and where they are written.",
        "everywhere",
        line=False,
    ),
    _a(
        "doctor.open",
        "",
        "doctor",
        "Check this machine: devices, folders, versions, terminal.",
        "everywhere",
        line=False,
    ),
    _a("theme.next", "", "theme", "Take the next colour theme.", "everywhere", line=False),
    _a("home.open", "enter", "open", "Open the project of the run under the cursor.", "home"),
    _a(
        "project.new",
        "n",
        "new",
        "Make a project: from a data file of yours, from an example, or empty.",
        "home",
        writes=True,
    ),
    _a("home.filter", "slash", "filter", "Show only the runs whose line holds what you type.", "home"),
    _a("home.sort", "s", "sort", "Sort by: live first, newest first, name, loss.", "home", line=False),
    _a("home.mark", "space", "mark", "Mark runs, of any projects, to compare them.", "home"),
    _a("home.compare", "c", "compare", "Compare the marked runs.", "home", line=False),
    _a("home.projects", "p", "projects", "Show the runs of one project only, or of all.", "home"),
    _a(
        "home.tutorial",
        "t",
        "tutorial",
        "Make the tutorial's project: ten sentences, three epochs.",
        "home",
        line=False,
        writes=True,
    ),
    _a("run.start", "S", "start", "Start a run of this project with its settings of now.", "project", writes=True),
    _a(
        "run.stop",
        "X",
        "stop",
        "Stop the run: it finishes its step, commits a checkpoint and ends.",
        "project",
        writes=True,
    ),
    _a(
        "run.resume",
        "R",
        "resume",
        "Go on with a run that was stopped or interrupted.",
        "project",
        line=False,
        writes=True,
    ),
    _a(
        "run.checkpoint",
        "C",
        "checkpoint",
        "Commit a checkpoint after this step, and go on.",
        "project",
        line=False,
        writes=True,
    ),
    _a("run.fork", "F", "fork", "Start a new run from a checkpoint of this one.", "project", line=False, writes=True),
    _a(
        "run.kill",
        "",
        "kill",
        "End the run at once; what came after its last checkpoint is lost.",
        "project",
        line=False,
        writes=True,
    ),
    _a("run.previous", "less_than_sign", "older run", "Show the run before this one.", "project", line=False),
    _a("run.next", "greater_than_sign", "newer run", "Show the run after this one.", "project", line=False),
    _a("run.list", "r", "runs", "List the runs of this project.", "project", line=False),
    _a("run.note", "N", "note", "Write a note on this run.", "project", line=False, writes=True),
    *(
        _a(f"pane.{name}", str(number), name.capitalize(), f"Show {name.capitalize()}.", "project", line=False)
        for number, name in enumerate(("setup", "data", "train", "logs", "generate", "compare", "files"), start=1)
    ),
    _a("chart.cursor_left", "left", "cursor left", "Move the cursor to the value before.", "chart", line=False),
    _a("chart.cursor_right", "right", "cursor right", "Move the cursor to the next value.", "chart", line=False),
    _a("chart.cursor_first", "home", "first value", "Move the cursor to the first value.", "chart", line=False),
    _a("chart.cursor_last", "end", "newest value", "Move the cursor to the newest value.", "chart", line=False),
    _a(
        "chart.zoom_in",
        "plus,equals_sign",
        "zoom in",
        "Show half as much, about the cursor or the newest value.",
        "chart",
        line=False,
    ),
    _a("chart.zoom_out", "minus", "zoom out", "Show twice as much.", "chart", line=False),
    _a("chart.pan_left", "shift+left,comma", "earlier", "Show what came before.", "chart", line=False),
    _a("chart.pan_right", "shift+right,full_stop", "later", "Show what came after.", "chart", line=False),
    _a("chart.smoother", "right_square_bracket", "smoother", "Smooth the curve more.", "chart", line=False),
    _a(
        "chart.rougher",
        "left_square_bracket",
        "less smooth",
        "Smooth the curve less, at last not at all.",
        "chart",
        line=False,
    ),
    _a("chart.log", "l", "logarithmic", "Turn between a logarithmic and a linear scale.", "chart", line=False),
    _a("chart.axis", "x", "axis", "Turn between step, tokens and time along the chart.", "chart", line=False),
    _a("chart.reset", "0", "show all", "Show everything again, without a cursor.", "chart", line=False),
    _a("train.filter", "slash", "metrics", "Show only the metrics whose name an expression finds.", "train"),
    _a("train.alone", "enter", "one chart", "Show the chart with the focus alone, or all again.", "train"),
    _a("train.samples", "s", "samples", "Look through all samples of the run so far.", "train"),
    _a("train.next", "n", "next chart", "Put the focus on the next chart.", "train", line=False),
    _a("train.overlay", "o", "lay over", "Lay another run over this one, or take it away.", "train"),
    _a("samples.prompt", "p", "one prompt", "Show the samples of the next prompt alone, or of all again.", "samples"),
    _a(
        "train.export",
        "e",
        "export",
        "Write the chart with the focus as CSV and SVG.",
        "train",
        line=False,
        writes=True,
    ),
    _a("logs.search", "slash", "search", "Find a line by an expression; an empty one forgets it.", "logs"),
    _a("logs.next", "n", "next", "Go to the next line that was searched for.", "logs", line=False),
    _a("logs.previous", "p", "previous", "Go to the line before that was searched for.", "logs", line=False),
    _a("logs.errors", "e", "errors", "Show only lines that tell of an error, or all again.", "logs"),
    _a("logs.follow", "f", "follow", "Go to the end, and along with it.", "logs"),
    _a("logs.raw", "t", "raw", "Change between what the run reported and its raw output.", "logs"),
    _a("logs.step", "at", "step", "Go to the step under the cursor of the charts.", "logs", line=False),
    _a("setup.edit", "enter", "edit", "Go into the field under the cursor; there Enter writes, Esc leaves.", "setup"),
    _a(
        "setup.fix",
        "f",
        "fix",
        "Take the fix of the problem under the cursor, or go to the next one.",
        "setup",
        writes=True,
    ),
    _a("setup.undo", "u", "undo", "Take back the last change that was written here.", "setup", writes=True),
    _a("setup.more", "full_stop", "more", "Show all options, or the first ones again.", "setup"),
    _a("setup.view", "v", "meaning", "Turn between the form and what it means.", "setup"),
    _a("setup.editor", "e", "editor", "Open project.toml in your editor.", "setup", writes=True),
    _a(
        "setup.deep",
        "K",
        "deep check",
        "Try everything once: longest batch, checkpoint, sample; measure.",
        "setup",
        writes=True,
    ),
    _a(
        "setup.reset",
        "d",
        "default",
        "Take the option out of the file: its default holds. Of an observer's first line: take it out whole.",
        "setup",
        line=False,
        writes=True,
    ),
    _a(
        "setup.settings",
        "s",
        "run's form",
        "Turn between the project's settings and those that the run was made with.",
        "setup",
    ),
    _a("setup.copy", "U", "use run's", "Write the run's settings into the project.", "setup", writes=True),
    _a(
        "setup.find",
        "slash",
        "find",
        "Go to an option by a part of its name, also to one that is folded away.",
        "setup",
    ),
    _a("setup.next", "n", "next", "Go to the next option that was looked for.", "setup", line=False),
    _a("run.pin", "I", "pin", "Pin the run as one to keep in sight, or unpin it.", "project", line=False, writes=True),
    _a("compare.mark", "space", "mark", "Put the run under the cursor into the comparison, or take it out.", "compare"),
    _a("compare.turn", "tab", "table", "Go from the list of runs to the table, to the chart, and back.", "compare"),
    _a("compare.metric", "m", "metric", "Draw the curves of the next metric.", "compare"),
    _a(
        "compare.export",
        "E",
        "export",
        "Write the comparison as Markdown into the project's folder.",
        "compare",
        writes=True,
    ),
    _a("files.mark", "space", "mark", "Mark the checkpoint under the cursor, and go to the next.", "files"),
    _a("files.old", "o", "mark old", "Mark every checkpoint that is neither the best nor the last.", "files"),
    _a("files.verify", "v", "verify", "Compare the marked checkpoints, or all, with what was committed.", "files"),
    _a(
        "files.prune", "P", "prune", "Delete the marked checkpoints, or the one under the cursor.", "files", writes=True
    ),
    _a(
        "files.optimizer",
        "O",
        "drop optimizer",
        "Delete the optimizer state of the marked checkpoints, or of the one"
        " under the cursor: they can then be sampled from, but not be resumed.",
        "files",
        writes=True,
    ),
    _a("files.remove", "D", "remove run", "Move the run into the project's trash.", "files", writes=True),
    _a(
        "files.restore",
        "B",
        "bring back",
        "Bring the removed run under the cursor back.",
        "files",
        line=False,
        writes=True,
    ),
    _a("files.empty", "E", "empty trash", "Delete what lies in the trash for good.", "files", line=False, writes=True),
    _a("queue.up", "U", "earlier", "Let the run under the cursor go before the one above it.", "queue", writes=True),
    _a("queue.down", "D", "later", "Let the run under the cursor go after the one below it.", "queue", writes=True),
    _a(
        "queue.withdraw",
        "W",
        "withdraw",
        "Take the run under the cursor out of the queue; it can be resumed later.",
        "queue",
        writes=True,
    ),
    _a("queue.go", "enter", "open", "Open the project of the run under the cursor.", "queue"),
    _a(
        "plugins.switch",
        "E",
        "enable, disable",
        "Enable the plugin under the cursor, or disable it.",
        "plugins",
        writes=True,
    ),
    _a("settings.edit", "enter", "edit", "Change the setting under the cursor.", "settings", writes=True),
    _a(
        "settings.default",
        "D",
        "default",
        "Take the setting under the cursor back to its default.",
        "settings",
        writes=True,
    ),
    _a("doctor.again", "r", "look again", "Look at everything again.", "doctor"),
    _a("data.tokens", "t", "tokens", "Turn between the rows as text and as the tokens that are trained on.", "data"),
    _a("data.next", "n", "next", "The next row.", "data"),
    _a("data.previous", "p", "previous", "The row before.", "data", line=False),
    _a("data.goto", "number_sign", "go to", "Go to a row by its number.", "data"),
    _a("data.longest", "l", "longest", "The longest rows first, or in the order of the file again.", "data"),
    _a("data.cut", "x", "only cut", "Only rows that lost their end, or all again.", "data"),
    _a("data.again", "u", "update", "Load the data again, when it changed on disk.", "data", line=False),
    _a(
        "generate.prompt",
        "enter",
        "prompt",
        "Go into the prompt; there Enter generates, Esc cancels or leaves.",
        "generate",
    ),
    _a("generate.again", "g", "generate", "Generate from the prompt again.", "generate"),
    _a("generate.first", "m", "model", "Choose the first model: before fine-tuning, or any checkpoint.", "generate"),
    _a("generate.second", "b", "beside", "Choose the model that stands beside it, or none.", "generate"),
    _a("generate.options", "o", "options", "Change temperature, length, seed ... for this once.", "generate"),
    _a("generate.new", "n", "new talk", "Begin another conversation.", "generate", line=False),
)


def in_place(*places: str, keymap: Mapping[str, str] | None = None) -> list[Action]:
    """The actions of these places, with rebound keys; an action without a key is only in the palette."""
    rebound = keymap or {}
    found = [a for a in ACTIONS if a.place in places]
    return [replace(a, keys=rebound.get(a.id, a.keys)) for a in found]


def action_of(id: str, keymap: Mapping[str, str]) -> Action:
    """The action of that id, with the keys that take it now."""
    return next(a for a in in_place(*PLACES, keymap=keymap) if a.id == id)


def writes(id: str) -> bool:
    """Whether an action is off under --readonly."""
    return any(a.writes for a in ACTIONS if a.id == id)


def bindings(*places: str) -> list[Binding]:
    """Textual's bindings of these places; each calls `act(id)`, and can be rebound by its id."""
    return [
        Binding(action.keys, f"act('{action.id}')", action.words, id=action.id, show=False)
        for action in in_place(*places)
        if action.keys
    ]
