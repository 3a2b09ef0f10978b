"""A new project: from data that are looked at, from an example, or with sentences to replace.

new_project ──sniff──> the [dataset] table ──settings──> project.toml ──create──> folder
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftstudio.errors import InputError
from ftstudio.finding import is_folder, refuse_hidden
from ftstudio.plugins import registry
from ftstudio.project import FILE, FORMAT, create, example_files, interpret, override
from ftstudio.sniff import KNOWN, UndecidedError, how_to_say, sniff
from ftstudio.source import Source
from ftstudio.tables import overridden
from ftstudio.text import check_name, expanded, quote

ROWS_TO_SPLIT = 20
PLACEHOLDERS = (
    "Replace these sentences by your own.",
    "Each entry of this list is one text that the model is trained on.",
    'A file is better for more than a few: use = "text" and path = "data.txt".',
)
QUESTION = "Hello, who are you?"
"""What a model is asked that learns to answer, where the data propose no question; one that learns to continue text
gets a beginning."""
MODELS = ("starter", "scratch")
"""Models that are named by their component; every other word is a Hub id or a folder."""
HUB_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")


@dataclass(frozen=True)
class Made:
    """A project that was made; `says` is what was found in its data file, "" without one."""

    folder: Path
    says: str = ""


def new_project(
    root: Path,
    name: str,
    *,
    data: Path | None = None,
    model: str | None = None,
    example: str | None = None,
    overrides: Sequence[str] = (),
    undecided: bool = False,
) -> Made:
    """Make a project in `root`, whole or not at all. `overrides` are "table.key=VALUE", written into its file.

    `data` is a file, a folder or a pattern; relative ones start at the current folder. `undecided`: data of which has
    to be said how they are read make a project too, where that is still to be said.

    Raises InputError for a name that is not usable or taken, data that nobody reads, or an example beside data;
    ProblemsError for overrides that no project may have.
    """
    check_name(name, "project")
    if example is not None:
        for option, said, table in (
            ("--data", data, "[dataset]"), ("--model", model, "[model]"), ("--set", overrides or None, "settings")
        ):  # fmt: skip
            if said is not None:
                raise InputError(
                    f"--from and {option} cannot be combined.", f"Copy the example, then change its {table}."
                )
        text, files = example_files(example)
        return Made(create(root, name, text, files))
    given = [override(text) for text in overrides]
    dataset, says = {"use": "inline", "texts": list(PLACEHOLDERS)}, ""
    if data is not None:
        known = {key.removeprefix("dataset."): value for key, value in given if _is_of_dataset(key)}
        try:
            dataset, says = sniff(data, known)
        except UndecidedError as error:
            if not undecided:
                how = how_to_say(error, data)
                raise InputError(error.message, f"{error.hint} Like this: {how}".lstrip()) from error
            dataset, says = error.table, error.message
    tables = settings(name, dataset, MODELS[0] if model is None else model)
    if given:
        interpret(root / name, Source(root / name / FILE, "", tables), given, registry()).require()
    return Made(create(root, name, overridden(tables, given)), says)


def _is_of_dataset(key: str) -> bool:
    return key.startswith("dataset.") and key.count(".") == 1


def settings(name: str, dataset: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The tables of a new project. `dataset` is what `sniff` gives: a table, with KNOWN where it is."""
    table = {key: value for key, value in dataset.items() if key not in KNOWN}
    prompt = "The" if dataset.get("shape", "text") == "text" else dataset.get("prompt") or QUESTION
    rows = dataset.get("rows")
    enough = table["use"] != "inline" and (rows is None or rows >= ROWS_TO_SPLIT)
    if enough and "validation_path" not in table:
        table["validation_fraction"] = 0.1
    return {
        "format": FORMAT,
        "name": name,
        "seed": 42,
        "model": {"use": model} if model in MODELS else {"use": "hub", "name": model_name(model)},
        "dataset": table,
        "tokenizer": {"use": "bpe" if model == "scratch" else "pretrained"},
        "trainer": {"use": "native", "num_train_epochs": 3, "per_device_train_batch_size": 8},
        "generator": {
            "use": "sample", "prompts": [prompt], "max_new_tokens": 60, "do_sample": True, "temperature": 0.7,
        },
    }  # fmt: skip


def model_name(text: str) -> str:
    """What the model "hub" takes: a folder's whole path, since a project's relative ones start at itself, or a Hub id.

    Raises InputError for what is neither.
    """
    path = expanded(text)
    if text and is_folder(path):
        return str(path.resolve())
    refuse_hidden(path)
    if text.startswith((".", "/", "~")) or not HUB_ID.fullmatch(text):
        raise InputError(f"There is no model folder {quote(text, 200)}.", "Name a folder that exists, or a Hub id.")
    return text
