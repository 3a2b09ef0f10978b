"""A table of numbers by step, in a CSV file that is whole at every moment.

A row is appended when its first value comes, and written again in its place when another comes of the same step. A new
column, or a value for an earlier row, rewrites the file beside itself and renames. Who is told the same twice writes
nothing the second time.

Memory: 16 bytes a row, its step and where it begins.
"""

from __future__ import annotations

import csv
import io
import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

Row = tuple[int, Mapping[str, float]]
STEP = "step"


class Table:
    """The table at a path: kept, and mended where a crash tore its last row, or new. Each method may raise OSError."""

    def __init__(self, path: Path, *, keep: bool) -> None:
        self.path = path
        self._descriptor = -1
        self._columns: list[str] = []
        self._steps: array[int] = array("q")
        self._places: array[int] = array("q")
        self._end = 0
        if not (keep and self._kept()):
            self._replace([], [])

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def put(self, step: int, values: Mapping[str, float]) -> None:
        """Take in values of a step, in place of those of the same name."""
        at = bisect_left(self._steps, step)
        new = [name for name in values if name not in self._columns]
        if not new and at == len(self._steps):
            self._steps.append(step)
            self._places.append(self._end)
            self._write_last(step, values)
            return
        before = self._row(at) if at < len(self._steps) and self._steps[at] == step else None
        after = {**(before or {}), **values}
        if not new and before is not None and self._cells(step, before) == self._cells(step, after):
            return
        if not new and before is not None and at == len(self._steps) - 1:
            self._write_last(step, after)
        else:
            self._replace([*self._columns, *new], self._with(step, after))

    def cut(self, beyond: int) -> None:
        """Take away the rows of steps beyond this one."""
        at = bisect_right(self._steps, beyond)
        if at < len(self._steps):
            self._end = self._places[at]
            del self._steps[at:], self._places[at:]
            os.ftruncate(self._descriptor, self._end)

    # -------------------------------------------------------------------------------------------- rows

    def _cells(self, step: int, values: Mapping[str, float]) -> list[str]:
        """The row as text; `repr` of a float is read as that float again."""
        return [str(step), *(repr(values[name]) if name in values else "" for name in self._columns)]

    def _write_last(self, step: int, values: Mapping[str, float]) -> None:
        place, line = self._places[-1], _line(self._cells(step, values))
        written = 0
        while written < len(line):
            written += os.pwrite(self._descriptor, line[written:], place + written)
        self._end = place + len(line)
        os.ftruncate(self._descriptor, self._end)

    def _row(self, at: int) -> dict[str, float]:
        end = self._places[at + 1] if at + 1 < len(self._places) else self._end
        (cells,) = csv.reader([os.pread(self._descriptor, end - self._places[at], self._places[at]).decode()])
        return {name: float(cell) for name, cell in zip(self._columns, cells[1:], strict=False) if cell}

    def _with(self, step: int, values: Mapping[str, float]) -> Iterator[Row]:
        """All rows, with this one in its place."""
        at = bisect_left(self._steps, step)
        after = at + 1 if at < len(self._steps) and self._steps[at] == step else at
        yield from ((self._steps[i], self._row(i)) for i in range(at))
        yield step, values
        yield from ((self._steps[i], self._row(i)) for i in range(after, len(self._steps)))

    # ------------------------------------------------------------------------------------ the whole file

    def _replace(self, columns: list[str], rows: Iterable[Row]) -> None:
        """Another file in place of this one: readers see the old one or the new one."""
        staging = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            with staging.open("wb") as file:
                steps, places = _copy(file, columns, rows)
                self._end = file.tell()
                file.flush()
                os.fsync(file.fileno())
            os.replace(staging, self.path)  # noqa: PTH105 - the name of the system call that makes this atomic
        except BaseException:
            staging.unlink(missing_ok=True)
            raise
        self.close()
        self._columns, self._steps, self._places = columns, steps, places
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    def _kept(self) -> bool:
        """Read the columns and rows that there are; False where that is no such table."""
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        with self.path.open("rb") as file:
            header = file.readline()
            first, *self._columns = next(csv.reader([header.decode("utf-8", "replace")]), [""])
            if first != STEP or not header.endswith(b"\n"):
                return False
            self._end = len(header)
            for line in file:
                if not self._is_row(line):
                    break
                self._steps.append(int(line.partition(b",")[0]))
                self._places.append(self._end)
                self._end += len(line)
        os.ftruncate(self._descriptor, self._end)  # a row that a crash tore is told again
        return True

    def _is_row(self, line: bytes) -> bool:
        step = line.partition(b",")[0].strip()
        in_order = step.lstrip(b"-").isdigit() and (not self._steps or int(step) > self._steps[-1])
        return in_order and line.endswith(b"\n") and line.count(b",") == len(self._columns)


def _copy(file: BinaryIO, columns: list[str], rows: Iterable[Row]) -> tuple[array[int], array[int]]:
    """Write a header and rows; the step of each row and where it begins."""
    steps, places = array("q"), array("q")
    file.write(_line([STEP, *columns]))
    for step, values in rows:
        steps.append(step)
        places.append(file.tell())
        file.write(_line([str(step), *(repr(values[name]) if name in values else "" for name in columns)]))
    return steps, places


def _line(cells: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode("utf-8", "backslashreplace")
