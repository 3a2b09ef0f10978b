"""The model `hub`: a folder on this machine, else the Hub's cache, else the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ftstudio.api import ComponentError, ModelRef, Run
from ftstudio_kit.hub import MODEL_PATTERNS, HubFolder
from ftstudio_kit.hub_cache import has_tokenizer, local_folder
from ftstudio_kit.safe import check_model_folder
from ftstudio_models.options import HubOptions

WAYS_OUT = (
    "Put it into the cache where there is a network (hf download {name}) and copy that cache here (HF_HOME), "
    'or name a folder that holds the model, or write use = "starter".'
)


class Hub:
    """A model by name."""

    def __init__(self, options: HubOptions) -> None:
        self.options = options

    def fetch(self, run: Run) -> ModelRef:
        """The folder of the model, and the commit that it is at if it comes from the Hub.

        Raises ComponentError, one sentence and a way out, when it is missing, damaged or unsafe to open, when the Hub
        refuses it or cannot be asked, and when transformers has no such architecture.
        """
        name, revision = self.options.name, self.options.revision
        folder = local_folder(name, run.project)
        if folder is not None:
            self._check(folder)
            return ModelRef(folder, weights=True, name=name)
        wanted = HubFolder(
            name, revision, "model", MODEL_PATTERNS, _complete, WAYS_OUT.format(name=name), self._has_safetensors
        )
        snapshot = wanted.fetch(run)
        self._check(snapshot)
        return ModelRef(snapshot, weights=True, name=name, revision=snapshot.name)

    def _check(self, folder: Path) -> None:
        kind = check_model_folder(folder).get("model_type")
        # Where torch is on its way anyway: transformers brings it along.
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # noqa: PLC0415
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES  # noqa: PLC0415

        from ftstudio_kit.config import open_config  # noqa: PLC0415

        if kind not in CONFIG_MAPPING_NAMES:
            raise ComponentError(
                f"The model '{self.options.name}' is of the type '{str(kind)[:60]}', which this transformers lacks.",
                "Install a newer transformers, or choose another model.",
            )
        if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
            raise ComponentError(
                f"The model '{self.options.name}' is of the type '{kind}', which does not write text token by token.",
                "Choose a causal language model, for example gpt2.",
            )
        open_config(folder)

    def _has_safetensors(self, files: Sequence[str]) -> None:
        """Refuse before the download what would be refused after it."""
        if files and not any(f.endswith(".safetensors") for f in files):
            raise ComponentError(
                f"The model '{self.options.name}' has no safetensors on the Hub, only weights that may run code.",
                "Choose a revision with model.safetensors (see its pull requests), or another model.",
            )


def _complete(snapshot: Path) -> bool:
    """Whether a copy in the cache is worth no question to the Hub: a model that opens, with its tokenizer."""
    try:
        check_model_folder(snapshot)
    except ComponentError:
        return False
    return has_tokenizer(snapshot)
