"""A repository of the Hub as a folder: from the cache, else by one attempt at the Hub.

Without a network an unknown id takes the library 23 s to fail, so the cache is asked first and the Hub once, for at
most five seconds until it answers. What is fetched is config, safetensors and tokenizer: never pickles, never code.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ftstudio.api import ComponentError, Run
from ftstudio_kit.hub_cache import cached_snapshot

ANSWER_SECONDS = 5.0
PATTERNS = (
    "config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*", "vocab.*",
    "merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template*", "*.model",
)  # fmt: skip
WAYS_OUT = (
    "Fetch it where there is a network (hf download {name}) and copy the Hub cache here (HF_HOME), "
    'or name a folder that holds the model, or write use = "starter".'
)


def fetch_snapshot(name: str, revision: str | None, run: Run, *, needed: str = "*.safetensors") -> Path:
    """The snapshot folder of a model on the Hub, named by its commit; `needed` must be in a cached one.

    Raises ComponentError, one sentence and a way out, when neither the cache nor the Hub has it.
    """
    snapshot = cached_snapshot(name, revision)
    if snapshot is not None and any(snapshot.glob(needed)):
        return snapshot
    return _Question(name, revision).download(run)


class _Question:
    """One attempt at the Hub for one name."""

    def __init__(self, name: str, revision: str | None) -> None:
        self.name, self.revision = name, revision

    def download(self, run: Run) -> Path:
        """Ask for the commit, then fetch what is needed of it."""
        name, revision = self.name, self.revision
        if constants.HF_HUB_OFFLINE:
            raise self._away("HF_HUB_OFFLINE is set")
        commit = self._ask()
        run.say(f"Fetching {name} at {commit} from the Hub.")
        try:
            folder = snapshot_download(name, revision=commit, allow_patterns=list(PATTERNS), max_workers=4)
        except (HfHubHTTPError, OSError) as error:
            raise ComponentError(
                f"The download of {name!r} broke off: {_short(error)}", "Start again: what came so far is kept."
            ) from error
        if revision is None:
            _remember(Path(folder), commit)
        return Path(folder)

    def _ask(self) -> str:
        """The commit that the name means on the Hub, from one question with a time limit."""
        answer: list[Any] = []

        def ask() -> None:
            try:
                info = HfApi().model_info(self.name, revision=self.revision, timeout=ANSWER_SECONDS)
                answer.append(info.sha)
            except Exception as error:  # noqa: BLE001 - carried over to the thread that waits
                answer.append(error)

        thread = threading.Thread(target=ask, daemon=True)  # the library tries again where a timeout would do
        thread.start()
        thread.join(ANSWER_SECONDS)
        if not answer:
            raise self._away(f"it did not answer within {ANSWER_SECONDS:g} s")
        if isinstance(answer[0], Exception):
            raise self._refused(answer[0]) from answer[0]
        return str(answer[0])

    def _refused(self, error: Exception) -> ComponentError:
        name, revision = self.name, self.revision
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, GatedRepoError):
            return ComponentError(
                f"The model {name!r} is gated: the Hub wants its terms accepted first.",
                f"Accept them on the page of {name}, then log in here: hf auth login.",
            )
        if isinstance(error, RevisionNotFoundError):
            return ComponentError(f"The model {name!r} has no revision {revision!r}.", "Take revision out, or mend it.")
        if isinstance(error, RepositoryNotFoundError):
            if status == 401:
                return ComponentError(
                    f"The Hub does not show {name!r} (401): it is private, or there is no such model.",
                    "Mend the name, or log in: hf auth login.",
                )
            return ComponentError(f"There is no model {name!r} on the Hub (404).", "Mend the name.")
        if isinstance(error, (HFValidationError, EntryNotFoundError)):
            return ComponentError(f"{name!r} is no name of a model: {_short(error)}", "Write org/name, or a folder.")
        if status == 401:
            return ComponentError(f"The Hub refuses the token for {name!r} (401).", "Log in again: hf auth login.")
        if status == 429:
            return ComponentError(
                f"The Hub asks us to wait (429) before it gives {name!r}.", "Try again in some minutes."
            )
        if isinstance(error, OfflineModeIsEnabled):
            return self._away("HF_HUB_OFFLINE is set")
        return self._away(_short(error))

    def _away(self, why: str) -> ComponentError:
        name = self.name
        return ComponentError(
            f"The model {name!r} is not in the cache, and the Hub cannot be asked: {why.rstrip('.')}.",
            WAYS_OUT.format(name=name),
        )


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160]


def _remember(snapshot: Path, commit: str) -> None:
    """A download by commit leaves no refs/main, so the name would not be found offline next time."""
    ref = snapshot.parent.parent / "refs" / "main"
    if not ref.exists():
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit, "utf-8")
