"""The model source `gguf`: a file -> a folder that `from_pretrained()` opens, made once and found again.

    cache/gguf/KEY/config.json, model.safetensors, tokenizer.json ...

KEY is a hash of the file and of the versions of what converts it. The folder is renamed into place as a whole, so a
process that is killed leaves nothing half there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gguf  # noqa: F401 - transformers asks for it late, in words of its own; here its absence gives the install_hint
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from ftstudio.api import ComponentError, ModelRef, Run
from ftstudio_gguf.light import header, place
from ftstudio_gguf.options import GgufOptions
from ftstudio_kit.loading import align_special_tokens, embedding_rows, quiet, save_model
from ftstudio_kit.safe import check_model_folder


class Gguf:
    """A model by its file."""

    def __init__(self, options: GgufOptions) -> None:
        self.options = options

    def fetch(self, run: Run) -> ModelRef:
        """The folder, and the first digits of the file's sha256 as its revision.

        Raises ComponentError when the file is missing or damaged, or of a family that transformers cannot read.
        """
        header(self.options, run.project)  # its words for a file that is none are plainer than the library's
        path = place(self.options, run.project)
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        folder = run.cache / "gguf" / self._key(digest)
        if not folder.is_dir():
            run.say(f"'{path.name}' is converted once, into {folder}.")
            self._convert(path, folder, run)
        check_model_folder(folder)
        return ModelRef(folder, weights=True, name=path.name, revision=digest[:12])

    @staticmethod
    def _key(digest: str) -> str:
        made_by = " ".join(f"{name} {version(name)}" for name in ("transformers", "gguf", "ftstudio-gguf"))
        return hashlib.sha256(f"{digest} {made_by}".encode()).hexdigest()[:32]

    def _convert(self, path: Path, folder: Path, run: Run) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=folder.parent))
        try:
            model, tokenizer = self._open(path)
            more = len(tokenizer) - embedding_rows(model)
            if more > 0:
                model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
                run.warn(
                    f"transformers adds {more} tokens that the file lacks to its tokenizer: their embeddings are new."
                )
            align_special_tokens(model, tokenizer)
            save_model(model, staging)
            tokenizer.save_pretrained(staging)
            try:
                os.replace(staging, folder)  # noqa: PTH105 - the name of the system call that makes this atomic
            except OSError:
                if not folder.is_dir():  # else another process was first, with the same
                    raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _open(self, path: Path) -> tuple[Any, Any]:
        quiet()
        where: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
        unpacked = getattr(
            transformers, "GgufConfig", None
        )  # newer ones may keep weights packed, which cannot be trained
        more = {"quantization_config": unpacked(dequantize=True)} if unpacked else {}
        try:
            model, read = AutoModelForCausalLM.from_pretrained(
                path.parent, dtype=torch.float32, output_loading_info=True, **where, **more
            )
            tokenizer = AutoTokenizer.from_pretrained(path.parent, **where)
        except (ValueError, KeyError, NotImplementedError, RuntimeError, IndexError) as error:
            raise ComponentError(
                f"transformers cannot read '{path.name}': {str(error)[:160].rstrip('.')}.",
                "Choose a model of a family that it reads (llama, qwen2, mistral, phi3, gemma2 ...).",
            ) from error
        missing = sorted(read["missing_keys"])
        if missing:
            raise ComponentError(
                f"'{path.name}' lacks weights that would be random: {len(missing):,}, first '{missing[0][:100]}'.",
                "Get the file again, or another one.",
            )
        return _plain(model), tokenizer


def _plain(model: Any) -> Any:
    """The same weights in a model that knows nothing of GGUF: newer transformers refuse to save one that does."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    plain = AutoModelForCausalLM.from_config(model.config, dtype=torch.float32, trust_remote_code=False)
    plain.load_state_dict(model.state_dict())
    return plain
