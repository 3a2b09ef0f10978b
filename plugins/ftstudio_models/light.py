"""Facts and checks of the built-in models, from headers and configs alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ftstudio.api import ComponentError, Facts, Problem, ProjectInfo
from ftstudio_kit.hub_cache import cached_snapshot, is_hub_id, local_folder
from ftstudio_kit.safe import check_model_folder, safetensors_of
from ftstudio_models.options import HubOptions, ScratchOptions, StarterOptions


def _folder_facts(folder: Path) -> Facts:
    """What the config and the weights' headers say; nothing when they cannot be read."""
    try:
        config = check_model_folder(folder, weights=False)
    except ComponentError:
        return Facts()
    facts = _config_facts(config)
    try:
        tensors = safetensors_of(folder)
    except (ComponentError, OSError):
        return facts
    return Facts(parameters=tensors.parameters, weights_bytes=tensors.bytes).over(facts)


def _config_facts(config: dict[str, Any]) -> Facts:
    text = config.get("text_config")
    inner = {**config, **text} if isinstance(text, dict) else config

    def number(*names: str) -> int | None:
        return next((inner[n] for n in names if isinstance(inner.get(n), int)), None)

    return Facts(
        context=number("max_position_embeddings", "n_positions", "n_ctx"),
        vocab_size=number("vocab_size"),
        architecture=str(config["model_type"]) if "model_type" in config else None,
    )


def hub_facts(options: HubOptions, project: Path) -> Facts:
    """From the local folder, or from the Hub's cache; nothing is asked of the network."""
    folder = local_folder(options.name, project) or cached_snapshot(options.name, options.revision)
    return _folder_facts(folder) if folder is not None else Facts()


def starter_facts(options: StarterOptions, project: Path) -> Facts:
    """Of the packaged folder."""
    return _folder_facts(Path(__file__).resolve().parent / "starter_gpt2")


def scratch_facts(options: ScratchOptions, project: Path) -> Facts:
    """By arithmetic: 12 n_embd^2 + 13 n_embd a block, embeddings of tokens and positions, the last norm."""
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


def hub_check(options: HubOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """A folder that is no model is an error now; a name that is not in the cache is fetched later."""
    folder = local_folder(options.name, project.folder)
    if folder is None:
        snapshot = cached_snapshot(options.name, options.revision)
        if snapshot is None:
            yield Problem(
                level="note", option="name", message=f"{options.name} is not in the Hub's cache: it will be fetched.",
                fix="That needs a network at the start of the run.",
            )  # fmt: skip
        return
    if not folder.is_dir() and not is_hub_id(options.name) and not options.name.startswith((".", "/", "~")):
        yield Problem(
            level="error", option="name", message=f"{options.name[:80]!r} is neither a folder nor a Hub id.",
            fix="A Hub id is name or organisation/name.",
        )  # fmt: skip
        return
    if options.revision is not None:
        yield Problem(
            level="warning", option="revision", message="revision means nothing for a folder.", fix="Take it out.",
        )  # fmt: skip
    try:
        check_model_folder(folder)
    except ComponentError as error:
        yield Problem(level="error", option="name", message=error.message, fix=error.hint)
