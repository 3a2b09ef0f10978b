"""The questions that decide which way is taken find what shows in no short answer of the model as it is."""

from __future__ import annotations

import pytest
import torch
from test_kit_lean import SMALL, model_of
from transformers import Gemma2Config

from ftstudio_kit.lean import Lean, Plain, _alike, way_through


@pytest.mark.parametrize("cap", [100.0, 1000.0])
def test_a_cap_that_logits_are_too_small_to_show_is_found(cap: float) -> None:
    """Logits of a model that has learnt little are small; those that training makes would be capped."""
    models = [
        model_of(
            Gemma2Config(**SMALL, query_pre_attn_scalar=16, attn_logit_softcapping=None, final_logit_softcapping=one)
        ).eval()
        for one in (cap, None)
    ]
    ids = torch.arange(7, 12)[None]
    capped, free = (model(input_ids=ids).logits for model in models)
    assert _alike(capped, free), "as they are, no answer tells which of them has a cap"
    assert isinstance(way_through(models[1], "cpu", bf16=False), Lean), "and nothing else bars the fast way"
    assert isinstance(way_through(models[0], "cpu", bf16=False), Plain)
    assert torch.equal(models[0](input_ids=ids).logits, capped), "its weights are what they were, to the bit"
