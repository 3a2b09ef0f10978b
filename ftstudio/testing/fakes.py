"""Torch-free fakes: a component of each kind, a tiny model, tables and events, to test one component with.

FakeSource ──> tables ──> FakeTokenizer ──> Encoded ──> FakeTrainer ──> Checkpoint ──> FakeGenerator
FakeModel ──> tiny_model ──────┴────────────────────────────┘                events ──> FakeObserver
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftstudio.api import (
    Checkpoint,
    Chunk,
    ComponentError,
    Encoded,
    Event,
    Message,
    ModelRef,
    Prompt,
    Run,
    RunInfo,
    Table,
    option,
    shape_of,
)
from ftstudio.testing.tiny import CONTEXT, END, VOCABULARY, fake_tokenizer, tiny_model, write_safetensors

# ------------------------------------------------------------------------------------------------- options


@dataclass(frozen=True, kw_only=True)
class FakeSourceOptions:
    """Texts that stand in the options."""

    texts: tuple[str, ...] = option(("one", "two", "three", "four"), help="The texts, one a row.")


@dataclass(frozen=True, kw_only=True)
class FakeModelOptions:
    """The tiny GPT-2."""

    context: int = option(CONTEXT, help="Positions.", ge=1, unit="tokens")


@dataclass(frozen=True, kw_only=True)
class FakeTokenizerOptions:
    """A token a byte."""

    masked: bool = option(False, help="Mask every label, so that nothing is trained.")
    max_length: int | None = option(None, help="Longest row; what is longer is cut.", ge=1, unit="tokens")


@dataclass(frozen=True, kw_only=True)
class FakeTrainerOptions:
    """A walk of so many steps."""

    max_steps: int = option(10, help="Steps.", ge=1, unit="steps")
    save_steps: int = option(4, help="Steps between checkpoints.", ge=1, unit="steps")
    save_total_limit: int = option(2, help="Checkpoints kept.", ge=1)


@dataclass(frozen=True, kw_only=True)
class FakeGeneratorOptions:
    """An echo of the checkpoint's step, and some words."""

    shout: bool = option(False, help="In capitals.")
    words: int = option(0, help="Count so many words after the text.", ge=0, unit="words")


@dataclass(frozen=True, kw_only=True)
class FakeObserverOptions:
    """It keeps what it hears."""


# -------------------------------------------------------------------------------------------------- tables


class FakeTable:
    """The least that the contract calls a table: columns and rows in a list."""

    def __init__(self, column_names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        self.column_names, self.rows = column_names, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self.rows[index]


NOUNS = ("river", "lamp", "door", "grain of salt", "quiet street", "Brücke", "窓", "clock")
VERBS = ("waits", "turns", "opens", "stays as it was", "is older than it looks")


def texts(count: int) -> list[str]:
    """Short texts of unlike length, some beyond ASCII, the same in each process."""
    return [
        " ".join(f"The {NOUNS[(i + j) % len(NOUNS)]} {VERBS[(i * 3 + j) % len(VERBS)]}." for j in range(1 + i % 2))
        for i in range(count)
    ]


def fake_rows(shape: str, count: int = 24, said: Sequence[str] | None = None) -> FakeTable:
    """A table of a row shape (text, prompt_completion, messages, preference); `said` are the texts in it.

    Raises ValueError for a shape that is not one of `SHAPES`.
    """
    said = texts(count) if said is None else said
    rows: list[Mapping[str, Any]]
    match shape:
        case "text":
            rows = [{"text": text} for text in said]
        case "prompt_completion":
            rows = [{"prompt": "Say: ", "completion": text} for text in said]
        case "messages":
            rows = [
                {"messages": [{"role": "user", "content": "Say."}, {"role": "assistant", "content": text}]}
                for text in said
            ]
        case "preference":
            rows = [{"prompt": "Say: ", "chosen": text, "rejected": text[::-1]} for text in said]
        case _:
            raise ValueError(f"{shape!r} is no row shape that every source knows")
    columns = {"text": ("text",), "messages": ("messages",), "prompt_completion": ("prompt", "completion")}
    return FakeTable(columns.get(shape, ("prompt", "chosen", "rejected")), rows)


def fake_tables(shape: str = "text", count: int = 24) -> dict[str, Table]:
    """What a dataset source gives: `count` rows of a shape to train on, and four to evaluate on."""
    return {"train": fake_rows(shape, count), "validation": fake_rows(shape, 4)}


# ---------------------------------------------------------------------------------------------- components


class FakeModel:
    """A model source: the tiny GPT-2, written into the run's folder."""

    def __init__(self, options: FakeModelOptions) -> None:
        self.options = options

    def fetch(self, run: Run) -> ModelRef:
        """Write it."""
        return tiny_model(run.dir / "model", context=self.options.context)


class FakeSource:
    """A dataset source: the texts of its options."""

    def __init__(self, options: FakeSourceOptions) -> None:
        self.options = options

    def load(self, run: Run) -> dict[str, Table]:
        """A row a text; a lone surrogate, which no table holds, becomes a question mark."""
        return {"train": fake_rows("text", said=[t.encode("utf-8", "replace").decode() for t in self.options.texts])}

    def fingerprint(self, run: Run) -> str:
        """The texts themselves."""
        return " ".join(self.options.texts)


class FakeTokenizer:
    """A tokenizer of bytes."""

    def __init__(self, options: FakeTokenizerOptions) -> None:
        self.options = options

    def encode(self, data: Mapping[str, Table], model: ModelRef, run: Run) -> Encoded:
        """Ids are bytes; an empty text is left out."""
        shape = shape_of(data["train"].column_names) or "text"
        encoded = {name: self._table(table, shape) for name, table in data.items()}
        train = encoded["train"]
        tokens = sum(len(row["input_ids"]) for row in train)
        limit = self.options.max_length or 1 << 30
        lost = [sum(max(0, len(part) - limit) for part in _parts_of(row, shape)) for row in data["train"]]
        cut = {index: tokens for index, tokens in enumerate(lost) if tokens}
        counts = {"documents": len(train), "rows": len(train), "tokens": tokens,
                  "trained_tokens": 0 if self.options.masked else tokens,
                  "truncated_rows": len(cut), "truncated_tokens": sum(cut.values())}  # fmt: skip
        folder = fake_tokenizer(run.dir / "tokenizer")
        return Encoded(train, encoded.get("validation"), folder, VOCABULARY, END, shape, counts, cut)

    def _table(self, table: Table, shape: str) -> FakeTable:
        rows: list[Mapping[str, Any]] = []
        pairs = shape == "preference"
        for row in table:
            parts = [list(part)[: self.options.max_length] for part in _parts_of(row, shape)]
            if not all(parts):
                continue
            ids = [token for part in parts for token in part]
            labels = [-100] * len(ids) if self.options.masked else list(ids)
            rows.append({"input_ids": ids, "labels": labels} | ({"chosen_tokens": len(parts[0])} if pairs else {}))
        return FakeTable(("input_ids", "labels", "chosen_tokens") if pairs else ("input_ids", "labels"), rows)


def _parts_of(row: Mapping[str, Any], shape: str) -> list[bytes]:
    """The texts of a row, two of a pair; a lone surrogate has no bytes of its own and becomes a question mark."""
    if shape == "messages":
        said = ["\n".join(f"{message['role']}: {message['content']}" for message in row["messages"])]
    elif shape == "preference":
        said = [f"{row['prompt']}{row[answer]}" for answer in ("chosen", "rejected")]
    else:
        said = ["".join(str(row[name]) for name in ("prompt", "completion", "text") if name in row)]
    return [text.encode("utf-8", "replace") for text in said]


class FakeTrainer:
    """Walks step by step; its weights are a pure function of seed and step, so a resume must end at the same ones."""

    def __init__(self, options: FakeTrainerOptions) -> None:
        self.options = options

    def train(self, data: Encoded, model: ModelRef, run: Run) -> Checkpoint:
        """Go on from the checkpoint, if there is one, to `max_steps` or the stop."""
        position, done = self.begins(run)
        last = run.resume_from
        for step in range(done + 1, self.options.max_steps + 1):
            position = position * 0.9 + step * 0.1 + run.seed
            self.step_begins(step)
            run.progress(step, self.options.max_steps)
            run.log(step, loss=10.0 / step, tokens_per_second=100.0, peak_memory_bytes=1e6)
            self.step_done(step)
            stop = self.hears(run)
            end = step == self.options.max_steps
            if step % self.options.save_steps == 0 or end or stop or run.requests.checkpoint:
                last = self.commit(run, step, position)
            if stop:
                break
        if last is None:
            raise ComponentError("There is no step to do.", "Raise max_steps.")
        return last

    def begins(self, run: Run) -> tuple[float, int]:
        """The position, and the steps that are done: those of the checkpoint to go on from, if there is one."""
        if run.resume_from is None:
            return 0.0, 0
        state = json.loads((run.resume_from.path / "state.json").read_text("utf-8"))
        return state["position"], state["step"]

    def step_begins(self, step: int) -> None:
        """For fakes that take their time."""

    def step_done(self, step: int) -> None:
        """For fakes that do something odd at a step."""

    def hears(self, run: Run) -> bool:
        """Whether a stop was asked for."""
        return run.requests.stop

    def commit(self, run: Run, step: int, position: float) -> Checkpoint:
        """A checkpoint with two numbers as its weights."""
        with run.checkpoint(step, metrics={"loss": 10.0 / step}) as draft:
            (draft.path / "config.json").write_text("{}", "utf-8")
            (draft.path / "state.json").write_text(json.dumps({"position": position, "step": step}), "utf-8")
            self.write_weights(draft.path, [position, float(step)])
        return draft.checkpoint

    def write_weights(self, folder: Path, values: list[float]) -> None:
        """The weights of a checkpoint."""
        write_safetensors(folder / "model.safetensors", {"weights": ("F64", (len(values),), values)})


class FakeGenerator:
    """Says at which step the checkpoint is, and counts words."""

    def __init__(self, options: FakeGeneratorOptions) -> None:
        self.options = options

    def generate(self, checkpoint: Checkpoint, prompts: Sequence[Prompt], run: Run) -> Iterator[Chunk]:
        """A piece, a piece a word, and the end."""
        for index, prompt in enumerate(prompts):
            text = self.opening(checkpoint, prompt, run)
            yield Chunk(index, text.upper() if self.options.shout else text)
            for word in range(self.options.words):
                if self.hears(run):
                    break
                self.word_begins()
                yield Chunk(index, f" {word}")
            self.said()
            yield Chunk(index, "", done=True, finish_reason="eos")

    def opening(self, checkpoint: Checkpoint, prompt: Prompt, run: Run) -> str:
        """What it says first."""
        return f" step {checkpoint.step}{self.turns(prompt)}"

    def turns(self, prompt: Prompt) -> str:
        """Of a conversation how long it is, and its last words."""
        return "" if isinstance(prompt, str) else f" after {len(prompt)} turns: {prompt[-1]['content']}"

    def word_begins(self) -> None:
        """For fakes that take their time."""

    def hears(self, run: Run) -> bool:
        """Whether a stop was asked for."""
        return run.requests.stop

    def said(self) -> None:
        """For fakes that do something odd before the end."""

    def close(self) -> None:
        """It holds nothing."""


class FakeObserver:
    """Keeps each event once."""

    def __init__(self, options: FakeObserverOptions) -> None:
        self.options = options
        self.events: dict[int, Event] = {}

    def open(self, run: RunInfo, after_seq: int) -> None:
        """Begin."""

    def on_event(self, event: Event) -> None:
        """By its seq: a repeat changes nothing."""
        self.events.setdefault(event.seq, event)

    def close(self) -> None:
        """It holds nothing that would have to be let go."""


# ---------------------------------------------------------------------------------------- what they meet


def fake_encoded(run: Run, shape: str = "text", count: int = 24) -> Encoded:
    """Tokenised rows as a trainer gets them: the tables of `fake_tables` through `FakeTokenizer`."""
    return FakeTokenizer(FakeTokenizerOptions(max_length=CONTEXT - 16)).encode(
        fake_tables(shape, count), ModelRef(run.dir, weights=False, name="none"), run
    )


def fake_checkpoint(folder: Path, shape: str = "text") -> Checkpoint:
    """The tiny model as a checkpoint of step 0, as generators get the base model."""
    model = tiny_model(folder)
    return Checkpoint(model.path, 0, tokenizer=folder, shape=shape)


CONVERSATION: tuple[Message, ...] = (
    {"role": "user", "content": "Who waits?"},
    {"role": "assistant", "content": "The river."},
    {"role": "user", "content": "Where?"},
)


def fake_events() -> tuple[Event, ...]:
    """The events of a short run with a resume in it, one of each kind, numbers that are none and a kind of tomorrow."""
    told: list[tuple[str, int | None, Mapping[str, Any]]] = [
        ("state", None, {"state": "running", "devices": ["cpu"]}),
        ("phase", None, {"name": "training"}),
        ("progress", 1, {"done": 1, "total": 4, "unit": "step"}),
        ("metrics", 1, {"metrics": {"loss": 3.5, "learning_rate": 5e-5}}),
        ("metrics", 2, {"metrics": {"loss": 3.1, "grad_norm": "inf"}}),
        ("message", None, {"text": "A sentence."}),
        ("warning", None, {"text": "Another one."}),
        ("sample", 2, {"prompt": "The", "text": " river", "model": "final"}),
        ("checkpoint", 2, {"path": "000002", "best": True, "metrics": {"loss": 3.1}}),
        ("kind-of-tomorrow", 3, {"anything": [1, {"deep": None}]}),
        ("state", None, {"state": "running", "devices": ["cpu"], "resumed_from": 2}),
        ("metrics", 3, {"metrics": {"loss": "nan"}}),
        ("state", None, {"state": "finished", "exit_code": 0, "checkpoint": "000004"}),
    ]
    resumed = next(i for i, (_, _, data) in enumerate(told) if "resumed_from" in data)
    return tuple(
        Event(seq=i + 1, t=1.7e9 + i, attempt=1 if i < resumed else 2, kind=kind, step=step, data=data)
        for i, (kind, step, data) in enumerate(told)
    )
