"""A model source: GGUF files, opened by transformers and handed on as a folder."""

from __future__ import annotations

from collections.abc import Iterator

from ftstudio.api import Component, hookimpl
from ftstudio_gguf.options import GgufOptions


@hookimpl
def ftstudio_models() -> Iterator[Component]:
    """The source `gguf`."""
    yield Component(
        name="gguf",
        summary="a GGUF file, as llama.cpp uses them; its weights are made whole again",
        target="ftstudio_gguf.source:Gguf",
        options=GgufOptions,
        facts="ftstudio_gguf.light:facts",
        check="ftstudio_gguf.light:check",
        install_hint="pip install 'gguf>=0.10'",
    )
