"""Which dataset source reads a file, the files of a pattern, or a folder, asked of every source that can tell.

    the source that is asked for ──None──> those of plugins ──None──> the built-in ones

A plugin's sources come before the built-in ones, since `text` reads whatever holds text: who says None to all that is
not plainly his takes nothing away from them.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from ftstudio.errors import FtstudioError, InputError, PluginError
from ftstudio.explain import explain
from ftstudio.options import describe
from ftstudio.plugins import OWN, Offer, registry
from ftstudio.text import expanded, plural, quote

PACKED = {".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".7z", ".rar"}
KNOWN = ("rows", "shape", "prompt")
"""What an answer may hold beside the options."""
MOST_LOOKED_AT = 10_000
"""Files of a folder or of a pattern that are looked for: a slip such as / ends as well."""


class UndecidedError(InputError):
    """A file of a known kind, of which has to be said how it is read; `table` is [dataset] as far as it is known."""

    def __init__(
        self, message: str, hint: str = "", option: str = "path", table: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, hint)
        self.option, self.table = option, dict(table or {})

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.hint, self.option, self.table)


@dataclass(frozen=True)
class _Answer:
    """What a source said: the options of its table, and the facts that go with them."""

    offer: Offer
    use: str
    options: Mapping[str, Any]
    says: str
    known: Mapping[str, Any]

    @property
    def table(self) -> dict[str, Any]:
        return {"use": self.use, **self.options, **self.known}


def sniff(path: Path, given: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], str]:
    """The [dataset] table for a file, a pattern or a folder, with KNOWN where it is, and a sentence on what was found.

    `given` are options that are set already. Relative paths start at the current folder. Raises InputError when nobody
    reads it, UndecidedError when it has to be said how.
    """
    given = given or {}
    whole = expanded(path)
    if glob.has_magic(str(whole)) and not os.path.lexists(whole):
        answer = _of_several(_absolute(whole), given)
    else:
        found = _found(path)
        maybe = _of_one(found, given)
        if maybe is None and found.is_dir():
            maybe = _of_several(_pattern_in(found, path, given), given)
        if maybe is None:
            raise _nobodys(path)
        answer = maybe
    return answer.table, answer.says


def _nobodys(path: Path) -> InputError:
    if path.suffix.lower() in PACKED:
        return InputError(f"{quote(path.name)} is packed, and no dataset source unpacks it.", "Unpack it first.")
    return InputError(
        f"No dataset source reads {quote(path.name)}.",
        "Text, JSONL, JSON, CSV, TSV and Parquet files are read; a plugin may read more.",
    )


def _found(path: Path) -> Path:
    """The whole path of something that is there, its links resolved. Raises InputError when it cannot be found."""
    try:
        found = Path(os.path.realpath(expanded(path)))  # Path.resolve() raises RuntimeError for a loop of links
        found.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a NUL
        raise InputError(
            f"There is no {quote(path, 200)}.", "Name a file that exists; relative paths start at the current folder."
        ) from error
    except OSError as error:
        raise explain(error, path) from error
    return found


# --------------------------------------------------------------------------------------------------- one file


def _of_one(path: Path, given: Mapping[str, Any]) -> _Answer | None:
    """The answer of the first source that has one. A plugin that fails in it is passed over, which is said."""
    broken: PluginError | None = None
    for offer in _in_order(given.get("use")):
        asked_for = _is(offer, given.get("use"))
        try:
            found = _ask(offer, path, given)
        except PluginError as error:
            if asked_for:
                raise
            broken = broken or error
            continue
        if found is not None:
            says = str(found.get("says") or f"read as {offer.component.name}")
            use, options = found.get("use") or offer.component.name, found.get("options") or {}
            known = {name: found[name] for name in KNOWN if found.get(name) is not None}
            return _Answer(offer, use, options, says + (f". {broken.message}" if broken else ""), known)
        if asked_for:
            return None if path.is_dir() else _insisted(offer, path)
    if broken is not None:
        raise broken
    return None


def _insisted(offer: Offer, path: Path) -> _Answer:
    """The answer for a source that is asked for and does not know the file as its own."""
    has = {field.name for field in describe(offer.component.options)}
    options = {"path": str(path)} if "path" in has else {}
    return _Answer(offer, offer.component.name, options, f"to be read as {offer.component.name}", {})


def _in_order(wanted: object) -> list[Offer]:
    """The source that is asked for, those of plugins, the built-in ones; each by its name."""

    def place(offer: Offer) -> tuple[bool, bool]:
        return not _is(offer, wanted), offer.record.distribution == OWN

    return sorted(registry().offers("dataset"), key=place)


def _is(offer: Offer, use: object) -> bool:
    return use in {offer.component.name, f"{offer.record.distribution}/{offer.component.name}"}


def _ask(offer: Offer, path: Path, given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] | None = offer.light("sniff", path, given)
    except InputError as error:
        option = getattr(error, "option", "path")
        if option == "path":
            raise
        table = {"use": offer.component.name, "path": str(path)}
        raise UndecidedError(error.message, error.hint, option, table) from error
    return found


def how_to_say(error: UndecidedError, data: Path) -> str:
    """The command that says how `data` are read."""
    value = "COLUMN" if error.option.endswith("_column") else "VALUE"
    return f"ftstudio new NAME --data {shlex.quote(str(data))} --set dataset.{error.option}={value}"


# --------------------------------------------------------------------------------------------------- several


def _absolute(pattern: Path) -> str:
    """A pattern that starts at the root: the current folder's own name may hold brackets."""
    return str(pattern) if pattern.is_absolute() else f"{glob.escape(str(Path.cwd()))}/{pattern}"


def _matches(pattern: str) -> Iterator[Path]:
    """Files of a pattern, as a source that takes patterns finds them: hidden ones are left out."""
    found = map(Path, glob.iglob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    return (path for path in islice(found, MOST_LOOKED_AT) if os.path.isfile(path))  # noqa: PTH113 - is_file() may raise


def _of_several(pattern: str, given: Mapping[str, Any]) -> _Answer:
    """The table for the files of a pattern: that of the first one, with the pattern in place of its path."""
    files = sorted(_matches(pattern))
    if not files:
        raise InputError(
            f"No file matches {quote(pattern, 200)}.", "Patterns start at the current folder; ** goes into folders."
        )
    first = next((file for file in files if file.stat().st_size), files[0])
    try:
        answer = _of_one(first, given)
    except UndecidedError as error:
        error.table["path"] = pattern
        raise
    if answer is None:
        raise _nobodys(first)
    takes = {field.name for field in describe(answer.offer.component.options) if field.kind == "glob"}
    named = {name for name in takes & answer.options.keys() if answer.options[name] in (str(first), [str(first)])}
    if not named:
        raise InputError(f"{answer.offer.title} reads one file, not several.", "Name one of them.")
    options = {name: pattern if name in named else value for name, value in answer.options.items()}
    says = f"{plural(len(files), 'file')}; {quote(first.name)} is {answer.says}"
    alike = {name: value for name, value in answer.known.items() if name != "rows"}
    return replace(answer, options=options, says=says, known={**_counted(answer.offer, options), **alike})


def _counted(offer: Offer, options: Mapping[str, Any]) -> dict[str, int]:
    """The rows of all files, as far as the source can tell; what is wrong with one is said of the project."""
    with contextlib.suppress(FtstudioError):
        parsed, _ = offer.parse(options)
        facts = None if parsed is None else offer.light("facts", parsed, Path.cwd())
        if facts is not None and facts.rows is not None:
            return {"rows": facts.rows}
    return {}


def _pattern_in(folder: Path, typed: Path, given: Mapping[str, Any]) -> str:
    """The pattern for the files of a folder, or of the folders in it; they have to be of one kind."""
    for deep in ("", "**/"):
        place = f"{glob.escape(str(folder))}/{deep}*"
        kinds: dict[str, Path] = {}
        for file in _matches(place):
            if file.suffix:
                kinds.setdefault(file.suffix, file)
        read = [suffix for suffix, file in sorted(kinds.items()) if _is_read(file, given)]
        if len(read) > 1:
            start = glob.escape(str(typed))
            ways = " or ".join(f"--data {shlex.quote(f'{start}/{deep}*{suffix}')}" for suffix in read[:4])
            raise InputError(
                f"{quote(typed, 200)} holds files of several kinds: {', '.join(read)}.", f"Say which: {ways}."
            )
        if read:
            return f"{place}{glob.escape(read[0])}"
    raise InputError(
        f"{quote(typed, 200)} holds no file that a dataset source reads.", "Name a file, or another folder."
    )


def _is_read(path: Path, given: Mapping[str, Any]) -> bool:
    """Whether a source reads it, or knows its kind and says what is wrong with it."""
    try:
        return _of_one(path, given) is not None
    except InputError:
        return path.stat().st_size > 0
    except PluginError:
        return False
