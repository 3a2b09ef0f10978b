"""The model `scratch`: a GPT2Config from options, whose weights the trainer draws from the run's seed."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from ftstudio.api import ModelRef, Run
from ftstudio_models.options import ScratchOptions


def config_of(options: ScratchOptions) -> dict[str, Any]:
    """config.json of a GPT-2 with these sizes.

    vocab_size stands in it only when it was asked for: otherwise the tokenizer decides. The ids of special tokens
    are null, because GPT2Config would else name token 50256, which a small vocabulary lacks.
    """
    sizes = {name: value for name, value in asdict(options).items() if value is not None}
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "bos_token_id": None,
        "eos_token_id": None,
        **sizes,
    }


class Scratch:
    """Writes a config; there are no weights to fetch."""

    def __init__(self, options: ScratchOptions) -> None:
        self.options = options

    def fetch(self, run: Run) -> ModelRef:
        """A folder in the run with config.json alone."""
        folder = run.dir / "model"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config_of(self.options), indent=2) + "\n", "utf-8")
        return ModelRef(folder, weights=False, name="scratch")
