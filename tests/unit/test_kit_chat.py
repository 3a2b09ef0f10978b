"""Conversations and prompts as ids: the assistant's tokens, and prompts that begin as their rows began."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import save_tokenizer
from transformers import AutoTokenizer

from ftstudio.api import ComponentError, Message
from ftstudio_kit.chat import PLAIN_TEMPLATE, encode_conversations, encode_messages, encode_prompt, ensure_chat_template

END = 256
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKED_CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}{% endgeneration %}"
    "{% else %}{{ m['content'] }}{% endif %}{{ '<|im_end|>' + '\n' }}{% endfor %}"
)
TALK: list[Message] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "See you."},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def chatml(tokenizer: Any) -> Any:
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    return tokenizer


def said(tokenizer: Any, messages: list[Message]) -> list[str]:
    """The runs of tokens that count as the assistant's, as text."""
    ids, mask = encode_messages(tokenizer, messages)
    assert len(ids) == len(mask)
    runs: list[list[int]] = [[]]
    for token, mine in zip(ids, mask, strict=True):
        if mine:
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])
    return [tokenizer.decode(run) for run in runs if run]


def test_the_plain_template_is_given_once(tokenizer: Any) -> None:
    assert ensure_chat_template(tokenizer)
    assert tokenizer.chat_template == PLAIN_TEMPLATE
    assert not ensure_chat_template(tokenizer)


def test_the_plain_template_trains_the_answers_and_their_ends(tokenizer: Any) -> None:
    assert said(tokenizer, TALK) == ["Hello.<|end|>", "See you.<|end|>"]
    ids, _ = encode_messages(tokenizer, TALK)
    assert tokenizer.decode(ids).startswith("System:\nBe kind.\n\nUser:\nHi\n\nAssistant:\nHello.<|end|>\n\nUser:\nBye")


@pytest.mark.parametrize("template", [CHATML, MARKED_CHATML])
def test_the_end_of_turn_belongs_to_the_answer_and_the_newline_behind_it_does_not(chatml: Any, template: str) -> None:
    chatml.chat_template = template
    assert said(chatml, TALK) == ["Hello.<|im_end|>", "See you.<|im_end|>"]


def test_a_conversation_without_an_answer_trains_nothing(tokenizer: Any, chatml: Any) -> None:
    for template in (PLAIN_TEMPLATE, CHATML):
        chatml.chat_template = template
        assert said(chatml, TALK[:2]) == []


def test_a_template_that_writes_old_turns_differently_is_refused_only_where_that_matters(chatml: Any) -> None:
    chatml.chat_template = CHATML.replace("m['content']", "(m['content'] if loop.last else '...')")
    with pytest.raises(ComponentError, match="differently when more turns follow") as caught:
        encode_messages(chatml, TALK)
    assert "assistant_only_loss = false" in caught.value.hint
    ((ids, mask),) = encode_conversations(chatml, [TALK], mask=False)
    assert all(mask)
    assert len(ids) == len(mask)


def test_a_template_may_refuse_a_conversation(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ raise_exception('Roles must alternate') }}"
    with pytest.raises(ComponentError, match="refuses a conversation: Roles must alternate"):
        encode_messages(tokenizer, TALK)


def test_a_template_that_is_none(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ x"
    with pytest.raises(ComponentError, match="refuses a conversation"):
        encode_prompt(tokenizer, "Hi", "messages")


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)


@settings(max_examples=40, deadline=None)
@given(question=words, answer=words)
def test_a_prompt_is_the_beginning_of_the_row_it_was_trained_on(folder: Path, question: str, answer: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    talk: list[Message] = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    ids, mask = encode_messages(tokenizer, talk)
    prompt = encode_prompt(tokenizer, question, "messages")
    assert prompt == encode_prompt(tokenizer, talk[:1], "text")
    assert ids[: len(prompt)] == prompt
    assert mask.index(True) == len(prompt)


def test_a_text_prompt_is_taken_as_it_stands(tokenizer: Any) -> None:
    for shape in ("text", "prompt_completion"):
        assert tokenizer.decode(encode_prompt(tokenizer, " Hi\n", shape)) == " Hi\n"


def test_an_end_that_the_tokenizer_appends_is_no_part_of_a_prompt(tokenizer: Any) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A <|end|>", special_tokens=[("<|end|>", END)]
    )
    assert tokenizer("Hi").input_ids[-1] == END
    assert END not in encode_prompt(tokenizer, "Hi", "text")
    assert encode_prompt(tokenizer, "Hi<|end|>", "text")[-1] == END


@pytest.mark.parametrize("shape", ["text", "prompt_completion"])
def test_a_prompt_without_a_token_begins_as_a_text_begins(tokenizer: Any, shape: str) -> None:
    assert encode_prompt(tokenizer, "", shape) == [END]
    tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
    assert encode_prompt(tokenizer, "", shape) == [tokenizer.bos_token_id] != [END]


def test_a_prompt_without_a_token_is_refused_where_no_token_begins_a_text(tokenizer: Any) -> None:
    tokenizer.eos_token = None
    with pytest.raises(ComponentError, match="A prompt is empty, and the tokenizer has no token to begin a text with."):
        encode_prompt(tokenizer, "", "text")
