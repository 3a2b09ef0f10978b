"""What a component under test gets from the other kinds: fakes by default, anything else by overriding a method.

The test classes inherit from `Supplies`. A trainer that needs another model or other rows than the fakes' overrides
`encoded` or `model` in its test class; the command line uses what is here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ftstudio.api import SHAPES, Checkpoint, Component, Encoded, Event, ModelRef, Prompt, Run, Table
from ftstudio.plugins import Offer
from ftstudio.probe import collect, load
from ftstudio.testing.fake_run import FakeRun
from ftstudio.testing.fakes import CONVERSATION, fake_checkpoint, fake_encoded, fake_events, fake_tables
from ftstudio.testing.tiny import tiny_model

PROMPTS: tuple[Prompt, ...] = ("The river", "Once", CONVERSATION)


class Supplies:
    """Override what your component needs otherwise. `folder` is a scratch folder that lives as long as the checks."""

    def prepare(self, project: Path) -> None:
        """Write what your component reads into a project's folder, where a folder of files to copy is not enough."""

    def tables(self, shape: str) -> Mapping[str, Table]:
        """For tokenizers: rows of a shape that it takes, in 'train' and 'validation'."""
        return fake_tables(shape)

    def model(self, folder: Path, kind: str) -> ModelRef:
        """For tokenizers a config with a tokenizer beside it, for trainers a model with weights."""
        return tiny_model(folder, weights=kind == "trainer")

    def encoded(self, run: Run, shape: str) -> Encoded:
        """For trainers: tokenised rows of a shape that it takes.

        Where that is a shape which only your own tokenizer makes rows of, and the same plugin offers a tokenizer that
        takes it, those are used without more ado.
        """
        return fake_encoded(run, shape)

    def checkpoint(self, folder: Path) -> Checkpoint:
        """For generators: what they sample from."""
        return fake_checkpoint(folder)

    def prompts(self) -> Sequence[Prompt]:
        """For generators: two texts and a conversation."""
        return PROMPTS

    def events(self) -> Sequence[Event]:
        """For observers: the events of a short run."""
        return fake_events()

    def write_texts(self, texts: Sequence[str], project: Path) -> Mapping[str, Any] | None:
        """For dataset sources: write these texts the way your source reads them, and return the options for it.

        None leaves out the check that hostile texts survive: only you know the format. A text that it cannot hold may
        be left out.
        """
        return None

    def arguments(self, offer: Offer, folder: Path) -> tuple[Any, ...]:
        """What the component's work gets behind the run, made in `folder`."""
        kind, component = offer.kind, offer.component
        if kind == "tokenizer":
            return self.tables(known_shape(component)), self.model(folder / "model", kind)
        if kind == "trainer":
            return self._rows(offer, folder), self.model(folder / "model", kind)
        if kind == "generator":
            return self.checkpoint(folder / "model"), self.prompts()
        return (self.events(),) if kind == "observer" else ()

    def _rows(self, offer: Offer, folder: Path) -> Encoded:
        run, shape = FakeRun(folder / "data"), known_shape(offer.component)
        if shape not in PLAIN and type(self).encoded is Supplies.encoded:
            for own in _tokenizers_beside(offer, shape):
                encoded: Encoded = own.encode(self.tables(shape), self.model(folder / "own-model", "trainer"), run)
                return encoded
        return self.encoded(run, shape)


PLAIN = ("text", "prompt_completion", "messages")
"""Shapes whose tokenised rows are input_ids and labels, whoever makes them."""


def _tokenizers_beside(offer: Offer, shape: str) -> Iterator[Any]:
    """The tokenizers of the same plugin that take a shape, built with their defaults."""
    if offer.record.value:
        for component in collect(load(offer.record.value), offer.record.value).get("tokenizer", ()):
            if shape in component.takes:
                yield Offer(kind="tokenizer", component=component, record=offer.record).build(component.options())


def known_shape(component: Component) -> str:
    """A row shape that the component takes: its first that every source knows, or its own first, or "text"."""
    takes = component.takes or ("text",)
    return next((shape for shape in takes if shape in SHAPES), takes[0])
