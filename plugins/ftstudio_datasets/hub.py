"""Datasets of the Hugging Face Hub: from the cache, else from a local folder, else from the Hub itself.

Loading scripts are never run: `datasets` 4 and later refuse them.
"""

from __future__ import annotations

import glob
import hashlib
import json
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
from datasets.packaged_modules.cache.cache import Cache
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ftstudio.api import ComponentError, Run
from ftstudio_datasets.arrow import Opened, cached_tables
from ftstudio_datasets.columns import Choice, choose
from ftstudio_datasets.decode import Tally, chunks
from ftstudio_datasets.files import find, identities
from ftstudio_datasets.hub_cache import Cached, cached, folder_of
from ftstudio_datasets.options import HubOptions, TableOptions
from ftstudio_datasets.records import SUFFIXES, records
from ftstudio_datasets.rows import Row
from ftstudio_datasets.words import DataError, did_you_mean, listed, quote
from ftstudio_kit.hub_cache import is_offline, refuse_homeless

ANSWER_SECONDS = 4.0
"""How long the Hub may take to say whether the dataset is there. Left alone, an unreachable one takes 23 s."""
_ABOUT = {"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json"}
"""What `datasets` itself writes beside data."""


class Hub:
    """A split of a dataset, and one to evaluate on, with the standard columns."""

    def __init__(self, options: HubOptions) -> None:
        self.options = options
        self._splits: dict[str, datasets.Dataset] = {}

    def load(self, run: Run) -> dict[str, datasets.Dataset]:
        """The splits, their columns mapped and checked, memory-mapped from the cache."""
        splits = self._open(run)
        choice = choose(splits["train"].column_names, self.options, quote(self.options.name))
        tables = {name: partial(self._rows, name, split, choice) for name, split in splits.items()}
        return cached_tables(run, self.fingerprint(run), tables, unit="row")

    def preview(self, run: Run, rows: int) -> Iterator[Row]:
        """The first rows of the training split."""
        split = self._open(run)["train"]
        choice = choose(split.column_names, self.options, quote(self.options.name))
        return islice(self._rows("train", split, choice).rows, rows)

    def fingerprint(self, run: Run) -> str:
        """Of the commit, or the content of a local folder; the configuration, the splits and how columns are read."""
        folder = folder_of(self.options, run.project)
        if folder is not None:  # the library's own fingerprint follows place and time as well
            content = identities(folder)
        else:
            content = {name: split._fingerprint for name, split in self._open(run).items()}
        parts = [asdict(self.options), content]
        return hashlib.sha256(json.dumps(["hub", 2, parts], sort_keys=True).encode()).hexdigest()[:32]

    def _rows(self, name: str, split: datasets.Dataset, choice: Choice) -> Opened:
        tally = Tally()
        if choice.guessed and name == "train":
            tally.said.append(f"C{choice.says()[1:]}.")
        # Other columns may hold pictures or sound, which would be decoded.
        missing = [column for column in choice.read if column not in split.column_names]
        if missing:
            raise DataError(
                f"The split {name} of {quote(self.options.name)} has no column {quote(missing[0])}.",
                "Choose another validation_split.",
                "validation_split",
            )
        chosen = split.select_columns(choice.read)

        def rows() -> Iterator[Row]:
            number = 0
            try:
                for number, record in enumerate(chosen, start=1):
                    row = choice.convert(record, f"{quote(self.options.name)}, {name} row {number:,}", tally)
                    if row is not None:
                        yield row
            except UnicodeDecodeError as error:  # `datasets` takes JSON of any bytes, and reads them only here
                raise DataError(
                    f"{quote(self.options.name)}, {name} row {number + 1:,} is not UTF-8 text.",
                    "Turn its file into UTF-8 (iconv).",
                    "name",
                ) from error

        return Opened(columns=tuple(choice.columns), rows=rows(), tally=tally, total=len(split))

    # ------------------------------------------------------------------------------------------- opening

    def _open(self, run: Run) -> Mapping[str, datasets.Dataset]:
        """Table -> split, opened once."""
        if not self._splits:
            wanted = {"train": self.options.split}
            if self.options.validation_split:
                wanted["validation"] = self.options.validation_split
            self._splits = self._find(run, wanted)
        return self._splits

    def _find(self, run: Run, wanted: Mapping[str, str]) -> dict[str, datasets.Dataset]:
        folder = folder_of(self.options, run.project)
        if folder is not None:
            return {name: self._load(split, str(folder), None, run) for name, split in wanted.items()}
        known = cached(self.options)
        if known is not None:
            run.say(f"{quote(self.options.name)} comes from the cache: {known.config}, commit {known.commit[:12]}.")
            return {name: self._from_cache(known, split) for name, split in wanted.items()}
        refuse_homeless(datasets=True)
        commit = ask_hub(self.options)
        run.phase(f"downloading {self.options.name}")
        return {name: self._load(split, self.options.name, commit, run) for name, split in wanted.items()}

    def _from_cache(self, known: Cached, split: str) -> datasets.Dataset:
        organisation, _, name = self.options.name.strip("/").rpartition("/")
        builder = Cache(
            cache_dir=str(known.folder.parents[3]),
            dataset_name=name,
            repo_id=self.options.name if organisation else None,
            config_name=known.config,
            version=known.version,
            hash=known.commit,
        )
        try:
            return builder.as_dataset(split=split)
        except ValueError as error:
            raise _no_split(self.options, split, known.rows) from error

    def _load(self, split: str, place: str, commit: str | None, run: Run) -> datasets.Dataset:
        kept = run.cache / "datasets" / "hub" if Path(place).is_absolute() else None
        try:
            return datasets.load_dataset(
                place, self.options.config, split=split, revision=commit, cache_dir=str(kept) if kept else None
            )
        except HfHubHTTPError as error:
            raise refused(self.options, error) from error
        except (ValueError, RuntimeError, OSError, StopIteration, datasets.exceptions.DatasetsError) as error:
            if kept is not None and (found := first_bad(Path(place))) is not None:
                raise found from error
            if isinstance(error, ValueError):
                raise _of_value(self.options, split, error) from error
            if "cripts are no longer" in str(error):
                raise DataError(
                    f"{quote(self.options.name)} is a dataset made by a script, which is never run.",
                    "Take a version of it that consists of data files.",
                    "name",
                ) from error
            raise DataError(
                f"{quote(self.options.name)} could not be read: {_short(_first_of(error))}.",
                "Check name, config and split.",
                "name",
            ) from error


def first_bad(folder: Path) -> DataError | None:
    """What is wrong with the first file of data in a folder that cannot be read, by the words of the source `table`.

    `datasets` names neither the file nor the line. None where we find nothing to blame.
    """
    for path in sorted(folder.rglob("*")):
        name, suffix = path.relative_to(folder), path.suffix.lower()
        hidden = any(part.startswith(".") for part in name.parts)
        if hidden or path.name in _ABOUT or suffix not in {*SUFFIXES, ".txt"} or not path.is_file():
            continue
        options = TableOptions(path=(glob.escape(str(name)),))
        try:
            for file in find(options.path, folder):
                tally = Tally()
                deque(chunks(file, "utf-8", tally) if suffix == ".txt" else records(file, options, tally), maxlen=0)
        except DataError as error:
            mend = "Turn it into UTF-8 (iconv)." if error.option == "encoding" else error.hint
            return DataError(error.message, mend, "name")
    return None


# -------------------------------------------------------------------------------------------------- words


def _first_of(error: BaseException) -> BaseException:
    """The error that began it: what `datasets` raises says only that there was one."""
    return error if error.__cause__ is None else _first_of(error.__cause__)


def _no_split(options: HubOptions, split: str, known: Iterable[str]) -> DataError:
    names = list(known)
    option = "validation_split" if split == options.validation_split else "split"
    return DataError(
        f"{quote(options.name)} has no split {quote(split)}; it has {listed(names)}.",
        did_you_mean(split, names) or f"Set {option} to one of them.",
        option,
    )


def _of_value(options: HubOptions, split: str, error: ValueError) -> DataError:
    said = str(error)
    if "split" in said.lower():
        known = re.findall(r"'([^']+)'", said.partition("one of")[2])
        return _no_split(options, split, known)
    option = "config" if "config" in said.lower() else "name"
    return DataError(f"{quote(options.name)} could not be read: {_short(error)}.", f"Check {option}.", option)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(". ") or type(error).__name__


# -------------------------------------------------------------------------------------------------- asking


def ask_hub(options: HubOptions) -> str:
    """The commit that the Hub has for this dataset now. Raises DataError within 5 s when it has none for us."""
    outcome: list[Any] = []

    def ask() -> None:
        try:
            hub = HfApi()
            info = hub.dataset_info(options.name, revision=options.revision, timeout=ANSWER_SECONDS)
            if info.gated:  # its description is public all the same
                hub.auth_check(options.name, repo_type="dataset")
            outcome.append(info.sha)
        except Exception as error:  # noqa: BLE001 - it is judged in the thread that waits
            outcome.append(error)

    if is_offline():
        raise _unreachable(options, "HF_HUB_OFFLINE is set")
    # A timeout of the client counts for each attempt to connect and to read, and not for looking up the name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if not outcome:
        raise _unreachable(options, f"no answer within {ANSWER_SECONDS:.0f} s")
    if isinstance(outcome[0], Exception):
        raise refused(options, outcome[0]) from outcome[0]
    return str(outcome[0])


def refused(options: HubOptions, error: Exception) -> ComponentError:
    """One sentence for each way in which the Hub says no."""
    name = quote(options.name)
    status = error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else None
    if isinstance(error, HFValidationError):
        return DataError(f"{name} cannot be the name of a dataset.", "Names look like org/name.", "name")
    if isinstance(error, GatedRepoError):
        where = f"https://huggingface.co/datasets/{options.name}"
        return DataError(f"{name} is gated.", f"Ask for access at {where}, then log in: hf auth login.", "name")
    if isinstance(error, RevisionNotFoundError):
        return DataError(f"{name} has no revision {quote(options.revision)}.", "Check it on the Hub.", "revision")
    if isinstance(error, RepositoryNotFoundError):
        hint = "Check the name; if it is private, log in: hf auth login."
        return DataError(f"The Hub has no dataset {name}, or hides it from you.", hint, "name")
    if status in {401, 403}:
        return DataError(f"The Hub refuses {name}: {status}.", "Log in: hf auth login.", "name")
    if status == 429:
        return DataError(f"The Hub has had too many requests from here (429) to give {name}.", "Try later.", "name")
    if status is not None:
        return DataError(f"The Hub could not give {name}: {status}.", "Try later.", "name")
    offline = isinstance(error, OfflineModeIsEnabled)
    return _unreachable(options, "HF_HUB_OFFLINE is set" if offline else type(error).__name__)


def _unreachable(options: HubOptions, why: str) -> DataError:
    return DataError(
        f"{quote(options.name)} is not in the cache, and the Hub cannot be reached: {why}.",
        "Connect to the network, or bring the dataset as files and name their folder.",
        "name",
    )
