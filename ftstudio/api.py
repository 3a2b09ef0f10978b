"""All that a plugin author imports.

A plugin is a package with an entry point in the group `ftstudio` whose value is a module or an object with
functions marked `@hookimpl`. Each hook yields `Component`s: *descriptions*. What a component does lies behind
its `target`, a string that is imported only in the process that runs it, so describing one never costs torch.

The pieces meet in one direction, and every arrow below is one of the protocols of this module:

    ModelSource.fetch -> ModelRef ─────────┐
    DatasetSource.load -> {"train": Table} ─┴> Tokenizer.encode -> Encoded -> Trainer.train -> Checkpoint
                                                                              Generator.generate -> Chunk ...
    events.jsonl -> Observer.on_event

This module loads neither torch nor textual and never will. It grows only compatibly: new keyword fields with
defaults, new hooks. A break would get a new entry-point group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict, cast, runtime_checkable

import pluggy

from ftstudio.errors import ComponentError, ContractError, OptionError, Problem, TrainingError
from ftstudio.event import Event

__all__ = [
    "KINDS",
    "MAX_CUT",
    "SHAPES",
    "Checkpoint",
    "Chunk",
    "Component",
    "ComponentError",
    "ContractError",
    "DatasetSource",
    "Draft",
    "Encoded",
    "Event",
    "Facts",
    "Generator",
    "Hooks",
    "Message",
    "Metric",
    "ModelRef",
    "ModelSource",
    "Observer",
    "OptionError",
    "Plan",
    "Problem",
    "ProjectInfo",
    "Prompt",
    "Requests",
    "Run",
    "RunInfo",
    "Table",
    "Tokenizer",
    "Trainer",
    "TrainingError",
    "hookimpl",
    "option",
    "shape_of",
]

GROUP = "ftstudio"
"""The entry-point group in which plugins announce themselves."""

KINDS: Mapping[str, str] = {
    "model": "ftstudio_models",
    "dataset": "ftstudio_dataset_sources",
    "tokenizer": "ftstudio_tokenizers",
    "trainer": "ftstudio_trainers",
    "generator": "ftstudio_generators",
    "observer": "ftstudio_observers",
}
"""Kind (the table of project.toml that names it) -> hook that describes its components."""

SHAPES: Mapping[str, tuple[str, ...]] = {
    "preference": ("prompt", "chosen", "rejected"),
    "prompt_completion": ("prompt", "completion"),
    "messages": ("messages",),
    "text": ("text",),
}
"""Row shape -> the column names that a source gives such rows. The first shape whose columns are all there is meant."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a function as the implementation of the hook of the same name."""


class Message(TypedDict):
    """One turn of a conversation: `role` is system, user or assistant."""

    role: str
    content: str


Prompt = str | Sequence[Message]
"""What a generator continues: a text, or a conversation that ends before the assistant's turn."""


def shape_of(column_names: Iterable[str]) -> str | None:
    """The row shape that these columns make, or None when they make none of `SHAPES`."""
    names = set(column_names)
    return next((shape for shape, columns in SHAPES.items() if names.issuperset(columns)), None)


# ------------------------------------------------------------------------------------------------ options


FORM_KINDS = ("path", "glob", "text", "column", "model")
"""What `kind` of an option may be: how a form asks for its text."""


def option(
    default: Any = MISSING,
    *,
    help: str,
    label: str = "",
    ge: float | None = None,
    le: float | None = None,
    gt: float | None = None,
    lt: float | None = None,
    choices: Sequence[Any] = (),
    suggestions: Sequence[Any] = (),
    unit: str = "",
    kind: Literal["path", "glob", "text", "column", "model"] | None = None,
    advanced: bool = False,
    shown_if: str | None = None,
) -> Any:
    """A field of an options dataclass; the form, the docs and the checks are made from it.

        @dataclass(frozen=True, kw_only=True)
        class Options:
            learning_rate: float = option(5e-5, help="Peak learning rate.", gt=0)
            path: Path = option(help="The file to read.", kind="path")        # no default: required

    Types: bool, int (never a bool), float (an int is accepted), str, Path, Literal, `X | None` (absent means
    None), `tuple[X, ...]`, `dict[str, scalar]`. Bounds are inclusive (`ge`, `le`) or exclusive (`gt`, `lt`), and
    hold for each item of a tuple. `choices` are the only values; `suggestions` are offered, not enforced.
    `unit` is shown behind the field. `kind` says which field the form gives it. `advanced` hides it behind
    "more". `shown_if="packing"` shows it while that other option is set. What one field cannot say,
    `__post_init__` may: it raises `OptionError(field, message)`.
    """
    metadata = {
        "help": help, "label": label, "ge": ge, "le": le, "gt": gt, "lt": lt,
        "choices": _several(choices), "suggestions": _several(suggestions), "unit": unit,
        "kind": kind, "advanced": advanced, "shown_if": shown_if,
    }  # fmt: skip
    if isinstance(default, (dict, list)):
        mutable = cast("Callable[[], Any]", default.copy)
        return field(default_factory=mutable, metadata=metadata)
    return field(default=default, metadata=metadata)


def _several(values: Any) -> Any:
    """A tuple of them; what is none is said where the options are described."""
    return values if isinstance(values, str) or not isinstance(values, Iterable) else tuple(values)


# ------------------------------------------------------------------------------------------- descriptions


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How a metric that a component logs is to be shown. `better` says which way is an improvement."""

    name: str
    label: str = ""
    unit: str = ""
    better: Literal["min", "max"] | None = None
    log: bool = False
    tile: bool = False


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of the data and the model without loading them; None means unknown.

    Each component's `facts` function fills what it knows; the core lays them over each other. Names in
    `estimated` were guessed (tokens from bytes, say), names in `measured` were counted by a run or a deep check.
    """

    shape: str | None = None
    rows: int | None = None  # documents the source yields for training, after limit and split
    validation_rows: int | None = None
    examples: int | None = None  # rows that reach the trainer: long documents become several
    tokens: int | None = None  # in all training examples
    longest: int | None = None  # tokens of the longest example
    characters: int | None = None
    longest_characters: int | None = None
    columns: tuple[str, ...] | None = None
    context: int | None = None  # positions the model has
    parameters: int | None = None
    vocab_size: int | None = None
    weights_bytes: int | None = None  # one copy of the weights as saved
    architecture: str | None = None
    max_length: int | None = None
    characters_per_token: float | None = None  # of the tokenizer, to estimate tokens with
    sample: tuple[str, ...] | None = None  # some texts of the data, about 32,000 characters, to measure a tokenizer on
    tokenizer: Path | None = None  # a folder on this machine with the tokenizer.json that the model brings
    tokens_per_second: float | None = None
    peak_memory_bytes: int | None = None
    estimated: frozenset[str] = frozenset()
    measured: frozenset[str] = frozenset()

    def over(self, other: Facts) -> Facts:
        """These facts, and the other's where these know nothing."""
        values = {
            f.name: mine if (mine := getattr(self, f.name)) is not None else getattr(other, f.name)
            for f in fields(self)
        }
        theirs = {f.name for f in fields(self) if getattr(self, f.name) is None}
        values["estimated"] = self.estimated | (other.estimated & theirs)
        values["measured"] = self.measured | (other.measured & theirs)
        return Facts(**values)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a trainer's settings imply. `curve` is (step, learning rate) at enough steps to draw it.

    `total_steps` counts optimizer steps. `checkpoints` are the steps at which one is committed. `estimated`
    names the fields that rest on an estimate rather than on a count.
    """

    total_steps: int | None = None
    steps_per_epoch: int | None = None
    epochs: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    checkpoints: tuple[int, ...] = ()
    evaluations: tuple[int, ...] = ()
    tokens: int | None = None
    kept_bytes: int | None = None  # disk held by kept checkpoints and final/ at the end
    peak_bytes: int | None = None  # the most at one time: what is kept and one more checkpoint, the staged one
    estimated: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class ProjectInfo:
    """What a `check` function may see of the project it is part of."""

    folder: Path
    name: str
    seed: int
    uses: Mapping[str, str]  # kind -> component name
    options: Mapping[str, object]  # kind -> that component's options
    prompts: tuple[Prompt, ...] = ()
    validation: bool = False  # there will be a validation split
    core: Mapping[str, Any] = field(default_factory=dict)
    """validation_fraction, limit, ... of [dataset]; observer_seconds of the settings."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """One named implementation of a kind, described without importing it."""

    name: str
    """What project.toml says: `use = "text"`."""
    summary: str
    """One line for the picker."""
    target: str
    """`"package.module:Class"`, imported only in the process that runs it and built as `Class(options)`."""
    options: type
    """A frozen dataclass of `option()` fields."""
    gives: tuple[str, ...] = ()
    """Dataset sources: the row shapes they can yield (`SHAPES`, "rows", or "my-dist/own")."""
    takes: tuple[str, ...] = ()
    """Tokenizers and trainers: the row shapes they accept; empty means any. Matched before anything starts."""
    facts: str = ""
    """Light function `(options, project_folder) -> Facts`. A tokenizer's may take a third argument: the Facts of the
    dataset and the model."""
    plan: str = ""
    """Trainers: light function `(options, Facts) -> Plan`."""
    check: str = ""
    """Light function `(options, ProjectInfo, Facts) -> Iterable[Problem]`."""
    sniff: str = ""
    """Dataset sources: light function `(path: Path) -> Mapping | None`, for "new --data FILE": None when the file is
    not of its kind, else {"use": ..., "options": {...}, "says": "JSONL, 4,812 rows; question, answer ..."}, with
    "rows", "shape" (of `SHAPES`) and "prompt" (what the first row asks) where they are known. It may take a second
    argument: the options that are set already, by name, as TOML gives them and not checked yet."""
    metrics: tuple[Metric, ...] = ()
    secrets: tuple[str, ...] = ()
    """Names of environment variables it needs; checked before a start, redacted wherever we write."""
    deterministic: bool = True
    """Same seed, same output."""
    exact_resume: bool = False
    """Trainers: a run that was interrupted and resumed ends with the same bits on the same machine. A resume under a
    trainer that does not promise it says so first."""
    install_hint: str = ""
    """Said when `target` does not import: `pip install my-extra`."""

    def __post_init__(self) -> None:
        """Raise ContractError, naming field and value, for a type that the studio would stumble over later."""
        for name in ("name", "summary", "target", "facts", "plan", "check", "sniff", "install_hint"):
            if not isinstance(getattr(self, name), str):
                raise self._wrong(name, "a text")
        for name in ("target", "facts", "plan", "check", "sniff"):
            if getattr(self, name) and not re.fullmatch(r"[^\s:]+:[^\s:]+", getattr(self, name)):
                raise self._wrong(name, "'package.module:Name'")
        for name, kind in (("gives", str), ("takes", str), ("secrets", str), ("metrics", Metric)):
            given: Any = getattr(self, name)
            if not isinstance(given, (tuple, list)) or not all(isinstance(item, kind) for item in given):
                raise self._wrong(name, f"a tuple of {'texts' if kind is str else 'Metric'}, such as (one,)")
        for name in ("deterministic", "exact_resume"):
            if not isinstance(getattr(self, name), bool):
                raise self._wrong(name, "True or False")

    def _wrong(self, name: str, expected: str) -> ContractError:
        return ContractError(
            f"Component {self.name!r:.60}: {name} is {getattr(self, name)!r:.60}; expected {expected}."
        )


class Hooks:
    """The hooks of the entry-point group `ftstudio`. Each yields components; no hook depends on order."""

    @hookspec
    def ftstudio_models(self) -> Iterable[Component]:  # type: ignore[empty-body]
        """Describe model sources (`ModelSource`).

        @hookimpl
        def ftstudio_models():
            yield Component(name="gguf", summary="a GGUF file", target="my_models.gguf:Gguf", options=GgufOptions)
        """

    @hookspec
    def ftstudio_dataset_sources(self) -> Iterable[Component]:  # type: ignore[empty-body]
        """Describe dataset sources (`DatasetSource`).

        @hookimpl
        def ftstudio_dataset_sources():
            yield Component(name="markdown", summary="a folder of Markdown notes", gives=("text",),
                            target="my_sources.markdown:Markdown", options=MarkdownOptions)
        """

    @hookspec
    def ftstudio_tokenizers(self) -> Iterable[Component]:  # type: ignore[empty-body]
        """Describe tokenizers (`Tokenizer`).

        @hookimpl
        def ftstudio_tokenizers():
            yield Component(name="chars", summary="one token a character", takes=("text",),
                            target="my_tokenizers.chars:Chars", options=CharsOptions)
        """

    @hookspec
    def ftstudio_trainers(self) -> Iterable[Component]:  # type: ignore[empty-body]
        """Describe trainers (`Trainer`).

        @hookimpl
        def ftstudio_trainers():
            yield Component(name="dpo", summary="direct preference optimisation", takes=("preference",),
                            target="my_trainers.dpo:Dpo", options=DpoOptions, plan="my_trainers.light:plan")
        """

    @hookspec
    def ftstudio_generators(self) -> Iterable[Component]:  # type: ignore[empty-body]
        """Describe generators (`Generator`).

        @hookimpl
        def ftstudio_generators():
            yield Component(name="contrastive", summary="contrastive search",
                            target="my_generators.contrastive:Contrastive", options=ContrastiveOptions)
        """

    @hookspec
    def ftstudio_observers(self) -> Iterable[Component]:  # type: ignore[empty-body]
        """Describe observers (`Observer`).

        @hookimpl
        def ftstudio_observers():
            yield Component(name="ntfy", summary="a push message at the end", secrets=("NTFY_TOKEN",),
                            target="my_observers.ntfy:Ntfy", options=NtfyOptions)
        """


# --------------------------------------------------------------------------- values that cross borders


@dataclass(frozen=True)
class ModelRef:
    """A folder that `from_pretrained()` opens; `weights=False`: a config only, training starts from scratch."""

    path: Path
    weights: bool
    name: str
    revision: str | None = None


@runtime_checkable
class Table(Protocol):
    """Rows with named columns; `datasets.Dataset` is the usual one."""

    @property
    def column_names(self) -> Sequence[str]:
        """Names of the columns, the same for each row."""

    def __len__(self) -> int:
        """Number of rows."""

    def __iter__(self) -> Iterator[Any]:
        """The rows in order, each a mapping from column name to value."""


@dataclass(frozen=True)
class Encoded:
    """Tokenised data.

    Rows of `train` and `validation` hold `input_ids` and `labels`, equally long lists of ints without padding;
    a label of -100 is not trained on. A pair of answers (shape "preference") is one row: the prompt with the chosen
    answer, behind it the prompt with the rejected one, and in `chosen_tokens` how many tokens the first of them has.
    Further columns are between a tokenizer and the trainers that know them. `tokenizer` is a folder that
    `AutoTokenizer` opens. `counts` reports what
    happened: documents, rows, tokens, trained_tokens, truncated_rows, truncated_tokens, and what else is known.
    `cut` says of rows of `train`, by index from 0, how many tokens were left out behind their end; of the first
    `MAX_CUT` such rows, since it is there to be looked at.
    """

    train: Table
    validation: Table | None
    tokenizer: Path
    vocab_size: int
    pad_token_id: int
    shape: str
    counts: Mapping[str, int] = field(default_factory=dict)
    cut: Mapping[int, int] = field(default_factory=dict)


MAX_CUT = 100_000
"""Rows of which `Encoded.cut` says that they lost their end."""


@dataclass(frozen=True)
class Checkpoint:
    """A committed folder of a model at a step. The base model is one too, at step 0.

    `path` holds config.json and model.safetensors, or an adapter in peft's format for which `base` is the model
    beneath. `tokenizer` is the folder with the tokenizer where it is not `path` itself. `shape` is the row
    shape it was trained on: a model of messages gets its prompts through the saved chat template.
    """

    path: Path
    step: int
    base: ModelRef | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    tokenizer: Path | None = None
    shape: str = "text"


@dataclass(frozen=True)
class Chunk:
    """A piece of generated text, without the prompt: `index` says of which prompt, `sequence` which of several."""

    index: int
    text: str
    sequence: int = 0
    done: bool = False
    finish_reason: str = ""


@dataclass(frozen=True)
class RunInfo:
    """Who a run is: the project's name, the run's name ("0001"), its attempt from 1, and the host.

    `dir` is the run's folder, where an observer writes what belongs to the run.
    """

    project: str
    run: str
    attempt: int
    host: str
    dir: Path = Path()


# ------------------------------------------------------------------------------------------- protocols


class Requests(Protocol):
    """What somebody asked of a run. A trainer reads it at the end of each step."""

    @property
    def stop(self) -> bool:
        """Commit a checkpoint and return."""

    @property
    def checkpoint(self) -> bool:
        """Commit a checkpoint and go on; committing one clears it."""


class Draft(Protocol):
    """A checkpoint being written."""

    @property
    def path(self) -> Path:
        """The staging folder to write into; nothing else may be written there."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The committed checkpoint, once the context was left without an error."""


class Run(Protocol):
    """What a component may ask of the run that it is part of."""

    @property
    def info(self) -> RunInfo:
        """Project, run, attempt, host."""

    @property
    def project(self) -> Path:
        """The project's folder: relative paths are read from here."""

    @property
    def dir(self) -> Path:
        """The run's folder; writes stay in here or in `cache`."""

    @property
    def cache(self) -> Path:
        """A folder for what can be made again, shared by all runs on this machine."""

    @property
    def seed(self) -> int:
        """The seed that all randomness comes from."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Where to compute, in torch's words: ("cpu",), ("cuda:0",), ("mps",)."""

    @property
    def resume_from(self) -> Checkpoint | None:
        """The checkpoint to go on from, or None at a first start."""

    @property
    def requests(self) -> Requests:
        """What was asked of the run since it started."""

    def phase(self, name: str) -> None:
        """Say what begins now: "tokenising"."""

    def progress(self, done: int, total: int | None = None, unit: str = "step") -> None:
        """Say how far it is; call it as often as you like, it is thinned out."""

    def log(self, step: int, **metrics: float) -> None:
        """Record metrics of a step. A value that is not finite is recorded as such."""

    def say(self, text: str) -> None:
        """One sentence for the person who watches."""

    def warn(self, text: str) -> None:
        """One sentence that should not be missed; it is counted and kept with the run."""

    def sample(self, step: int, prompt: Prompt, text: str) -> None:
        """Record a text that the model in training gave for a prompt."""

    def checkpoint(
        self, step: int, *, metrics: Mapping[str, float] | None = None, best: bool = False
    ) -> AbstractContextManager[Draft]:
        """Commit a checkpoint: write into `draft.path`; leaving the context commits, an exception discards."""

    def secret(self, name: str) -> str:
        """The value of a declared environment variable. Raises ComponentError when it is not set."""


class ModelSource(Protocol):
    """Built as `target(options)`."""

    def fetch(self, run: Run) -> ModelRef:
        """Make the model available as a folder and say which it is."""


class DatasetSource(Protocol):
    """Built as `target(options)`. It may also offer two methods that the core uses when they are there:

    `preview(run, rows: int) -> Iterable[Mapping]`: first rows without a full load;
    `fingerprint(run) -> str`: cheap identity of the data, the same while the data is the same.
    """

    def load(self, run: Run) -> Mapping[str, Table]:
        """The tables 'train' and, when the source has one, 'validation', with the columns of one of `SHAPES`."""


class Tokenizer(Protocol):
    """Built as `target(options)`."""

    def encode(self, data: Mapping[str, Table], model: ModelRef, run: Run) -> Encoded:
        """Turn rows into token ids, and save a folder that AutoTokenizer opens; the core copies it around."""


class Trainer(Protocol):
    """Built as `target(options)`. It may also offer one method that the core uses when it is there:

    `export(checkpoint, folder: Path, run) -> None`: write the model of a checkpoint into `folder` so that
    `from_pretrained(folder)` opens it alone (merged, if it was an adapter). Without it the checkpoint's
    config and weights are linked into final/ as they are.
    """

    def train(self, data: Encoded, model: ModelRef, run: Run) -> Checkpoint:
        """Train until done or until `run.requests.stop`; return the checkpoint that is the result.

        On a stop: commit and return. Raises TrainingError when training cannot go on (a NaN).
        """


class Generator(Protocol):
    """Built as `target(options)`; one instance a checkpoint, kept warm. It may also offer one method that the core uses
    when it is there:

    `change(options) -> None`: go on with other options. Without it another instance is built, which loads the model
    again.
    """

    def generate(self, checkpoint: Checkpoint, prompts: Sequence[Prompt], run: Run) -> Iterator[Chunk]:
        """Continue each prompt, in pieces as they come; the last piece of each sequence has `done=True`."""

    def close(self) -> None:
        """Let go of memory. Called once."""


class Observer(Protocol):
    """Built as `target(options)` in a process of its own that cannot disturb the run.

    What it was told counts as delivered once the call returned: nothing may wait in memory for the next call. A call
    that takes longer than `observer_seconds` (settings) ends the process, and so does an exception; `replay` goes on
    with the event that it was at. `ComponentError` is for what the person can mend: it leaves no traceback.
    """

    def open(self, run: RunInfo, after_seq: int) -> None:
        """Begin; events up to `after_seq` were delivered to an earlier instance. 0: what there is of one is void."""

    def on_event(self, event: Event) -> None:
        """One event, in order, at least once: `event.seq` tells a repeat."""

    def close(self) -> None:
        """The run is over or the observer is being stopped."""
