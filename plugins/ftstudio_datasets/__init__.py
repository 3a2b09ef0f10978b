"""Where rows come from: project.toml itself, text files, files with columns, the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator

from ftstudio.api import Component, hookimpl
from ftstudio_datasets.options import HubOptions, InlineOptions, TableOptions, TextOptions

_ANY = ("preference", "prompt_completion", "messages", "text")


@hookimpl
def ftstudio_dataset_sources() -> Iterator[Component]:
    """The four built-in sources."""
    yield Component(
        name="inline",
        summary="texts that stand in project.toml itself",
        target="ftstudio_datasets.inline:Inline",
        options=InlineOptions,
        gives=("text",),
        facts="ftstudio_datasets.light:inline_facts",
        check="ftstudio_datasets.light:inline_check",
    )
    yield Component(
        name="text",
        summary="plain text files: a row is a line, a paragraph or a whole file",
        target="ftstudio_datasets.text:Text",
        options=TextOptions,
        gives=("text",),
        facts="ftstudio_datasets.light:file_facts",
        check="ftstudio_datasets.light:file_check",
        sniff="ftstudio_datasets.sniff:sniff_text",
    )
    yield Component(
        name="table",
        summary="files with columns: JSONL, JSON, CSV, TSV, Parquet",
        target="ftstudio_datasets.table:Table",
        options=TableOptions,
        gives=_ANY,
        facts="ftstudio_datasets.light:file_facts",
        check="ftstudio_datasets.light:file_check",
        sniff="ftstudio_datasets.sniff:sniff_table",
    )
    yield Component(
        name="hub",
        summary="a dataset of the Hugging Face Hub, or a local folder of data files",
        target="ftstudio_datasets.hub:Hub",
        options=HubOptions,
        gives=_ANY,
        facts="ftstudio_datasets.light:hub_facts",
        check="ftstudio_datasets.light:hub_check",
    )
