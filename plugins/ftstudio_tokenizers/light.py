"""Facts and checks of the built-in tokenizers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from ftstudio.api import ComponentError, Facts, Problem, ProjectInfo
from ftstudio_kit.hub_cache import cached_snapshot, has_tokenizer, local_folder, not_cached
from ftstudio_kit.safe import check_tokenizer_folder
from ftstudio_tokenizers.options import BytesOptions, CommonOptions, PretrainedOptions

BYTES_VOCABULARY = 257
LONG_CONTEXT = 8192
"""Beyond it one row alone may need more memory than a GPU has."""


def facts(options: CommonOptions, project_folder: Path, known: Facts | None = None) -> Facts:
    """The length that rows are cut or continued at, when it was set; how many characters a token has, by a sample."""
    ratio = _characters_per_token(options, project_folder, known or Facts())
    guessed = frozenset() if ratio is None else frozenset({"characters_per_token"})
    return Facts(max_length=options.max_length, characters_per_token=ratio, estimated=guessed)


def _characters_per_token(options: CommonOptions, project_folder: Path, known: Facts) -> float | None:
    """Of bytes, and of a tokenizer whose tokenizer.json is on this machine; None where there is nothing to measure."""
    texts = known.sample or ()
    if isinstance(options, BytesOptions):
        return sum(map(len, texts)) / max(1, sum(len(t.encode()) for t in texts)) if texts else 1.0
    if not texts or not isinstance(options, PretrainedOptions):
        return None
    folder = known.tokenizer
    if options.name is not None:
        folder = local_folder(options.name, project_folder) or cached_snapshot(options.name, None)
    try:
        info = (folder / "tokenizer.json").stat() if folder is not None else None
    except OSError:
        return None
    return _measured(folder / "tokenizer.json", info.st_size, info.st_mtime_ns, texts) if folder and info else None


@lru_cache(maxsize=8)  # a form asks at every key press; a changed file has another size or mtime
def _measured(path: Path, size: int, mtime: int, texts: tuple[str, ...]) -> float | None:
    del size, mtime
    from tokenizers import Tokenizer  # noqa: PLC0415 - describing a tokenizer needs none

    try:
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        # One by one: on several threads the library warns on stderr at the next fork.
        tokens = sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts)
    except Exception:  # noqa: BLE001 - the library raises no other; whoever opens it for a run says what is wrong
        return None
    return sum(map(len, texts)) / tokens if tokens else None


def check(options: PretrainedOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """Of `pretrained`: what all check, and that there is a tokenizer to open."""
    yield from check_lengths(options, facts)
    if options.name is not None:
        folder = local_folder(options.name, project.folder)
        if folder is not None and not has_tokenizer(folder):
            yield Problem(
                level="error",
                option="name",
                message=f"'{folder}' holds no tokenizer.",
                fix="Name a folder with a tokenizer.json, or take name out.",
            )
        elif folder is not None or (folder := cached_snapshot(options.name, None)) is not None:
            yield from _opens(folder, "name")
        else:
            yield not_cached(options.name, None, "name a folder that holds a tokenizer, or take name out")
    elif project.uses.get("model") == "scratch":
        yield Problem(
            level="error",
            option="use",
            message="A model from scratch brings no tokenizer along.",
            fix='Write use = "bpe" or "bytes", or name a tokenizer.',
            edit={"use": "bpe"},
        )
    else:
        yield from _brought(project, facts)
    template = options.chat_template
    file = None if template is None or "{" in template else template_file(template, project.folder)
    if template is not None and file is not None and not os.path.isfile(file):  # noqa: PTH113 - is_file() may raise
        yield Problem(
            level="error",
            option="chat_template",
            message=f"'{template[:60]}' is neither a Jinja template nor a file.",
            fix="Write the template itself, or the path of a file that holds it.",
        )


def template_file(given: str, folder: Path) -> Path:
    """Where a chat template lies that is given as a path."""
    return folder / os.path.expanduser(given)  # noqa: PTH111 - Path.expanduser raises for a user that is not there


def _brought(project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """Whether a model that is on this machine brings its tokenizer along, and one that may be opened."""
    name = getattr(project.options.get("model"), "name", None) if project.uses.get("model") == "hub" else None
    folder = local_folder(name, project.folder) if isinstance(name, str) else None
    there = folder is not None and os.path.isdir(folder)  # noqa: PTH112 - is_dir() raises where it may not look
    if folder is not None and there and not has_tokenizer(folder):
        yield Problem(
            level="error",
            option="use",
            message=f"The model in '{folder}' brings no tokenizer along.",
            fix="Put its tokenizer.json beside the weights, or give a name in [tokenizer].",
        )
    elif (found := folder or facts.tokenizer) is not None:
        yield from _opens(found, "use")


def _opens(folder: Path, option: str) -> Iterator[Problem]:
    """What a run would find of a tokenizer's files."""
    try:
        check_tokenizer_folder(folder)
    except ComponentError as error:
        yield Problem(level="error", option=option, message=error.message, fix=error.hint)


def check_own(options: CommonOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """Of `bytes` and `bpe`: their ids mean nothing to a model that was trained with others."""
    yield from check_lengths(options, facts)
    model = project.uses.get("model")
    may_fit = isinstance(options, BytesOptions) and facts.vocab_size == BYTES_VOCABULARY
    if model in {"hub", "starter"} and not may_fit:
        yield Problem(
            level="error",
            option="use",
            message=f"The model {model} was trained with another tokenizer, so these ids would mean nothing to it.",
            fix='Write use = "pretrained", or use = "scratch" in [model].',
            edit={"use": "pretrained"},
        )


def check_lengths(options: CommonOptions, facts: Facts) -> Iterator[Problem]:
    """max_length against the context; an option that never applies."""
    if options.max_length is not None and facts.context is not None and options.max_length > facts.context:
        yield Problem(
            level="error",
            option="max_length",
            message=f"max_length = {options.max_length:,} is beyond the model's context of {facts.context:,} tokens.",
            fix=f"max_length = {facts.context} at most.",
            edit={"max_length": facts.context},
        )
    if options.max_length is None and facts.context is not None and facts.context > LONG_CONTEXT:
        yield Problem(
            level="note",
            option="max_length",
            message=f"Rows may be as long as the model's context, {facts.context:,} tokens, which takes much memory.",
            fix="max_length = 1024 keeps every row of a long text and cuts the memory.",
            edit={"max_length": 1024},
        )
    if facts.shape == "messages" and not options.assistant_only_loss:
        yield Problem(
            level="note",
            option="assistant_only_loss",
            message="All of a conversation is trained, what the user says too.",
            fix="Set assistant_only_loss = true to train on what the assistant says alone.",
            edit={"assistant_only_loss": True},
        )
    if options.assistant_only_loss and facts.shape not in {None, "messages"}:
        yield Problem(
            level="warning",
            option="assistant_only_loss",
            message=f"assistant_only_loss does nothing for rows of {facts.shape}.",
            fix="It is for rows of messages.",
            edit={"assistant_only_loss": False},
        )
