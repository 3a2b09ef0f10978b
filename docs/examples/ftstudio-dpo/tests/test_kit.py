"""The conformance kit on both components."""

from ftstudio.testing import TokenizerTests, TrainerTests


class TestPairs(TokenizerTests):
    component = "pairs"


class TestDpo(TrainerTests):
    component = "dpo"


class TestDpoWithAdapters(TrainerTests):
    component = "dpo"
    options = {"max_steps": 9, "lora_rank": 2, "logging_steps": 1, "save_steps": 4}
