"""The model `starter`: a small GPT-2 inside this package, so that a first run needs no network."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from ftstudio.api import ModelRef, Run
from ftstudio_kit.safe import check_model_folder
from ftstudio_models.options import StarterOptions

FOLDER = Path(str(files("ftstudio_models") / "starter_gpt2"))


class Starter:
    """Fetches nothing: the folder is there."""

    def __init__(self, options: StarterOptions) -> None:
        self.options = options

    def fetch(self, run: Run) -> ModelRef:
        """The packaged folder. Raises ComponentError when the installation is incomplete."""
        check_model_folder(FOLDER)
        return ModelRef(FOLDER, weights=True, name="starter")
