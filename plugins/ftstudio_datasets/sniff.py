"""What a file is, for `new --data FILE`: the options that read it, and a sentence that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ftstudio.api import Facts
from ftstudio_datasets.decode import Tally
from ftstudio_datasets.files import find
from ftstudio_datasets.look import Look, look
from ftstudio_datasets.options import ColumnOptions, FileOptions, TableOptions, TextOptions
from ftstudio_datasets.records import SUFFIXES, delimiter_of, format_of
from ftstudio_datasets.rows import Row, table_rows
from ftstudio_datasets.words import plural, quote

_TEXT_SUFFIXES = {"", ".txt", ".text", ".md", ".markdown", ".rst", ".log", ".tex", ".org"}
_TITLES = {"jsonl": "JSONL", "json": "JSON", "csv": "CSV", "tsv": "TSV", "parquet": "Parquet"}

_HEEDED = {"encoding", "delimiter", *(f.name for f in fields(ColumnOptions))}

LONGEST_QUESTION = 300
"""Characters of the first row's question up to which it is proposed as a prompt."""

_Options = TypeVar("_Options", bound=FileOptions)


def sniff_table(path: Path, given: Mapping[str, Any] | None = None) -> Mapping[str, Any] | None:
    """For a file with columns: {"use", "options", "rows", "shape", "says", "prompt"}; None for other files.

    `given` are options that are set already; texts that tell how to read the file are heeded. `options` are those that
    differ from the defaults, `path` first. Raises ComponentError when a file has the suffix
    of a table and cannot be read as one.
    """
    if path.suffix.lower() not in SUFFIXES:
        return None
    heeded: dict[str, Any] = {
        name: value for name, value in (given or {}).items() if name in _HEEDED and isinstance(value, str)
    }
    options, found = _mended(TableOptions(path=(str(path),), **heeded), path)
    assert found.choice is not None
    file = find(options.path, path.parent)[0]
    kind = format_of(file, options)
    title = _TITLES[kind]
    if kind == "csv" and (delimiter := delimiter_of(file, options)) != ",":
        title += f" with {quote(delimiter) if delimiter.strip() else 'tabs'} between cells"
    says = f"{title}, {_amount(found.facts, 'row')}; {found.choice.says()}"
    question = _question(next(table_rows([file], options, found.choice, Tally()), {}))
    return {**_sniffed("table", options, says, found.facts), "prompt": question}


def _question(row: Row) -> str | None:
    """What a row asks, where that is short enough to be asked again: its prompt, or its user's first words."""
    said = [message["content"] for message in row.get("messages", ()) if message["role"] == "user"]
    question = row.get("prompt") or (said[0] if said else "")
    return question if question.strip() and len(question) <= LONGEST_QUESTION else None


def sniff_text(path: Path) -> Mapping[str, Any] | None:
    """For another file of text, whether its rows are lines or paragraphs; None for tables and for what is no text.

    Raises ComponentError when a file has the suffix of a text and cannot be read as one.
    """
    if path.suffix.lower() in SUFFIXES or path.is_dir():
        return None
    known = path.suffix.lower() in _TEXT_SUFFIXES
    options = TextOptions(path=(str(path),))
    if not known and look(options, path.parent).error is not None:
        return None
    options, found = _mended(options, path)
    paragraphs = replace(options, split_by="blank_line")
    by_paragraph = look(paragraphs, path.parent)
    lines, blocks = found.facts.rows or 0, by_paragraph.facts.rows or 0
    # Prose that is broken at some width has several lines a paragraph; a list of sentences has one, or no blank line.
    if blocks >= 3 and lines > 1.5 * blocks:
        says = f"text, {_amount(by_paragraph.facts, 'paragraph')} between blank lines"
        return _sniffed("text", paragraphs, says, by_paragraph.facts)
    return _sniffed("text", options, f"text, {_amount(found.facts, 'line')}", found.facts)


def _mended(options: _Options, path: Path) -> tuple[_Options, Look]:
    """The options that read the file: as they are, or in the encoding that it seems to have."""
    found = look(options, path.parent)
    if found.error is not None and "encoding" in found.error.edit:
        options = replace(options, encoding=str(found.error.edit["encoding"]))
        found = look(options, path.parent)
    if found.error is not None:
        raise found.error
    return options, found


def _amount(facts: Facts, what: str) -> str:
    if facts.rows is None:
        return f"an unknown number of {what}s"
    return ("about " if "rows" in facts.estimated else "") + plural(facts.rows, what)


def _sniffed(use: str, options: FileOptions, says: str, facts: Facts) -> Mapping[str, Any]:
    changed = {f.name: getattr(options, f.name) for f in fields(options) if getattr(options, f.name) != f.default}
    changed["path"] = options.path[0]
    if "encoding" in changed:
        says += f"; read as {options.encoding}"
    return {"use": use, "options": changed, "rows": facts.rows, "shape": facts.shape, "says": says}
