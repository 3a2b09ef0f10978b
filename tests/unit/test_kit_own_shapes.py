"""A trainer of rows that only its own tokenizer makes: the kit feeds it by the tokenizer that the plugin offers too."""

import sys
from dataclasses import dataclass

import pytest

from ftstudio.api import Component, Encoded, hookimpl
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
    """Two lists of ids a row."""

    def encode(self, data, model, run):
        plain = super().encode(data, model, run)
        rows = [
            {
                "chosen_ids": list(row["chosen"].encode("utf-8", "replace")),
                "rejected_ids": list(row["rejected"].encode("utf-8", "replace")),
            }
            for row in data["train"]
        ]
        table = FakeTable(("chosen_ids", "rejected_ids"), rows)
        return Encoded(table, table, plain.tokenizer, plain.vocab_size, 0, "preference")


class PairTrainer(FakeTrainer):
    def train(self, data, model, run):
        assert all(row["chosen_ids"] and row["rejected_ids"] for row in data.train)
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


def test_a_tokenizer_of_rows_of_another_make_keeps_the_contract(subject):
    results = outcomes(subject(ftstudio_tokenizers, "tokenizer"))
    assert [r for r in results.values() if r[0] == "failed"] == []
    assert "only its trainer can read them" in results["No row is longer than max_length"][1]


def test_rows_that_the_author_supplies_come_first(subject):
    class Mine(Supplies):
        def encoded(self, run, shape):
            raise LookupError("mine was asked")

    with pytest.raises(LookupError, match="mine was asked"):
        subject(ftstudio_trainers, "trainer", supplies=Mine()).arguments()
