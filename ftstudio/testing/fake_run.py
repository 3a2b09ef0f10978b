"""`FakeRun`: stands in for the run that a component is part of.

It keeps what it was told in plain lists, commits checkpoints by a rename inside its folder, and never touches the
network or a terminal.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ftstudio.api import Checkpoint, ComponentError, Prompt, RunInfo


class FakeRequests:
    """Requests that a test sets by hand, `run.requests.stop = True`, or that come at a certain look.

    A trainer looks at the end of each step, so `FakeRequests(stop_at=3)` asks for a stop at the end of the third.
    """

    def __init__(self, *, stop_at: int | None = None, checkpoint_at: int | None = None) -> None:
        self.stop_at, self.checkpoint_at = stop_at, checkpoint_at
        self.looks_for_stop = self.looks_for_checkpoint = 0
        self._stop = self._checkpoint = False

    @property
    def stop(self) -> bool:
        """Whether to commit and return."""
        self.looks_for_stop += 1
        self._stop |= self.looks_for_stop == self.stop_at
        return self._stop

    @stop.setter
    def stop(self, value: bool) -> None:
        self._stop = value

    @property
    def checkpoint(self) -> bool:
        """Whether to commit and go on."""
        self.looks_for_checkpoint += 1
        self._checkpoint |= self.looks_for_checkpoint == self.checkpoint_at
        return self._checkpoint

    @checkpoint.setter
    def checkpoint(self, value: bool) -> None:
        self._checkpoint = value


@dataclass
class FakeDraft:
    """A checkpoint in the making; `committed` is filled when its context is left."""

    path: Path
    committed: Checkpoint | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The committed checkpoint. Raises ValueError before the commit."""
        if self.committed is None:
            raise ValueError("the checkpoint is not committed yet: read draft.checkpoint after the with block")
        return self.committed


@dataclass
class FakeRun:
    """A run for tests: `FakeRun(tmp_path)`, then look at `metrics`, `messages`, `checkpoints` ..."""

    root: Path
    seed: int = 42
    devices: tuple[str, ...] = ("cpu",)
    resume_from: Checkpoint | None = None
    requests: FakeRequests = field(default_factory=FakeRequests)
    phases: list[str] = field(default_factory=list)
    progressed: list[tuple[int, int | None, str]] = field(default_factory=list)
    metrics: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    samples: list[tuple[int, Prompt, str]] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    best: Checkpoint | None = None
    held: dict[Path, bytes] = field(default_factory=dict)
    """The files that the project held when the work began; the kit looks whether they are as they were."""

    def __post_init__(self) -> None:
        for folder in (self.project, self.dir, self.cache):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def info(self) -> RunInfo:
        """Always project "fake", run "0001", attempt 1."""
        return RunInfo(project="fake", run="0001", attempt=1, host="localhost", dir=self.dir)

    @property
    def project(self) -> Path:
        """The folder that relative paths start from."""
        return self.root / "project"

    @property
    def dir(self) -> Path:
        """The run's folder."""
        return self.project / "runs" / "0001"

    @property
    def cache(self) -> Path:
        """The cache folder."""
        return self.root / "cache"

    def phase(self, name: str) -> None:
        """Keep the phase's name."""
        self.phases.append(name)

    def progress(self, done: int, total: int | None = None, unit: str = "step") -> None:
        """Keep the figures."""
        self.progressed.append((done, total, unit))

    def log(self, step: int, **metrics: float) -> None:
        """Keep the metrics of a step."""
        self.metrics.append((step, metrics))

    def say(self, text: str) -> None:
        """Keep the sentence."""
        self.messages.append(text)

    def warn(self, text: str) -> None:
        """Keep the warning."""
        self.warnings.append(text)

    def sample(self, step: int, prompt: Prompt, text: str) -> None:
        """Keep the sample."""
        self.samples.append((step, prompt, text))

    @contextmanager
    def checkpoint(
        self, step: int, *, metrics: Mapping[str, float] | None = None, best: bool = False
    ) -> Iterator[FakeDraft]:
        """Stage beside the target, rename on leaving; an error inside discards what was staged."""
        target = self.dir / "checkpoints" / f"{step:06d}"
        staging = target.with_name(f"{step:06d}.staging")
        staging.mkdir(parents=True)
        draft = FakeDraft(staging)
        try:
            yield draft
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        shutil.rmtree(target, ignore_errors=True)
        os.replace(staging, target)  # noqa: PTH105 - the name of the system call that matters here
        draft.committed = Checkpoint(path=target, step=step, metrics=dict(metrics or {}))
        self.requests.checkpoint = False
        self.checkpoints.append(draft.committed)
        if best and not math.isnan(draft.committed.metrics.get("eval_loss", 0.0)):
            self.best = draft.committed

    def secret(self, name: str) -> str:
        """The environment variable's value. Raises ComponentError when it is not set."""
        value = os.environ.get(name)
        if value is None:
            raise ComponentError(f"The environment variable {name} is not set.", f"Set it: export {name}=...")
        return value
