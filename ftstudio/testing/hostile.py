"""Texts that have broken somebody's program: what data files hold sooner or later."""

from __future__ import annotations

HOSTILE: tuple[str, ...] = (
    "an escape \x1b[31m and \x1b]0;title\x07",
    "C1 \x9b31m",
    "bidi \u202eabc\u202c and \u2066isolate\u2069",
    "lone surrogate \ud800 here",
    "[/ [b [@click=app.bell]markup",
    "NUL \0 within",
    "{{ jinja }} {% raw %} ${HOME} %s %(x)s {0}",
    "x" * 1_000_000,
    "\u200b\ufeff",
    "\r\n\t\v\f",
    "😀👩‍👩‍👧 e\u0301 ﷽",
    "",
    " ",
)
"""One of each kind; the empty one is not the last, since what comes after it must still arrive."""
