"""What can be known of a dataset before anything heavy is imported: facts and problems."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ftstudio.api import ComponentError, Facts, Problem, ProjectInfo
from ftstudio_datasets.columns import choose
from ftstudio_datasets.decode import foreign
from ftstudio_datasets.hub_cache import Cached, cached, folder_of
from ftstudio_datasets.look import look
from ftstudio_datasets.options import FileOptions, HubOptions, InlineOptions
from ftstudio_datasets.rows import first_texts
from ftstudio_datasets.words import DataError, plural, quote
from ftstudio_kit.hub_cache import is_offline, refuse_homeless

# -------------------------------------------------------------------------------------------------- inline


def inline_facts(options: InlineOptions, project_folder: Path) -> Facts:
    """Exact: the texts are there."""
    del project_folder
    kept = [text for text in options.texts if text.strip()]
    lengths = [len(text) for text in kept]
    return Facts(
        shape="text",
        columns=("text",),
        rows=len(lengths),
        validation_rows=0,
        characters=sum(lengths),
        longest_characters=max(lengths, default=0),
        sample=first_texts(kept) or None,
    )


def inline_check(options: InlineOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """Blank texts are left out."""
    del project, facts
    blank = sum(not text.strip() for text in options.texts)
    if blank:
        yield Problem(level="note", option="texts", message=f"{plural(blank, 'blank text')} will be left out.")


# --------------------------------------------------------------------------------------------------- files


def file_facts(options: FileOptions, project_folder: Path) -> Facts:
    """Facts of `text` and `table`: exact up to 2 MiB, beyond extrapolated from the first half MiB."""
    return look(options, project_folder).facts


def file_check(options: FileOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """What a load would refuse, as far as a look can see; how columns are read; files in both tables."""
    del facts
    found = look(options, project.folder)
    if found.error is not None:
        yield _problem(found.error)
    elif found.choice is not None and found.choice.guessed:
        first = next(iter(found.choice.columns))
        yield Problem(level="note", option=f"{first}_column", message=f"C{found.choice.says()[1:]}.")
    for name in found.foreign:
        sentence, mend = foreign(name)
        yield Problem(level="warning", option="encoding", message=sentence, fix=mend)
    if found.idle:
        yield Problem(
            level="warning",
            option=found.idle,
            message=f"{found.idle} does nothing: none of the files is a CSV.",
            fix="Take it out.",
        )
    if found.shared:
        yield Problem(
            level="warning",
            option="validation_path",
            message=f"{found.shared} is trained on and evaluated on: eval_loss will say little.",
            fix="Keep other rows apart, or set validation_fraction instead.",
        )


def _problem(error: DataError) -> Problem:
    return Problem(level="error", option=error.option, message=error.message, fix=error.hint, edit=error.edit)


# ----------------------------------------------------------------------------------------------------- hub


def hub_facts(options: HubOptions, project_folder: Path) -> Facts:
    """What the cache of an earlier download says; nothing is asked of the Hub."""
    try:
        known = None if folder_of(options, project_folder) else cached(options)
    except DataError:
        known = None
    if known is None:
        return Facts()
    facts = Facts(
        columns=known.columns,
        rows=known.rows.get(options.split),
        validation_rows=known.rows.get(options.validation_split) if options.validation_split else 0,
    )
    try:
        return replace(facts, shape=choose(known.columns, options, quote(options.name)).shape)
    except DataError:
        return facts


def hub_check(options: HubOptions, project: ProjectInfo, facts: Facts) -> Iterator[Problem]:
    """Columns that a cached copy lacks; a dataset that is not here while the network is shut off."""
    del facts
    try:
        if folder_of(options, project.folder):
            return
    except DataError as error:
        yield _problem(error)
        return
    known = cached(options)
    if known is not None:
        yield from _hub_columns(options, known)
    else:
        yield _not_cached(options)


def _not_cached(options: HubOptions) -> Problem:
    try:
        refuse_homeless(datasets=True)
    except ComponentError as error:
        return Problem(level="error", option="name", message=error.message, fix=error.hint)
    if is_offline():
        return Problem(
            level="error",
            option="name",
            message=f"{quote(options.name)} is not in the cache, and HF_HUB_OFFLINE is set.",
            fix="Unset it to download the dataset, or name a local folder of data files.",
        )
    return Problem(
        level="note", option="name", message=f"{quote(options.name)} is not in the cache: it will be downloaded."
    )


def _hub_columns(options: HubOptions, known: Cached) -> Iterator[Problem]:
    try:
        choice = choose(known.columns, options, quote(options.name))
    except DataError as error:
        yield _problem(error)
        return
    if choice.guessed:
        first = next(iter(choice.columns))
        yield Problem(level="note", option=f"{first}_column", message=f"C{choice.says()[1:]}.")
