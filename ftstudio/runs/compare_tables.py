"""A comparison as rows of text, and as Markdown: what the command and the studio's Compare both show.

Cells hold text from outside: a terminal gets them through safe_text; `markdown` has escaped what it returns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ftstudio.runs.compare import LOSSES, Comparison, RunFacts, doubt_text, value_text
from ftstudio.runs.status import age_text
from ftstudio.text import number_text, safe_text

Row = list[str]
"""What it is, and its value for each run."""

CELL = 200
SETTING = 32
"""Characters of a setting's value beside others in one line."""
NO_DOUBT = "Nothing keeps their losses from being compared."


def setting_rows(found: Comparison) -> list[Row]:
    """One row a setting that differs."""
    return [[key, *map(value_text, values)] for key, values in found.settings.items()]


def result_rows(facts: Sequence[RunFacts]) -> list[Row]:
    """One row a figure that at least one of the runs has: first what they came to, last what they are."""
    rows = []
    for name in dict.fromkeys([*LOSSES, *(name for f in facts for name in f.metrics)]):
        rows.append([name, *(number_text(f.metrics[name]) if name in f.metrics else "" for f in facts)])
        rows.append([f"best {name}", *(_best(f, name) for f in facts)])
    rows += [
        ["step", *(_steps(f) for f in facts)],
        ["time", *("" if f.seconds is None else age_text(f.seconds) for f in facts)],
        ["note", *(f.note for f in facts)],
        ["model", *(f.model for f in facts)],
        ["state", *(f.state for f in facts)],
        ["device", *(f.device for f in facts)],
        ["data", *(f.fingerprint[:12] for f in facts)],
        ["vocabulary", *(f.vocabulary for f in facts)],
    ]
    return [row for row in rows if any(row[1:])]


def ranked_rows(found: Comparison) -> list[Row]:
    """One row a run, the best first, below a head: its name, its lowest loss, the step of that, state, what differs."""
    by = found.ranked_by
    rows = [["", by or "loss", "at step", "state", "settings that differ"]]
    last = [key.rpartition(".")[2] for key in found.settings]
    names = [name if last.count(name) == 1 else key for name, key in zip(last, found.settings, strict=True)]
    for place, facts in enumerate(found.runs):
        step, value = facts.best.get(by, (None, 0.0))
        figure = "" if step is None else number_text(value) + ("  best" if place == 0 else "")
        values = (cut(value_text(each[place]), SETTING) for each in found.settings.values())
        set_so = (f"{name}={value}" for name, value in zip(names, values, strict=True))
        rows.append([facts.label, figure, "" if step is None else f"{step:,}", facts.state, "  ".join(set_so)])
    return rows


def _steps(facts: RunFacts) -> str:
    if facts.step is None:
        return ""
    return f"{facts.step:,}" + (f" of {facts.total_steps:,}" if facts.total_steps is not None else "")


def _best(facts: RunFacts, name: str) -> str:
    if name not in facts.best:
        return ""
    step, value = facts.best[name]
    return f"{number_text(value)} at step {step:,}"


def doubt_sentences(found: Comparison) -> list[str]:
    """Why losses cannot be compared, a sentence each; empty when nothing speaks against it."""
    return [doubt_text(doubt, [f.label for f in found.runs]) for doubt in found.doubts]


def markdown(found: Comparison) -> str:
    """The whole comparison as Markdown."""
    lines = [
        *_table("settings that differ", setting_rows(found), found),
        *_table("results", result_rows(found.runs), found),
        *(f"- {cell(sentence)}" for sentence in doubt_sentences(found) or [NO_DOUBT]),
    ]
    return "\n".join(lines) + "\n"


def _table(title: str, rows: Sequence[Row], found: Comparison) -> Iterator[str]:
    if not rows:
        yield f"{title}: none"
    else:
        head = [title, *(f.label for f in found.runs)]
        for row in (head, ["---"] * len(head), *rows):
            yield f"| {' | '.join(row if row[0] == '---' else map(cell, row))} |"
    yield ""


_ESCAPED = str.maketrans({c: f"\\{c}" for c in "\\`*[]<>|#!"} | {"&": "&amp;"})


def cut(text: str, limit: int, *, end: bool = False) -> str:
    """At most `limit` characters of a text, safe to show; of a path the end says more than the beginning."""
    shown = safe_text(text, one_line=True)
    if len(shown) <= limit:
        return shown
    return "…" + shown[1 - limit :] if end else shown[: limit - 1] + "…"


def cell(text: str) -> str:
    """A text within Markdown: whatever it holds, it makes no cell, link, image or HTML."""
    return safe_text(cut(text, CELL), one_line=True).translate(_ESCAPED)
