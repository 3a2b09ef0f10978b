"""Checks of tokenizers."""

from __future__ import annotations

import importlib
from typing import Any

from ftstudio.api import SHAPES, Encoded
from ftstudio.options import describe
from ftstudio.process import borders
from ftstudio.testing.about_work import ANY_TRAINER
from ftstudio.testing.fakes import fake_rows
from ftstudio.testing.hostile import HOSTILE
from ftstudio.testing.subject import (
    CheckFailed,
    CheckSkipped,
    Outcome,
    Subject,
    as_findings,
    check,
    expected,
    named,
    place_of,
)

MAX_LENGTH = 8


@check("It encodes rows of every shape that it takes", "tokenizer")
def every_shape(subject: Subject) -> None:
    """Text, prompt and completion, messages: those of `takes`, or all three where it takes any."""
    takes = subject.component.takes or ("text", "prompt_completion", "messages")
    subject.result()
    for shape in (shape for shape in takes if shape in SHAPES):
        outcome = encode(subject, shape)
        if outcome.error is not None:
            raise CheckFailed(
                f"It says that it takes {shape}, but failed: {named(outcome.error)}{place_of(outcome.error)}"
            )
        with as_findings():
            encoded = borders.check_encoded(outcome.result, subject.offer, ANY_TRAINER)
        if encoded.shape != shape:
            raise CheckFailed(f"Of rows of {shape} it made an Encoded of shape {encoded.shape}: trainers go by that.")


def encode(subject: Subject, shape: str, tables: Any = None) -> Outcome:
    """Rows of a shape through the tokenizer."""
    subject.given = (tables or subject.supplies.tables(shape), subject.arguments()[1])
    try:
        return subject.work()
    finally:
        subject.given = None


@check("The validation rows are encoded too", "tokenizer")
def validation_is_encoded(subject: Subject) -> None:
    """Rows that are kept apart are evaluated on, in their own table."""
    encoded: Encoded = subject.result()
    if "validation" in subject.arguments()[0] and encoded.validation is None:
        raise CheckFailed("It was given validation rows, and its Encoded has validation=None.")


@check("AutoTokenizer opens the folder that it names, with as many tokens as it says at most", "tokenizer")
def folder_opens(subject: Subject) -> None:
    """The folder is copied into every checkpoint, and is all that a generator knows of the tokenizer."""
    encoded: Encoded = subject.result()
    auto = importlib.import_module("transformers").AutoTokenizer
    try:
        tokenizer = auto.from_pretrained(encoded.tokenizer, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise CheckFailed(
            f"AutoTokenizer does not open its folder: {named(error)}. Write it with save_pretrained()."
        ) from error
    if len(tokenizer) > encoded.vocab_size:
        raise CheckFailed(
            f"Its tokenizer has {len(tokenizer)} tokens, but vocab_size is {encoded.vocab_size}: the model would "
            "have no row for the last ones."
        )


@check("No row is longer than max_length", "tokenizer", required=False)
def max_length_holds(subject: Subject) -> None:
    """For those that have an option of this name, as scripts expect."""
    if "max_length" not in {f.name for f in describe(subject.component.options)}:
        raise CheckSkipped("It has no option max_length.")
    subject.result()
    outcome = subject.with_options(max_length=MAX_LENGTH).work()
    if outcome.error is not None:
        raise CheckFailed(f"With max_length = {MAX_LENGTH} it failed: {named(outcome.error)}{place_of(outcome.error)}")
    longest = max(_longest_part(row) for row in plain_rows(outcome.result))
    if longest > MAX_LENGTH:
        raise CheckFailed(f"With max_length = {MAX_LENGTH} it gave a row of {longest} tokens.")


def plain_rows(encoded: Encoded) -> list[Any]:
    """Its rows, where they are of input_ids and labels. Raises CheckSkipped for those of another make."""
    rows = list(encoded.train)
    if not {"input_ids", "labels"} <= set(encoded.train.column_names):
        raise CheckSkipped("Its rows are of another make than input_ids and labels: only its trainer can read them.")
    return rows


def _longest_part(row: Any) -> int:
    """Tokens of a row, or of the longer answer of a pair: a model sees them one at a time."""
    total, first = len(row["input_ids"]), int(row.get("chosen_tokens", 0))
    return max(total - first, first)


@check("What it counts is what it gives", "tokenizer", required=False)
def counts_are_true(subject: Subject) -> None:
    """`counts` is shown to people and written into inputs.toml."""
    encoded: Encoded = subject.result()
    rows = plain_rows(encoded)
    real = {
        "rows": len(rows),
        "tokens": sum(len(row["input_ids"]) for row in rows),
        "trained_tokens": sum(label != -100 for row in rows for label in row["labels"]),
    }
    if not encoded.counts:
        raise CheckSkipped("It counts nothing.")
    for name, value in real.items():
        if name in encoded.counts and encoded.counts[name] != value:
            raise CheckFailed(f"It counts {name} = {encoded.counts[name]:,}, but the rows have {value:,}.")


@check("Hostile texts are encoded, left out, or refused in a sentence", "tokenizer")
def hostile_texts_survive_encoding(subject: Subject) -> None:
    """Escapes, bidi marks, lone surrogates, markup, NUL, a text of a megabyte, nothing at all; among plain ones."""
    subject.result()
    takes = subject.component.takes or ("text",)
    for shape in (shape for shape in takes if shape in SHAPES):
        said = ["A plain text.", *HOSTILE, "Another plain text."]
        outcome = encode(subject, shape, {"train": fake_rows(shape, said=said)})
        if outcome.error is None:
            with as_findings():
                borders.check_encoded(outcome.result, subject.offer, ANY_TRAINER)
        elif not expected(outcome.error):
            raise CheckFailed(f"Hostile {shape} rows broke it: {named(outcome.error)}{place_of(outcome.error)}")
