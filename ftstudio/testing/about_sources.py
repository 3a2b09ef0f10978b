"""Checks of model sources and dataset sources."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ftstudio.api import Facts, ModelRef, shape_of
from ftstudio.options import describe, parse
from ftstudio.testing.about_descriptions import heard, light_answers
from ftstudio.testing.apart import call_apart
from ftstudio.testing.hostile import HOSTILE
from ftstudio.testing.subject import CheckFailed, CheckSkipped, Subject, check, expected, named, place_of
from ftstudio.testing.working import WORKING, Loaded, first_rows
from ftstudio.text import quote

PREVIEWED = 3
PLAIN = ("The river bends.", "Once it was straight.", "Nobody remembers.")
ALTERED: tuple[Callable[[bytes], bytes], ...] = (
    lambda content: b"".join(content.splitlines(keepends=True)[:-1]),
    lambda content: content + content,
)
"""Ways to make other data of a file."""

# ------------------------------------------------------------------------------------------------- models


@check("The folder holds what it says: a config that is JSON, and weights as safetensors if it says so", "model")
def model_folder(subject: Subject) -> None:
    """Weights as pickles run code when they are opened; the core opens none."""
    model: ModelRef = subject.result()
    try:
        json.loads((model.path / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckFailed(f"config.json of its model cannot be read: {error}") from error
    weights = sorted(p.name for p in model.path.glob("*.safetensors"))
    if model.weights and not weights:
        others = sorted(p.name for p in model.path.glob("*.bin"))
        found = f"; {others[0]} is a pickle, which is not opened" if others else ""
        raise CheckFailed(f"It says weights=True, but the folder holds no *.safetensors{found}.")
    if weights and not model.weights:
        raise CheckFailed(f"It says weights=False, but the folder holds {weights[0]}, which would be left unused.")
    if not model.name.strip():
        raise CheckFailed("Its ModelRef has no name: the run records which model it was.")


@check("Its facts agree with the config that it fetches", "model", required=False)
def model_facts_agree(subject: Subject) -> None:
    """What the plan is made of before the start must be what comes."""
    facts: Facts = light_answers(subject, "facts")
    config = json.loads((subject.result().path / "config.json").read_text("utf-8"))
    names = {"context": ("n_positions", "max_position_embeddings"), "vocab_size": ("vocab_size",)}
    for fact, keys in names.items():
        said, real = getattr(facts, fact), next((config[key] for key in keys if key in config), None)
        if said is not None and real is not None and said != real and fact not in facts.estimated:
            raise CheckFailed(f"Its facts say {fact} = {said}, its config {real}. Mend one, or name it in estimated.")


# ------------------------------------------------------------------------------------------------ datasets


@check("The rows are the same when they are read again", "dataset")
def rows_can_be_read_again(subject: Subject) -> None:
    """Tokenizers and previews iterate more than once: a table is no generator that is used up."""
    loaded: Loaded = subject.result()
    for name, rows in loaded.rows.items():
        again = first_rows(loaded.tables[name])
        if again != rows:
            raise CheckFailed(
                f"A second pass over {name} gave {len(again)} rows where the first gave {len(rows)}, or others. Give a "
                "table that can be read more than once."
            )


@check("The values of its rows have the types of their shape", "dataset")
def values_have_their_types(subject: Subject) -> None:
    """Texts are str that UTF-8 can hold, messages are lists of role and content."""
    _check_rows(subject.result())


def _check_rows(loaded: Loaded) -> None:
    for name, rows in loaded.rows.items():
        for index, row in enumerate(rows):
            _check_values(f"Row {index} of {name}", row)


def _check_values(where: str, row: Mapping[str, Any]) -> None:
    for text in _texts_in(row):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise CheckFailed(
                f"{where} holds {quote(text, 40)}, with a lone surrogate at character {error.start}: no file and no "
                "table takes it. Read with errors='replace', or refuse it in a sentence."
            ) from error
    shape = shape_of(row)
    if shape == "messages":
        for message in row["messages"]:
            strings = isinstance(message, Mapping) and all(isinstance(message.get(k), str) for k in ("role", "content"))
            if not strings:
                raise CheckFailed(f"{where}: messages holds {quote(message)}; expected role and content, both texts.")
        return
    for column in {"text": ("text",), "prompt_completion": ("prompt", "completion")}.get(shape or "", ()):
        if not isinstance(row[column], str):
            raise CheckFailed(f"{where}: {column} is {type(row[column]).__name__}; expected a text.")


def _texts_in(value: Any) -> Iterator[str]:
    """Every text in a row, the names of its columns too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts_in(name)
            yield from _texts_in(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts_in(inner)


@check("Its facts agree with the rows that it loads", "dataset", required=False)
def rows_agree_with_facts(subject: Subject) -> None:
    """Rows and shape, where the facts know them and do not call them estimated."""
    facts: Facts = light_answers_in(subject)
    loaded: Loaded = subject.result()
    train = loaded.tables["train"]
    real = {"rows": len(train), "shape": shape_of(train.column_names)}
    for name, value in real.items():
        said = getattr(facts, name)
        if said is not None and value is not None and said != value and name not in facts.estimated:
            raise CheckFailed(
                f"Its facts say {name} = {said}, but load() gave {value}. Mend one, or name it in estimated."
            )


def light_answers_in(subject: Subject) -> Any:
    """The facts of the project that was worked on."""
    if not subject.component.facts:
        raise CheckSkipped("It has no facts function.")
    subject.result()
    answer, _ = call_apart(subject.offer.light, "facts", subject.options, subject.outcome.run.project)
    return answer


@check("preview() gives the first rows that load() gives", "dataset", required=False)
def preview_is_the_beginning(subject: Subject) -> None:
    """At most as many as were asked for."""
    source = subject.built()
    if not hasattr(source, "preview"):
        raise CheckSkipped("It has no preview(); the core loads all of it instead.")
    expected_rows = subject.result().rows["train"][:PREVIEWED]
    try:
        found = list(itertools.islice(source.preview(subject.new_run(), PREVIEWED), PREVIEWED + 1))
    except Exception as error:
        raise CheckFailed(f"preview() failed: {named(error)}{place_of(error)}") from error
    if len(found) > PREVIEWED:
        raise CheckFailed(f"preview() was asked for {PREVIEWED} rows and gave more.")
    if [dict(row) for row in found] != [dict(row) for row in expected_rows]:
        raise CheckFailed("preview() gives other rows than load() begins with.")


@check("fingerprint() is the same while the data are", "dataset", required=False)
def fingerprint_is_steady(subject: Subject) -> None:
    """Two instances, two project folders: a resume compares fingerprints, and caches are found by them."""
    if not hasattr(subject.built(), "fingerprint"):
        raise CheckSkipped("It has no fingerprint(): a resume cannot tell whether the data changed.")
    found = [subject.built().fingerprint(subject.new_run()) for _ in range(2)]
    if not isinstance(found[0], str) or not found[0]:
        raise CheckFailed(f"fingerprint() gave {quote(repr(found[0]))}; expected a text that is not empty.")
    if found[0] != found[1]:
        raise CheckFailed("fingerprint() is another one for the same data: leave out times and places.")


@check("Other rows have another fingerprint()", "dataset", required=False)
def fingerprint_follows_the_data(subject: Subject) -> None:
    """The files of the project are altered; where other rows come of that, a resume must see it."""
    if not hasattr(subject.built(), "fingerprint"):
        raise CheckSkipped("It has no fingerprint(): a resume cannot tell whether the data changed.")
    rows, before = _rows(subject.result()), subject.built().fingerprint(subject.new_run())
    for alter in ALTERED:
        run = subject.new_run()
        for path in run.held:
            path.write_bytes(alter(path.read_bytes()))
        outcome = subject.work(run)
        if outcome.error is not None or _rows(outcome.result) == rows:
            continue  # nothing that it reads, or nothing that can be read so
        if subject.built().fingerprint(run) == before:
            raise CheckFailed(
                "fingerprint() is the same for a file that gives other rows: a resume would go on with other data, and "
                "not say it. Make it of the file's size and time, or of its content."
            )
        return
    raise CheckSkipped("No way was found to alter what it reads: it is no file of the project here.")


def _rows(loaded: Loaded) -> Any:
    return WORKING["dataset"].identity(loaded), {name: len(table) for name, table in loaded.tables.items()}


@check("sniff() says of a file whether it is its kind, and is light", "dataset", required=False)
def sniff_answers(subject: Subject) -> None:
    """For `new --data FILE`: None, or {"use", "options", "says"} whose options the component accepts."""
    if not subject.component.sniff:
        raise CheckSkipped("It has no sniff function.")
    run = subject.new_run()
    stranger = run.project / "of-another-kind.bin"
    stranger.write_bytes(bytes(range(256)) * 8)
    for path in (*(p for p in sorted(run.project.rglob("*")) if p.is_file() and p != stranger), stranger):
        (answer, printed), heavy = call_apart(heard, _sniff, subject.component.sniff, path)
        if heavy:
            raise CheckFailed(f"Its sniff function imports {', '.join(heavy)}; it is asked of every file.")
        if printed:
            raise CheckFailed(f"Its sniff function prints {quote(printed)}, which nobody sees.")
        if answer is not None:
            _check_sniffed(subject, f"sniff({quote(path.name)}) gave {quote(repr(answer), 200)}", answer)
            if path == stranger:
                raise CheckFailed(
                    "Its sniff function says yes to a file of all 256 bytes in turn. It is asked of every file, and "
                    "the first source that says yes reads it: look for what tells yours, or return None."
                )


def _sniff(target: str, path: Path) -> Any:
    import importlib  # noqa: PLC0415 - in a process of its own

    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)(path)


def _check_sniffed(subject: Subject, what: str, answer: Any) -> None:
    """What `new --data` would write into [dataset] must be this component, with options that it takes."""
    if not (isinstance(answer, Mapping) and isinstance(answer.get("options", {}), Mapping)):
        raise CheckFailed(f"{what}; expected None, or use and options.")
    name, given = subject.component.name, dict(answer.get("options", {}))
    names = {name, f"{subject.offer.record.distribution}/{name}"}
    if answer.get("use", name) not in names:
        raise CheckFailed(f"{what}: expected use = {quote(name)}.")
    if not isinstance(answer.get("says", ""), str):
        raise CheckFailed(f"{what}: expected a text in says.")
    required = {f.name for f in describe(subject.component.options) if f.required}
    example = {key: value for key, value in subject.table.items() if key in required}
    _, problems = parse(subject.component.options, {**example, **given})
    if problems:
        raise CheckFailed(f"{what}, whose options are refused: {problems[0].message}")


@check("Hostile texts come through, or are refused in a sentence", "dataset", required=False)
def hostile_texts_survive_loading(subject: Subject) -> None:
    """Escapes, bidi marks, lone surrogates, markup, NUL, a line of a megabyte, nothing at all."""
    run = subject.new_run()
    table = subject.supplies.write_texts(HOSTILE, run.project)
    if table is None:
        raise CheckSkipped("Only its author can say how texts are written: override write_texts() in the test class.")
    known = {f.name for f in describe(subject.component.options)}
    for name in table.keys() - known:
        raise CheckFailed(f"write_texts() of the test class returned {quote(name)}, which is no option of it.")
    hostile = subject.with_options(**table)
    if parse(subject.component.options, hostile.table)[0] is None:
        _plain_texts_are_read(subject)
        return  # refused in a sentence, before anything was read
    outcome = hostile.work(run)
    if outcome.error is None:
        _check_rows(outcome.result)
    elif expected(outcome.error):
        _plain_texts_are_read(subject)
    else:
        raise CheckFailed(f"Hostile texts broke it: {named(outcome.error)}{place_of(outcome.error)}")


def _plain_texts_are_read(subject: Subject) -> None:
    """A refusal says something only where texts that nobody could object to are taken."""
    run = subject.new_run()
    plain = subject.with_options(**subject.supplies.write_texts(PLAIN, run.project) or {})
    _, problems = parse(subject.component.options, plain.table)
    error = None if problems else plain.work(run).error
    if problems or error is not None:
        said = problems[0].message if error is None else named(error)
        raise CheckFailed(
            f"It refuses plain texts as well: {said} Mend write_texts() of the test class, or what refuses them."
        )
