"""What the settings imply, and what would go wrong: without torch, from the components' light functions.

    Project ──facts of dataset, model, tokenizer──> Facts ──plan of the trainer──> Plan
                                                      └──checks of every component and of the core──> Problems

Built-ins and strangers are asked alike. What a run or a deep check measured is laid over what is estimated.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ftstudio.api import Facts, Plan, Problem
from ftstudio.errors import FtstudioError, OptionError
from ftstudio.explain import explained
from ftstudio.project import Part, Project
from ftstudio.text import plural, size_text

CHARACTERS_PER_TOKEN = 4.0
"""English text in GPT-2's vocabulary has 4.0 to 4.5 characters a token; only used where the tokenizer says nothing."""

TURN_CHARACTERS = 11
"""What a chat template writes around a turn: in the plain one the role, a colon and three line ends."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """A project with everything that can be said before it runs."""

    project: Project
    facts: Facts = field(default_factory=Facts)
    plan: Plan | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What keeps a run from starting."""
        return tuple(p for p in self.problems if p.level == "error")


def look_ahead(project: Project, measured: Facts | None = None) -> Outlook:
    """Facts, plan and all problems of a project. Never raises for what the project says."""
    if any(part.options is None for part in project.parts.values()) or len(project.parts) < 5:
        return Outlook(project=project, problems=project.problems)
    found: list[Problem] = list(project.problems)
    facts = _facts(project, measured or Facts(), found)
    validation = bool(facts.validation_rows)
    plan: Plan | None = _ask(project.parts["trainer"], "plan", found, project.parts["trainer"].options, facts)
    info = project.info(validation=validation)
    for label, part in _labelled(project):
        answer = _ask(part, "check", found, part.options, info, facts)
        found += [_placed(project, label, problem) for problem in answer or ()]
    found += [_placed(project, p.table, p) for p in _core_checks(project, facts, plan)]
    return Outlook(project=project, facts=facts, plan=plan, problems=tuple(found))


def checkpoint_bytes(project: Project) -> int:
    """What one checkpoint takes: by its plan, a run holds one more at its peak than it keeps. 0 where nobody knows.

    Only a trainer knows whether it writes the whole model or an adapter, so nothing is guessed from the model's size.
    """
    plan = look_ahead(project).plan
    return max(0, plan.peak_bytes - plan.kept_bytes) if plan and plan.peak_bytes and plan.kept_bytes else 0


def _labelled(project: Project) -> Iterator[tuple[str, Part]]:
    yield from project.parts.items()
    yield from ((part.label, part) for part in project.observers if part.options is not None)


def _ask(part: Part, which: Any, found: list[Problem], *arguments: Any) -> Any:
    """Call a light function; a plugin that fails in it becomes an error of its table."""
    assert part.offer is not None
    try:
        return part.offer.light(which, *arguments)
    except FtstudioError as error:
        found.append(Problem(level="error", table=part.label, option="use", message=error.message, fix=error.hint))
        return None


def _placed(project: Project, label: str, problem: Problem) -> Problem:
    """A component's problem with its place in the file; settings from --set have none."""
    if f"{label}.{problem.option}" in project.overrides:
        return replace(problem, table=label)
    source = next((p.source for p in project.observers if p.source and p.label == label), project.source)
    return replace(problem, table=label, file=source.path, line=source.line_of(label, problem.option))


# -------------------------------------------------------------------------------------------------- facts


def _facts(project: Project, measured: Facts, found: list[Problem]) -> Facts:
    facts = Facts()
    for kind in ("dataset", "model", "tokenizer"):
        known = (facts,) if kind == "tokenizer" else ()
        answer = _ask(project.parts[kind], "facts", found, project.parts[kind].options, project.folder, *known)
        if answer is not None:
            facts = facts.over(answer)
    facts = _select(project, facts, found)
    facts = measured.over(facts)
    return _estimate(project, facts)


def _select(project: Project, facts: Facts, found: list[Problem]) -> Facts:
    """What limit and split make of the source's rows."""
    selection, rows = project.selection, facts.rows
    if rows is None:
        asked = bool(selection.validation_count or selection.validation_fraction)
        return replace(facts, validation_rows=1 if asked else facts.validation_rows)
    kept = min(rows, selection.limit or rows)
    try:
        held_out = selection.split(kept)
        if held_out and facts.validation_rows:
            raise OptionError(
                "validation_count" if selection.validation_count else "validation_fraction",
                "The dataset brings validation rows of its own, and a part of its rows is to be kept apart too.",
                "Keep one of the two.",
            )
    except OptionError as error:
        found.append(
            _placed(
                project, "dataset", Problem(level="error", option=error.field, message=error.message, fix=error.hint)
            )
        )
        return replace(facts, validation_rows=facts.validation_rows or kept)  # that there are some is not what is wrong
    scale = (kept - held_out) / rows if rows else 1.0
    characters = None if facts.characters is None else round(facts.characters * scale)
    estimated = facts.estimated | ({"characters"} if scale < 1 else set()) | ({"rows"} if selection.dedupe else set())
    return replace(
        facts,
        rows=kept - held_out,
        validation_rows=held_out or facts.validation_rows,
        characters=characters,
        estimated=estimated,
    )


def _estimate(project: Project, facts: Facts) -> Facts:
    """Tokens from characters and examples from tokens, each marked as the guess that it is."""
    estimated = set(facts.estimated)
    tokens, examples = facts.tokens, facts.examples
    limit = facts.max_length or facts.context
    truncation = bool(getattr(project.parts["tokenizer"].options, "truncation", False))
    may_split = facts.shape in {None, "text"} and not truncation
    if tokens is None and facts.characters is not None and facts.rows is not None:
        never_cut = may_split or facts.shape == "preference"  # whose rows hold two answers, each as long as that
        tokens = _tokens(facts, facts.characters, facts.rows, None if never_cut else limit)
        estimated.add("tokens")
    if examples is None and facts.rows is not None:
        examples = facts.rows
        longest = facts.longest_characters
        if may_split and limit is not None and (longest is None or longest + 1 > limit):
            examples = max(facts.rows, math.ceil((tokens or 0) / limit))
            estimated.add("examples")
        if "rows" in estimated:
            estimated.add("examples")
    return replace(facts, tokens=tokens, examples=examples, estimated=frozenset(estimated))


def _tokens(facts: Facts, characters: int, rows: int, limit: int | None) -> int:
    """Tokens of so many characters and of the end of each row, where no row has more than `limit`.

    The sample tells how much of the texts lies beyond the limit, and how many turns the conversations have.
    """
    sample, each = facts.sample or (), facts.characters_per_token or CHARACTERS_PER_TOKEN
    sampled = sum(map(len, sample))
    if facts.shape == "messages" and sampled:
        characters += round(TURN_CHARACTERS * len(sample) * characters / sampled)
    tokens = round(characters / each) + rows
    if limit is None:
        return tokens
    if facts.shape in {None, "text"} and sampled:
        sizes = [len(text) / each + 1 for text in sample]
        tokens = round(tokens * sum(min(size, limit) for size in sizes) / sum(sizes))
    return min(tokens, rows * limit)


# ------------------------------------------------------------------------------------------------- checks


def _core_checks(project: Project, facts: Facts, plan: Plan | None) -> Iterator[Problem]:
    """What no single component can see."""
    yield from _shapes(project, facts)
    if (facts.rows, facts.longest_characters) == (1, 1) and "rows" not in facts.estimated:
        yield Problem(
            level="error", table="dataset",
            message="All that there is to train on is one character: nothing can be learnt from it.",
            fix="Add more text.",
        )  # fmt: skip
    yield from _secrets(project)
    yield from _space(project, plan)
    if not project.prompts and not any(p.option == "prompts" for p in project.errors):
        yield Problem(
            level="note", table="generator", option="prompts",
            message="There are no prompts: nothing is sampled at the end.",
            fix='Add prompts = ["..."].',
        )  # fmt: skip
    for name in ("model", "tokenizer", "trainer"):
        part = project.parts[name]
        assert part.offer is not None
        if part.offer.record.heavy:
            heavy = ", ".join(part.offer.record.heavy)
            yield Problem(
                level="note", table=name, option="use",
                message=f"{part.offer.record.title} imports {heavy} while it describes itself: every start is slower.",
                fix="Tell its author: targets are strings so that it need not.",
            )  # fmt: skip


def _shapes(project: Project, facts: Facts) -> Iterator[Problem]:
    """Do tokenizer and trainer take what the source gives?"""
    source = project.parts["dataset"].offer
    assert source is not None
    gives = (facts.shape,) if facts.shape else source.component.gives
    for kind in ("tokenizer", "trainer"):
        offer = project.parts[kind].offer
        assert offer is not None
        takes = offer.component.takes
        if takes and gives and not set(takes) & set(gives):
            yield Problem(
                level="error", table=kind, option="use",
                message=f"{offer.title} takes {', '.join(takes)}; {source.title} gives {', '.join(gives)}.",
                fix=f"Choose another {kind}, or map the columns of the dataset differently.",
            )  # fmt: skip


def _secrets(project: Project) -> Iterator[Problem]:
    for label, part in _labelled(project):
        offer = part.offer
        assert offer is not None
        for name in offer.component.secrets:
            if not os.environ.get(name):
                yield Problem(
                    level="error", table=label, option="use",
                    message=f"{offer.title} needs the environment variable {name}, which is not set.",
                    fix=f"Set it before the start: export {name}=...",
                )  # fmt: skip


def _space(project: Project, plan: Plan | None) -> Iterator[Problem]:
    if plan is None or plan.peak_bytes is None:
        return
    with explained(project.folder):
        free = shutil.disk_usage(project.folder).free
    if plan.peak_bytes > free:
        yield Problem(
            level="error", table="trainer", option="save_total_limit",
            message=f"The run needs {size_text(plan.peak_bytes)} of disk; {size_text(free)} are free.",
            fix="Free some space, or keep fewer checkpoints.",
        )  # fmt: skip


# --------------------------------------------------------------------------------------------------- words


def mark(name: str, facts: Facts, plan: Plan | None = None) -> str:
    """How a figure came about: measured, estimated or exact."""
    if name in facts.measured:
        return "measured"
    estimated = facts.estimated | (plan.estimated if plan else frozenset())
    return "estimated" if name in estimated else "exact"


def outlook_lines(outlook: Outlook) -> list[tuple[str, str, str]]:
    """(what, figure, how it is known) of everything that is known, for people."""
    facts, plan = outlook.facts, outlook.plan
    lines: list[tuple[str, str, str]] = []

    def add(what: str, figure: str | None, name: str) -> None:
        if figure is not None:
            lines.append((what, figure, mark(name, facts, plan)))

    def count(value: int | None, noun: str) -> str | None:
        return None if value is None else plural(value, noun)

    add("data", count(facts.rows, "row"), "rows")
    add("validation", count(facts.validation_rows or None, "row"), "validation_rows")
    add("examples", count(facts.examples, "example"), "examples")
    add("tokens", count(facts.tokens, "token"), "tokens")
    add("longest", count(facts.longest, "token"), "longest")
    add("model", count(facts.parameters, "parameter"), "parameters")
    add("context", count(facts.context, "token"), "context")
    if plan is not None:
        add("steps an epoch", count(plan.steps_per_epoch, "step"), "steps_per_epoch")
        add("in all", count(plan.total_steps, "step"), "total_steps")
        add("learning rate", curve_text(plan), "curve")
        add("checkpoints", f"{len(plan.checkpoints):,}" if plan.total_steps else None, "checkpoints")
        add("evaluations", f"{len(plan.evaluations):,}" if plan.evaluations else None, "total_steps")
        add("disk", f"{size_text(plan.kept_bytes)} kept" if plan.kept_bytes is not None else None, "kept_bytes")
    add("speed", f"{facts.tokens_per_second:,.0f} tokens/s" if facts.tokens_per_second else None, "tokens_per_second")
    memory = size_text(facts.peak_memory_bytes) if facts.peak_memory_bytes else None
    add("memory", f"{memory} at most" if memory else None, "peak_memory_bytes")
    seconds = seconds_of(outlook)
    lines += [("time", f"about {_duration(seconds)}", "estimated")] if seconds is not None else []
    return lines


def seconds_of(outlook: Outlook) -> float | None:
    """How long training will take at the measured speed, or None when no speed was measured."""
    facts, plan = outlook.facts, outlook.plan
    if plan is None or not plan.tokens or not facts.tokens_per_second:
        return None
    return plan.tokens / facts.tokens_per_second


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


BLOCKS = "▁▂▃▄▅▆▇█"


def curve_text(plan: Plan, width: int = 24) -> str | None:
    """The learning rate over the run as one line: its highest value and a small picture."""
    if not plan.curve:
        return None
    steps, rates = zip(*plan.curve, strict=True)
    top = max(rates)
    if top <= 0:
        return "0"
    picture = ""
    for i in range(width):
        at = steps[0] + (steps[-1] - steps[0]) * i / max(1, width - 1)
        index = min(range(len(steps)), key=lambda j: abs(steps[j] - at))
        picture += BLOCKS[round(rates[index] / top * (len(BLOCKS) - 1))]
    return f"{top:.3g} at its highest {picture}"


def as_json(outlook: Outlook) -> Mapping[str, Any]:
    """Facts, plan and problems as plain values."""
    facts = {k: v for k, v in dataclasses.asdict(outlook.facts).items() if v is not None and k != "sample"}
    plan = dataclasses.asdict(outlook.plan) if outlook.plan else None
    return {
        "project": outlook.project.name,
        "facts": _plain(facts),
        "plan": _plain(plan),
        "problems": [_plain(dataclasses.asdict(p)) for p in outlook.problems],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (frozenset, set)):
        return sorted(value)
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
