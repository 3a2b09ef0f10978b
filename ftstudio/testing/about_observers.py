"""Checks of observers, on their protocol alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from ftstudio.api import Event
from ftstudio.testing.hostile import HOSTILE
from ftstudio.testing.subject import CheckFailed, Subject, check, named, place_of
from ftstudio.testing.watch import quiet


def observe(subject: Subject, what: str, events: Sequence[Event], after_seq: int = 0) -> None:
    """Open, deliver and close. Raises CheckFailed with `what` it was when it fails."""
    observer, run = subject.built(), subject.new_run()
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


@check("An event may come twice", "observer")
def repeats_are_taken(subject: Subject) -> None:
    """At least once is what is promised: after a crash the last second comes again, with the same seq."""
    subject.result()
    events = subject.arguments()[0]
    observe(subject, "When the last events came twice,", [*events, *events[-3:]])


@check("It may begin in the middle of a run", "observer")
def begins_in_the_middle(subject: Subject) -> None:
    """A new attempt opens it behind the last event that was delivered."""
    subject.result()
    events = subject.arguments()[0]
    middle = len(events) // 2
    observe(subject, f"Opened after event {middle},", events[middle:], after_seq=middle)


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
