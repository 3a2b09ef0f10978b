"""What plugin authors test their components with: a conformance kit, and torch-free fakes of everything around it.

    from ftstudio.testing import DatasetSourceTests

    class TestMarkdown(DatasetSourceTests):
        component = "markdown"
        options = {"path": "notes"}
        project = Path(__file__).parent / "project"

pytest then runs one test a check: that describing it is light, that its options survive TOML, that what it gives
keeps the contract, that it writes only where it may, that a stop is heard, that hostile text survives ... The same
checks are behind `ftstudio plugins check`, which needs no pytest. A check is *required* when it holds for every
component of its kind, *optional* when it is about what a component may offer; an optional one that is not offered is
skipped with the reason.

`FakeRun(tmp_path)` stands in for the run in tests of your own; FakeSource, FakeModel, FakeTokenizer, FakeTrainer,
FakeGenerator and FakeObserver stand in for the other kinds; `tiny_model(folder)` is a GPT-2 of 15 kB that
`from_pretrained` opens. This package imports neither torch nor pytest.
"""

from __future__ import annotations

# Each of these modules registers its checks when it is imported, and checks are made in this order.
# isort: off
from ftstudio.testing import about_descriptions, about_work  # noqa: F401
from ftstudio.testing import about_sources, about_tokenizers, about_trainers  # noqa: F401
from ftstudio.testing import about_generators, about_observers  # noqa: F401

# isort: on
from ftstudio.testing.classes import (
    ComponentTests,
    DatasetSourceTests,
    GeneratorTests,
    ModelSourceTests,
    ObserverTests,
    TokenizerTests,
    TrainerTests,
)
from ftstudio.testing.fake_run import FakeDraft, FakeRequests, FakeRun
from ftstudio.testing.fakes import (
    FakeGenerator,
    FakeGeneratorOptions,
    FakeModel,
    FakeModelOptions,
    FakeObserver,
    FakeObserverOptions,
    FakeSource,
    FakeSourceOptions,
    FakeTable,
    FakeTokenizer,
    FakeTokenizerOptions,
    FakeTrainer,
    FakeTrainerOptions,
    fake_checkpoint,
    fake_encoded,
    fake_events,
    fake_rows,
    fake_tables,
)
from ftstudio.testing.hostile import HOSTILE
from ftstudio.testing.subject import CHECKS, Check, CheckFailed, CheckSkipped, Subject, check, checks_of
from ftstudio.testing.supplies import Supplies
from ftstudio.testing.tiny import fake_tokenizer, tiny_model, write_safetensors

__all__ = [
    "CHECKS",
    "HOSTILE",
    "Check",
    "CheckFailed",
    "CheckSkipped",
    "ComponentTests",
    "DatasetSourceTests",
    "FakeDraft",
    "FakeGenerator",
    "FakeGeneratorOptions",
    "FakeModel",
    "FakeModelOptions",
    "FakeObserver",
    "FakeObserverOptions",
    "FakeRequests",
    "FakeRun",
    "FakeSource",
    "FakeSourceOptions",
    "FakeTable",
    "FakeTokenizer",
    "FakeTokenizerOptions",
    "FakeTrainer",
    "FakeTrainerOptions",
    "GeneratorTests",
    "ModelSourceTests",
    "ObserverTests",
    "Subject",
    "Supplies",
    "TokenizerTests",
    "TrainerTests",
    "check",
    "checks_of",
    "fake_checkpoint",
    "fake_encoded",
    "fake_events",
    "fake_rows",
    "fake_tables",
    "fake_tokenizer",
    "tiny_model",
    "write_safetensors",
]
