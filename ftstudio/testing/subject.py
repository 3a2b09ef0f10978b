"""A check, and what it is made on: one component with example options, in a scratch folder of its own.

    @check("What fetch() returns is a folder with a config", "model")
    def folder_with_config(subject: Subject) -> None:
        ...raise CheckFailed("one sentence: what was expected, what came, what to do")

`subject.outcome` is one undisturbed piece of work of the component, watched and kept, because several checks look at
it; `subject.work()` does another. A check that cannot be made raises `CheckSkipped` with the reason.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

from ftstudio.api import KINDS, Component, ComponentError, Encoded
from ftstudio.errors import FtstudioError, PluginError
from ftstudio.options import describe, parse
from ftstudio.plugins import Offer
from ftstudio.process.manners import left_as_found
from ftstudio.testing.fake_run import FakeRun
from ftstudio.testing.fakes import fake_encoded
from ftstudio.testing.supplies import Supplies
from ftstudio.testing.watch import Watched, watched
from ftstudio.testing.working import WORKING
from ftstudio.text import quote, words_of

ALL = tuple(KINDS)
Result = Literal["passed", "failed", "skipped"]


class CheckFailed(AssertionError):  # noqa: N818 - a finding about somebody's component, no error of this kit
    """What was expected, what came and what to do, as a sentence."""


class CheckSkipped(Exception):  # noqa: N818
    """Why a check could not be made, as a sentence."""


@dataclass(frozen=True)
class Check:
    """One thing that holds for a component. `name` is a sentence.

    A required one holds for every component of its kinds; an optional one for those that offer what it is about.
    """

    name: str
    kinds: tuple[str, ...]
    required: bool
    make: Callable[[Subject], None]
    """Raises CheckFailed or CheckSkipped."""

    def tried(self, subject: Subject) -> tuple[Result, str]:
        """How it came out for a component, and the sentence where it did not pass."""
        try:
            self.make(subject)
        except CheckSkipped as why:
            return "skipped", str(why)
        except (CheckFailed, FtstudioError) as finding:
            return "failed", str(finding)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - of the component, where no check expected it
            return "failed", f"{named(error)}{place_of(error)}"
        return "passed", ""

    @property
    def method(self) -> str:
        """Its name as that of a test method."""
        letters = "".join(c if c.isalnum() else "_" for c in self.name.lower().replace("'", ""))
        return "test_" + "_".join(filter(None, letters.split("_")))


CHECKS: list[Check] = []
"""All checks, in the order in which they are made."""


def check(
    name: str, *kinds: str, required: bool = True
) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Register a function as the check of this name, for these kinds or for all."""

    def register(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
        CHECKS.append(Check(name, kinds or ALL, required, function))
        return function

    return register


def checks_of(kind: str) -> tuple[Check, ...]:
    """The checks of a kind, in order: those of the description first."""
    return tuple(c for c in CHECKS if kind in c.kinds)


@dataclass
class Outcome:
    """What one undisturbed piece of work came to: a result, or the error that it raised."""

    run: FakeRun
    seen: Watched
    result: Any = None
    error: BaseException | None = None


@dataclass
class Subject:
    """A component under test.

    `table` is what its table in project.toml would say beside `use`; `files` is a folder that is copied into the
    project's folder before each piece of work; `supplies` gives what other kinds would have made.
    """

    offer: Offer
    root: Path
    table: Mapping[str, Any] = field(default_factory=dict)
    files: Path | None = None
    supplies: Supplies = field(default_factory=Supplies)
    given: tuple[Any, ...] | None = None
    """What its work gets behind the run instead of the supplies, while a check says so."""
    _runs: int = 0
    _outcome: Outcome | None = None
    _marks: dict[str, str] = field(default_factory=dict)

    @property
    def component(self) -> Component:
        """Its description."""
        return self.offer.component

    @property
    def kind(self) -> str:
        """The table of project.toml that names it."""
        return self.offer.kind

    @property
    def who(self) -> str:
        """How sentences call it: "dataset markdown"."""
        return f"{self.kind} {self.component.name}"

    @property
    def options(self) -> Any:
        """The example options, parsed. Raises CheckSkipped for required ones without a value, else CheckFailed."""
        needed = [f.name for f in describe(self.component.options) if f.required and f.name not in self.table]
        if needed:
            raise CheckSkipped(self.how_to_give(needed))
        options, problems = parse(self.component.options, self.table)
        if options is None:
            said = " ".join(f"{p.message} {p.fix}".strip() for p in problems)
            raise CheckFailed(f"The example options are not valid: {said} Change the example, or what refuses it.")
        return options

    def how_to_give(self, needed: list[str]) -> str:
        """The sentence on required options that no example has."""
        names = " and ".join(needed)
        return (
            f"It requires {names}, and no example gives a value: write one into pyproject.toml under "
            f"[tool.ftstudio.check.{self.kind}.{self.component.name}], as `options` of the test class, or behind --set."
        )

    def built(self) -> Any:
        """A new instance. Raises CheckSkipped when its target needs something that is not installed and says so."""
        options = self.options
        try:
            return self.offer.build(options)
        except PluginError as error:
            if isinstance(error.__cause__, ImportError) and self.component.install_hint:
                raise CheckSkipped(f"{error.message} {self.component.install_hint}") from error
            raise CheckFailed(f"{error}{place_of(error.__cause__ or error)}") from error

    def with_options(self, **changes: Any) -> Subject:
        """The same component with other options, for one piece of work."""
        self._runs += 1
        return replace(
            self, table={**self.table, **changes}, root=self.root / f"with-{self._runs}", _runs=0, _outcome=None
        )

    # --------------------------------------------------------------------------------------------- work

    def new_run(self, **fields: Any) -> FakeRun:
        """A run in a folder of its own, with the example's files in its project."""
        self._runs += 1
        run = FakeRun(self.root / f"run-{self._runs}", **fields)
        if self.files is not None:
            shutil.copytree(self.files, run.project, dirs_exist_ok=True)
        self.supplies.prepare(run.project)
        run.held = {path: path.read_bytes() for path in run.project.rglob("*") if path.is_file()}
        return run

    def work(self, run: FakeRun | None = None, **fields: Any) -> Outcome:
        """One piece of work: fetch(), load() and all rows, encode(), train(), generate() ... Never raises what the
        component raises.
        """
        built = self.built()
        run = run or self.new_run(**fields)
        given = self.arguments()
        with self.secrets_set(), watched(self.who) as seen:
            outcome = Outcome(run, seen)
            try:
                outcome.result = WORKING[self.kind].act(built, run, *given)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - what a component raises is what is looked at
                outcome.error = error
        return outcome

    @property
    def outcome(self) -> Outcome:
        """The undisturbed piece of work, done once."""
        if self._outcome is None:
            self._outcome = self.work()
        return self._outcome

    def result(self, outcome: Outcome | None = None) -> Any:
        """What came of it. Raises CheckSkipped when it failed, which a check of its own reports."""
        outcome = outcome or self.outcome
        if outcome.error is not None:
            raise CheckSkipped(f"Its work failed: {named(outcome.error)}")
        return outcome.result

    def again(self, what: str, **fields: Any) -> Outcome:
        """Another piece of work after one that succeeded. Raises CheckFailed, with `what` it was, when it fails."""
        self.result()
        outcome = self.work(**fields)
        if outcome.error is not None:
            raise CheckFailed(f"{what} it failed: {named(outcome.error)}{place_of(outcome.error)}")
        return outcome

    def encoded(self) -> Encoded:
        """Tokenised rows as trainers get them: those of the supplies for a trainer, the fakes' for other kinds."""
        if self.kind == "trainer":
            return cast("Encoded", self.arguments()[0])
        return fake_encoded(FakeRun(self.root / "encoded"))

    def arguments(self) -> tuple[Any, ...]:
        """What its work gets behind the run."""
        if self.given is not None:
            return self.given
        return self.supplies.arguments(self.offer, self.root / "supplies")

    # ------------------------------------------------------------------------------------------ secrets

    @contextlib.contextmanager
    def secrets_set(self) -> Iterator[None]:
        """Every declared secret has a value inside: the person's own, or one that is easy to find again."""
        made = {}
        for name in self.component.secrets:
            if name not in os.environ:
                made[name] = self._marks.setdefault(name, f"ftstudio-kit-{secrets.token_hex(12)}")
        os.environ.update(made)
        try:
            yield
        finally:
            for name in made:
                os.environ.pop(name, None)

    @property
    def secret_values(self) -> dict[str, str]:
        """Name -> value of the declared secrets, as they were during the work."""
        return {name: self._marks.get(name) or os.environ.get(name, "") for name in self.component.secrets}

    @property
    def with_made_secrets(self) -> bool:
        """Whether some secret was only made up, so that a service behind it refuses."""
        return bool(self._marks)


def named(error: BaseException) -> str:
    """An error of a component in a sentence: an expected one by its words, another by its type too."""
    words = " ".join(words_of(error).split())
    if isinstance(error, FtstudioError):
        return words
    return f"{type(error).__name__}: {words[:300] or 'without words'}"


def place_of(error: BaseException) -> str:
    """Where in the plugin an error came from, as " (markdown.py, line 41)"; "" when it did not get that far.

    The plugin is what lies beside the first file that is neither of this studio nor of Python itself.
    """
    own, python = f"{Path(__file__).resolve().parents[1]}{os.sep}", sysconfig.get_paths()["stdlib"]
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((own, "<"))
        and not (frame.filename.startswith(python) and "site-packages" not in frame.filename)
    ]
    theirs = [frame for frame in frames if frame.filename.startswith(os.path.dirname(frames[0].filename))]  # noqa: PTH120
    return f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else ""


@contextlib.contextmanager
def as_findings() -> Iterator[None]:
    """Turn an error of the core's own checks into a finding."""
    try:
        yield
    except FtstudioError as error:
        raise CheckFailed(str(error)) from error


def expected(error: BaseException) -> bool:
    """Whether an error is how a component refuses its input: a sentence, no traceback."""
    return isinstance(error, ComponentError)


@contextlib.contextmanager
def scrambled() -> Iterator[None]:
    """The generators that are global at another state inside, so that what draws from them differs."""
    seed = secrets.randbits(32)
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    with left_as_found("", None):
        random.seed(seed)
        if numpy is not None:
            numpy.random.seed(seed)
        if torch is not None:
            torch.manual_seed(seed)
        yield


def joined(names: list[str], limit: int = 3) -> str:
    """Some names in a sentence."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(quote(name, 200) for name in names[:limit]) + more
