"""The checks at every border between components, without torch.

Each raises ContractError, naming the component, what it returned and what was expected: the mistake of a plugin
is found where it was made, not three stages later. Types are looked at before values, so that no check stumbles over
what it is to find. Of a source's rows the first and a sample are looked at, and more where a tokenizer failed on them.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import NoneType
from typing import Any, cast

from ftstudio.api import SHAPES, Checkpoint, Chunk, ComponentError, Encoded, ModelRef, Table, shape_of
from ftstudio.errors import ContractError
from ftstudio.plugins import Offer
from ftstudio.text import quote

ROWS_LOOKED_AT = 1000
SOURCE_ROWS = 100
"""First rows of each table that a source gives, and as many of the others: they are whole documents."""
SOURCE_CHARACTERS = 1 << 24
"""Behind so many no further row is looked at: a document may have a gigabyte."""
ROWS_SEARCHED = 200_000
"""Rows in which the fault is looked for when a tokenizer failed: some seconds."""

_WORDS: Mapping[type, str] = {
    Path: "a pathlib.Path", bool: "True or False", str: "a text (str)", int: "a whole number (int)", NoneType: "None",
    Mapping: "a mapping", Table: "a table with len(), column_names and iteration", ModelRef: "a ModelRef",
}  # fmt: skip

_A = {ModelRef: "a ModelRef", Encoded: "an Encoded", Checkpoint: "a Checkpoint", Chunk: "a Chunk"}


def check_model(model: Any, offer: Offer) -> ModelRef:
    """A ModelRef whose folder holds a config."""
    if not isinstance(model, ModelRef):
        raise _wrong(offer, "fetch()", model, "a ModelRef")
    _check_fields(model, offer, "fetch()", path=(Path,), weights=(bool,), name=(str,), revision=(str, NoneType))
    if not (model.path / "config.json").is_file():
        raise ContractError(f"{offer.title}: fetch() returned {quote(model.path, 200)}, which has no config.json.")
    return model


# ------------------------------------------------------------------------------------------ rows of a source


def check_tables(tables: Any, offer: Offer) -> tuple[dict[str, Table], str]:
    """The tables, and the row shape that their columns make. Raises ComponentError when there is no row."""
    with offer.blamed("load(), when its tables were read"):
        shape = _check_columns(tables, offer)
        for name in ("train", "validation"):
            if name in tables and len(tables[name]) == 0:
                raise ComponentError(
                    f"{offer.title} gave no rows to {'train on' if name == 'train' else 'evaluate on'}.",
                    "Check its path and options.",
                )
        check_rows(tables, shape, offer, SOURCE_ROWS)
    return dict(tables), shape


def _check_columns(tables: Any, offer: Offer) -> str:
    """The shape that the columns make, the same in each table that is used."""
    if not isinstance(tables, Mapping) or "train" not in tables:
        raise _wrong(offer, "load()", tables, "a mapping with 'train'")
    for name, table in tables.items():
        if not isinstance(table, Table):
            raise _wrong(offer, f"load()[{quote(name)}]", table, _WORDS[Table])
        _check_names(table, f"load()[{quote(name)}]", offer)
    columns = tables["train"].column_names
    shape = shape_of(columns) or next((g for g in offer.component.gives if g not in SHAPES), None)
    if shape is None:
        wanted = " or ".join("+".join(columns) for columns in SHAPES.values())
        raise ContractError(f"{offer.title}: load() gave the columns {_joined(columns)}; wanted {wanted}.")
    given = tables["validation"].column_names if "validation" in tables else columns
    if not set(SHAPES.get(shape, ())) <= set(given):
        raise ContractError(
            f"{offer.title}: load() gave the columns {_joined(given)} in validation, where train has "
            f"{_joined(columns)}; wanted {'+'.join(SHAPES[shape])} in both."
        )
    return shape


def _check_names(table: Table, where: str, offer: Offer) -> None:
    names: Any = table.column_names
    if isinstance(names, str) or not isinstance(names, Collection) or not all(isinstance(n, str) for n in names):
        raise ContractError(f"{offer.title}: {where}.column_names is {_shown(names)}; expected a list of texts.")


def check_rows(tables: Mapping[str, Table], shape: str, offer: Offer, most: int = ROWS_SEARCHED) -> None:
    """The first rows of each table that a source gave hold what their shape wants.

    Raises ContractError, naming table, row and column; PluginError when the rows cannot be read.
    """
    with offer.blamed("load(), when its rows were read"):
        for name in ("train", "validation"):
            if name in tables:
                _check_table(tables[name], name, shape, offer, most)


def _check_table(table: Table, name: str, shape: str, offer: Offer, most: int) -> None:
    count = size = 0
    for index, row in _some(table, most):
        fault = _row_fault(row, SHAPES.get(shape, ()))
        if fault:
            raise ContractError(f"{offer.title}: row {index} of {name} {fault}.")
        count, size = count + 1, size + _characters(row)
        if most < ROWS_SEARCHED and size > SOURCE_CHARACTERS:
            return
    if count < min(len(table), most):
        raise ContractError(f"{offer.title}: {name} says that it has {len(table)} rows, but gave {count}.")
    if next(iter(table), None) is None:
        raise ContractError(f"{offer.title}: {name} gave its rows once and no second time; expected them each time.")


def _some(table: Table, most: int) -> Iterator[tuple[int, Any]]:
    """The first rows by index, and as many from all over the table where it gives a row by its index."""
    yield from enumerate(islice(table, most))
    if len(table) > most and hasattr(table, "__getitem__"):
        for index in range(most, len(table), -(-(len(table) - most) // most)):
            yield index, table[index]


def _row_fault(row: Any, columns: Sequence[str]) -> str:
    """What is wrong with a row of these columns; "" where nothing is."""
    if not isinstance(row, Mapping):
        return f"is {_shown(row)}; expected a mapping from column name to value"
    for column in columns:
        if column not in row:
            return f"lacks the column {column}"
        if column == "messages" and not _is_conversation(row[column]):
            return f"has {_shown(row[column])} in messages; expected a list of role and content, both texts"
        if column != "messages" and not isinstance(row[column], str):
            return f"has {_shown(row[column])} in {column}; expected a text (str)"
    return ""


def _is_conversation(value: Any) -> bool:
    return isinstance(value, Sequence) and all(
        isinstance(turn, Mapping) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)
        for turn in value
    )


def _characters(row: Mapping[str, Any]) -> int:
    return sum(len(value) for value in row.values() if isinstance(value, str))


def check_preview(rows: Sequence[Any], offer: Offer) -> Sequence[Mapping[str, Any]]:
    """The rows of a source's preview()."""
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise ContractError(
                f"{offer.title}: preview() gave {_shown(row)} as row {index}; expected a mapping from column name "
                "to value."
            )
    return rows


# --------------------------------------------------------------------------------------- rows of a tokenizer


def check_encoded(encoded: Any, offer: Offer, trainer: Offer) -> Encoded:
    """Rows with input_ids and labels of one length, ids inside the vocabulary, and something to train on."""
    if not isinstance(encoded, Encoded):
        raise _wrong(offer, "encode()", encoded, "an Encoded")
    _check_fields(
        encoded, offer, "encode()", train=(Table,), validation=(Table, NoneType), tokenizer=(Path,), vocab_size=(int,),
        pad_token_id=(int,), shape=(str,), counts=(Mapping,), cut=(Mapping,),
    )  # fmt: skip
    if not encoded.tokenizer.is_dir():
        raise ContractError(f"{offer.title}: its tokenizer folder {quote(encoded.tokenizer, 200)} does not exist.")
    if not 0 <= encoded.pad_token_id < encoded.vocab_size:
        raise ContractError(
            f"{offer.title}: encode() returned an Encoded whose pad_token_id is {encoded.pad_token_id}; expected 0 to "
            f"{encoded.vocab_size - 1}, since vocab_size is {encoded.vocab_size}."
        )
    _check_figures(encoded, offer)
    _check_shape(encoded, offer, trainer)
    with offer.blamed("encode(), when its rows were read"):
        for name, table in (("train", encoded.train), ("validation", encoded.validation)):
            if table is not None and encoded.shape in SHAPES:
                _check_encoded_rows(table, name, encoded, offer)
    return encoded


def _check_figures(encoded: Encoded, offer: Offer) -> None:
    """They are shown to people, and written into inputs.toml."""
    for field, kind in (("counts", str), ("cut", int)):
        found: Mapping[Any, Any] = getattr(encoded, field)
        if {*map(type, found)} <= {kind} and {*map(type, found.values())} <= {int}:
            continue  # by types alone, since cut may have 100,000 items
        for key, value in found.items():
            if not _is_a(key, kind) or not _is_a(value, int):
                raise ContractError(
                    f"{offer.title}: encode() returned an Encoded whose {field} has {_shown(value)} at {_shown(key)}; "
                    f"expected {_WORDS[int]} at {_WORDS[kind]}."
                )


def _check_shape(encoded: Encoded, offer: Offer, trainer: Offer) -> None:
    shape, takes = encoded.shape, trainer.component.takes
    if shape not in {*SHAPES, "rows", *takes} and "/" not in shape:
        raise ContractError(
            f"{offer.title}: encode() returned an Encoded whose shape is {quote(shape)}; expected one of "
            f"{', '.join(SHAPES)}, 'rows', or one of your own such as 'my-dist/own'."
        )
    if takes and shape not in takes:
        raise ComponentError(
            f"{trainer.title} takes {', '.join(takes)}; {offer.title} gave {shape}.",
            "Choose another trainer or dataset.",
        )


def _check_encoded_rows(table: Table, name: str, encoded: Encoded, offer: Offer) -> None:
    _check_names(table, name, offer)
    lacks = [column for column in ("input_ids", "labels") if column not in table.column_names]
    if lacks:
        raise ContractError(
            f"{offer.title}: {name} has the columns {_joined(table.column_names)}; expected input_ids and labels."
        )
    if len(table) == 0:
        raise ComponentError(f"{offer.title}: no row of {name} is left after tokenising.", "Check the data.")
    trained = False
    for index, row in enumerate(islice(table, ROWS_LOOKED_AT)):
        fault = _encoded_fault(row, encoded)
        if fault:
            raise ContractError(f"{offer.title}: row {index} of {name} {fault}.")
        trained = trained or _is_trained(row["labels"])
    if not trained and not any(_is_trained(row["labels"]) for row in table):
        raise ContractError(
            f"{offer.title}: every label of {name} is -100, but a row's first, which nothing foretells: "
            "nothing would be trained.",
            "Look at it with 'ftstudio data PATH --tokens'; a max_length below the prompts' length does this.",
        )


def _is_trained(labels: Sequence[int]) -> bool:
    """Whether a loss comes of a row: its first token is foretold by none."""
    return any(label != -100 for label in islice(labels, 1, None))


def _encoded_fault(row: Any, encoded: Encoded) -> str:
    """What is wrong with a row of ids and labels; "" where nothing is."""
    if not isinstance(row, Mapping):
        return f"is {_shown(row)}; expected a mapping with input_ids and labels"
    ids, labels = (_numbers(row.get(column)) for column in ("input_ids", "labels"))
    if ids is None or labels is None:
        column = "input_ids" if ids is None else "labels"
        return f"has {_no_number(row.get(column))} in {column}; expected a list of whole numbers (int)"
    if len(ids) != len(labels) or not len(ids):
        return f"has {len(ids)} input_ids and {len(labels)} labels; both must be equally long and not empty"
    if not 0 <= min(ids) <= max(ids) < encoded.vocab_size:
        return f"has a token id outside 0 to {encoded.vocab_size - 1}"
    low = min(labels) if min(labels) >= 0 else min({*labels} - {-100}, default=0)
    if low < 0 or max(labels) >= encoded.vocab_size:
        return f"has a label outside 0 to {encoded.vocab_size - 1} that is not -100, which stands for none"
    if encoded.shape == "preference" and not 0 < (_whole(row.get("chosen_tokens")) or 0) < len(ids):
        return "does not say in chosen_tokens where its second answer begins"
    return ""


def _numbers(values: Any) -> Sequence[int] | None:
    """The values as ints, numpy's too; None where one is no whole number.

    Plain ints are passed by their types alone, 20 ns each.
    """
    if not isinstance(values, Collection) and not hasattr(values, "__array__"):
        return None
    if {*map(type, values)} <= {int}:
        return cast("Sequence[int]", values)
    whole = [_whole(value) for value in values]
    return None if None in whole else cast("list[int]", whole)


def _whole(value: Any) -> int | None:
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _no_number(values: Any) -> str:
    """What stands in the place of whole numbers."""
    found = values if isinstance(values, (list, tuple)) else ()
    return next((_shown(value) for value in found if _whole(value) is None), _shown(values))


# -------------------------------------------------------------------------------------------- what comes out


def check_checkpoint(checkpoint: Any, offer: Offer) -> Checkpoint:
    """The Checkpoint that training ended with."""
    if not isinstance(checkpoint, Checkpoint):
        raise _wrong(offer, "train()", checkpoint, "a Checkpoint (draft.checkpoint of a commit)")
    _check_fields(
        checkpoint, offer, "train()", path=(Path,), step=(int,), base=(ModelRef, NoneType), metrics=(Mapping,),
        tokenizer=(Path, NoneType), shape=(str,),
    )  # fmt: skip
    if not checkpoint.path.is_dir():
        raise ContractError(f"{offer.title}: train() returned {quote(checkpoint.path, 200)}, which does not exist.")
    return checkpoint


def check_chunk(chunk: Any, prompts: int, offer: Offer) -> Chunk:
    """A piece of text for one of so many prompts."""
    if not isinstance(chunk, Chunk):
        raise _wrong(offer, "generate()", chunk, "pieces that are a Chunk")
    _check_fields(
        chunk, offer, "generate()", index=(int,), text=(str,), sequence=(int,), done=(bool,), finish_reason=(str,)
    )
    if chunk.index not in range(prompts):
        raise ContractError(f"{offer.title}: generate() gave a piece for prompt {chunk.index} of {prompts}.")
    return chunk


# -------------------------------------------------------------------------------------------------- sentences


def _check_fields(value: Any, offer: Offer, method: str, **kinds: tuple[type, ...]) -> None:
    """Raise ContractError for the first field that is of none of its types."""
    for name, allowed in kinds.items():
        found = getattr(value, name)
        if not any(_is_a(found, kind) for kind in allowed):
            raise ContractError(
                f"{offer.title}: {method} returned {_A[type(value)]} whose {name} is {_shown(found)}; "
                f"expected {' or '.join(_WORDS[kind] for kind in allowed)}."
            )


def _is_a(value: Any, kind: type) -> bool:
    """isinstance(), but that True is no number."""
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _shown(value: Any) -> str:
    """A value from outside in a sentence: its type, and itself where it is a plain one."""
    if value is None or isinstance(value, bool):
        return str(value)
    kind = quote(type(value).__name__)[1:-1]
    plain = isinstance(value, (str, int, float, Path))
    return f"{kind} {quote(value)}" if plain else kind


def _joined(names: Collection[str]) -> str:
    return ", ".join(map(quote, names)) or "none"


def _wrong(offer: Offer, what: str, found: Any, expected: str) -> ContractError:
    return ContractError(f"{offer.title}: {what} returned {_shown(found)}; expected {expected}.")
