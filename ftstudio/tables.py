"""What the tables of a project mean: parts with options, the core's own settings, and every problem.

    Source ──interpret──> Project(head, parts, selection, prompts, problems)

`interpret` never raises for what a person wrote: everything that is wrong becomes a `Problem` with its place, all
at once, and a table whose plugin is missing is kept as it is. The same function reads the frozen settings of a
run, so a run and a project are understood by one piece of code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from ftstudio.api import KINDS, Message, Problem, ProjectInfo, Prompt, option
from ftstudio.errors import FtstudioError, InputError, OptionError, ProblemsError
from ftstudio.finding import FILE
from ftstudio.options import RESERVED, parse, to_table
from ftstudio.plugins import Offer, Registry
from ftstudio.settings import Settings, read_settings
from ftstudio.source import Source
from ftstudio.text import nearest, quote

FORMAT = 1
REQUIRED = tuple(kind for kind in KINDS if kind != "observer")


@dataclass(frozen=True, kw_only=True)
class Head:
    """The keys above the first table."""

    format: int = option(help="Version of this file's format.", ge=1)
    name: str = option("", help="The name that is shown; the folder is the identity.")
    description: str = option("", help="One sentence on what the project is for.")
    seed: int = option(42, help="The seed that all randomness comes from.", ge=0, le=2**32 - 1)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The core's own options in [dataset]: applied to what any source gives, in this order."""

    dedupe: bool = option(False, help="Leave out rows that are exactly equal to an earlier row.", advanced=True)
    shuffle_seed: int | None = option(
        None,
        help="Shuffle the rows with this seed before limit and split; absent: keep their order.",
        ge=0,
        advanced=True,
    )
    limit: int | None = option(None, help="Use at most so many rows.", ge=1, unit="rows", advanced=True)
    validation_fraction: float = option(
        0.0,
        help="Share of the rows that is kept apart to evaluate on, drawn at random with the project's seed.",
        ge=0,
        lt=1,
    )
    validation_count: int = option(
        0,
        help="Number of rows that is kept apart to evaluate on, instead of a share.",
        ge=0,
        unit="rows",
        advanced=True,
    )

    def __post_init__(self) -> None:
        if self.validation_fraction and self.validation_count:
            raise OptionError("validation_count", "validation_count and validation_fraction are both set.", "Keep one.")

    def split(self, rows: int) -> int:
        """How many of `rows` are kept apart; 0 when no split was asked for.

        Raises OptionError when nothing would be left to train on or nothing would be kept apart.
        """
        name = "validation_count" if self.validation_count else "validation_fraction"
        wanted = self.validation_count or round(rows * self.validation_fraction)
        if not (self.validation_count or self.validation_fraction):
            return 0
        wanted = max(1, wanted)
        if wanted >= rows:
            raise OptionError(
                name,
                f"{name} keeps {wanted:,} of {rows:,} rows apart; nothing is left to train on.",
                "Keep fewer apart, or bring more rows.",
            )
        return wanted


@dataclass(frozen=True, kw_only=True)
class Part:
    """One table of a project: the component that it names, and its options; None where there is a problem."""

    kind: str
    use: str
    table: Mapping[str, Any] = field(default_factory=dict)
    offer: Offer | None = None
    options: Any = None
    label: str = ""
    """Its place in the file: "trainer", "observers[1]"; "settings.observers[0]" where that is the user's settings."""
    source: Source | None = None
    """The file that it stands in, where that is not the project's."""


@dataclass(frozen=True, kw_only=True)
class Project:
    """What a project.toml says, understood as far as it can be. `problems` holds everything that is wrong."""

    folder: Path
    source: Source
    head: Head
    parts: Mapping[str, Part]
    observers: tuple[Part, ...] = ()
    selection: Selection = field(default_factory=Selection)
    prompts: tuple[Prompt, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def name(self) -> str:
        """The identity: the folder's name."""
        return self.folder.name

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep a run from starting."""
        return tuple(p for p in self.problems if p.level == "error")

    def offer(self, kind: str) -> Offer:
        """The component that the table of a kind names. Raises ProblemsError when something is wrong."""
        self.require()
        offer = self.parts[kind].offer
        assert offer is not None
        return offer

    def build(self, kind: str) -> Any:
        """The component of a kind, built. Raises ProblemsError or PluginError."""
        return self.offer(kind).build(self.parts[kind].options)

    def require(self) -> None:
        """Raise ProblemsError when a problem keeps a run from starting."""
        if self.errors:
            raise ProblemsError(f"{quote(self.folder / FILE, 200)} has errors.", self.problems)

    def without_observers(self) -> Project:
        """The project as a worker needs it: what is wrong with an observer must not keep a run from going on."""
        kept = tuple(p for p in self.problems if not p.table.startswith("observers"))
        return replace(self, observers=(), problems=kept)

    def info(self, *, validation: bool = False) -> ProjectInfo:
        """What check functions may see."""
        return ProjectInfo(
            folder=self.folder,
            name=self.name,
            seed=self.head.seed,
            uses={k: p.use for k, p in self.parts.items()},
            options={k: p.options for k, p in self.parts.items() if p.options is not None},
            prompts=self.prompts,
            validation=validation,
            core={**dataclasses.asdict(self.selection), "observer_seconds": _observer_seconds()},
        )

    def resolved(self) -> dict[str, Any]:
        """The settings with every default written out: the tables that a run is frozen with."""
        self.require()
        tables: dict[str, Any] = to_table(self.head)
        for kind, part in self.parts.items():
            tables[kind] = {"use": part.use, **to_table(part.options)}
        tables["dataset"] |= to_table(self.selection)
        tables["generator"]["prompts"] = [p if isinstance(p, str) else list(p) for p in self.prompts]
        if self.observers:
            tables["observers"] = [{"use": p.use, **to_table(p.options)} for p in self.observers]
        return tables


def _observer_seconds() -> float:
    """Of settings that cannot be read the default: whoever needs them says what is wrong."""
    try:
        return read_settings().observer_seconds
    except InputError:
        return Settings.observer_seconds


# --------------------------------------------------------------------------------------------- interpret


def interpret(
    folder: Path,
    source: Source,
    overrides: Sequence[tuple[str, Any]],
    plugins: Registry,
    defaults: Source | None = None,
) -> Project:
    """Understand TOML tables as a project, collecting every problem. `defaults` holds observers that it has anyway."""
    reader = _Reader(source, plugins)
    table = reader.with_overrides(overrides)
    head = reader.head(table)
    parts = {kind: reader.part(kind, kind, table.get(kind)) for kind in REQUIRED}
    selection = reader.core(Selection, "dataset", table.get("dataset"))
    observers = reader.observers(table.get("observers", []))
    if defaults is not None:
        usual = _Reader(defaults, plugins)
        observers += usual.observers(defaults.table["observers"], "settings.", _uses(table.get("observers")))
        reader.problems += usual.problems
    generator = table.get("generator")
    prompts = reader.prompts(generator.get("prompts", []) if isinstance(generator, Mapping) else [])
    reader.unknown_tables(table)
    return Project(
        folder=folder,
        source=source,
        head=head or Head(format=FORMAT),
        parts={kind: part for kind, part in parts.items() if part is not None},
        observers=observers,
        selection=selection or Selection(),
        prompts=prompts,
        overrides=dict(overrides),
        problems=tuple(reader.problems),
    )


def overridden(tables: Mapping[str, Any], overrides: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The tables with values by dotted key put over theirs. Raises InputError for a key that is in no table."""
    table = {k: dict(v) if isinstance(v, Mapping) else v for k, v in tables.items()}
    for dotted, value in overrides:
        keys = dotted.split(".")
        place: Any = table
        for key in keys[:-1]:
            place = place.setdefault(key, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise InputError(f"{quote(dotted)}: that is not inside a table.", "Write table.key=VALUE.")
        place[keys[-1]] = value
    return table


class _Reader:
    """Reads the tables of one project, collecting problems with their places."""

    def __init__(self, source: Source, plugins: Registry) -> None:
        self.source, self.plugins = source, plugins
        self.problems: list[Problem] = []
        self.overridden: set[str] = set()

    def say(self, problem: Problem, table: str = "") -> None:
        """Keep a problem, with file and line where the key stands in the file."""
        place = f"{table}.{problem.option}" if table else problem.option
        if place in self.overridden:
            self.problems.append(replace(problem, table=table))
            return
        line = self.source.line_of(table, problem.option)
        self.problems.append(replace(problem, table=table, file=self.source.path, line=line))

    def error(self, message: str, fix: str, table: str = "", key: str = "") -> None:
        self.say(Problem(level="error", option=key, message=message, fix=fix), table)

    def with_overrides(self, overrides: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        given = list(overrides)
        for dotted, _ in given:
            self.overridden |= {dotted, ".".join(dotted.split(".")[:2])}
        return overridden(self.source.table, given)

    def head(self, table: Mapping[str, Any]) -> Head | None:
        own = {k: v for k, v in table.items() if k in {f.name for f in dataclasses.fields(Head)}}
        head, problems = parse(Head, own)
        for problem in problems:
            self.say(problem)
        if isinstance(head, Head) and head.format != FORMAT:
            self.error(f"format {head.format} is unknown.", f"This version reads format {FORMAT}.", key="format")
        return head

    def unknown_tables(self, table: Mapping[str, Any]) -> None:
        known = [*(f.name for f in dataclasses.fields(Head)), *REQUIRED, "observers"]
        for key, value in table.items():
            if key == "evaluators":
                self.error("[[evaluators]] is reserved for a later version.", "Take it out.", key)
            elif key not in known:
                near = nearest(key, known)
                what = "table" if isinstance(value, (Mapping, list)) else "key"
                fix = f"Did you mean {near}?" if near else f"Known here: {', '.join(known)}."
                place = {"table": key} if what == "table" else {"key": key}
                self.error(f"{quote(key)} is not a {what} of a project.", fix, **place)

    def part(self, kind: str, label: str, table: Any) -> Part | None:
        if table is None:
            self.error(f"The table [{kind}] is missing.", f'Add [{kind}] with use = "{self._example(kind)}".')
            return None
        if not isinstance(table, Mapping):
            self.error(f"{kind} must be a table.", f"Write [{kind}] on a line of its own.", label)
            return None
        use = table.get("use")
        if not isinstance(use, str):
            message = "use is missing." if use is None else "use must be a text."
            self.error(
                message, f"Name a component: {', '.join(self._bare(kind)) or 'none is installed'}.", label, "use"
            )
            return Part(kind=kind, use="", table=table, label=label)
        try:
            offer = self.plugins.find(kind, use)
            options, problems = offer.parse(self._own(kind, label, use, table, offer))
        except FtstudioError as error:
            self.error(error.message, error.hint, label, "use")
            return Part(kind=kind, use=use, table=table, label=label)
        for problem in problems:
            self.say(self._named(problem, offer), label)
        return Part(kind=kind, use=use, table=table, offer=offer, options=options, label=label)

    def _named(self, problem: Problem, offer: Offer) -> Problem:
        """An unknown option is one of a component: say which."""
        if problem.message.endswith("is not an option."):
            return replace(problem, message=f"{problem.message[:-1]} of {offer.title}.")
        return problem

    def _own(self, kind: str, label: str, use: str, table: Mapping[str, Any], offer: Offer) -> dict[str, Any]:
        """The component's share of its table: without what the core owns, and, where --set chose another component,
        without the former one's options.
        """
        owned = RESERVED.get(kind, frozenset()) | {"use"}
        own = {k: v for k, v in table.items() if k not in owned}
        if f"{label}.use" in self.overridden and self.source.table.get(kind, {}).get("use") != use:
            known = {f.name for f in dataclasses.fields(offer.component.options)}
            for key in [k for k in own if k not in known and f"{label}.{k}" not in self.overridden]:
                del own[key]
                self.say(
                    Problem(level="note", option=key, message=f"{key} is not an option of {offer.title}: left out."),
                    label,
                )
        return own

    def core(self, options: type[Selection], label: str, table: Any) -> Selection | None:
        if not isinstance(table, Mapping):
            return None
        names = {f.name for f in dataclasses.fields(options)}
        parsed, problems = parse(options, {k: v for k, v in table.items() if k in names})
        for problem in problems:
            self.say(problem, label)
        return parsed

    def observers(self, tables: Any, prefix: str = "", taken: frozenset[str] = frozenset()) -> tuple[Part, ...]:
        """Those that are not switched off. `taken` are the components for which another file has a table already."""
        if not isinstance(tables, list):
            self.error("observers must be a list of tables.", "Write [[observers]].", f"{prefix}observers")
            return ()
        parts = []
        for index, table in enumerate(tables):
            label = f"{prefix}observers[{index}]"
            enabled = table.get("enabled", True) if isinstance(table, Mapping) else True
            if not isinstance(enabled, bool):
                self.error("enabled must be true or false.", "", label, "enabled")
            elif enabled and not taken & _uses([table]):
                parts.append(self.part("observer", label, table))
        return tuple(replace(p, source=self.source if prefix else None) for p in parts if p is not None)

    def prompts(self, value: Any) -> tuple[Prompt, ...]:
        """Texts, or conversations: lists of {role, content}."""
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list):
            self.error("prompts must be a list.", 'Write prompts = ["a text"].', "generator", "prompts")
            return ()
        prompts: list[Prompt] = []
        for index, item in enumerate(items):
            if isinstance(item, str):
                prompts.append(item)
            elif isinstance(item, list) and item and all(_is_message(m) for m in item):
                prompts.append(tuple(cast("list[Message]", item)))
            else:
                self.error(
                    f"prompts[{index}] is neither a text nor a conversation.",
                    'Write "a text", or [{role = "user", content = "a question"}].',
                    "generator",
                    "prompts",
                )
        return tuple(prompts)

    def _bare(self, kind: str) -> list[str]:
        return sorted(n for n in self.plugins.names(kind) if "/" not in n)

    def _example(self, kind: str) -> str:
        return next(iter(self._bare(kind)), "...")


def _uses(observers: Any) -> frozenset[str]:
    """The components that tables of observers name, switched off or not."""
    tables = observers if isinstance(observers, list) else []
    return frozenset(str(t["use"]) for t in tables if isinstance(t, Mapping) and "use" in t)


def _is_message(item: Any) -> bool:
    return (
        isinstance(item, dict) and item.keys() == {"role", "content"} and all(isinstance(v, str) for v in item.values())
    )
