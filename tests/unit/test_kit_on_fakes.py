"""The conformance kit passes what is right: its own fakes, one of each kind, without torch."""

from ftstudio.api import Component, Metric
from ftstudio.testing import (
    DatasetSourceTests,
    FakeGeneratorOptions,
    FakeModelOptions,
    FakeObserverOptions,
    FakeSourceOptions,
    FakeTokenizerOptions,
    FakeTrainerOptions,
    GeneratorTests,
    ModelSourceTests,
    ObserverTests,
    TokenizerTests,
    TrainerTests,
)
from ftstudio.testing.working import MOST_ROWS


def described(name, options, **more):
    return Component(name=name, summary="a fake", target=f"ftstudio.testing:{name}", options=options, **more)


class TestFakeModel(ModelSourceTests):
    component = described("FakeModel", FakeModelOptions)


class TestFakeSource(DatasetSourceTests):
    component = described("FakeSource", FakeSourceOptions, gives=("text",))

    def write_texts(self, texts, project):
        return {"texts": list(texts)}


class TestFakeTokenizer(TokenizerTests):
    component = described("FakeTokenizer", FakeTokenizerOptions)


class TestFakeTrainer(TrainerTests):
    component = described("FakeTrainer", FakeTrainerOptions, exact_resume=True, metrics=(Metric(name="loss"),))


class TestFakeGenerator(GeneratorTests):
    component = described("FakeGenerator", FakeGeneratorOptions)
    options = {"words": 30}


class TestFakeObserver(ObserverTests):
    component = described("FakeObserver", FakeObserverOptions)


class TestManyRows(DatasetSourceTests):
    component = described("FakeSource", FakeSourceOptions, gives=("text",))
    options = {"texts": [f"text {i}" for i in range(MOST_ROWS + 100)]}
