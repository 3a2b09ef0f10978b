"""A model's config, as its architecture reads it, without the libraries that a model itself needs."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from transformers import AutoConfig, PretrainedConfig

from ftstudio.api import ComponentError


def open_config(folder: Path) -> PretrainedConfig:
    """The config of a folder, as its architecture reads it. Raises ComponentError when that refuses it."""
    try:
        found = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # each architecture checks in its own way
        raise ComponentError(
            f"'{folder / 'config.json'}' makes no model: {words_of(error)}.", "Get the file again."
        ) from error
    return cast("PretrainedConfig", found)


def words_of(error: Exception) -> str:
    """What a library says, on one line; a KeyError says only what is missing."""
    text = " ".join(str(error).split())[:200].rstrip(".")
    return f"it knows no {text}" if isinstance(error, KeyError) else text or type(error).__name__
