"""Every option of every source is read by something: changing it changes what a person can see."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

import ftstudio_datasets
from ftstudio.api import Component, ComponentError, DatasetSource
from ftstudio.options import check_reserved, describe
from ftstudio.testing import FakeRun
from ftstudio_datasets import hub
from ftstudio_datasets.hub import Hub
from ftstudio_datasets.inline import Inline
from ftstudio_datasets.options import HubOptions, InlineOptions, TableOptions, TextOptions
from ftstudio_datasets.table import Table
from ftstudio_datasets.text import Text

COMPONENTS = {component.name: component for component in ftstudio_datasets.ftstudio_dataset_sources()}
BUILT: dict[str, tuple[Callable[[Any], DatasetSource], type]] = {
    "inline": (Inline, InlineOptions),
    "text": (Text, TextOptions),
    "table": (Table, TableOptions),
    "hub": (Hub, HubOptions),
}

# (source, option) -> the other options, one value, another value; the two must not give the same.
COLUMNS: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "text_column": ({}, "a", "b"),
    "prompt_column": ({"completion_column": "c"}, "a", "b"),
    "completion_column": ({"prompt_column": "a"}, "b", "c"),
    "messages_column": ({}, "m", "n"),
    "chosen_column": ({"prompt_column": "a", "rejected_column": "c"}, "a", "b"),
    "rejected_column": ({"prompt_column": "a", "chosen_column": "c"}, "a", "b"),
}
CASES: dict[tuple[str, str], tuple[dict[str, Any], Any, Any]] = {
    ("inline", "texts"): ({}, ("a",), ("b",)),
    ("text", "path"): ({}, ("a.txt",), ("b.txt",)),
    ("text", "validation_path"): ({"path": ("a.txt",)}, (), ("b.txt",)),
    ("text", "encoding"): ({"path": ("b.txt",)}, "utf-8", "latin-1"),
    ("text", "split_by"): ({"path": ("a.txt",)}, "line", "document"),
    ("table", "path"): ({"text_column": "a"}, ("a.jsonl",), ("b.jsonl",)),
    ("table", "validation_path"): ({"text_column": "a", "path": ("a.jsonl",)}, (), ("b.jsonl",)),
    ("table", "encoding"): ({"text_column": "a", "path": ("b.jsonl",)}, "utf-8", "latin-1"),
    ("table", "format"): ({"text_column": "a", "path": ("a.jsonl",)}, None, "csv"),
    ("table", "delimiter"): ({"path": ("a.csv",), "text_column": "a"}, ",", ";"),
    ("hub", "name"): ({"text_column": "a"}, "one", "two"),
    ("hub", "config"): ({"name": "one", "text_column": "a"}, None, "none"),
    ("hub", "split"): ({"name": "one", "text_column": "a"}, "train", "train[1:]"),
    ("hub", "validation_split"): ({"name": "one", "text_column": "a"}, None, "train"),
    ("hub", "revision"): ({"name": "org/none", "text_column": "a"}, None, "v1"),
    **{("table", name): ({"path": ("a.jsonl",), **others}, x, y) for name, (others, x, y) in COLUMNS.items()},
    **{("hub", name): ({"name": "one", **others}, x, y) for name, (others, x, y) in COLUMNS.items()},
}


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    run = FakeRun(tmp_path)
    (run.project / "a.txt").write_text("one\ntwo\n")
    (run.project / "b.txt").write_text("café\n")
    (run.project / "a.csv").write_text("a,b;a\n1,2;3\n")
    row = {"a": "1", "b": "2", "c": "3"} | {k: [{"role": "user", "content": k}] for k in "mn"}
    rows = [row, row | {"a": "one more"}]
    datasets.Dataset.from_list(rows).to_json(run.project / "a.jsonl")
    datasets.Dataset.from_list([row | {"a": "café"}]).to_json(run.project / "b.jsonl", force_ascii=False)
    for name, content in (("one", rows), ("two", rows[:1])):
        (run.project / name).mkdir()
        datasets.Dataset.from_list(content).to_json(run.project / name / "train.jsonl")
    return run


def seen(run: FakeRun, source: str, options: dict[str, Any]) -> object:
    """What a person sees of a load: the rows, or the refusal."""
    target, kind = BUILT[source]
    try:
        return {name: list(table) for name, table in target(kind(**options)).load(run).items()}
    except ComponentError as error:
        return error.message


@pytest.mark.parametrize(
    ("source", "option"),
    [(name, f.name) for name, component in COMPONENTS.items() for f in dataclasses.fields(component.options)],
)
def test_changing_an_option_changes_what_is_seen(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch, source: str, option: str
) -> None:
    monkeypatch.setattr(hub, "ask_hub", _refuse)
    others, one, another = CASES[source, option]
    first = seen(run, source, {**others, option: one})
    assert first == seen(run, source, {**others, option: one})
    assert first != seen(run, source, {**others, option: another})


def _refuse(options: HubOptions) -> str:
    raise ComponentError(f"asked for revision {options.revision}")


@pytest.mark.parametrize("component", COMPONENTS.values(), ids=list(COMPONENTS))
def test_components_can_be_described_and_lead_to_their_targets(component: Component) -> None:
    check_reserved("dataset", component.options)
    assert all(field.help for field in describe(component.options))
    module, _, name = component.target.partition(":")
    target, kind = BUILT[component.name]
    assert (module, name) == (target.__module__, getattr(target, "__name__", ""))
    assert component.options is kind
    assert component.gives
