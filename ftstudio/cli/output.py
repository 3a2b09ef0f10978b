"""How the command line speaks: data to stdout, narration to stderr, problems and errors as sentences."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ftstudio.errors import FtstudioError, Problem, ProblemsError
from ftstudio.text import safe_text

MARKS: Mapping[str, str] = {"error": "✗ error", "warning": "! warning", "note": "· note"}


def width() -> int:
    """Columns of the terminal, 80 where there is none."""
    return max(40, shutil.get_terminal_size((80, 24)).columns)


def data(text: str = "") -> None:
    """A line of data, to stdout."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """Text as it may be written to stdout."""
    return _encodable(safe_text(text), sys.stdout)


def say(text: str = "") -> None:
    """A line of narration, to stderr."""
    sys.stderr.write(_encodable(safe_text(text), sys.stderr) + "\n")
    sys.stderr.flush()


def _encodable(text: str, stream: Any) -> str:
    """What the stream's encoding lacks is escaped, never an error: a terminal may be ASCII."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def as_json(value: Any) -> None:
    """One JSON value, to stdout."""
    sys.stdout.write(json.dumps(value, indent=2, default=str, allow_nan=False) + "\n")
    sys.stdout.flush()


def table(rows: Sequence[Sequence[str]], *, gap: int = 2) -> None:
    """Aligned columns, to stdout; the last column is not padded."""
    if not rows:
        return
    safe = [[safe_text(cell, one_line=True) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in safe) for i in range(len(safe[0]))]
    for row in safe:
        data((" " * gap).join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())


def place(problem: Problem) -> str:
    """Where a problem stands: "project.toml:12 [trainer] warmup_steps"."""
    parts = []
    if problem.file is not None:
        where = _relative(problem.file)
        if problem.line is not None:
            where += f":{problem.line}"
            where += f":{problem.column}" if problem.column is not None else ""
        parts.append(where)
    if problem.table:
        parts.append(f"[{problem.table}]")
    if problem.option and problem.option not in problem.message:
        parts.append(problem.option)
    return " ".join(parts)


def _relative(path: Path) -> str:
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)


def problem_text(problem: Problem) -> str:
    """A problem in one line: level, place, what, fix."""
    where = place(problem)
    return f"{MARKS[problem.level]}: {where + ': ' if where else ''}{problem.message} {problem.fix}".rstrip()


def problems(found: Iterable[Problem]) -> None:
    """Problems to stderr, errors first."""
    order = list(MARKS)
    for problem in sorted(found, key=lambda p: (order.index(p.level), p.line or 0)):
        say(problem_text(problem))


def error(failure: FtstudioError) -> None:
    """An error as a sentence, to stderr; several problems one a line."""
    if isinstance(failure, ProblemsError):
        problems(failure.problems)
    else:
        say(f"✗ {failure}")


def side_by_side(left: tuple[str, str], right: tuple[str, str], columns: int) -> list[str]:
    """Two titled texts beside each other, wrapped."""
    half = max(20, (columns - 3) // 2)
    wrapped = [[title, "-" * len(title), *_wrap(text, half)] for title, text in (left, right)]
    height = max(map(len, wrapped))
    padded = [lines + [""] * (height - len(lines)) for lines in wrapped]
    return [f"{a.ljust(half)} | {b}".rstrip() for a, b in zip(*padded, strict=True)]


def _wrap(text: str, columns: int) -> list[str]:
    lines: list[str] = []
    for line in safe_text(text).splitlines() or [""]:
        lines += textwrap.wrap(line, columns, replace_whitespace=False, drop_whitespace=True) or [""]
    return lines


def wrap(text: str, columns: int, indent: str = "") -> list[str]:
    """Text wrapped to the terminal, each line indented."""
    return [indent + line for line in _wrap(text, columns - len(indent))]
