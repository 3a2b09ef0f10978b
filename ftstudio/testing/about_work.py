"""Checks of every kind on the work that a component does: the contract at the border, manners, secrets, seeds."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from ftstudio import __version__
from ftstudio.api import Component
from ftstudio.errors import FtstudioError
from ftstudio.plugins import Offer, Record
from ftstudio.process import borders
from ftstudio.runs.checkpoints import check_content
from ftstudio.testing.apart import call_apart
from ftstudio.testing.fake_run import FakeRun
from ftstudio.testing.subject import (
    CheckFailed,
    CheckSkipped,
    Subject,
    as_findings,
    check,
    joined,
    named,
    place_of,
    scrambled,
)
from ftstudio.testing.watch import hub_caches, strays
from ftstudio.testing.working import MOST_ROWS, WORKING


def _table_border(subject: Subject, result: Any) -> None:
    """Tables whose columns make a shape, and every row a mapping that holds them."""
    _, shape = borders.check_tables(result.tables, subject.offer)
    gives = subject.component.gives
    if gives and shape not in gives:
        raise CheckFailed(f"It gave rows of {shape}, but its description says gives = {gives}. Mend one of them.")
    for name, rows in result.rows.items():
        for index, row in enumerate(rows):
            lacks = [c for c in result.tables[name].column_names if not isinstance(row, Mapping) or c not in row]
            if lacks:
                raise CheckFailed(
                    f"Row {index} of {name} lacks the column {joined(lacks)}: each row needs every column."
                )
        if len(rows) != min(len(result.tables[name]), MOST_ROWS):
            raise CheckFailed(f"{name} says that it has {len(result.tables[name])} rows, but gave {len(rows)}.")


def _checkpoint_border(subject: Subject, result: Any) -> None:
    """The Checkpoint of a commit, with a config and weights."""
    checkpoint = borders.check_checkpoint(result, subject.offer)
    check_content(checkpoint.path, subject.offer.title)
    if checkpoint not in subject.outcome.run.checkpoints:
        raise CheckFailed(
            "train() returned a checkpoint that run.checkpoint() did not commit: return draft.checkpoint."
        )


def _chunk_border(subject: Subject, result: Any) -> None:
    """Pieces for each prompt, the last of each sequence marked."""
    prompts = len(subject.supplies.prompts())
    chunks = [borders.check_chunk(chunk, prompts, subject.offer) for chunk in result]
    ended = {(chunk.index, chunk.sequence) for chunk in chunks if chunk.done}
    for index in range(prompts):
        if not any(at == index for at, _ in ended):
            raise CheckFailed(f"Prompt {index} of {prompts} never got a piece with done=True: the last one says so.")
    endless = sorted({(chunk.index, chunk.sequence) for chunk in chunks} - ended)
    if endless:
        raise CheckFailed(f"Sequence {endless[0][1]} of prompt {endless[0][0]} has no piece with done=True.")


ANY_TRAINER = Offer(
    kind="trainer",
    component=Component(name="any", summary="takes everything", target="", options=object),
    record=Record(name="kit", value="", distribution="ftstudio", version=__version__, status="active"),
)  # fmt: skip

BORDERS: Mapping[str, Callable[[Subject, Any], None]] = {
    "model": lambda subject, result: _nothing(borders.check_model(result, subject.offer)),
    "dataset": _table_border,
    "tokenizer": lambda subject, result: _nothing(borders.check_encoded(result, subject.offer, ANY_TRAINER)),
    "trainer": _checkpoint_border,
    "generator": _chunk_border,
    "observer": lambda subject, result: None,
}
"""Kind -> the core's own check of what comes out, and what it leaves to later stages."""


def _nothing(_: object) -> None:
    """For what is called only to see whether it raises."""


@check("It does its work, and what it gives keeps the contract")
def keeps_the_contract(subject: Subject) -> None:
    """The core's own checks at the border, on what came of one piece of work."""
    error = subject.outcome.error
    if error is not None:
        if subject.with_made_secrets:
            raise CheckSkipped(f"It needs {joined(list(subject.component.secrets))} to work: set it. {named(error)}")
        raise CheckFailed(f"{named(error)}{place_of(error)}")
    with as_findings():
        BORDERS[subject.kind](subject, subject.outcome.result)


@check("It leaves the working directory, the signal handlers and the standard streams as they were")
def leaves_the_process_alone(subject: Subject) -> None:
    """All components of a run share one process; the core puts back what changed, and names who did it."""
    if subject.outcome.seen.changed:
        raise CheckFailed(f"{subject.outcome.seen.changed[0]} Put it back yourself, in a finally block.")
    subject.result()


@check("It writes only into run.dir, run.cache and the Hub's cache")
def writes_stay_inside(subject: Subject) -> None:
    """Seen through Python's audit events, and as files that are new or changed in the project's folder."""
    outcome = subject.outcome
    allowed = [outcome.run.dir, outcome.run.cache, *hub_caches()]
    found = strays(outcome.seen.written, allowed)
    found += [str(p) for p in _new_files(subject) if str(p) not in found]
    if found:
        raise CheckFailed(f"It wrote {joined(found)}. Write below run.dir or run.cache, temporary files too (dir=...).")
    gone = [str(path) for path in outcome.run.held if not path.exists()]
    if gone:
        raise CheckFailed(f"It removed {joined(gone)}. What lies in the project's folder is the person's.")
    subject.result()


def _new_files(subject: Subject) -> list[Path]:
    """Files in the project's folder, outside of the run's, that are new or have changed since the work began."""
    run = subject.outcome.run
    files = (path for path in run.project.rglob("*") if path.is_file() and not path.is_relative_to(run.dir))
    return sorted(path for path in files if run.held.get(path) != path.read_bytes())


SHORTEST_HIDDEN = 8
"""Bytes of a secret whose other spellings are looked for: those of a shorter one would be found by chance."""


@check("Its secrets leave no trace in files, output and messages", required=False)
def secrets_leave_no_trace(subject: Subject) -> None:
    """Each declared environment variable gets a value that is looked for afterwards, in all that came of the work."""
    if not subject.component.secrets:
        raise CheckSkipped("It declares no secrets.")
    outcome = subject.outcome
    run = outcome.run
    told = [outcome.seen.printed, *run.messages, *run.warnings, *run.phases, *(f"{p} {t}" for _, p, t in run.samples)]
    told += [str(outcome.error or "")]
    for name, value in subject.secret_values.items():
        if not value:
            continue
        forms = forms_of(value)
        for how in (how for how, form in forms if any(form in text.encode(errors="replace") for text in told)):
            raise CheckFailed(f"The value of {name} was printed or said{how}. Keep it out of messages and errors.")
        for path in (path for path in run.root.rglob("*") if path.is_file() and not path.is_symlink()):
            content = path.read_bytes()
            for how in (how for how, form in forms if form in content):
                raise CheckFailed(f"The value of {name} was written into {path.relative_to(run.root)}{how}.")


def forms_of(value: str) -> list[tuple[str, bytes]]:
    """A secret as it is, and as anybody could read it back: how a sentence calls the form, and its bytes."""
    plain = value.encode()
    forms = [("", plain)]
    if len(plain) < SHORTEST_HIDDEN:
        return forms
    forms += [
        (" as hexadecimal digits", plain.hex().encode()),
        (" as hexadecimal digits", plain.hex().upper().encode()),
    ]
    forms += [(" backwards", plain[::-1]), (" percent-encoded", quote_plus(value).encode())]
    for before in range(3):  # where it begins in a group of three bytes decides how base64 spells it
        first, whole = -(-before * 4 // 3), (before + len(plain)) // 3 * 4
        for spelt in (base64.b64encode, base64.urlsafe_b64encode):
            forms.append((" in base64", spelt(bytes(before) + plain)[first:whole]))
    return forms


@check("The same seed gives the same result, whatever the global generators are at", required=False)
def same_seed_same_result(subject: Subject) -> None:
    """Twice, with other states of the global random generators before: what is drawn must come from run.seed."""
    if not subject.component.deterministic:
        raise CheckSkipped("It says deterministic = False.")
    if subject.kind == "observer":
        raise CheckSkipped("An observer gives nothing back.")
    first = subject.result()
    with scrambled():
        second = subject.again("A second time").result
    same = WORKING[subject.kind].identity
    if same(first) != same(second):
        raise CheckFailed(
            "Two pieces of work with the same seed gave different results. Draw from a generator that is seeded with "
            "run.seed, or say deterministic=False in the description."
        )


@check("The same seed gives the same result in a process whose sets are in another order", required=False)
def set_order_does_not_matter(subject: Subject) -> None:
    """Python orders sets of texts otherwise in each process, and hash() of a text is another number."""
    if not subject.component.deterministic:
        raise CheckSkipped("It says deterministic = False.")
    if subject.kind == "observer":
        raise CheckSkipped("An observer gives nothing back.")
    here = WORKING[subject.kind].identity(subject.result())
    if _elsewhere(subject, HASH_SEEDS[0]) == here:
        return
    others = [_elsewhere(subject, seed) for seed in HASH_SEEDS]  # this process may differ by more than the order
    if any(other != others[0] for other in others):
        raise CheckFailed(
            "Two processes gave different results for the same seed. Sort what comes out of a set, and use no hash() "
            "of a text; or say deterministic=False in the description."
        )


HASH_SEEDS = ("1", "2", "3")


def _elsewhere(subject: Subject, hash_seed: str) -> Any:
    """What its work comes to in a process of its own. Raises CheckSkipped where that cannot be told or does not end."""
    given = subject.offer, subject.options, subject.new_run(), subject.arguments()
    try:
        with subject.secrets_set():
            return call_apart(_identity, *given, hash_seed=hash_seed)[0]
    except FtstudioError as error:
        raise CheckSkipped(f"It could not be tried in another process: {error}") from error


def _identity(offer: Offer, options: Any, run: FakeRun, given: tuple[Any, ...]) -> Any:
    working = WORKING[offer.kind]
    return working.identity(working.act(offer.build(options), run, *given))
