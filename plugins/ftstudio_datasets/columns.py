"""A person's columns -> the standard ones of `ftstudio.api.SHAPES`.

choose(columns, options) -> Choice(shape, {"prompt": "question", ...})      once a table
Choice.convert(record)   -> {"prompt": ..., "completion": ...} or None      each record; None: nothing to learn
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftstudio.api import SHAPES
from ftstudio_datasets.decode import Tally
from ftstudio_datasets.options import ColumnOptions
from ftstudio_datasets.words import DataError, did_you_mean, listed, nearest, quote

_NAMES: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "content", "document", "body", "sentence"),
    "prompt": ("prompt", "question", "instruction", "input", "query", "problem"),
    "completion": ("completion", "answer", "response", "output", "target", "solution", "reply"),
    "messages": ("messages", "conversations", "conversation", "dialogue", "chat"),
    "chosen": ("chosen", "preferred"),
    "rejected": ("rejected", "dispreferred"),
}
"""Role -> names that public data sets give it; the first is the standard one."""

_ALPACA = ("instruction", "input")
"""What is asked, and what it is asked of, often blank: two columns that are one prompt."""
_ROLES: Mapping[str, str] = {
    "system": "system", "user": "user", "assistant": "assistant",
    "human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
}  # fmt: skip
"""ShareGPT's words for who speaks, and the standard ones."""

_CALLS = ("tool_calls", "function_call")
_LEARNT = ("text", "completion", "chosen", "rejected")
_KINDS: Mapping[type, str] = {
    bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object", bytes: "bytes",
}  # fmt: skip
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Choice:
    """Which of a table's columns is read as which standard one. `guessed`: not by an option or a standard name.

    `context` is a column that follows the prompt after a blank line: Alpaca's "input" beside its "instruction".
    """

    shape: str
    columns: Mapping[str, str]
    guessed: bool = False
    unused: Sequence[str] = ()
    context: str = ""

    @property
    def read(self) -> list[str]:
        """All columns that are read."""
        return [*self.columns.values(), *filter(None, [self.context])]

    def says(self) -> str:
        """'question', 'answer' read as prompt, completion; conversations by their name."""
        sentence = f"columns {listed(self.columns.values())}"
        if self.shape == "messages":
            sentence = f"conversations in column {listed(self.columns.values())}"
        elif list(self.columns) != list(self.columns.values()):
            sentence += f" read as {', '.join(self.columns)}"
        if self.context:
            sentence += f", {quote(self.context)} after the prompt where it is not blank"
        return sentence + (f"; not used: {listed(self.unused)}" if self.unused else "")

    def convert(self, record: Mapping[str, Any], where: str, tally: Tally) -> dict[str, Any] | None:
        """The record with standard columns, or None when it is blank where there should be something to learn.

        `where` names the record in the sentence of the DataError that is raised for what is missing or no text.
        """
        row: dict[str, Any] = {}
        for role, column in self.columns.items():
            value = record.get(column)
            if role == "messages":
                row[role] = _messages(value, where, column, tally)
                continue
            if not isinstance(value, str):
                raise self._no_text(record, where, column, role)
            if not value.strip() and role in _LEARNT:
                tally.blank += 1
                return None
            row[role] = clean(value, tally)
        more = record.get(self.context)
        if more is not None and not isinstance(more, str):
            raise self._no_text(record, where, self.context, "prompt")
        if more and more.strip():
            row["prompt"] += f"\n\n{clean(more, tally)}"
        return row

    def _no_text(self, record: Mapping[str, Any], where: str, column: str, role: str) -> DataError:
        """The record is to blame, and the choice of its columns only where another one could be meant."""
        if column not in record:
            hint = "Each record needs it: add it, or take the record out."
            return DataError(f"{where}: there is no {quote(column)}.", hint)
        value = record[column]
        if value is None:
            hint = "Write a text there, or take the record out."
            return DataError(f"{where}: {quote(column)} is null.", hint)
        said = f"{where}: {quote(column)} is {_KINDS.get(type(value), type(value).__name__)}, not a text."
        if not self.unused:
            return DataError(said, "Make it a text.")
        return DataError(said, "Make it a text, or choose another column.", f"{role}_column")


def clean(text: str, tally: Tally) -> str:
    """The text with U+FFFD for lone surrogates, which JSON can spell and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text, count = _LONE_SURROGATE.subn("\ufffd", text)
        tally.replaced += count
    return text


# ----------------------------------------------------------------------------------------------- choosing


def choose(columns: Sequence[str], options: ColumnOptions, name: str) -> Choice:
    """The reading of these columns; `name` is the file's. Raises DataError when there is none, or several."""
    named = {role: value for role in _NAMES if (value := getattr(options, f"{role}_column")) is not None}
    for role, column in named.items():
        if column not in columns:
            raise DataError(
                f"{name} has no column {quote(column)}; it has {listed(columns)}.",
                did_you_mean(column, columns) or f"Set {role}_column to one of them.",
                f"{role}_column",
                {f"{role}_column": near} if (near := nearest(column, columns)) else None,
            )
    readings = {shape: found for shape, found in _readings(columns, named) if found is not None}
    if not readings and not named and len(columns) == 1:
        readings = {"text": {"text": columns[0]}}
    exact = {shape: found for shape, found in readings.items() if all(r == c for r, c in found.items())}
    chosen = exact or readings  # standard names win, in the order of SHAPES, as everywhere in the studio
    if not chosen or (len(chosen) > 1 and not exact):
        raise _undecided(columns, named, chosen, name)
    shape, found = next(iter(chosen.items()))
    unused = [column for column in columns if column not in found.values()]
    guessed = any(role not in named and role != column for role, column in found.items())
    context = ""
    if "prompt" not in named and _plain(found.get("prompt", "")) == _ALPACA[0]:
        context = next((column for column in unused if _plain(column) == _ALPACA[1]), "")
    return Choice(shape, found, guessed, [column for column in unused if column != context], context)


def _plain(column: str) -> str:
    return column.strip().lower()


def _readings(columns: Sequence[str], named: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str] | None]]:
    """Each shape with the columns that would make it, or None when one is missing or could be several."""
    for shape, roles in SHAPES.items():
        if not set(named) <= set(roles):
            continue
        free = [column for column in columns if column not in named.values()]
        found = {role: named.get(role) or next(iter(_candidates(role, free, only=True)), None) for role in roles}
        yield shape, {r: c for r, c in found.items() if c is not None} if all(found.values()) else None


def _candidates(role: str, columns: Sequence[str], *, only: bool = False) -> list[str]:
    """Columns whose name means this role; the standard one alone when it is there. `only`: none rather than several."""
    if role in columns:
        return [role]
    found = [column for column in columns if _plain(column) in _NAMES[role]]
    if sorted(map(_plain, found)) == sorted(_ALPACA):
        found = [column for column in found if _plain(column) == _ALPACA[0]]
    return [] if only and len(found) > 1 else found


def _undecided(
    columns: Sequence[str], named: Mapping[str, str], readings: Mapping[str, Mapping[str, str]], name: str
) -> DataError:
    if len(readings) > 1:
        ways = " or ".join(f"{listed(found.values())} as {', '.join(found)}" for found in readings.values())
        option = f"{next(iter(next(iter(readings.values()))))}_column"
        return DataError(f"{name} can be read in more than one way: {ways}.", f"Say which: set {option}.", option)
    for role in _NAMES:
        several = _candidates(role, columns)
        if len(several) > 1 and role not in named:
            option = f"{role}_column"
            return DataError(
                f"In {name} each of the columns {listed(several)} could be the {role}.", f"Set {option}.", option
            )
    if "chosen" in columns and "rejected" in columns and not named:
        hint = "Set prompt_column: chosen and rejected are answers to a prompt."
        return DataError(f"{name} has no column for the prompt; it has {listed(columns)}.", hint, "prompt_column")
    if named:
        wanted = next(roles for roles in reversed(list(SHAPES.values())) if set(named) <= set(roles))
        lacking = next(role for role in wanted if role not in named and not _candidates(role, columns, only=True))
        option = f"{lacking}_column"
        return DataError(
            f"{name} has no column that is plainly the {lacking}; it has {listed(columns)}.", f"Set {option}.", option
        )
    return DataError(
        f"{name} has no column that is plainly usable; it has {listed(columns)}.",
        "Set text_column, or prompt_column and completion_column, or messages_column.",
        "text_column",
    )


# ------------------------------------------------------------------------------------------------- values


def _messages(value: Any, where: str, column: str, tally: Tally) -> list[dict[str, str]]:
    """A conversation in either of the two usual forms, or one of them as JSON in a text (CSV)."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, list) or not value:
        raise _bad_messages(f"{where}: {quote(column)} is no list of messages.", "messages_column")
    found = []
    for number, message in enumerate(value, start=1):
        place = f"{where}: message {number} in {quote(column)}"
        if not isinstance(message, Mapping):
            raise _bad_messages(f"{place} is not an object.")
        who, said = ("from", "value") if "from" in message else ("role", "content")
        if any(message.get(call) for call in _CALLS):
            raise DataError(
                f"{place} calls a tool, and only its text would be trained.",
                "Write the call into that text, or take the conversation out.",
            )
        if not isinstance(message.get(said), str):
            raise _bad_messages(f"{place} has no text in {quote(said)}.")
        role = _ROLES.get(str(message.get(who)).lower())
        if role is None:
            raise _bad_messages(f"{place} is by {quote(message.get(who))}, which is not system, user or assistant.")
        found.append({"role": role, "content": clean(message[said], tally)})
    return found


def _bad_messages(message: str, option: str = "path") -> DataError:
    return DataError(message, 'A conversation is a list such as [{"role": "user", "content": "..."}, ...].', option)
