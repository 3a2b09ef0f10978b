"""Checks of observers, on their protocol alone."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ftstudio.api import Event
from ftstudio.testing.fake_run import FakeRun
from ftstudio.testing.hostile import HOSTILE
from ftstudio.testing.subject import CheckFailed, Subject, check, named, place_of
from ftstudio.testing.watch import quiet
from ftstudio.text import quote

KEPT = 0.75
"""So much of a file must be there after two instances, of what one leaves: it may hold how often it was opened."""


def observe(
    subject: Subject, what: str, events: Sequence[Event], after_seq: int = 0, run: FakeRun | None = None
) -> Path:
    """Open a new instance, deliver and close; the folder of the run, a new one or that of an earlier instance.

    Raises CheckFailed with `what` it was when it fails.
    """
    observer, run = subject.built(), run or subject.new_run()
    calls: list[tuple[str, Callable[[], None]]] = [("open()", partial(observer.open, run.info, after_seq))]
    calls += [(f"on_event() of a {event.kind} event", partial(observer.on_event, event)) for event in events]
    calls += [("close()", observer.close)]
    with subject.secrets_set(), quiet():
        for name, call in calls:
            try:
                call()
            except Exception as error:
                with contextlib.suppress(Exception):  # what it holds open would be somebody else's finding
                    observer.close()
                raise CheckFailed(f"{what} its {name} failed: {named(error)}{place_of(error)}") from error
    return run.dir


@check("An event may come twice", "observer")
def repeats_are_taken(subject: Subject) -> None:
    """At least once is what is promised. A repeat has the same seq, and leaves no more in files than the event did."""
    subject.result()
    events: Sequence[Event] = subject.arguments()[0]
    repeated = [*(event for event in events for _ in range(2)), *events[-3:]]
    twice = _sizes(observe(subject, "When events came twice,", repeated))
    once = _sizes_once(subject)
    if once is None:
        return
    for name, size in twice.items():
        if size != once.get(name, 0):
            raise CheckFailed(
                f"Of events that came twice its file {quote(name)} has {size:,} bytes, and {once.get(name, 0):,} of "
                "the same events once. event.seq tells a repeat: pass over what you had."
            )


def _sizes_once(subject: Subject) -> dict[str, int] | None:
    """The sizes of its files when each event came once; None when they never are the same twice, and mean nothing."""
    once, again = (_sizes(observe(subject, "Opened once more,", subject.arguments()[0])) for _ in range(2))
    return once if once == again else None


def _sizes(folder: Path) -> dict[str, int]:
    """Path -> bytes of the files that an observer left. A run of digits counts as one: names hold times."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes: Counter[str] = Counter()
    for path in files:
        sizes[re.sub(r"\d+", "0", str(path.relative_to(folder)))] += path.stat().st_size
    return dict(sizes)


@check("It may begin in the middle of a run", "observer")
def begins_in_the_middle(subject: Subject) -> None:
    """A new attempt opens it behind the last event that an earlier instance got, whose files lie there."""
    subject.result()
    events: Sequence[Event] = subject.arguments()[0]
    middle, run = len(events) // 2, subject.new_run()
    observe(subject, "When a run stopped in the middle,", events[:middle], run=run)
    found = _sizes(observe(subject, f"Opened after event {middle},", events[middle:], events[middle - 1].seq, run))
    once = _sizes_once(subject)
    if once is None:
        return
    for name, size in once.items():
        if found.get(name, 0) < KEPT * size:
            raise CheckFailed(
                f"Opened after event {middle} its file {quote(name)} ends with {found.get(name, 0):,} bytes, and with "
                f"{size:,} when one instance got all: what the earlier one wrote is lost. Go on with what is there; "
                "it is void only when after_seq is 0."
            )


@check("Told everything again, it begins anew", "observer")
def begins_anew(subject: Subject) -> None:
    """`replay --from-start`: a new instance in the same folder, with after_seq=0. What there is of the old is void.

    A format that only grows may say so: what is wrong is a file that holds the same twice and no word between.
    """
    subject.result()
    events: Sequence[Event] = subject.arguments()[0]
    run = subject.new_run()
    first, second = (_contents(observe(subject, "Told everything again,", events, run=run)) for _ in range(2))
    for name, before in first.items():
        after = second.get(name, b"")
        more = after[len(before) :]
        if before and more and after.startswith(before) and before.endswith(more):
            raise CheckFailed(
                f"Told everything again its file {quote(name)} holds the same twice: {len(before):,} bytes, and then "
                f"{len(more):,} of them again. open() with after_seq=0 voids what an earlier instance wrote."
            )


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@check("It may be closed before any event came", "observer")
def closed_at_once(subject: Subject) -> None:
    """A run that fails while it starts."""
    subject.result()
    observe(subject, "Without an event", ())


@check("A run that failed, was stopped or killed is an end like any other", "observer")
def other_endings(subject: Subject) -> None:
    """The last state event says how a run ended, with the reason."""
    subject.result()
    *before, last = subject.arguments()[0]
    for state in ("failed", "stopped", "interrupted"):
        data = {"state": state, "reason": "A sentence on why.", "exit_code": 1}
        observe(
            subject, f"When the run {state},", [*before, Event(last.seq, last.t, last.attempt, "state", None, data)]
        )


@check("Hostile texts in events do not break it", "observer")
def hostile_events_survive(subject: Subject) -> None:
    """Samples and messages hold whatever a model or a file said."""
    subject.result()
    events = [
        Event(seq=index + 1, t=1.7e9, attempt=1, kind=kind, step=1, data={"text": text, "prompt": text})
        for index, (kind, text) in enumerate((k, t) for t in HOSTILE for k in ("sample", "message", "warning"))
    ]
    observe(subject, "With a hostile text", events)
