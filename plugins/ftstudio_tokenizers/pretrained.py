"""The tokenizer `pretrained`: the model's own, or another one by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ftstudio.api import Encoded, ModelRef, Run, Table
from ftstudio_kit.hub import TOKENIZER_PATTERNS, HubFolder
from ftstudio_kit.hub_cache import has_tokenizer, local_folder
from ftstudio_kit.loading import load_tokenizer
from ftstudio_tokenizers.encode import encode
from ftstudio_tokenizers.options import PretrainedOptions


class Pretrained:
    """Opens the tokenizer of a folder; no code of the folder is run."""

    def __init__(self, options: PretrainedOptions) -> None:
        self.options = options

    def encode(self, data: Mapping[str, Table], model: ModelRef, run: Run) -> Encoded:
        """Tokenise; raises ComponentError when the folder has no tokenizer or it does not fit the model."""
        tokenizer = load_tokenizer(self._folder(model, run))
        if self.options.chat_template is not None:
            tokenizer.chat_template = self.options.chat_template
        return encode(data, tokenizer, self.options, model, run)

    def _folder(self, model: ModelRef, run: Run) -> Path:
        name = self.options.name
        if name is None:
            return model.path
        folder = local_folder(name, run.project)
        if folder is not None:
            return folder
        ways_out = (
            f"Put it into the cache where there is a network (hf download {name}), or name a folder that holds it."
        )
        return HubFolder(name, None, "tokenizer", TOKENIZER_PATTERNS, has_tokenizer, ways_out).fetch(run)
