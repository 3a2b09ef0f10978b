"""Errands: short jobs that need torch but make no run: a deep check, the token view, a sample.

    run_errand ──> `python -m ftstudio.process.errand SCRATCH` ──> scratch/events.jsonl, scratch/result.json

The scratch folder looks like a run folder, so components see the same `Run` and readers read the same events. It
lies in the cache and is deleted afterwards.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ftstudio.api import Checkpoint, Event, Prompt
from ftstudio.errors import ComponentError, FtstudioError, InputError, InterruptedRunError, PluginError
from ftstudio.files import cache_dir, explained, write_atomic
from ftstudio.process import stages, token_view
from ftstudio.process.data import pick
from ftstudio.process.devices import candidates, devices_of
from ftstudio.process.lengths import Longest, longest_rows
from ftstudio.process.worker import explained_end, secrets_of
from ftstudio.process.worker_run import WorkerRequests, WorkerRun
from ftstudio.project import Project, from_tables
from ftstudio.runs import measured
from ftstudio.runs.checkpoints import open_checkpoint
from ftstudio.runs.events import EventReader
from ftstudio.runs.folder import RunFolder

POLL_SECONDS = 0.05
DEEP_STEPS = 3
END_SECONDS = 5.0


# ------------------------------------------------------------------------------------------ the asking side


def run_errand(
    project: Project,
    job: Mapping[str, Any],
    on_event: Callable[[Event], None],
    *,
    device: str = "auto",
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Do a job in a process of its own and return its result. `cancelled` is asked twenty times a second.

    Raises InputError for a device that is not here; InputError, PluginError or FtstudioError with the sentence that the
    process ended with; InterruptedRunError when it was cancelled.
    """
    candidates(device)
    root = cache_dir() / "errands"
    with explained(root):
        root.mkdir(parents=True, exist_ok=True)
        scratch = RunFolder(Path(tempfile.mkdtemp(dir=root)))
    try:
        spec = {"folder": str(project.folder), "settings": project.resolved(), "job": dict(job), "device": device}
        with explained(scratch.path):
            write_atomic(scratch.path / "job.json", json.dumps(spec, default=str))
        return _follow(scratch, on_event, cancelled)
    finally:
        shutil.rmtree(scratch.path, ignore_errors=True)


def _follow(scratch: RunFolder, on_event: Callable[[Event], None], cancelled: Callable[[], bool]) -> dict[str, Any]:
    command = [sys.executable, "-m", "ftstudio.process.errand", str(scratch.path)]
    reader = EventReader(scratch.events)
    last: Event | None = None
    with scratch.console.open("wb") as console:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        try:
            alive = True
            while alive:
                alive = child.poll() is None
                if alive and cancelled():
                    raise InterruptedRunError("It was cancelled.")
                for event in reader.read():
                    last = event if event.kind == "state" else last
                    on_event(event)
                time.sleep(POLL_SECONDS if alive else 0)
        except BaseException:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(END_SECONDS)
            child.kill()
            child.wait()
            raise
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads((scratch.path / "result.json").read_text("utf-8")))
    raise _failure(scratch, last, child.returncode)


def _failure(scratch: RunFolder, last: Event | None, code: int) -> FtstudioError:
    console = scratch.console.read_text("utf-8", "replace").strip()
    if last is None or last.data.get("state") == "running":
        said = console.splitlines()[-1] if console else "It said nothing."
        return PluginError(f"The process ended with exit code {code} before it was done. {said[:300]}")
    error = InputError if code == InputError.exit_code else PluginError if console else FtstudioError
    return error(str(last.data.get("reason", "")), f"\n{console}" if "Traceback" in console else "")


# ------------------------------------------------------------------------------------------ the doing side


class _StopAfter(WorkerRequests):
    """Asks for a stop after a few steps: a trainer reads it once a step."""

    left = DEEP_STEPS

    @property
    def stop(self) -> bool:
        """True once as many steps were made."""
        self.left -= 1
        return self.left <= 0 or super().stop


def deep(project: Project, run: WorkerRun, job: Mapping[str, Any]) -> dict[str, Any]:
    """Try everything once: the data, the longest batch through forward, backward and step, a commit, a sample."""
    prepared = stages.prepare(project, run)
    options = project.parts["trainer"].options
    batch = int(getattr(options, "per_device_train_batch_size", 8))
    rows = batch * int(getattr(options, "gradient_accumulation_steps", 1))
    encoded = prepared.encoded
    total = len(encoded.train)
    if encoded.shape == "preference":
        longest = Longest(list(range(min(rows, total))), 0, total)
    else:
        longest = longest_rows(encoded.train, rows)
    if longest.looked_at < total:
        run.say(f"The longest rows are those of {longest.looked_at:,} of {total:,}.")
    view = token_view.rows(prepared.encoded, range(min(batch, 4, total)))
    few = dataclasses.replace(
        encoded,
        train=pick(encoded.train, longest.indices * DEEP_STEPS),
        validation=None
        if encoded.validation is None
        else pick(encoded.validation, range(min(batch, len(encoded.validation)))),
    )
    run.requests = _StopAfter(run.folder, run.info.attempt)
    result = stages.train(project, dataclasses.replace(prepared, encoded=few), run)
    run.requests = WorkerRequests(run.folder, run.info.attempt)
    run.phase("reading the checkpoint back")
    try:
        committed = open_checkpoint(result.path)
    except ValueError as error:
        raise FtstudioError(f"The checkpoint that was just committed is damaged: {error}.") from error
    size = sum(f.stat().st_size for f in result.path.rglob("*") if f.is_file())
    prompt = project.prompts[:1] or ("The",)
    run.phase("sampling")
    text = stages.generate(project, committed, prompt, run)[0]
    speed, memory = run.logged.get("tokens_per_second"), run.logged.get("peak_memory_bytes")
    measured.keep_speed(project, run.devices[0], tokens_per_second=speed, peak_memory_bytes=memory)
    return {
        "device": run.devices[0],
        "batch_rows": len(longest.indices),
        "longest": longest.tokens,
        "tokens_per_second": speed,
        "peak_memory_bytes": memory,
        "loss": run.logged.get("loss"),
        "checkpoint_bytes": size,
        "counts": dict(encoded.counts),
        "sample": {"prompt": prompt[0] if isinstance(prompt[0], str) else list(prompt[0]), "text": text},
        "view": view,
    }


def rows(project: Project, run: WorkerRun, job: Mapping[str, Any]) -> dict[str, Any]:
    """The token view of some rows, by index."""
    prepared = stages.prepare(project, run)
    total = len(prepared.encoded.train)
    first, count = int(job.get("first", 0)), int(job.get("count", 5))
    if first >= total:
        raise ComponentError(f"There is no row {first + 1:,}: the data has {total:,} rows.", "Rows count from 1.")
    chosen = range(first, min(total, first + count))
    return {
        "rows": total,
        "shape": prepared.encoded.shape,
        "counts": dict(prepared.encoded.counts),
        "view": token_view.rows(prepared.encoded, chosen),
    }


def preview(project: Project, run: WorkerRun, job: Mapping[str, Any]) -> dict[str, Any]:
    """Some rows as the source gives them, before tokenising."""
    first, count = int(job.get("first", 0)), int(job.get("count", 5))
    offer, source = project.offer("dataset"), project.build("dataset")
    run.phase("loading the data")
    if hasattr(source, "preview"):
        found = [
            dict(r) for r in islice(stages.call(offer, "preview()", source.preview, run, first + count), first + count)
        ]
        return {"total": None, "first": first, "rows": found[first:]}
    tables = stages.call(offer, "load()", source.load, run)
    return {
        "total": len(tables["train"]),
        "first": first,
        "rows": [dict(r) for r in islice(tables["train"], first, first + count)],
    }


def sample(project: Project, run: WorkerRun, job: Mapping[str, Any]) -> dict[str, Any]:
    """Continue prompts by the checkpoint that the job names, or by the base model beneath it."""
    if job.get("base"):
        run.phase("fetching the model")
        model = project.build("model").fetch(run)
        if not model.weights:
            raise ComponentError("The base model has no weights: it is trained from scratch.", "Leave --base out.")
        tokenizer = Path(job["checkpoint"]) if job.get("checkpoint") else None
        checkpoint = Checkpoint(model.path, 0, tokenizer=tokenizer, shape=str(job.get("shape", "text")))
    else:
        checkpoint = _checkpoint_of(Path(job["checkpoint"]), str(job.get("shape", "text")))
    prompts: list[Prompt] = list(job["prompts"])
    run.phase("sampling")
    generator = project.build("generator")
    texts = ["" for _ in prompts]
    try:
        for chunk in stages.call(
            project.offer("generator"), "generate()", generator.generate, checkpoint, prompts, run
        ):
            texts[chunk.index] += chunk.text
            run.chunk(index=chunk.index, sequence=chunk.sequence, text=chunk.text, done=chunk.done)
    finally:
        generator.close()
    return {"prompts": prompts, "texts": texts, "checkpoint": str(checkpoint.path)}


def _checkpoint_of(folder: Path, shape: str) -> Checkpoint:
    if (folder / "MANIFEST.json").is_file():
        try:
            return open_checkpoint(folder)
        except ValueError as error:
            raise ComponentError(f"Checkpoint {folder.name} is damaged: {error}.", "Choose another.") from error
    return Checkpoint(folder, 0, shape=shape)


JOBS: Mapping[str, Callable[[Project, WorkerRun, Mapping[str, Any]], dict[str, Any]]] = {
    "deep": deep,
    "preview": preview,
    "rows": rows,
    "sample": sample,
}


def main() -> None:
    """Entry of the errand's process: read job.json, do it, write result.json."""
    scratch = RunFolder(Path(sys.argv[1]))
    spec = json.loads((scratch.path / "job.json").read_text("utf-8"))
    folder = Path(spec["folder"])
    project = from_tables(folder, folder / "project.toml", spec["settings"])
    run = WorkerRun(
        scratch,
        folder,
        attempt=1,
        seed=project.head.seed,
        devices=(devices_of(spec["device"])[0].name,),
        secrets=secrets_of(project),
    )
    with contextlib.closing(run), explained_end(run) as code:
        project.require()
        result = JOBS[spec["job"]["kind"]](project, run, spec["job"])
        write_atomic(scratch.path / "result.json", json.dumps(result))
    sys.exit(code[0])


if __name__ == "__main__":
    main()
