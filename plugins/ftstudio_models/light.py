"""Facts and checks of the built-in models, from headers and configs alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ftstudio.api import ComponentError, Facts, Problem, ProjectInfo
from ftstudio_kit.hub_cache import cached_snapshot, is_offline, local_folder, not_cached
from ftstudio_kit.safe import check_model_folder, context_of_config, safetensors_parameters, vocabulary_of_config
from ftstudio_models.options import HubOptions, ScratchOptions, StarterOptions

STARTER = Path(__file__).resolve().parent / "starter_gpt2"


def hub_facts(options: HubOptions, project_folder: Path) -> Facts:
    """Of the local folder, or of the Hub's cache; nothing is asked of the network."""
    folder = local_folder(options.name, project_folder) or cached_snapshot(options.name, options.revision)
    return _folder_facts(folder) if folder is not None else Facts()


def starter_facts(options: StarterOptions, project_folder: Path) -> Facts:
    """Of the packaged folder."""
    return _folder_facts(STARTER)


def scratch_facts(options: ScratchOptions, project_folder: Path) -> Facts:
    """By arithmetic: 12 d^2 + 13 d numbers a block, 2 d for the last norm, d for each token and each position.

    The vocabulary is the tokenizer's unless it was asked for, and so the parameters are not known without it.
    """
    width, vocabulary = options.n_embd, options.vocab_size
    blocks = options.n_layer * (12 * width * width + 13 * width) + 2 * width
    parameters = None if vocabulary is None else blocks + (vocabulary + options.n_positions) * width
    return Facts(
        context=options.n_positions,
        vocab_size=vocabulary,
        parameters=parameters,
        weights_bytes=None if parameters is None else 4 * parameters,
        architecture="gpt2",
    )


def _folder_facts(folder: Path) -> Facts:
    """What the config and the weights' headers say; nothing when they cannot be read."""
    try:
        config = check_model_folder(folder, weights=False)
    except ComponentError:
        return Facts()
    facts = Facts(
        context=context_of_config(config),
        vocab_size=vocabulary_of_config(config),
        architecture=str(config["model_type"]) if "model_type" in config else None,
        tokenizer=folder if (folder / "tokenizer.json").is_file() else None,
    )
    try:
        tensors = safetensors_parameters(folder)
    except ComponentError:
        return facts
    return Facts(parameters=tensors.parameters, weights_bytes=tensors.bytes).over(facts)


def hub_check(options: HubOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """A folder that is no model is an error now; a name that is not in the cache is fetched later."""
    folder = local_folder(options.name, project.folder)
    if folder is None:
        yield from _cache_check(options)
        return
    if options.revision is not None:
        yield Problem(
            level="warning",
            option="revision",
            message=f"revision is ignored: '{options.name[:60]}' is a folder on this machine.",
            fix="Take revision out.",
        )
    yield from _opens(folder)


def _cache_check(options: HubOptions) -> Iterator[Problem]:
    snapshot = cached_snapshot(options.name, options.revision)
    if snapshot is None:
        ways_out = 'name a folder that holds the model, or write use = "starter"'
        yield not_cached(options.name, options.revision, ways_out)
    elif is_offline():
        yield from _opens(snapshot)


def _opens(folder: Path) -> Iterator[Problem]:
    try:
        check_model_folder(folder)
    except ComponentError as error:
        yield Problem(level="error", option="name", message=error.message, fix=error.hint)


def starter_check(options: StarterOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """An installation that lost the starter's weights is said before a start."""
    try:
        check_model_folder(STARTER)
    except ComponentError as error:
        yield Problem(level="error", option="use", message=error.message, fix="Install ftstudio again.")
