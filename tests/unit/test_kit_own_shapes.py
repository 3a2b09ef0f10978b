"""A trainer of pairs that wants more than every tokenizer gives: the kit feeds it by the one of the same plugin."""

import sys
from dataclasses import dataclass, replace

import pytest

from ftstudio.api import Component, hookimpl
from ftstudio.plugins import Offer, Record
from ftstudio.testing import (
    FakeTable,
    FakeTokenizer,
    FakeTokenizerOptions,
    FakeTrainer,
    FakeTrainerOptions,
    Subject,
    Supplies,
    checks_of,
)


@dataclass(frozen=True, kw_only=True)
class PairOptions(FakeTokenizerOptions):
    """For pairs."""


class PairTokenizer(FakeTokenizer):
    """The rows of every tokenizer of pairs, and a column that only the trainer beside it knows."""

    def encode(self, data, model, run):
        plain = super().encode(data, model, run)
        rows = [{**row, "weight": 2} for row in plain.train]
        table = FakeTable((*plain.train.column_names, "weight"), rows)
        return replace(plain, train=table, validation=table)


class PairTrainer(FakeTrainer):
    def train(self, data, model, run):
        assert all(row["weight"] == 2 and row["chosen_tokens"] for row in data.train)
        return super().train(data, model, run)


@hookimpl
def ftstudio_tokenizers():
    yield Component(
        name="pairs",
        summary="pairs",
        takes=("preference",),
        target="test_kit_own_shapes:PairTokenizer",
        options=PairOptions,
    )


@hookimpl
def ftstudio_trainers():
    yield Component(
        name="pairs",
        summary="pairs",
        takes=("preference",),
        target="test_kit_own_shapes:PairTrainer",
        options=FakeTrainerOptions,
        exact_resume=True,
    )


@pytest.fixture
def subject(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "test_kit_own_shapes", sys.modules[__name__])

    def made(hook, kind, **more):
        (component,) = hook()
        record = Record(name="pairs", value="test_kit_own_shapes", distribution="d", version="1", status="active")
        return Subject(Offer(kind=kind, component=component, record=record), tmp_path, **more)

    return made


def outcomes(subject):
    return {c.name: c.tried(subject) for c in checks_of(subject.kind) if not c.name.startswith("Describing")}


def test_the_trainer_gets_the_rows_of_its_own_tokenizer(subject):
    results = outcomes(subject(ftstudio_trainers, "trainer"))
    assert [r for r in results.values() if r[0] == "failed"] == []
    assert results["A run that was stopped and resumed ends as one that was not"][0] == "passed"


def test_a_tokenizer_of_rows_with_a_column_more_keeps_the_contract(subject):
    results = outcomes(subject(ftstudio_tokenizers, "tokenizer"))
    assert [r for r in results.values() if r[0] == "failed"] == []
    assert results["No row is longer than max_length"][0] == "passed"


def test_rows_that_the_author_supplies_come_first(subject):
    class Mine(Supplies):
        def encoded(self, run, shape):
            raise LookupError("mine was asked")

    with pytest.raises(LookupError, match="mine was asked"):
        subject(ftstudio_trainers, "trainer", supplies=Mine()).arguments()
