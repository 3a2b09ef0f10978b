"""What a component under test gets from the other kinds: fakes by default, anything else by overriding a method.

The test classes inherit from `Supplies`. A trainer that needs another model or other rows than the fakes' overrides
`encoded` or `model` in its test class; the command line uses what is here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ftstudio.api import SHAPES, Checkpoint, Component, Encoded, Event, ModelRef, Prompt, Run, Table
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
        """For trainers: tokenised rows of a shape that it takes."""
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

    def arguments(self, kind: str, component: Component, folder: Path) -> tuple[Any, ...]:
        """What the component's work gets behind the run, made in `folder`."""
        if kind == "tokenizer":
            return self.tables(known_shape(component)), self.model(folder / "model", kind)
        if kind == "trainer":
            return self.encoded(FakeRun(folder / "data"), known_shape(component)), self.model(folder / "model", kind)
        if kind == "generator":
            return self.checkpoint(folder / "model"), self.prompts()
        return (self.events(),) if kind == "observer" else ()


def known_shape(component: Component) -> str:
    """A row shape that the component takes: its first that every source knows, or its own first, or "text"."""
    takes = component.takes or ("text",)
    return next((shape for shape in takes if shape in SHAPES), takes[0])
