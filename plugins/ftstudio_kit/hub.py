"""Folders from the Hugging Face Hub: the cache first, then one attempt at the Hub, and each refusal in one sentence.

Without a network an unknown name takes the library 23 s to fail. Here the cache is asked first, and the Hub once, for
at most five seconds until it answers. Only named patterns are fetched: never pickles, never code.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

from ftstudio.api import ComponentError, Run
from ftstudio_kit.hub_cache import cached_snapshot, hub_cache, is_offline, refuse_homeless

ANSWER_SECONDS = 5.0
TOKENIZER_PATTERNS = (
    "tokenizer*.json", "*.model", "vocab.json", "vocab.txt", "merges.txt", "special_tokens_map.json",
    "added_tokens.json", "chat_template*.json", "*.jinja",
)  # fmt: skip
MODEL_PATTERNS = (
    "config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json", *TOKENIZER_PATTERNS,
)  # fmt: skip


@dataclass(frozen=True)
class HubFolder:
    """A folder of the Hub that is wanted: `what` it is in sentences, which files, and when the cache's copy will do.

    `accept` sees the names of the files on the Hub before a download and raises ComponentError where it is no use.
    `ways_out` is what to do when the Hub cannot be asked.
    """

    name: str
    revision: str | None
    what: str
    patterns: Sequence[str]
    complete: Callable[[Path], bool]
    ways_out: str
    accept: Callable[[Sequence[str]], None] = lambda files: None

    def fetch(self, run: Run) -> Path:
        """The folder, named by its commit. Raises ComponentError when neither the cache nor the Hub gives it."""
        cached = cached_snapshot(self.name, self.revision)
        if cached is not None and self.complete(cached):
            return cached
        refuse_homeless()
        try:
            info = self._ask()
        except ComponentError:
            if cached is None:
                raise
            return cached  # what is there may do: who opens it says what it lacks
        self.accept([s.rfilename for s in info.siblings or ()])
        return self._download(info.sha, run)

    def _ask(self) -> Any:
        """What the Hub says of the name, from one question with a time limit."""
        if is_offline() or constants.HF_HUB_OFFLINE:
            raise self._away("HF_HUB_OFFLINE is set")
        answer: list[Any] = []

        def ask() -> None:
            try:
                answer.append(HfApi().model_info(self.name, revision=self.revision, timeout=ANSWER_SECONDS))
            except Exception as error:  # noqa: BLE001 - carried over to the thread that waits
                answer.append(error)

        thread = threading.Thread(target=ask, daemon=True)  # the library tries again where a timeout would do
        thread.start()
        thread.join(ANSWER_SECONDS)
        if not answer:
            raise self._away(f"it did not answer within {ANSWER_SECONDS:g} s")
        if isinstance(answer[0], Exception):
            raise self._refused(answer[0]) from answer[0]
        return answer[0]

    def _download(self, commit: str, run: Run) -> Path:
        run.say(f"Fetching {self.name} at {commit[:12]} from the Hub.")
        disable_progress_bars()
        try:
            folder = snapshot_download(
                self.name, revision=self.revision, allow_patterns=list(self.patterns), cache_dir=hub_cache()
            )
        except (HfHubHTTPError, GatedRepoError) as error:
            raise self._refused(error) from error
        except Exception as error:  # the transport's errors are of several libraries
            raise ComponentError(
                f"The download of '{self.name}' broke off: {_short(error)}.", "Start again: what came so far is kept."
            ) from error
        return Path(folder)

    def _refused(self, error: Exception) -> ComponentError:
        name, what = self.name, self.what
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, GatedRepoError):
            return ComponentError(
                f"The {what} '{name}' is gated: the Hub wants its terms accepted first ({status}).",
                f"Accept them on the page of {name}, then log in here: hf auth login.",
            )
        if isinstance(error, RevisionNotFoundError):
            return ComponentError(
                f"The {what} '{name}' has no revision '{self.revision}'.", "Take revision out, or mend it."
            )
        if status == 401:
            return ComponentError(
                f"The Hub does not show '{name}' (401): it is private, there is no such {what}, or the token is old.",
                "Mend the name, or log in: hf auth login.",
            )
        if isinstance(error, RepositoryNotFoundError) or status == 404:
            return ComponentError(f"There is no {what} '{name}' on the Hub (404).", "Mend the name.")
        if isinstance(error, HFValidationError):
            return ComponentError(f"'{name[:60]}' is no name of a {what} on the Hub.", "Write org/name, or a folder.")
        if status == 429:
            return ComponentError(
                f"The Hub asks us to wait (429) before it gives '{name}'.",
                "Try again in some minutes, or log in: hf auth login.",
            )
        if isinstance(error, OfflineModeIsEnabled):
            return self._away("HF_HUB_OFFLINE is set")
        return self._away(f"it answered {status}" if status else _short(error))

    def _away(self, why: str) -> ComponentError:
        which = f"'{self.name}'" if self.revision is None else f"'{self.name}' at revision '{self.revision}'"
        return ComponentError(
            f"The {self.what} {which} is not in the cache, and the Hub cannot be asked: {why}.", self.ways_out
        )


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160].rstrip(".")
