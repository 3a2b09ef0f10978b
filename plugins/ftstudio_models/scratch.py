"""The model `scratch`: a GPT2Config from options, whose weights the trainer draws from the run's seed."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from ftstudio.api import ModelRef, Run
from ftstudio_models.options import ScratchOptions

VOCAB_SIZE = 50_257  # GPT2Config's own, until the tokenizer's size is known


def config_of(options: ScratchOptions) -> dict[str, Any]:
    """config.json of a GPT-2 with these sizes."""
    config = {k: v for k, v in asdict(options).items() if v is not None}
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": VOCAB_SIZE,
        "bos_token_id": None,
        "eos_token_id": None,
        **config,
    }


class Scratch:
    """Writes a config; there are no weights to fetch."""

    def __init__(self, options: ScratchOptions) -> None:
        self.options = options

    def fetch(self, run: Run) -> ModelRef:
        """A folder in the run with config.json alone."""
        folder = run.dir / "model"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config_of(self.options), indent=2), "utf-8")
        return ModelRef(folder, weights=False, name="scratch")
