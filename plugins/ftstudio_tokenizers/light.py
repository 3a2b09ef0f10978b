"""Facts and checks of the built-in tokenizers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ftstudio.api import Facts, Problem, ProjectInfo
from ftstudio_kit.hub_cache import local_folder
from ftstudio_tokenizers.options import CommonOptions, PretrainedOptions


def facts(options: CommonOptions, project: Path) -> Facts:
    """The length that rows are cut or continued at, when it was set."""
    return Facts(max_length=options.max_length)


def check(options: CommonOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """max_length against the context; a tokenizer's folder that is not there; masks that never apply."""
    if options.max_length is not None and facts.context is not None and options.max_length > facts.context:
        yield Problem(
            level="error", option="max_length", edit={"max_length": facts.context},
            message=f"max_length = {options.max_length:,} is beyond the model's context of {facts.context:,} tokens.",
            fix=f"max_length = {facts.context} at most.",
        )  # fmt: skip
    if isinstance(options, PretrainedOptions):
        folder = local_folder(options.name, project.folder) if options.name else None
        if folder is not None and not (folder / "tokenizer_config.json").is_file():
            yield Problem(
                level="error", option="name", message=f"'{folder}' holds no tokenizer.", fix="Name a folder with one.",
            )  # fmt: skip
    if options.assistant_only_loss and facts.shape not in {None, "messages"}:
        yield Problem(
            level="warning", option="assistant_only_loss", edit={"assistant_only_loss": False},
            message=f"assistant_only_loss does nothing for rows of {facts.shape}.", fix="It is for rows of messages.",
        )  # fmt: skip


def check_own(options: CommonOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """A tokenizer of our own gives ids that mean nothing to a pretrained model."""
    yield from check(options, project, facts)
    model = project.uses.get("model")
    if model in {"hub", "starter"}:
        yield Problem(
            level="error", option="use", message=f"The model {model} was trained with another tokenizer.",
            fix='Write use = "pretrained", or use = "scratch" in [model].',
        )  # fmt: skip
