"""The built-in models: from the Hub or a folder, the starter that ships with ftstudio, or a GPT-2 from scratch."""

from __future__ import annotations

from collections.abc import Iterator

from ftstudio.api import Component, hookimpl
from ftstudio_models.options import HubOptions, ScratchOptions, StarterOptions


@hookimpl
def ftstudio_models() -> Iterator[Component]:
    """Describe them."""
    yield Component(
        name="hub",
        summary="a model of the Hugging Face Hub, or a folder on this machine",
        target="ftstudio_models.hub:Hub",
        options=HubOptions,
        facts="ftstudio_models.light:hub_facts",
        check="ftstudio_models.light:hub_check",
    )
    yield Component(
        name="starter",
        summary="a small English GPT-2 that ships with ftstudio: no download, trains in seconds",
        target="ftstudio_models.starter:Starter",
        options=StarterOptions,
        facts="ftstudio_models.light:starter_facts",
        check="ftstudio_models.light:starter_check",
    )
    yield Component(
        name="scratch",
        summary="a GPT-2 of any size with random weights",
        target="ftstudio_models.scratch:Scratch",
        options=ScratchOptions,
        facts="ftstudio_models.light:scratch_facts",
    )
