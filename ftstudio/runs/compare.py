"""Runs beside each other: what differs in their settings, what came of them, and whether their losses can be compared.

    read_run(folder) -> RunFacts      from run.toml, inputs.toml, events.jsonl and the newest manifest alone
    compare([...])   -> Comparison    settings that differ, and a Doubt for each reason to distrust a comparison
    compare_all(project)              the same of its newest runs, the one with the lowest loss first

A loss is a mean over tokens. It says something beside another one only when both are means over the same tokens:
the same rows, cut by the same vocabulary, with the same of them masked.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftstudio.errors import InputError
from ftstudio.files import read_toml
from ftstudio.runs.checkpoints import list_checkpoints, read_manifest
from ftstudio.runs.events import EventReader, Series
from ftstudio.runs.find import list_runs
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.notes import note_of
from ftstudio.runs.record import flat, read_record
from ftstudio.runs.status import State, read_state
from ftstudio.text import plural, quote, safe_text

LOSSES = ("eval_loss", "loss")
NEWEST = 20
"""Runs of a project that are compared at most."""
UNSET = None
"""The value of a setting that a run does not have."""

_ROWS = ("dedupe", "shuffle_seed", "limit", "validation_fraction", "validation_count")
_VOCABULARY = ("use", "name", "vocab_size", "min_frequency")
_ONLY_FOR = {"completion_only_loss": "prompt_completion", "assistant_only_loss": "messages"}
_LENGTH = ("max_length", "truncation")
_WHILE_TRAINING = ("dropout", "lora_dropout", "label_smoothing_factor", "neftune_noise_alpha", "logging_steps")


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What is known of a run. `seconds` is the time that its attempts took together, `best` (step, lowest value)."""

    run: RunFolder
    label: str
    state: State
    reason: str = ""
    step: int | None = None
    total_steps: int | None = None
    seconds: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    best: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    distributions: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    vocabulary: str = ""
    device: str = ""
    note: str = ""

    @property
    def fingerprint(self) -> str:
        """Identity of the data; "" when it is not known."""
        return str(self.data.get("fingerprint") or "")

    def as_json(self) -> dict[str, Any]:
        """The value that `compare --json` prints for a run."""
        return {
            "project": self.run.project.name,
            "run": self.run.name,
            "path": str(self.run.path),
            "state": self.state,
            "reason": self.reason,
            "step": self.step,
            "total_steps": self.total_steps,
            "tokens": plain(self.metrics.get("tokens")),
            "seconds": self.seconds,
            "device": self.device,
            "note": self.note,
            "metrics": {name: plain(value) for name, value in self.metrics.items()},
            "best": {name: {"step": step, "value": plain(value)} for name, (step, value) in self.best.items()},
            "data": plain(self.data),
            "model": self.model,
            "vocabulary": self.vocabulary,
        }


@dataclass(frozen=True)
class Doubt:
    """Why some losses cannot be compared: which, what differs, and its value for each run, in their order."""

    losses: tuple[str, ...]
    reason: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs beside each other. `settings` maps a flat key to its value in each run, for keys that differ."""

    runs: tuple[RunFacts, ...]
    settings: Mapping[str, tuple[Any, ...]]
    doubts: tuple[Doubt, ...]
    ranked_by: str = ""
    """The loss that the runs are sorted by, the lowest first; "" where they stand as they were named."""
    left_out: tuple[str, ...] = ()
    """What was left out and why, a sentence each."""

    def as_json(self) -> dict[str, Any]:
        """The value that `compare --json` prints."""
        return {
            "runs": [r.as_json() for r in self.runs],
            "settings": {key: [plain(v) for v in values] for key, values in self.settings.items()},
            "doubts": [{"losses": list(d.losses), "reason": d.reason, "values": list(d.values)} for d in self.doubts],
            "ranked_by": self.ranked_by,
            "left_out": list(self.left_out),
        }


def plain(value: Any) -> Any:
    """A value that JSON can hold: numbers that are not finite, dates and times become texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value if isinstance(value, (str, int, float)) or value is None else str(value)


# --------------------------------------------------------------------------------------------------- read


def read_run(run: RunFolder, label: str = "") -> RunFacts:
    """What is known of a run. Raises InputError when its run.toml cannot be read; the rest may be missing."""
    try:
        record = read_record(run)
        settings = dict(flat(_table(record.settings)))
        distributions = {k: str(v["distribution"]) for k, v in record.components.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{quote(run.record, 200)} is damaged: {safe_text(error)[:100]}.") from error
    known, inputs, story = read_state(run), _inputs(run), _Story.of(run)
    return RunFacts(
        run=run,
        label=label or run.title,
        state=known.state,
        reason=known.reason,
        step=story.reached,
        total_steps=story.total,
        seconds=round(sum(last - first for first, last in story.times.values()), 1) if story.times else None,
        metrics=story.series.last(),
        best=dict(_lowest(story.series)),
        settings=settings,
        distributions=distributions,
        data=_table(inputs.get("data")),
        model=_model(_table(inputs.get("model"))),
        vocabulary=_vocabulary(run),
        device=str(known.device),
        note=_note(run),
    )


def _note(run: RunFolder) -> str:
    try:
        return note_of(run).text
    except InputError:
        return ""  # notes that cannot be read say so where one is written


@dataclass
class _Story:
    """What the events of a run tell."""

    series: Series = field(default_factory=Series)
    times: dict[int, tuple[float, float]] = field(default_factory=dict)  # attempt -> first and last event
    step: int | None = None
    total: int | None = None

    @property
    def reached(self) -> int | None:
        """The step that it came to: metrics tell it too, since not each step is told as progress."""
        told = [self.series.tracks[name].steps[-1] for name in self.series.names]
        return max(told + ([] if self.step is None else [self.step]), default=None)

    @classmethod
    def of(cls, run: RunFolder) -> _Story:
        story, reader = cls(), EventReader(run.events)
        while events := reader.read():
            story.series.add(events)
            for event in events:
                first, _ = story.times.get(event.attempt, (event.t, 0.0))
                story.times[event.attempt] = first, max(first, event.t)
                if event.kind == "progress" and event.data.get("unit") == "step":
                    story.step, story.total = _whole(event.data.get("done")), _whole(event.data.get("total"))
        return story


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _inputs(run: RunFolder) -> Mapping[str, Any]:
    try:
        return read_toml(run.inputs)
    except (OSError, ValueError):
        return {}  # it ended before the worker knew what it works on


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _lowest(series: Series) -> Iterator[tuple[str, tuple[int, float]]]:
    for name in LOSSES:
        finite = [(value, step) for step, value in series.values(name) if math.isfinite(value)]
        if finite:
            value, step = min(finite)
            yield name, (step, value)


def _model(table: Mapping[str, Any]) -> str:
    """Name, revision and the head of one digest over the files' sha256; "" when it is not known."""
    if not table.get("name"):
        return ""
    hashes = json.dumps(_table(table.get("sha256")), sort_keys=True, default=str)
    digest = hashlib.sha256(hashes.encode("utf-8", "backslashreplace")).hexdigest()[:12]
    revision = f" at {table['revision']}" if table.get("revision") else ""
    return f"{table['name']}{revision} ({digest})"


def _vocabulary(run: RunFolder) -> str:
    """The head of the sha256 of tokenizer.json, which every checkpoint holds; "" when it is not known."""
    for folder in reversed(list_checkpoints(run.checkpoints)):
        with contextlib.suppress(ValueError, KeyError, TypeError, InputError):
            return str(read_manifest(folder).files["tokenizer.json"]["sha256"])[:12]
    return ""


# ------------------------------------------------------------------------------------------------ compare


def compare(runs: Sequence[RunFolder]) -> Comparison:
    """Two or more runs beside each other. Raises InputError for fewer, and for one that cannot be read."""
    distinct = list(dict.fromkeys(run.path for run in runs))
    if len(distinct) < 2:
        raise InputError(
            "Comparing takes two runs or more." if len(runs) < 2 else f"{quote(distinct[0], 200)} is one and the same.",
            "For example: ftstudio compare poems:0001 poems:0002.",
        )
    facts = [read_run(run, label) for run, label in zip(map(RunFolder, distinct), _labels(distinct), strict=True)]
    return Comparison(runs=tuple(facts), settings=_differences(facts), doubts=tuple(_doubts(facts)))


def compare_all(project: Path) -> Comparison:
    """The runs of a project beside each other, the newest `NEWEST` of them, by their lowest eval_loss, else loss.

    Those that have none come last; a run whose record cannot be read is left out. Raises InputError for fewer than two.
    """
    runs, facts, left_out = list_runs(project), [], []
    if len(runs) > NEWEST:
        left_out.append(f"{plural(len(runs) - NEWEST, 'older run')} left out: these are the newest {NEWEST}.")
    for run in reversed(runs[-NEWEST:]):
        try:
            facts.append(read_run(run))
        except InputError as error:
            left_out.append(f"{run.title} is left out. {error}")
    if len(facts) < 2:
        raise InputError(
            f"Comparing takes two runs or more, and {quote(project.name)} has {len(facts)} to compare.",
            "Start several at once: --each trainer.learning_rate=1e-5,1e-4.",
        )
    by = next((name for name in LOSSES if any(name in f.best for f in facts)), "")
    facts.sort(key=lambda f: f.best[by][1] if by in f.best else math.inf)
    return Comparison(
        runs=tuple(facts),
        settings=_differences(facts),
        doubts=tuple(_doubts(facts)),
        ranked_by=by,
        left_out=tuple(left_out),
    )


def _labels(paths: Sequence[Path]) -> list[str]:
    """The short title of each run, or its path where another run is titled alike (a copy)."""
    titles = [RunFolder(path).title for path in paths]
    return [title if titles.count(title) == 1 else str(path) for title, path in zip(titles, paths, strict=True)]


def _differences(facts: Sequence[RunFacts]) -> dict[str, tuple[Any, ...]]:
    keys = dict.fromkeys(key for f in facts for key in f.settings)
    found = {key: tuple(f.settings.get(key, UNSET) for f in facts) for key in keys}
    return {key: values for key, values in found.items() if len(set(map(_identity, values))) > 1}


def _identity(value: Any) -> Hashable:
    """What makes two settings the same: 1 is 1.0 but not true, nan is nan."""
    if isinstance(value, (list, tuple)):
        return tuple(map(_identity, value))
    if isinstance(value, Mapping):
        return tuple((k, _identity(v)) for k, v in sorted(value.items()))
    if isinstance(value, bool) or (isinstance(value, float) and math.isnan(value)):
        return repr(value)
    return value if isinstance(value, (int, float)) else (type(value).__name__, str(value))


def _doubts(facts: Sequence[RunFacts]) -> Iterator[Doubt]:
    """Each reason why losses that at least two of these runs have are no measure of which run is better."""
    for losses, reason, value in _measures(facts):
        having = tuple(name for name in losses if sum(name in f.metrics for f in facts) > 1)
        concerned = [f for f in facts if any(name in f.metrics for name in having)]
        values = [value(f) for f in facts]
        if having and len({value(f) for f in concerned}) > 1:
            yield Doubt(having, reason, tuple(values))


def _measures(facts: Sequence[RunFacts]) -> Iterator[tuple[tuple[str, ...], str, Callable[[RunFacts], str]]]:
    """The losses that each measure of likeness concerns, what it means when it differs, and its value for a run."""

    def setting(key: str) -> Callable[[RunFacts], str]:
        return lambda f: value_text(f.settings.get(key, UNSET))

    yield LOSSES, "other data", lambda f: f.fingerprint[:12] or "unknown"
    drawn = any(f.settings.get(f"dataset.{name}") for f in facts for name in _ROWS[-2:])
    for key in [*(f"dataset.{name}" for name in _ROWS), *(["seed"] if drawn else [])]:
        what = "other validation rows" if key == "seed" or "validation" in key else "other rows of the data"
        yield LOSSES, f"{what} ({key})", setting(key)
    yield ("eval_loss",), "another number of validation rows", lambda f: value_text(f.data.get("validation_rows"))
    yield LOSSES, "another vocabulary", _vocabulary_of(facts)
    for key in dict.fromkeys(k for f in facts for k in f.settings if k.startswith("tokenizer.")):
        if _masks(key.removeprefix("tokenizer."), facts):
            yield LOSSES, f"a mean over other tokens ({key})", setting(key)
    yield LOSSES, "trainers of other plugins, which may mean other things", lambda f: f.distributions.get("trainer", "")
    for name in _WHILE_TRAINING:
        yield ("loss",), f"measured otherwise while training ({name})", setting(f"trainer.{name}")


def _vocabulary_of(facts: Sequence[RunFacts]) -> Callable[[RunFacts], str]:
    """The tokenizer's own digest where every run has one, else the settings and the model that it comes from."""
    if all(f.vocabulary for f in facts):
        return lambda f: f.vocabulary
    keys = [f"tokenizer.{name}" for name in _VOCABULARY]
    return lambda f: ", ".join(
        [value_text(f.settings[k]) for k in keys if k in f.settings] + ([f.model] * bool(f.model))
    )


def _masks(name: str, facts: Sequence[RunFacts]) -> bool:
    """Whether a tokenizer's option can change which tokens the loss of these runs is a mean over."""
    if name in _VOCABULARY:
        return False
    if name in _ONLY_FOR:
        return any(f.data.get("shape") in {_ONLY_FOR[name], None} for f in facts)
    if name in _LENGTH:  # nothing was cut otherwise where all counts are the same
        return any(f.data != facts[0].data or not f.data for f in facts)
    return True


def value_text(value: Any) -> str:
    """A setting as a person would write it, "unset" where there is none; not shortened, not yet safe to show."""
    if value is UNSET:
        return "unset"
    return value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)


def doubt_text(doubt: Doubt, labels: Sequence[str]) -> str:
    """A doubt as a sentence: "eval_loss and loss cannot be compared: other data (a: 1, b: 2)."."""
    groups: dict[str, list[str]] = {}
    for label, value in zip(labels, doubt.values, strict=True):
        groups.setdefault(value, []).append(label)
    said = "; ".join(f"{' and '.join(names)}: {value[:60]}" for value, names in groups.items())
    return f"{' and '.join(doubt.losses)} cannot be compared: {doubt.reason}. {said}"
