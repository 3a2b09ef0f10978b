"""The token view: what the model will really be trained on, one character of rail under each character of text.

 Why| does| the| river| bend|?| Because| the| stone|<eos>
 ........................... . ==========================
= trained   . masked   _ padding   x cut   | token boundary
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from ftstudio.api import Encoded
from ftstudio.files import safe_text

TRAINED, MASKED, PADDING, CUT = "=", ".", "_", "x"


def rows(encoded: Encoded, indices: Iterable[int]) -> list[dict[str, Any]]:
    """For each row its number from 1, the text of each token, and which tokens are trained."""
    from tokenizers import Tokenizer  # noqa: PLC0415 - only the process that holds the data needs it

    tokenizer = Tokenizer.from_file(str(encoded.tokenizer / "tokenizer.json"))
    wanted = list(indices)
    found = []
    for index in wanted:
        row = _row(encoded.train, index)
        ids = list(row["input_ids"])
        found.append({
            "row": index + 1,
            "pieces": pieces(ids, lambda part: str(tokenizer.decode(part, skip_special_tokens=False))),
            "trained": [label != -100 for label in row["labels"]],
        })  # fmt: skip
    return found


def _row(table: Any, index: int) -> Mapping[str, Any]:
    if hasattr(table, "__getitem__"):
        found: Mapping[str, Any] = table[index]
        return found
    return next(row for i, row in enumerate(table) if i == index)


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


def lines(view: Mapping[str, Any], width: int) -> list[str]:
    """Pairs of lines, text above rail, wrapped at token boundaries to `width` columns."""
    result: list[str] = []
    text = rail = ""
    for piece, trained in zip(view["pieces"], view["trained"], strict=True):
        shown = safe_text(piece, one_line=True) + "|"
        mark = TRAINED if trained else MASKED
        if text and len(text) + len(shown) > width:
            result += [text, rail]
            text = rail = ""
        for start, end in pairwise([*range(0, len(shown), max(1, width)), len(shown)]):
            if text and len(text) + end - start > width:
                result += [text, rail]
                text = rail = ""
            text += shown[start:end]
            rail += mark * (end - start - (end == len(shown))) + (" " if end == len(shown) else "")
    return [*result, text, rail] if text else result


def summary(counts: Mapping[str, int]) -> str:
    """One line of what tokenising did: rows, tokens, the share trained on, what was cut."""
    tokens, trained = counts.get("tokens", 0), counts.get("trained_tokens", 0)
    share = f", {100 * trained / tokens:.0f} % trained" if tokens else ""
    cut = counts.get("truncated_rows", 0)
    cut_text = f"; {cut:,} rows cut by {counts.get('truncated_tokens', 0):,} tokens" if cut else "; nothing cut"
    return f"{counts.get('rows', 0):,} rows, {tokens:,} tokens{share}{cut_text}"
