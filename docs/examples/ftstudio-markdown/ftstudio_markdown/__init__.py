"""A dataset source: folders of Markdown with front matter."""

from __future__ import annotations

from collections.abc import Iterator

from ftstudio.api import Component, hookimpl
from ftstudio_markdown.options import MarkdownOptions


@hookimpl
def ftstudio_dataset_sources() -> Iterator[Component]:
    """The source `markdown`."""
    yield Component(
        name="markdown",
        summary="folders of Markdown: a row is a document or a section; front matter chooses",
        target="ftstudio_markdown.source:Markdown",
        options=MarkdownOptions,
        gives=("text",),
        facts="ftstudio_markdown.light:facts",
        check="ftstudio_markdown.light:check",
        sniff="ftstudio_markdown.light:sniff",
    )
