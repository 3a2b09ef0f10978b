"""A Markdown file -> front matter and body -> texts.

Front matter is read by PyYAML, since that is what it is: a parser of `key: value` lines would read `tags: [a, b]`, a
quoted colon or a folded line as something else, and say nothing. Its BaseLoader keeps every value the text that was
written, so that `no` is no false and nothing is built from a tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ftstudio.api import ComponentError
from ftstudio_markdown.options import How, Scalar

MOST_BYTES = 64 * 2**20
MOST_FRONT_MATTER = 64 * 2**10
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:\s|$)")


@dataclass(frozen=True)
class Document:
    """A file's front matter, and the lines below it."""

    front: Mapping[str, Any]
    lines: Sequence[str]


def read(path: Path, name: str) -> Document:
    """Read a file; `name` is how sentences call it. Raises ComponentError that names the file and the line."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise ComponentError(
            f"'{name}' cannot be read: {error.strerror or error}.", "Check its path and mode."
        ) from error
    if len(data) > MOST_BYTES:
        raise ComponentError(f"'{name}' has more than {MOST_BYTES >> 20} MiB.", "Split it, or leave it out of path.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ComponentError(f"'{name}', line {line}: not UTF-8.", "Save the file as UTF-8.") from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    end = _end_of_front(lines)
    return Document({}, lines) if end is None else Document(_front(lines[1:end], name), lines[end + 1 :])


def _end_of_front(lines: Sequence[str]) -> int | None:
    """The line that closes the front matter, or None where there is none: a lone --- is a rule."""
    if lines[0].rstrip() != "---":
        return None
    return next((i for i, line in enumerate(lines) if i and line.rstrip() in {"---", "..."}), None)


def _front(lines: Sequence[str], name: str) -> Mapping[str, Any]:
    text = "\n".join(lines)
    if len(text) > MOST_FRONT_MATTER:
        raise ComponentError(f"'{name}': its front matter has more than {MOST_FRONT_MATTER >> 10} KiB.", "Shorten it.")
    try:
        found = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - BaseLoader builds texts, lists and mappings only
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 2}" if mark else ""
        said = error.problem or "no YAML"
        raise ComponentError(
            f"'{name}'{place}: the front matter cannot be read: {said[:120]}.", "Mend that line."
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ComponentError(f"'{name}', line 1: the front matter cannot be read.", "It must be YAML.") from error
    if found in (None, ""):
        return {}
    if not isinstance(found, dict):
        raise ComponentError(
            f"'{name}', line 2: what stands between the --- is no front matter, which is lines of 'key: value'.",
            "If the first --- is a rule, put a blank line above it.",
        )
    return found


def rows(document: Document, how: How) -> Iterator[str]:
    """The rows of a document that `how` chooses; none of one that it does not.

    Blank texts are left out, and sections that are a heading alone.
    """
    if not all(_says(document.front.get(key), wanted) for key, wanted in how.where):
        return
    lines, title = document.lines, document.front.get("title")
    if how.text == "title_and_body" and isinstance(title, str) and title.strip():
        shown = title.strip().encode("utf-8", "replace").decode()  # YAML can spell half a character
        lines = [f"# {shown}", "", *lines]
    for section in _sections(lines, how):
        if any(line.strip() for line in section[_HEADING.match(section[0]) is not None :]):
            yield "\n".join(section).strip("\n")


def _says(value: Any, wanted: Scalar) -> bool:
    """Whether a value of the front matter is the one wanted; of a list, any item will do. What is absent is false."""
    if isinstance(value, list):
        return any(_says(item, wanted) for item in value if isinstance(item, str))
    if isinstance(wanted, bool):
        truth = isinstance(value, str) and value.lower() in {"true", "yes", "on"}
        return truth == wanted
    return isinstance(value, str) and value == str(wanted)


def _sections(lines: Sequence[str], how: How) -> Iterator[list[str]]:
    """Lists of lines, none empty; a heading inside a code block is none."""
    level = how.heading_level if how.split_by == "heading" else 0
    held: list[str] = []
    fence = ""
    for line in lines:
        mark = _FENCE.match(line)
        if fence:
            closes = mark is not None and mark[1].startswith(fence) and not line.strip().strip(fence[0])
            fence, code = ("", True) if closes else (fence, True)
        else:
            fence, code = (mark[1], True) if mark else ("", False)
        heading = None if code else _HEADING.match(line)
        if heading and len(heading[1]) <= level and held:
            yield held
            held = []
        if not (code and how.drop_code):
            held.append(line)
    if held:
        yield held


def counted(count: int) -> str:
    """Documents in words: "1 document", "4,812 documents"."""
    return f"{count:,} document" if count == 1 else f"{count:,} documents"
