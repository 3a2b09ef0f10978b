"""A new project: a name, data, a model. What is found in the data is said before anything is made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from ftstudio.errors import FtstudioError, InputError
from ftstudio.finding import is_folder
from ftstudio.options import Field
from ftstudio.text import check_name, expanded, is_safe_name, quote
from ftstudio.tui.offers import cached_models, offers
from ftstudio.tui.widgets.form_lines import FieldInput
from ftstudio.tui.widgets.line_input import TAB_AT_ONCE

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio

PAUSE_SECONDS = 0.2
MODELS: Mapping[str, str] = {
    "starter": "a small English GPT-2 that comes with ftstudio: no download",
    "scratch": "a GPT-2 of any size with random weights, and a tokenizer of the project's own",
}
PATH = Field(name="data", base="path", kind="path")


@dataclass(frozen=True)
class Wish:
    """What is to be made: an example copied, or a project on `data` and `model`, where None is the usual one."""

    name: str
    data: Path | None = None
    model: str | None = None
    example: str | None = None


class NewProject(ModalScreen[Path | None]):
    """Gives the folder of the project that was made, or None."""

    DEFAULT_CSS = """
    NewProject .said { height: auto; min-height: 1; }
    NewProject FieldInput { width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*TAB_AT_ONCE]

    class Looked(Message):
        """What the data is, and what may be offered for it."""

        def __init__(self, text: str, said: str, error: str, offered: list[str]) -> None:
            super().__init__()
            self.text, self.said, self.error, self.offered = text, said, error, offered

    class Made(Message):
        """The project lies there; `error` says why not."""

        def __init__(self, folder: Path | None, error: FtstudioError | None) -> None:
            super().__init__()
            self.folder, self.error = folder, error

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self._own_name = False
        self._examples: list[str] = []
        self._pause: Timer | None = None

    def compose(self) -> ComposeResult:
        """Three fields, each with what is said of it."""
        with Vertical(classes="dialog"):
            yield Static(Text("New project", "bold"))
            for name, label, example in (
                ("name", "name", "letters, digits, '.', '_' or '-'"),
                ("data", "data: a file (text, JSONL, CSV, Parquet), an example, or nothing", "poems.jsonl"),
                ("model", "model: starter, scratch, a Hub id, or a folder", "starter"),
            ):
                yield Static(label, classes="label", markup=False)
                field = FieldInput()
                field.id, field.placeholder = name, example
                yield field
                yield Static("", classes="said", id=f"{name}-said", markup=False)
            yield Static("", id="keys", classes="label", markup=False)

    def on_mount(self) -> None:
        """Begin with the name."""
        self._draw_keys("enter make it, tab next field, down what may be meant, esc leave it")
        self.query_one("#name", FieldInput).focus()
        self.query_one("#model", FieldInput).offers = ["starter", "scratch"]
        self.look_at_data("")
        self._say_model()

    def _draw_keys(self, text: str) -> None:
        self.query_one("#keys", Static).update(text)

    def _value(self, name: str) -> str:
        return self.query_one(f"#{name}", FieldInput).value.strip()

    def _say(self, name: str, text: str, *, wrong: bool = False) -> None:
        look = cast("Studio", self.app).look
        self.query_one(f"#{name}-said", Static).update(
            look.lines(look.words(f"  {text}") if text else "", "red" if wrong else "green")
        )

    # ---------------------------------------------------------------------------------------- typing

    def on_input_changed(self, event: Input.Changed) -> None:
        """Check what is typed."""
        event.stop()
        match event.input.id:
            case "name":
                self._own_name = self._own_name or (event.input.has_focus and bool(event.value))
                self._say_name()
            case "data":
                if self._pause is not None:
                    self._pause.stop()
                text = event.value.strip()
                self._pause = self.set_timer(PAUSE_SECONDS, lambda: self.look_at_data(text))
            case "model":
                self._say_model()

    def _say_name(self) -> None:
        name = self._value("name")
        try:
            if name:
                _free_name(self.root, name)
        except FtstudioError as error:
            self._say("name", str(error), wrong=True)
        else:
            self._say("name", "")

    def _say_model(self) -> None:
        model, data = self._value("model") or "starter", self._value("data")
        if data in self._examples:
            self._say("model", "the example names its own")
        elif model in MODELS:
            self._say("model", MODELS[model])
        else:
            self._names_model(model)

    def _names_model(self, model: str) -> bool:
        """Say whether what is typed names a folder or a model of the Hub; False where it is neither."""
        from ftstudio.new import model_name  # noqa: PLC0415 - loads the plugins

        try:
            model_name(model)
        except InputError as error:
            self._say("model", str(error), wrong=True)
            return False
        there = is_folder(expanded(model))
        self._say("model", "a folder on this machine" if there else "a model of the Hugging Face Hub")
        return True

    @work(thread=True, exclusive=True, group="sniff")
    def look_at_data(self, text: str) -> None:
        """Ask the dataset sources what the file is; in a thread, since it may be large."""
        from ftstudio.finding import list_projects  # noqa: PLC0415
        from ftstudio.project import examples  # noqa: PLC0415 - loads the plugins
        from ftstudio.sniff import UndecidedError, sniff  # noqa: PLC0415

        worker, said, wrong = get_current_worker(), "", ""
        try:
            self._examples = [path.name for path in list_projects(examples())]
            path = expanded(text)
            if text in self._examples and not os.path.lexists(path):
                said = f"the example {text}, copied"
            elif text and not is_folder(path):
                said = sniff(path)[1]
            elif text:
                said = "a folder: what it holds is looked at when the project is made"
            else:
                said = f"sentences to replace; examples: {', '.join(self._examples)}"
        except UndecidedError as error:
            said = f"{error} That can be done in Setup, once the project is made."
        except FtstudioError as error:
            wrong = str(error)
        offered = ([] if text else self._examples) + offers(PATH, text, Path.cwd())
        models = ["starter", "scratch", *cached_models()]
        if not worker.is_cancelled:
            self.query_one("#model", FieldInput).offers = models
            self.post_message(self.Looked(text, said, wrong, offered))

    def on_new_project_looked(self, message: Looked) -> None:
        """Say what it is; a name is proposed while none was typed."""
        if message.text != self._value("data"):
            return
        self.query_one("#data", FieldInput).offers = message.offered
        self._say("data", message.error or message.said, wrong=bool(message.error))
        self._say_model()
        stem = message.text if message.text in self._examples else Path(message.text).stem
        if not self._own_name and not message.error and is_safe_name(stem):
            self.query_one("#name", FieldInput).value = stem

    # ---------------------------------------------------------------------------------------- making

    def on_field_input_left(self, message: FieldInput.Left) -> None:
        """Esc."""
        self.dismiss(None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter makes it."""
        event.stop()
        try:
            wish = self._wish()
        except FtstudioError as error:
            self._say("name", str(error), wrong=True)
            self.query_one("#name").focus()
            return
        if wish.model and wish.model not in MODELS and not self._names_model(wish.model):
            self.query_one("#model").focus()
            return
        self._draw_keys("making it ...")
        self.make(wish)

    def _wish(self) -> Wish:
        """What the fields say. Raises InputError when the name is none."""
        name, data, model = self._value("name"), self._value("data"), self._value("model") or None
        if not name:
            raise InputError("It needs a name.", "It becomes the name of its folder.")
        _free_name(self.root, name)
        if data in self._examples and not os.path.lexists(expanded(data)):
            return Wish(name, example=data)
        return Wish(name, data=expanded(data) if data else None, model=model)

    @work(thread=True, exclusive=True, group="make")
    def make(self, wish: Wish) -> None:
        """Make it, by the function that `ftstudio new` calls."""
        from ftstudio.new import new_project  # noqa: PLC0415 - loads the plugins

        try:
            made = new_project(
                self.root, wish.name, data=wish.data, model=wish.model, example=wish.example, undecided=True
            )
        except FtstudioError as error:
            self.post_message(self.Made(None, error))
        else:
            self.post_message(self.Made(made.folder.resolve(), None))

    def on_new_project_made(self, message: Made) -> None:
        """Done, or the reason why not."""
        if message.error is None:
            self.dismiss(message.folder)
            return
        self._draw_keys("enter make it, tab next field, esc leave it")
        self._say("data", str(message.error), wrong=True)


def _free_name(root: Path, name: str) -> None:
    """Raise InputError when a project cannot be called so."""
    check_name(name, "project")
    if os.path.lexists(root / name):
        raise InputError(f"{quote(name)} exists already.", "Choose another name.")
