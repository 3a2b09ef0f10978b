"""Conversations and prompts as token ids, the same in training and in sampling.

A tokenizer's own chat template is used where it has one, else `PLAIN_TEMPLATE`. Which tokens the assistant wrote is
told by the template's generation marks, or, where it has none, by rendering the conversation turn by turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftstudio.api import ComponentError, Message, Prompt

PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "Assistant: {% generation %}{{ message['content'] }}{{ eos_token }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}"
    "{{ message['role'] | capitalize }}: {{ message['content'] }}{{ '\\n' }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant: {% endif %}"
)


def ensure_chat_template(tokenizer: Any) -> bool:
    """Give a tokenizer the plain template when it has none; True when it did."""
    if getattr(tokenizer, "chat_template", None):
        return False
    tokenizer.chat_template = PLAIN_TEMPLATE
    return True


def encode_messages(tokenizer: Any, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
    """Token ids of a conversation, and for each whether the assistant wrote it, its end-of-turn token included.

    Raises ComponentError when the template refuses the conversation (two user turns in a row, say).
    """
    ensure_chat_template(tokenizer)
    if "{% generation" in tokenizer.chat_template or "{%- generation" in tokenizer.chat_template:
        encoded = _apply(tokenizer, messages, return_assistant_tokens_mask=True, return_dict=True)
        return list(encoded["input_ids"]), [bool(m) for m in encoded["assistant_masks"]]
    return _by_turns(tokenizer, messages)


def _by_turns(tokenizer: Any, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
    """The assistant's share of each turn is what the turn adds to the conversation and its generation prompt."""
    ids = _ids(tokenizer, messages)
    mask = [False] * len(ids)
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        start = len(_ids(tokenizer, messages[:index], add_generation_prompt=True)) if index else 0
        through = _ids(tokenizer, messages[: index + 1])
        if through != ids[: len(through)]:
            raise ComponentError(
                "This chat template renders a turn differently when more turns follow, so the assistant's tokens "
                "cannot be told apart.",
                "Set assistant_only_loss = false, or give a chat_template with {% generation %} marks.",
            )
        mask[start : len(through)] = [True] * (len(through) - start)
    return ids, mask


def encode_prompt(tokenizer: Any, prompt: Prompt, shape: str) -> list[int]:
    """Token ids to continue: the beginning of what training saw for rows of this shape.

    A text is taken as it stands; for rows of messages a text becomes one user turn, and the template is applied with
    the assistant's turn opened.
    """
    if isinstance(prompt, str) and shape != "messages":
        return list(tokenizer(prompt)["input_ids"])
    ensure_chat_template(tokenizer)
    messages: Sequence[Message] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    return _ids(tokenizer, messages, add_generation_prompt=True)


def _ids(tokenizer: Any, messages: Sequence[Message], **more: Any) -> list[int]:
    return list(_apply(tokenizer, messages, return_dict=True, **more)["input_ids"])


def _apply(tokenizer: Any, messages: Sequence[Message], **more: Any) -> Any:
    from jinja2.exceptions import TemplateError  # noqa: PLC0415 - comes with transformers, only needed here

    try:
        return tokenizer.apply_chat_template([dict(m) for m in messages], tokenize=True, **more)
    except TemplateError as error:
        raise ComponentError(
            f"The chat template refuses a conversation: {str(error)[:160]}",
            "Mend the conversation, or give another chat_template.",
        ) from error
