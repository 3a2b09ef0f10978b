"""What errands and workbenches do: a deep check, rows as text and as tokens, a sample.

A job is a function of a project, the `Run` that components see, what was asked, and what is kept warm; it gives a value
for JSON.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ftstudio.api import Checkpoint, Prompt, Table
from ftstudio.errors import ComponentError, FtstudioError
from ftstudio.process import borders, stages, token_view
from ftstudio.process.calling import built, call, method
from ftstudio.process.data import pick
from ftstudio.process.lengths import Fullest, Longest, fullest_bins, longest_rows
from ftstudio.process.listing import clipped
from ftstudio.process.warm import Warm
from ftstudio.process.worker_run import WorkerRequests, WorkerRun
from ftstudio.project import Project
from ftstudio.runs import measured
from ftstudio.runs.checkpoints import open_checkpoint
from ftstudio.text import plural

DEEP_STEPS = 3
PREVIEW_ROWS = 10_000
"""Further rows are read from the loaded table, which knows where they are; a preview reads from the beginning."""
PAGE_CHARACTERS = 4 << 20
"""A page of rows ends where it holds so many characters: a row may have a megabyte."""


class _StopAfter(WorkerRequests):
    """Asks for a stop after a few steps: a trainer reads it once a step."""

    left = DEEP_STEPS

    @property
    def stop(self) -> bool:
        """True once as many steps were made."""
        self.left -= 1
        return self.left <= 0 or super().stop


def deep(project: Project, run: WorkerRun, job: Mapping[str, Any], warm: Warm) -> dict[str, Any]:
    """Try everything once: the data, the longest batch through forward, backward and step, a commit, a sample."""
    prepared = stages.prepare(project, run)
    options = project.parts["trainer"].options
    batch = int(getattr(options, "per_device_train_batch_size", 8))
    rows = batch * int(getattr(options, "gradient_accumulation_steps", 1))
    encoded = prepared.encoded
    total = len(encoded.train)
    packed = bool(getattr(options, "packing", False))
    batch_rows, longest = longest_batch(options, encoded.train, rows, packed=packed)
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
        "batch": f"{plural(batch_rows, 'packed row' if packed else 'row')} of up to {longest.tokens:,} tokens",
        "batch_rows": batch_rows,
        "longest": longest.tokens,
        "tokens_per_second": speed,
        "peak_memory_bytes": memory,
        "loss": run.logged.get("loss"),
        "checkpoint_bytes": size,
        "counts": dict(encoded.counts),
        "sample": {"prompt": prompt[0] if isinstance(prompt[0], str) else list(prompt[0]), "text": text},
        "view": view,
    }


def longest_batch(options: object, train: Table, rows: int, *, packed: bool) -> tuple[int, Longest | Fullest]:
    """How many rows of the trainer a step has at most, and which rows of the table make the longest such step."""
    if not packed:
        longest = longest_rows(train, rows)
        return len(longest.indices), longest
    fullest = fullest_bins(train, rows, getattr(options, "packing_length", None))
    return fullest.bins, fullest


def listing(project: Project, run: WorkerRun, job: Mapping[str, Any], warm: Warm) -> dict[str, Any]:
    """A page of the tokenised rows as a list, and what all of them together are. With `row`: the page around it."""
    found = warm.listing(project, run, again=bool(job.get("again")))
    how = {"order": str(job.get("order", "file")), "only": str(job.get("only", "all"))}
    first, count = int(job.get("first", 0)), int(job.get("count", 100))
    if job.get("row") is not None:
        first = max(0, found.place(int(job["row"]), **how) - count // 2)
    return {**found.page(first, count, **how), "files": measured.data_files(project)}


def rows(project: Project, run: WorkerRun, job: Mapping[str, Any], warm: Warm) -> dict[str, Any]:
    """The token view of some rows, by index in file order; of each at most `tokens` tokens where that is said."""
    encoded = warm.listing(project, run).encoded
    total = len(encoded.train)
    first, count = int(job.get("first", 0)), int(job.get("count", 5))
    if first >= total:
        raise ComponentError(f"There is no row {first + 1:,}: the data has {total:,} rows.", "Rows count from 1.")
    return {
        "rows": total,
        "shape": encoded.shape,
        "counts": dict(encoded.counts),
        "view": token_view.rows(encoded, range(first, min(total, first + count)), job.get("tokens")),
    }


def preview(project: Project, run: WorkerRun, job: Mapping[str, Any], warm: Warm) -> dict[str, Any]:
    """Some rows as the source gives them, before tokenising; of each text at most `characters` where that is said.

    `total` is None where the source was not read to its end. A page may hold fewer rows than were asked for.
    """
    first, count = int(job.get("first", 0)), int(job.get("count", 5))
    offer, source = project.offer("dataset"), built(project, "dataset")
    run.phase("loading the data")
    total = None
    if hasattr(source, "preview") and first < PREVIEW_ROWS:
        read = partial(_read, source.preview, run, first, first + count)
        found = borders.check_preview(call(offer, "preview()", read), offer)
        total = first + len(found) if len(found) < count and (found or not first) else None
    else:
        train = borders.check_tables(call(offer, "load()", method(offer, source, "load"), run), offer)[0]["train"]
        total = len(train)
        found = list(pick(train, range(first, min(total, first + count))))
    page, cut = _page(found, job.get("characters"))
    return {"total": total, "first": first, "rows": page, "cut": cut, "files": measured.data_files(project)}


def _read(rows: Callable[..., Any], run: WorkerRun, first: int, end: int) -> list[Any]:
    return list(islice(rows(run, end), first, end))


def _page(found: Sequence[Mapping[str, Any]], room: int | None) -> tuple[list[dict[str, Any]], list[dict[str, int]]]:
    page, cut, size = [], [], 0
    for row in found:
        if room is not None and size > PAGE_CHARACTERS:
            break
        shown, lost = (dict(row), {}) if room is None else clipped(row, room)
        size += sum(len(str(value)) for value in shown.values())
        page.append(shown)
        cut.append(lost)
    return page, cut


def sample(project: Project, run: WorkerRun, job: Mapping[str, Any], warm: Warm) -> dict[str, Any]:
    """Continue prompts by the checkpoint that the job names, or by the base model beneath it."""
    shape = str(job.get("shape", "text"))
    if job.get("base"):
        model = warm.base(project, run)
        if not model.weights:
            raise ComponentError("The base model has no weights: it is trained from scratch.", "Leave --base out.")
        tokenizer = Path(job["checkpoint"]) if job.get("checkpoint") else None
        checkpoint = Checkpoint(model.path, 0, tokenizer=tokenizer, shape=shape)
    else:
        checkpoint = warm.checkpoint(Path(job["checkpoint"]), shape)
    prompts: list[Prompt] = list(job["prompts"])
    run.phase("sampling")
    generator = warm.generator(project, checkpoint, run.devices[0])
    texts = stages.Texts(len(prompts))
    for chunk in stages.chunks(project.offer("generator"), generator, checkpoint, prompts, run):
        texts.add(chunk)
        run.chunk(**dataclasses.asdict(chunk))
    return {
        "prompts": prompts,
        "texts": texts.joined(),
        "sequences": texts.by_prompt(),
        "checkpoint": str(checkpoint.path),
    }


JOBS: Mapping[str, Callable[[Project, WorkerRun, Mapping[str, Any], Warm], dict[str, Any]]] = {
    "deep": deep,
    "listing": listing,
    "preview": preview,
    "rows": rows,
    "sample": sample,
}
