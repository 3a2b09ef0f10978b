"""The built-in tokenizers: the pretrained model's own, bytes, and a BPE trained on the project's own text."""

from __future__ import annotations

from collections.abc import Iterator

from ftstudio.api import Component, hookimpl
from ftstudio_tokenizers.options import BpeOptions, BytesOptions, PretrainedOptions

TAKES = ("text", "prompt_completion", "messages")


@hookimpl
def ftstudio_tokenizers() -> Iterator[Component]:
    """Describe them; they share the row shapes, facts and checks."""
    yield Component(
        name="pretrained",
        summary="the tokenizer that the model was trained with",
        target="ftstudio_tokenizers.pretrained:Pretrained",
        options=PretrainedOptions,
        takes=TAKES,
        facts="ftstudio_tokenizers.light:facts",
        check="ftstudio_tokenizers.light:check",
    )
    yield Component(
        name="bytes",
        summary="one token a byte; for models from scratch",
        target="ftstudio_tokenizers.own:Bytes",
        options=BytesOptions,
        takes=TAKES,
        facts="ftstudio_tokenizers.light:facts",
        check="ftstudio_tokenizers.light:check_own",
    )
    yield Component(
        name="bpe",
        summary="a byte-level BPE trained on this project's text; for models from scratch",
        target="ftstudio_tokenizers.own:Bpe",
        options=BpeOptions,
        takes=TAKES,
        facts="ftstudio_tokenizers.light:facts",
        check="ftstudio_tokenizers.light:check_own",
    )
