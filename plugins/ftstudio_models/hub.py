"""The model `hub`: a folder on this machine, else the Hub's cache, else the Hub."""

from __future__ import annotations

from pathlib import Path

from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from ftstudio.api import ComponentError, ModelRef, Run
from ftstudio_kit.hub import fetch_snapshot
from ftstudio_kit.hub_cache import local_folder
from ftstudio_kit.safe import check_model_folder
from ftstudio_models.options import HubOptions


class Hub:
    """A model by name."""

    def __init__(self, options: HubOptions) -> None:
        self.options = options

    def fetch(self, run: Run) -> ModelRef:
        """The folder of the model and the commit that it is at. Raises ComponentError, one sentence and a way out."""
        name = self.options.name
        folder = local_folder(name, run.project)
        if folder is not None:
            self._check(folder)
            return ModelRef(folder, weights=True, name=name)
        snapshot = fetch_snapshot(name, self.options.revision, run)
        self._check(snapshot)
        return ModelRef(snapshot, weights=True, name=name, revision=snapshot.name)

    def _check(self, folder: Path) -> None:
        kind = check_model_folder(folder).get("model_type")
        if kind not in CONFIG_MAPPING_NAMES:
            raise ComponentError(
                f"The model {self.options.name!r} is of the type {kind!r}, which this version of transformers lacks.",
                "Install a newer transformers, or choose another model.",
            )
