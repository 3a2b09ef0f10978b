"""The entry points of installed distributions, read one distribution at a time.

`importlib.metadata.entry_points()` raises for all when the metadata of one is broken, be it no plugin at all. Here a
distribution that announces no plugin is not looked into, and one that does, but is broken, is an entry with the reason.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ftstudio.api import GROUP
from ftstudio.text import quote

FILE = "entry_points.txt"
_VALUE = re.compile(r"([\w.]+\s*(?::\s*[\w.]+)?)\s*(?:\[[^\]]*\])?\Z")
"""What an entry point may name; the extras behind it mean nothing to whoever imports it."""
_FOLDER = re.compile(r"(.+?)(?:-([^-]+))?(?:-py[^-]*)?\.(?:dist|egg)-info\Z")


@dataclass(frozen=True, kw_only=True)
class Announced:
    """A plugin as the metadata of its distribution announces it."""

    name: str
    value: str
    distribution: str
    version: str
    reason: str = ""
    """Why it cannot even be tried."""
    folder: str = ""
    """The metadata that are broken, where they are."""


def announced() -> list[Announced]:
    """All plugins of all distributions that can be imported; of two distributions with one name the first."""
    found: dict[str, list[Announced]] = {}
    for distribution in importlib.metadata.distributions():
        entries = list(_entries(distribution))
        if entries:
            found.setdefault(re.sub(r"[-_.]+", "-", entries[0].distribution).lower(), entries)
    return [entry for entries in found.values() for entry in entries]


def _entries(distribution: importlib.metadata.Distribution) -> Iterator[Announced]:
    try:
        text = distribution.read_text(FILE) or ""
    except UnicodeDecodeError as error:
        if f"[{GROUP}]".encode() in error.object:
            yield _broken(distribution, f"its {FILE} is no UTF-8")
        return
    except Exception as error:  # noqa: BLE001 - others bring finders of their own; whether it has a plugin nobody knows
        yield _broken(distribution, f"its {FILE} cannot be read ({error})")
        return
    lines = list(_lines(text))
    if not lines:
        return
    try:
        name, version = _identity(distribution)
    except _BrokenError as error:
        yield from (_broken(distribution, str(error), line.partition("=")[0].strip()) for line in lines)
        return
    for line in lines:
        yield _entry(line, name, version)


def _lines(text: str) -> Iterator[str]:
    """The lines of our group."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line.strip("[]")
        elif group == GROUP and line and not line.startswith("#"):
            yield line


def _entry(line: str, distribution: str, version: str) -> Announced:
    name, equals, value = map(str.strip, line.partition("="))
    read = _VALUE.match(value)
    if name and read:
        return Announced(name=name, value=read[1].strip(), distribution=distribution, version=version)
    reason = f"Its entry point reads {quote(line)}; expected name = package.module, or name = package.module:object."
    called = name if equals and name else distribution
    return Announced(name=called, value=value, distribution=distribution, version=version, reason=reason)


class _BrokenError(Exception):
    """What is wrong with metadata."""


def _identity(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    """Name and version. Raises _BrokenError."""
    try:
        metadata = distribution.metadata
        name, version = ((metadata.get_all(key) or [""])[0] for key in ("Name", "Version"))
    except UnicodeDecodeError as error:
        raise _BrokenError("its METADATA is no UTF-8") from error
    except Exception as error:  # without the file some versions of Python raise a TypeError here
        raise _BrokenError("it has no METADATA that can be read") from error
    for what, found in (("Name", name), ("Version", version)):
        if not found:
            raise _BrokenError(f"its METADATA has no {what}, or is not there")
    return str(name), str(version)


def _broken(distribution: importlib.metadata.Distribution, what: str, name: str = "") -> Announced:
    """The entry of a distribution whose metadata are broken, called as the folder is that holds them."""
    folder = Path(str(getattr(distribution, "_path", "")))  # nothing public says where it lies
    read = _FOLDER.match(folder.name)
    called, version = (read[1], read[2] or "0") if read else (folder.name or "unknown", "0")
    reason = f"What is known of its distribution is broken: {what}."
    return Announced(
        name=name or called, value="", distribution=called, version=version, reason=reason, folder=str(folder)
    )
