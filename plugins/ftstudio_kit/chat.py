"""Conversations and prompts as token ids, the same in training and in sampling.

A tokenizer's own chat template is used where it has one, else `PLAIN_TEMPLATE`. Which tokens the assistant wrote is
told by the template's generation marks, or, where it has none, by rendering the conversation up to each turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import Any

from jinja2.exceptions import TemplateError

from ftstudio.api import ComponentError, Message, Prompt
from ftstudio_kit.whole import is_whole

PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{{ message['role'] | capitalize + ':\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] | trim }}{{ eos_token }}{% endgeneration %}"
    "{% else %}"
    "{{ message['content'] | trim }}"
    "{% endif %}"
    "{{ '\\n\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:\\n' }}{% endif %}"
)
"""Role, newline, words. The answer begins after a newline, not after a space, which tokenizers join to the next word:
so the ids of a prompt are the first ids of the row that it was trained on."""

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_ENDS = frozenset(
    {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<turn|>", "<|end_of_text|>", "</s>"}
)
"""Tokens that end a turn in the templates of known families, besides the tokenizer's own end of text."""


def ensure_chat_template(tokenizer: Any) -> bool:
    """Give a tokenizer the plain template when it has none; True when it did."""
    if tokenizer.chat_template:
        return False
    tokenizer.chat_template = PLAIN_TEMPLATE
    return True


def encode_messages(tokenizer: Any, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
    """Token ids of a conversation, and for each whether the assistant wrote it, the token that ends its turn included.

    Raises ComponentError when the template refuses the conversation (two user turns in a row, say), or when the
    assistant's part of it cannot be told.
    """
    return next(encode_conversations(tokenizer, [messages]))


def encode_conversations(
    tokenizer: Any, conversations: Sequence[Sequence[Message]], *, mask: bool = True
) -> Iterator[tuple[list[int], list[bool]]]:
    """`encode_messages` of many at once, which a fast tokenizer spreads over the cores.

    Without `mask` every token counts as the assistant's, and templates that hide the assistant's part are welcome.
    """
    ensure_chat_template(tokenizer)
    if mask and _GENERATION.search(tokenizer.get_chat_template()):
        yield from _marked(tokenizer, conversations)
        return
    texts = [_render(tokenizer, messages) for messages in conversations]
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=mask, verbose=False)
    if not mask:
        yield from ((list(ids), [True] * len(ids)) for ids in encoded["input_ids"])
        return
    ends = end_ids(tokenizer)
    for index, (messages, text) in enumerate(zip(conversations, texts, strict=True)):
        ids, offsets = list(encoded["input_ids"][index]), encoded["offset_mapping"][index]
        spans = list(_spans(tokenizer, messages, text))
        runs = ([i for i, (a, b) in enumerate(offsets) if a < end and b > start] for start, end in spans)
        yield ids, _mask(ids, runs, ends)


def encode_prompt(tokenizer: Any, prompt: Prompt, shape: str) -> list[int]:
    """Token ids to continue: the beginning of what training saw for rows of this shape.

    A text is taken as it stands, without an end; for rows of messages a text becomes one user turn. Of a conversation
    the template is applied and the assistant's turn opened. A prompt without a token becomes the token that begins a
    text, or the one that ends it, behind which the next would begin. Raises ComponentError when the template refuses
    it, for half a character in it, and where there is no token to begin with.
    """
    if not all(map(is_whole, [prompt] if isinstance(prompt, str) else [message["content"] for message in prompt])):
        raise ComponentError(
            "The prompt holds half a character, a lone surrogate, which no tokenizer can read.", "Write it anew."
        )
    if isinstance(prompt, str) and shape != "messages":
        return without_end(tokenizer, prompt, tokenizer(prompt, verbose=False)["input_ids"]) or _beginning(tokenizer)
    ensure_chat_template(tokenizer)
    messages: Sequence[Message] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    text = _render(tokenizer, messages, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) or _beginning(tokenizer)


def _beginning(tokenizer: Any) -> list[int]:
    """The one token that a text is begun with when nothing is given. Raises ComponentError when there is none."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return [int(token)]
    raise ComponentError(
        "A prompt is empty, and the tokenizer has no token to begin a text with.", "Write a word into it."
    )


def without_end(tokenizer: Any, text: str, ids: Sequence[int]) -> list[int]:
    """The ids without an end of text that the tokenizer put there itself (some do): nothing would be continued."""
    end = tokenizer.eos_token_id
    added = end is not None and ids and ids[-1] == end and not text.endswith(str(tokenizer.eos_token))
    return list(ids[:-1] if added else ids)


# -------------------------------------------------------------------------------------------------- spans


def _render(tokenizer: Any, messages: Sequence[Message], **more: Any) -> str:
    with _refusals():
        return str(tokenizer.apply_chat_template([dict(m) for m in messages], tokenize=False, **more))


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (TemplateError, TypeError, KeyError, AttributeError) as error:
        raise ComponentError(
            f"The chat template refuses a conversation: {str(error)[:160].rstrip('.')}.",
            "Mend the conversation, or give another chat_template.",
        ) from error


def _marked(tokenizer: Any, conversations: Sequence[Sequence[Message]]) -> Iterator[tuple[list[int], list[bool]]]:
    """By the template's own generation marks."""
    ends = end_ids(tokenizer)
    plain = [[dict(m) for m in messages] for messages in conversations]
    with _refusals():
        encoded = tokenizer.apply_chat_template(
            plain,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            tokenizer_kwargs={"verbose": False},
        )
    for ids, marks in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True):
        runs = ([i for i, _ in run] for marked, run in groupby(enumerate(marks), key=itemgetter(1)) if marked)
        yield list(ids), _mask(ids, runs, ends)


def _spans(tokenizer: Any, messages: Sequence[Message], text: str) -> Iterator[tuple[int, int]]:
    """From which to which character of the rendered text the assistant wrote, by rendering up to each turn."""
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = _render(tokenizer, messages[:index], add_generation_prompt=True) if index else ""
        through = _render(tokenizer, messages[: index + 1])
        if not (through.startswith(before) and text.startswith(through)):
            raise ComponentError(
                "This chat template writes a turn differently when more turns follow, so the assistant's tokens "
                "cannot be told apart.",
                "Set assistant_only_loss = false, or give a chat_template with {% generation %} marks.",
            )
        yield len(before), len(through)


def _mask(ids: Sequence[int], runs: Iterable[Sequence[int]], ends: frozenset[int]) -> list[bool]:
    """True for the tokens of each run, a run ending with the token that ends the turn.

    Marks often stop before that token, and rendering by turns goes on to the newline behind it.
    """
    mask = [False] * len(ids)
    for run in runs:
        if not run:
            continue
        first, last = run[0], run[-1]
        closing = [i for i in range(first, last + 1) if ids[i] in ends]
        if closing:
            last = closing[-1]
        elif last + 1 < len(ids) and ids[last + 1] in ends:
            last += 1
        mask[first : last + 1] = [True] * (last + 1 - first)
    return mask


def end_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that end a turn."""
    known = {tokenizer.convert_tokens_to_ids(t) for t in _ENDS & tokenizer.get_added_vocab().keys()}
    return frozenset({*known, tokenizer.eos_token_id} - {None})
