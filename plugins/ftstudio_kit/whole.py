"""Texts that hold half a character: a lone surrogate, which JSON and Python can spell and no tokenizer can read."""

from __future__ import annotations


def is_whole(text: str) -> bool:
    """Whether a text can be written as UTF-8; one with a lone surrogate cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
