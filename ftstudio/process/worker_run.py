"""The `Run` that components see inside a worker: events, requests, checkpoints, secrets."""

from __future__ import annotations

import errno
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ftstudio.api import Checkpoint, ComponentError, ModelRef, Prompt, RunInfo
from ftstudio.errors import InterruptedRunError
from ftstudio.explain import is_disk_full
from ftstudio.files import cache_dir, copy_file, refuse_symlinks
from ftstudio.process.secrecy import redact
from ftstudio.runs import checkpoints as commits
from ftstudio.runs import staging
from ftstudio.runs.control import answer, asked, see_stop
from ftstudio.runs.events import EventWriter
from ftstudio.runs.folder import RunFolder
from ftstudio.text import safe_text

PROGRESS_SECONDS = 0.25
REQUEST_SECONDS = 0.1
STARTING = "starting the trainer"
"""The phase until the trainer names one, or makes its first step."""


@dataclass
class WorkerRequests:
    """What was asked: by a file in control/, by SIGTERM, by the death of the supervisor, or of the terminal."""

    folder: RunFolder
    attempt: int
    parent: int = field(default_factory=os.getppid)
    reason: str = ""
    """Why it is to stop, once it is."""
    hung_up: Callable[[], bool] = bool
    """Whether the terminal was closed that the run ends with; False where there is none."""
    _looked: float = 0.0
    _checkpoint: bool = False

    def notice(self, reason: str) -> None:
        """Stop for a reason that is no file: a signal."""
        self.reason = self.reason or reason

    @property
    def stop(self) -> bool:
        """Commit a checkpoint and return."""
        self._look()
        return bool(self.reason)

    @property
    def checkpoint(self) -> bool:
        """Commit a checkpoint and go on."""
        self._look()
        return self._checkpoint

    def met(self) -> None:
        """A checkpoint was committed."""
        if self._checkpoint:
            self._checkpoint = False
            answer(self.folder, "checkpoint")

    def _look(self) -> None:
        """At most ten times a second: a step may be shorter than a look at three files."""
        now = time.monotonic()
        if now - self._looked < REQUEST_SECONDS:
            return
        self._looked = now
        if see_stop(self.folder, self.attempt):
            self.notice("asked")
        elif os.getppid() != self.parent:
            self.notice("its supervisor is gone")
        elif self.hung_up():
            self.notice("its terminal was closed")
        elif not self.folder.path.is_dir():
            self.notice("its run folder is gone")
        self._checkpoint = asked(self.folder, "checkpoint", self.attempt)


class WorkerRun:
    """Implements `ftstudio.api.Run` over a run folder."""

    def __init__(
        self,
        folder: RunFolder,
        project: Path,
        *,
        attempt: int,
        seed: int,
        devices: tuple[str, ...],
        secrets: Mapping[str, str],
    ) -> None:
        self.folder = folder
        self.info = RunInfo(project.name, folder.name, attempt, socket.gethostname(), folder.path)
        self.project, self.dir, self.cache = project, folder.path, cache_dir()
        self.seed, self.devices = seed, devices
        self.resume_from: Checkpoint | None = None
        self.lineage: Mapping[str, Any] = {}
        self.weights_from: Checkpoint | None = None  # of a fork that takes no more than weights
        self.requests: WorkerRequests = WorkerRequests(folder, attempt)
        self.logged: dict[str, float] = {}
        self.training = False
        self.trainer_title = "the trainer"
        self.tokenizer: Path | None = None
        self.model: ModelRef | None = None
        self.shape = "text"
        self.keep = 2
        self.checkpoint_bytes = 0  # of the first one, as far as the plan knows
        self._disk_error: OSError | None = None
        self._secrets = secrets
        self._events = self._open_events()
        self._progressed = 0.0
        self._phase = ""
        self.cache.mkdir(parents=True, exist_ok=True)

    def _open_events(self) -> EventWriter:
        return EventWriter(self.folder.events, self.info.attempt, partial(redact, self._secrets))

    # ------------------------------------------------------------------------------------ what is said

    def phase(self, name: str) -> None:
        """Say what begins now."""
        self._progressed = 0.0
        self._phase = name
        self._events.write("phase", name=name)
        self._leave_if_asked()

    def progress(self, done: int, total: int | None = None, unit: str = "step") -> None:
        """Say how far it is; at most four times a second, and always at the end."""
        self._say_training()
        now = time.monotonic()
        if now - self._progressed >= PROGRESS_SECONDS or done == total:
            self._progressed = now
            self._events.write("progress", done=done, total=total, unit=unit)
        self._leave_if_asked()

    def log(self, step: int, **metrics: float) -> None:
        """Record metrics of a step."""
        self._say_training()
        self.logged |= metrics
        self._events.write("metrics", step, metrics={k: float(v) for k, v in metrics.items()})

    def _say_training(self) -> None:
        """A trainer that names no phases trains from its first word on."""
        if self._phase == STARTING:
            self.phase("training")

    def say(self, text: str) -> None:
        """One sentence for the person who watches."""
        self._events.write("message", text=safe_text(text))

    def warn(self, text: str) -> None:
        """One sentence that should not be missed."""
        self._events.write("warning", text=safe_text(text))

    def sample(self, step: int, prompt: Prompt, text: str, *, model: str = "") -> None:
        """Record a generated text. `model` is "base" or "final" for the pair at the end of a run."""
        asked_for = prompt if isinstance(prompt, str) else list(prompt)
        extra = {"model": model} if model else {}
        self._events.write("sample", step, prompt=asked_for, text=text, **extra)

    def chunk(self, **data: object) -> None:
        """A piece of text while it is being generated, for whoever watches an errand."""
        self._events.write("chunk", None, **data)

    def state(self, state: str, reason: str = "", **data: object) -> None:
        """Record a change of the worker's own state."""
        self._events.write("state", None, state=state, reason=reason, **data)

    def _leave_if_asked(self) -> None:
        """Outside train() nothing needs to be committed: a stop ends the process at once."""
        if not self.training and self.requests.stop:
            raise InterruptedRunError(f"Stopped before training: {self.requests.reason}.")

    # ------------------------------------------------------------------------------------- checkpoints

    @contextmanager
    def checkpoint(
        self, step: int, *, metrics: Mapping[str, float] | None = None, best: bool = False
    ) -> Iterator[commits.StagedDraft]:
        """Commit a checkpoint; an exception inside discards it.

        Once the disk failed, every further call raises that same OSError: after an fsync that failed nobody knows what
        is on the disk, so a trainer that catches it and tries again must not seem to succeed.
        """
        if self._disk_error is not None:
            raise self._disk_error
        try:
            draft = self._stage(step)
            try:
                yield draft
                commits.check_content(draft.path, self.trainer_title)
                self._add_tokenizer(draft.path)
            except BaseException:
                staging.discard(draft.path)
                raise
            self._commit(draft, step, metrics or {}, best=best)
        except Exception as error:
            self._disk_error = _disk_error(error, self.folder.checkpoints / f"{step:06d}")
            if self._disk_error in {None, error}:
                raise
            raise self._disk_error from error

    def _stage(self, step: int) -> commits.StagedDraft:
        refuse_symlinks(self.folder.checkpoints, self.folder.project)
        before = self.resume_from.path if self.resume_from is not None else None  # of a fork: another run's
        return commits.stage(self.folder.checkpoints, step, like=before, planned=self.checkpoint_bytes)

    def _commit(self, draft: commits.StagedDraft, step: int, metrics: Mapping[str, float], *, best: bool) -> None:
        base = self.model if (draft.path / "adapter_config.json").is_file() else None
        best = best and not math.isnan(metrics.get("eval_loss", 0.0))  # which is lower than none, and none than it
        committed = commits.commit(draft, step, metrics=metrics, best=best, shape=self.shape, base=base)
        self.requests.met()
        self._events.write("checkpoint", step, path=committed.path.name, best=best, metrics=dict(metrics))
        for sentence in commits.rotate(self.folder.checkpoints, self.folder.path / "quarantine", self.keep):
            self.warn(sentence)

    def _add_tokenizer(self, folder: Path) -> None:
        """What the trainer wrote stays: a tokenizer's folder may hold a config.json too."""
        for file in sorted(self.tokenizer.iterdir()) if self.tokenizer is not None else ():
            if file.is_file() and not (folder / file.name).exists():
                copy_file(file.resolve(), folder / file.name)  # the Hub's cache is made of links

    def secret(self, name: str) -> str:
        """The value of a declared environment variable."""
        if name not in self._secrets:
            raise ComponentError(
                f"The environment variable {name} is not set.", f"Set it before the run: export {name}=..."
            )
        return self._secrets[name]

    def close(self) -> None:
        """Close the stream of events."""
        self._events.close()


def _disk_error(error: Exception, place: Path) -> OSError | None:
    """The error, naming a file, when the disk failed or is full; libraries wrap that into errors of their own."""
    if isinstance(error, OSError):
        error.filename = error.filename or str(place)
        return error if error.errno in {errno.EIO, errno.EROFS, errno.ENOSPC, errno.EDQUOT} else None
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place)) if is_disk_full(error) else None
