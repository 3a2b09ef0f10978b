"""Tokens that were kept for one model are not those of another whose rows may be shorter."""

from __future__ import annotations

from pathlib import Path

from tiny_models import ListTable, config_of, save_model, save_tokenizer

from ftstudio.api import ModelRef
from ftstudio.testing import FakeRun
from ftstudio_tokenizers.options import PretrainedOptions
from ftstudio_tokenizers.pretrained import Pretrained


def lengths(run: FakeRun, model: ModelRef, max_length: int | None = None) -> list[int]:
    table = ListTable([{"text": "abcdefghij" * 10}], column_names=("text",))  # type: ignore[dict-item]
    encoded = Pretrained(PretrainedOptions(max_length=max_length)).encode({"train": table}, model, run)
    return [len(row["input_ids"]) for row in encoded.train]


def test_where_max_length_is_unset_tokens_are_kept_for_models_of_one_context_alone(tmp_path: Path) -> None:
    run, models = FakeRun(tmp_path / "run"), {}
    for context in (64, 32):
        models[context] = save_model(tmp_path / str(context))
        config = config_of("gpt2")
        config.n_positions = context
        config.save_pretrained(models[context].path)
        save_tokenizer(models[context].path)
    assert lengths(run, models[64]) == [64, 37]
    assert lengths(run, models[32]) == [32, 32, 32, 5]
    assert lengths(run, models[64]) == [64, 37]
    assert len(list((run.cache / "tokens").iterdir())) == 2
    assert lengths(run, models[64], max_length=32) == [32, 32, 32, 5]
