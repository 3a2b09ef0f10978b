"""The token view: what the model will really be trained on, one character of rail under each column of text.

 Why| does| the| river| bend|?| Because| the| stone|<eos>
 ........................... . ==========================
= trained   . masked   _ padding   x cut   | token boundary
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftstudio.api import ComponentError, Encoded
from ftstudio.text import plural, safe_text

TRAINED, MASKED, PADDING, CUT = "=", ".", "_", "x"
LEGEND = "= trained   . masked   _ padding   x cut   | token boundary"


def rows(encoded: Encoded, indices: Iterable[int], tokens: int | None = None) -> list[dict[str, Any]]:
    """For each row its number from 1, the text of each token and its mark, how many tokens it has, is trained on and
    lost behind its end. `tokens`: show no more of a row than so many.
    """
    tokenizer = tokenizer_of(encoded)
    found = []
    for index in indices:
        row = row_of(encoded.train, index)
        ids, labels = list(row["input_ids"]), list(row["labels"])
        found.append({
            "row": index + 1,
            "tokens": len(ids),
            "trained_tokens": sum(label != -100 for label in labels),
            "cut": encoded.cut.get(index, 0),
            "pieces": pieces(ids[:tokens], lambda part: str(tokenizer.decode(part, skip_special_tokens=False))),
            "trained": [label != -100 for label in labels[:tokens]],
            "marks": marks(ids, labels, encoded.pad_token_id)[:tokens],
        })  # fmt: skip
    return found


def tokenizer_of(encoded: Encoded) -> Any:
    """The tokenizer of the tokenizers library. Raises ComponentError when its folder holds no file for it."""
    file = encoded.tokenizer / "tokenizer.json"
    if not file.is_file():
        raise ComponentError(
            "The tokenizer saved no tokenizer.json, so tokens cannot be shown as text.", "Choose another tokenizer."
        )
    return _opened(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _opened(file: Path, written: int) -> Any:
    from tokenizers import Tokenizer  # noqa: PLC0415 - only the process that holds the data needs it

    return Tokenizer.from_file(str(file))


def row_of(table: Any, index: int) -> Mapping[str, Any]:
    """A row by its index, of a table that may only be iterated."""
    if hasattr(table, "__getitem__"):
        found: Mapping[str, Any] = table[index]
        return found
    return next(row for i, row in enumerate(table) if i == index)


def marks(ids: Sequence[int], labels: Sequence[int], pad: int) -> str:
    """One mark a token. Rows come unpadded, so padding is what a tokenizer put there itself: several at the end."""
    filled = 0
    while filled < len(ids) and ids[-1 - filled] == pad and labels[-1 - filled] == -100:
        filled += 1
    filled = filled if filled > 1 else 0  # a single one is an end of text that is not learnt
    body = len(ids) - filled
    return "".join(MASKED if label == -100 else TRAINED for label in labels[:body]) + PADDING * filled


def pieces(ids: Sequence[int], decode: Callable[[list[int]], str]) -> list[str]:
    """The text of each token; a character that is spread over several tokens stands at the last of them."""
    found: list[str] = []
    pending: list[int] = []
    for token in ids:
        pending.append(token)
        text = decode(pending)
        if text.endswith("\ufffd") and len(pending) < 8:
            found.append("")
            continue
        found.append(text)
        pending = []
    return found


def _escaped(text: str) -> str:
    return safe_text(text, one_line=True)


def lines(view: Mapping[str, Any], width: int, show: Callable[[str], str] = _escaped) -> list[str]:
    """Pairs of lines, text above rail, wrapped at token boundaries to `width` columns. `show` makes a text safe."""
    result: list[str] = []
    text, rail, used = "", "", 0
    for piece, mark in _marked(view):
        shown = show(piece)
        fits = used + columns(shown) + 1 <= width
        for part in _parts(shown + "|", width):
            taken = columns(part)
            if text and (not fits or used + taken > width):
                result += [text, rail]
                text, rail, used, fits = "", "", 0, True
            text, used = text + part, used + taken
            rail += mark * taken
        rail = rail[:-1] + " "  # below the boundary
    return [*result, text, rail] if text else result


def _parts(text: str, width: int) -> Iterable[str]:
    """A text in parts of at most `width` columns."""
    part, used = "", 0
    for character in text:
        taken = columns(character)
        if part and used + taken > width:
            yield part
            part, used = "", 0
        part, used = part + character, used + taken
    yield part


def _marked(view: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield from zip(view["pieces"], view["marks"], strict=True)
    if len(view["pieces"]) < view["tokens"]:
        yield f"... {view['tokens'] - len(view['pieces']):,} more tokens", " "
    elif view["cut"]:
        yield f"{view['cut']:,} tokens cut", CUT


def columns(text: str) -> int:
    """Columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) or c in "\u200d\ufe0f" else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def summary(counts: Mapping[str, int]) -> str:
    """One line of what tokenising did: rows, tokens, the share trained on, what was cut."""
    tokens, trained = counts.get("tokens", 0), counts.get("trained_tokens", 0)
    share = f", {100 * trained / tokens:.0f} % trained" if tokens else ""
    cut = counts.get("truncated_rows", 0)
    lost = f"{plural(cut, 'row')} cut by {plural(counts.get('truncated_tokens', 0), 'token')}" if cut else "nothing cut"
    return f"{plural(counts.get('rows', 0), 'row')}, {plural(tokens, 'token')}{share}; {lost}"
