"""The built-in generator: `sample`, all of transformers' generate()."""

from __future__ import annotations

from collections.abc import Iterator

from ftstudio.api import Component, hookimpl
from ftstudio_generators.options import SampleOptions


@hookimpl
def ftstudio_generators() -> Iterator[Component]:
    """Describe it."""
    yield Component(
        name="sample",
        summary="greedy, sampled or beam-searched text, streamed",
        target="ftstudio_generators.sample:Sample",
        options=SampleOptions,
        check="ftstudio_generators.light:check",
    )
