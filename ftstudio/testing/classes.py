"""The test classes that a plugin's own tests inherit from; pytest runs one test method a check.

    class TestMine(DatasetSourceTests):
        component = "my-source"

`options` are what the component's table in project.toml would say, `project` a folder with the files that it reads.
Where a class says neither, the examples of the nearest pyproject.toml count (`ftstudio.testing.examples`), which
`ftstudio plugins check` goes by too. What other kinds would have made is faked; each method of `Supplies` may be
overridden. Nothing here imports pytest until a test is skipped.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ftstudio.api import Component
from ftstudio.errors import FtstudioError
from ftstudio.plugins import Offer, Record, registry
from ftstudio.testing.examples import nearest_examples
from ftstudio.testing.subject import Check, CheckFailed, Subject, checks_of
from ftstudio.testing.supplies import Supplies


class ComponentTests(Supplies):
    """What the classes of all kinds share."""

    kind: ClassVar[str]
    component: ClassVar[str | Component] = ""
    """The name behind `use`, of an installed plugin; or a description that is not installed."""
    options: ClassVar[Mapping[str, Any] | None] = None
    project: ClassVar[Path | None] = None
    _subject: ClassVar[Subject | None] = None

    @classmethod
    def subject(cls, root: Path) -> Subject:
        """The component under test, one for all tests of the class, in a scratch folder."""
        if cls.__dict__.get("_subject") is None:
            offer = cls._offer()
            examples = nearest_examples(Path(inspect.getfile(cls)).resolve().parent)
            table = examples.of(cls.kind, offer.component.name) if cls.options is None else cls.options
            files = cls.project or examples.files
            cls._subject = Subject(offer, root, dict(table), files, cls())
        subject = cls._subject
        assert subject is not None
        return subject

    @classmethod
    def _offer(cls) -> Offer:
        if isinstance(cls.component, Component):
            record = Record(name="tests", value="", distribution="tests", version="0", status="active")
            return Offer(kind=cls.kind, component=cls.component, record=record)
        if not cls.component:
            raise CheckFailed(f"{cls.__name__} names no component: write component = 'the name behind use'.")
        return registry().find(cls.kind, cls.component)


Tests = TypeVar("Tests", bound=type[ComponentTests])


def _with_checks(tests: Tests) -> Tests:
    """Give a class a test method for each check of its kind."""
    for one in checks_of(tests.kind):
        setattr(tests, one.method, _method(one))
    return tests


def _method(one: Check) -> Callable[..., None]:
    def test(self: ComponentTests, tmp_path_factory: Any) -> None:
        __tracebackhide__ = True
        cls = type(self)
        root = tmp_path_factory.mktemp("kit") if cls.__dict__.get("_subject") is None else Path()
        try:
            result, says = one.tried(cls.subject(root))
        except FtstudioError as error:  # it is not installed, or its examples cannot be read
            result, says = "failed", str(error)
        if result == "skipped":
            import pytest  # noqa: PLC0415 - only where pytest runs this

            pytest.skip(says)
        if result == "failed":
            raise CheckFailed(says)

    test.__name__ = test.__qualname__ = one.method
    test.__doc__ = one.name
    return test


@_with_checks
class ModelSourceTests(ComponentTests):
    """For a `ModelSource`."""

    kind = "model"


@_with_checks
class DatasetSourceTests(ComponentTests):
    """For a `DatasetSource`. Override `write_texts` to have hostile texts tried."""

    kind = "dataset"


@_with_checks
class TokenizerTests(ComponentTests):
    """For a `Tokenizer`. It gets rows of each shape that it takes, and a model with a tokenizer of bytes."""

    kind = "tokenizer"


@_with_checks
class TrainerTests(ComponentTests):
    """For a `Trainer`. It gets 24 short rows and a tiny GPT-2; give it options for 8 steps at least."""

    kind = "trainer"


@_with_checks
class GeneratorTests(ComponentTests):
    """For a `Generator`. It gets the tiny GPT-2, two texts and a conversation."""

    kind = "generator"


@_with_checks
class ObserverTests(ComponentTests):
    """For an `Observer`. It gets the events of a short run."""

    kind = "observer"
