"""The tokenizer `pretrained`: the model's own, or another one by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer

from ftstudio.api import ComponentError, Encoded, ModelRef, Run, Table
from ftstudio_kit.chat import encode_prompt
from ftstudio_kit.hub import TOKENIZER_PATTERNS, HubFolder
from ftstudio_kit.hub_cache import has_tokenizer, local_folder
from ftstudio_kit.loading import quiet
from ftstudio_kit.safe import check_tokenizer_folder
from ftstudio_tokenizers.encode import encode
from ftstudio_tokenizers.light import template_file
from ftstudio_tokenizers.options import PretrainedOptions


class Pretrained:
    """Opens the tokenizer of a folder; no code of the folder is run."""

    def __init__(self, options: PretrainedOptions) -> None:
        self.options = options

    def encode(self, data: Mapping[str, Table], model: ModelRef, run: Run) -> Encoded:
        """Tokenise. Raises ComponentError when there is no tokenizer, or it fits neither the model nor the rows."""
        name = self.options.name
        tokenizer = open_tokenizer(model.path if name is None else self._folder(name, run), model, name)
        if name is not None and model.weights and not same_vocabulary(tokenizer, model):
            run.warn(f"The model '{model.name}' was trained with another vocabulary than that of '{name}'.")
        if self.options.chat_template is not None:
            self._set_template(tokenizer, self.options.chat_template, run)
        return encode(data, tokenizer, self.options, model, run)

    def _folder(self, name: str, run: Run) -> Path:
        folder = local_folder(name, run.project)
        if folder is not None:
            return folder
        ways_out = (
            f"Put it into the cache where there is a network (hf download {name}) and copy that cache here (HF_HOME), "
            "or name a folder that holds it."
        )
        return HubFolder(name, None, "tokenizer", TOKENIZER_PATTERNS, has_tokenizer, ways_out).fetch(run)

    def _set_template(self, tokenizer: Any, given: str, run: Run) -> None:
        """A template holds braces; what holds none is a path."""
        if "{" not in given:
            path = template_file(given, run.project)
            try:
                given = path.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or "it is not UTF-8"
                raise ComponentError(
                    f"The chat template '{path}' cannot be read: {why}.",
                    "Write the template itself, or the path of a file that holds it.",
                ) from error
        tokenizer.chat_template = given
        try:
            encode_prompt(tokenizer, "Hello", "messages")
        except ComponentError as error:
            if isinstance(error.__cause__, TemplateError) and "Syntax" in type(error.__cause__).__name__:
                raise ComponentError(f"chat_template is no Jinja template: {str(error.__cause__)[:160]}") from error


def open_tokenizer(folder: Path, model: ModelRef, name: str | None = None) -> Any:
    """The tokenizer of a folder. Raises ComponentError when there is none, when it is damaged, or wants to run code."""
    quiet()
    if not has_tokenizer(folder):  # else transformers makes an empty one, to which every text has no tokens
        if name is None:
            raise ComponentError(
                f"The model '{model.name}' brings no tokenizer along: there is no tokenizer.json in '{folder}'.",
                'Give its name in [tokenizer], or for a model from scratch write use = "bpe" or "bytes".',
            )
        raise ComponentError(f"'{folder}' holds no tokenizer.", "Name a folder with a tokenizer.json.")
    check_tokenizer_folder(folder)
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # tokenizers raises bare Exceptions for a file that it cannot read
        if "trust_remote_code" in str(error):
            raise ComponentError(
                f"The tokenizer in '{folder}' asks to run code of its own.",
                "No code from a model's folder is ever run here: name another tokenizer.",
            ) from error
        words = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, KeyError):
            words = f"it lacks {words}"
        raise ComponentError(
            f"The tokenizer in '{folder}' cannot be opened: {words[:160].rstrip('.')}.", "Get its files again."
        ) from error


def same_vocabulary(tokenizer: Any, model: ModelRef) -> bool:
    """Whether a model came with a tokenizer of the same ids; also true when it came with none to compare."""
    if not has_tokenizer(model.path):
        return True
    vocabulary: dict[str, int] = open_tokenizer(model.path, model).get_vocab()
    return bool(vocabulary == tokenizer.get_vocab())
