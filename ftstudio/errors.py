"""Everything that goes wrong has a class here, and every class has an exit code.

    FtstudioError                 1   base; message says what, to which named thing; hint says what to do
    ├── InputError                2   what the person gave us is wrong: a file, a setting, an argument
    │   ├── ProblemsError         2   several problems of one project, each with file, line, table and key
    │   ├── OptionError           2   one option's value is wrong; raised by options classes
    │   ├── ComponentError        2   a component met an expected failure of its input (a bad line, a Hub that is away)
    │   │   └── NotResumedError   2   a resume found other data or another base; the run stays what it was
    │   ├── FileChangedError      2   somebody else wrote the file since we read it; nothing was overwritten
    │   └── UnknownNameError      2   a project, run, component or command that does not exist; names the nearest
    ├── PluginError               1   a plugin is broken: it raised, hung, or could not be imported
    │   └── ContractError         1   a component returned something that the contract does not allow
    ├── TrainingError             1   the training itself failed: a NaN, out of memory
    └── InterruptedRunError       3   stopped or interrupted before the end; the run can be resumed

A message never ends in a traceback. Only errors outside this tree (bugs) and `--debug` show one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something to say about a setting before a run starts.

    An *error* stops the start (exit 2), a *warning* is said and recorded, a *note* is only said. `fix` is a
    sentence; `edit` are the settings that the fix would write, `{"warmup_steps": 250}`, when it is that simple.
    A component fills `level, option, message, fix, edit`; the core adds where it stands.
    """

    level: Level
    option: str = ""
    message: str
    fix: str = ""
    edit: Mapping[str, Any] = field(default_factory=dict)
    table: str = ""
    file: Path | None = None
    line: int | None = None
    column: int | None = None


class FtstudioError(Exception):
    """Base of all errors that ftstudio raises on purpose.

    `message` says what went wrong and names the thing; `hint` says what to do about it and may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.hint)


class InputError(FtstudioError):
    """What the person gave is wrong. Nothing was started and nothing half-written is left."""

    exit_code = 2


class ProblemsError(InputError):
    """One or more problems of a project, all found at once."""

    def __init__(self, message: str, problems: Sequence[Problem]) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.problems)


class OptionError(InputError):
    """The value of option `field` is not usable. Options classes raise it from `__post_init__`."""

    def __init__(self, field: str, message: str, fix: str = "") -> None:
        super().__init__(message, fix)
        self.field = field

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.field, self.message, self.hint)


class ComponentError(InputError):
    """An expected failure of a component's input: no traceback, exit code 2."""


class NotResumedError(ComponentError):
    """A resume would have gone on with other data or another base model. The run stays what it was: resumable."""


class FileChangedError(InputError):
    """The file was changed by someone else since it was read; `difference` is a unified diff."""

    def __init__(self, message: str, hint: str = "", difference: str = "") -> None:
        super().__init__(message, hint)
        self.difference = difference

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.hint, self.difference)


class UnknownNameError(InputError):
    """A name that nothing here answers to; the hint gives the nearest one that exists."""


class PluginError(FtstudioError):
    """A plugin is broken. The message names the plugin, its distribution and version."""


class ContractError(PluginError):
    """A component returned what its contract does not allow: names it, what came, and what was expected."""


class TrainingError(FtstudioError):
    """The job itself failed after it had started: a loss that is not finite, memory that ran out."""


class InterruptedRunError(FtstudioError):
    """The run ended before its end: stopped on request, or interrupted by a signal or a full disk."""

    exit_code = 3
