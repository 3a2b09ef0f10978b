"""The checks at every border between components, without torch.

Each raises ContractError, naming the component, what it returned and what was expected: the mistake of a plugin
is found where it was made, not three stages later.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from ftstudio.api import SHAPES, Checkpoint, Chunk, ComponentError, Encoded, ModelRef, Table, shape_of
from ftstudio.errors import ContractError
from ftstudio.plugins import Offer
from ftstudio.text import quote

ROWS_LOOKED_AT = 1000


def check_model(model: Any, offer: Offer) -> ModelRef:
    """A ModelRef whose folder holds a config."""
    if not isinstance(model, ModelRef):
        raise _wrong(offer, "fetch", model, "a ModelRef")
    if not (model.path / "config.json").is_file():
        raise ContractError(f"{offer.title}: fetch() returned {quote(model.path, 200)}, which has no config.json.")
    return model


def check_tables(tables: Any, offer: Offer) -> tuple[dict[str, Table], str]:
    """The tables, and the row shape that their columns make. Raises ComponentError when there is no row."""
    if not isinstance(tables, Mapping) or "train" not in tables:
        raise _wrong(offer, "load", tables, "a mapping with 'train'")
    for name, table in tables.items():
        if not isinstance(table, Table):
            raise _wrong(offer, f"load()[{name!r}]", table, "a table with len(), column_names and iteration")
    train = tables["train"]
    shape = shape_of(train.column_names) or next((g for g in offer.component.gives if g not in SHAPES), None)
    if shape is None:
        wanted = " or ".join("+".join(columns) for columns in SHAPES.values())
        columns = ", ".join(map(quote, train.column_names)) or "none"
        raise ContractError(f"{offer.title}: load() gave the columns {columns}; wanted {wanted}.")
    if len(train) == 0:
        raise ComponentError(f"{offer.title} gave no rows to train on.", "Check its path and options.")
    return dict(tables), shape


def check_encoded(encoded: Any, offer: Offer, trainer: Offer) -> Encoded:
    """Rows with input_ids and labels of one length, ids inside the vocabulary, and something to train on."""
    if not isinstance(encoded, Encoded):
        raise _wrong(offer, "encode", encoded, "an Encoded")
    if not encoded.tokenizer.is_dir():
        raise ContractError(f"{offer.title}: its tokenizer folder {quote(encoded.tokenizer, 200)} does not exist.")
    if trainer.component.takes and encoded.shape not in trainer.component.takes:
        raise ComponentError(
            f"{trainer.title} takes {', '.join(trainer.component.takes)}; {offer.title} gave {encoded.shape}.",
            "Choose another trainer or dataset.",
        )
    for name, table in (("train", encoded.train), ("validation", encoded.validation)):
        if table is not None and encoded.shape in SHAPES:
            _check_rows(table, name, encoded, offer)
    return encoded


def _check_rows(table: Table, name: str, encoded: Encoded, offer: Offer) -> None:
    if len(table) == 0:
        raise ComponentError(f"{offer.title}: no row of {name} is left after tokenising.", "Check the data.")
    trained = False
    for index, row in enumerate(islice(table, ROWS_LOOKED_AT)):
        ids, labels = row["input_ids"], row["labels"]
        if len(ids) != len(labels) or not len(ids):
            raise ContractError(
                f"{offer.title}: row {index} of {name} has {len(ids)} input_ids and {len(labels)} labels; "
                "both must be equally long and not empty."
            )
        if not 0 <= min(ids) <= max(ids) < encoded.vocab_size:
            raise ContractError(
                f"{offer.title}: row {index} of {name} has a token id outside 0 to {encoded.vocab_size - 1}."
            )
        if encoded.shape == "preference" and not 0 < row.get("chosen_tokens", 0) < len(ids):
            raise ContractError(
                f"{offer.title}: row {index} of {name} does not say in chosen_tokens where its second answer begins."
            )
        trained = trained or any(label != -100 for label in labels)
    if not trained and not any(any(label != -100 for label in row["labels"]) for row in table):
        raise ContractError(
            f"{offer.title}: every label of {name} is -100, so nothing would be trained.",
            "Look at it with 'ftstudio data PATH --tokens'; a max_length below the prompts' length does this.",
        )


def check_checkpoint(checkpoint: Any, offer: Offer) -> Checkpoint:
    """The Checkpoint that training ended with."""
    if not isinstance(checkpoint, Checkpoint):
        raise _wrong(offer, "train", checkpoint, "a Checkpoint (draft.checkpoint of a commit)")
    if not checkpoint.path.is_dir():
        raise ContractError(f"{offer.title}: train() returned {quote(checkpoint.path, 200)}, which does not exist.")
    return checkpoint


def check_chunk(chunk: Any, prompts: int, offer: Offer) -> Chunk:
    """A piece of text for one of so many prompts."""
    if not isinstance(chunk, Chunk) or not isinstance(chunk.text, str):
        raise _wrong(offer, "generate", chunk, "pieces that are a Chunk")
    if chunk.index not in range(prompts):
        raise ContractError(f"{offer.title}: generate() gave a piece for prompt {chunk.index} of {prompts}.")
    return chunk


def _wrong(offer: Offer, method: str, found: Any, expected: str) -> ContractError:
    return ContractError(f"{offer.title}: {method}() returned {type(found).__name__}; expected {expected}.")
