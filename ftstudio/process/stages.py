"""What a worker does, in order: model, data, tokens, training, the final model, samples.

Each stage calls one component and checks what came back (`borders`) before the next one sees it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ftstudio import plan
from ftstudio.api import Checkpoint, Chunk, ComponentError, ModelRef, Prompt
from ftstudio.errors import InterruptedRunError, PluginError
from ftstudio.files import write_toml
from ftstudio.plugins import Offer
from ftstudio.process import borders
from ftstudio.process.calling import blamed, built, call, method
from ftstudio.process.data import Prepared, apply_selection
from ftstudio.process.endings import newest_step
from ftstudio.process.final import write_final
from ftstudio.process.inputs import check_base, compare_inputs, hashes, inputs_of, pinned
from ftstudio.process.left_running import threads_of
from ftstudio.process.manners import left_as_found
from ftstudio.process.worker_run import STARTING, WorkerRun
from ftstudio.project import Project
from ftstudio.runs import measured, staging
from ftstudio.runs.checkpoints import sound

MAX_SAMPLE_CHARACTERS = 20_000
TOKENIZER_FILES = ("*token*", "chat_template*", "vocab*", "merges*")


def run_all(project: Project, run: WorkerRun) -> Checkpoint:
    """The whole run. Raises InterruptedRunError when it was stopped, FtstudioError for what is expected to fail."""
    started = time.time()
    prepared = prepare(project, run)
    result = train(project, prepared, run)
    if run.requests.stop:
        reached = max(result.step, newest_step(run.folder))  # the result may be an earlier step's, which was the best
        raise InterruptedRunError(f"Stopped at step {reached}: {run.requests.reason}.")
    run.phase("writing the final model")
    write_final(project, prepared, result, run, time.time() - started)
    sample_both(project, prepared, result, run)
    return result


def prepare(project: Project, run: WorkerRun) -> Prepared:
    """Fetch the model, load and choose the rows, tokenise them; write down what they were."""
    prepared = tokenise(project, run)
    inputs = inputs_of(prepared, run)
    compare_inputs(run, inputs, exact=project.offer("trainer").component.exact_resume)
    write_toml(run.folder.inputs, inputs)
    return prepared


def tokenise(project: Project, run: WorkerRun) -> Prepared:
    """Fetch the model, load and choose the rows, tokenise them."""
    sources, tokenizers, trainers = project.offer("dataset"), project.offer("tokenizer"), project.offer("trainer")
    model = base_model(project, run)

    run.phase("loading the data")
    loader = built(project, "dataset")
    tables, shape = borders.check_tables(call(sources, "load()", method(sources, loader, "load"), run), sources)
    fingerprint = call(sources, "fingerprint()", loader.fingerprint, run) if hasattr(loader, "fingerprint") else ""
    chosen = apply_selection(tables, project.selection, run)
    takes = tokenizers.component.takes
    if takes and shape not in takes:
        raise ComponentError(
            f"{tokenizers.title} takes {', '.join(takes)}; {sources.title} gives {shape}.",
            "Choose another tokenizer, or map the columns differently.",
        )

    run.phase("tokenising")
    tokenizer = built(project, "tokenizer")
    try:
        encoded = call(tokenizers, "encode()", method(tokenizers, tokenizer, "encode"), chosen, model, run)
    except PluginError:
        borders.check_rows(tables, shape, sources)  # it may have stumbled over a row that breaks the source's contract
        raise
    encoded = borders.check_encoded(encoded, tokenizers, trainers)
    run.tokenizer, run.model, run.shape = encoded.tokenizer, model, encoded.shape
    run.keep = int(getattr(project.parts["trainer"].options, "save_total_limit", None) or 2)
    run.trainer_title = trainers.title
    run.checkpoint_bytes = run.checkpoint_bytes or plan.checkpoint_bytes(project)  # a model may be known only now
    measured.keep(project, encoded)
    return Prepared(model, encoded, chosen, str(fingerprint))


def base_model(project: Project, run: WorkerRun) -> ModelRef:
    """What training starts from: the project's model, or the weights that a fork takes over."""
    offer = project.offer("model")
    run.phase("fetching the model")
    if run.weights_from is None:
        with blamed(offer, "building it"):
            source = offer.build(pinned(run, project.parts["model"].options))
        return borders.check_model(call(offer, "fetch()", method(offer, source, "fetch"), run), offer)
    folder = run.weights_from.path
    if (folder / "adapter_config.json").is_file():
        folder = _merged(project, run, run.weights_from)
    name = f"{run.lineage.get('run')} at step {run.weights_from.step}"
    return borders.check_model(ModelRef(folder, weights=True, name=name), offer)


def _merged(project: Project, run: WorkerRun, adapter: Checkpoint) -> Path:
    """The whole model of an adapter that a fork starts from, written once a run."""
    merged = run.dir / "origin-merged"
    if merged.is_dir():
        return merged
    if adapter.base is not None:
        check_base(run, hashes(adapter.base.path))
    staged = staging.make(merged)
    try:
        call(project.offer("trainer"), "export()", built(project, "trainer").export, adapter, staged, run)
        for file in (file for pattern in TOKENIZER_FILES for file in adapter.path.glob(pattern)):
            shutil.copyfile(file, staged / file.name)
        staging.sync(staged)
        staging.put_in_place(staged, merged)
    except BaseException:
        staging.discard(staged)
        raise
    return merged


def train(project: Project, prepared: Prepared, run: WorkerRun) -> Checkpoint:
    """Train, and check the checkpoint that it ended with."""
    offer = project.offer("trainer")
    trainer = built(project, "trainer")
    run.phase(STARTING)
    run.training = True
    try:
        result = call(offer, "train()", method(offer, trainer, "train"), prepared.encoded, prepared.model, run)
    finally:
        run.training = False
    if isinstance(result, Checkpoint) and _is_ours(result.path, run):
        result, said = sound(result, run.folder.quarantine)
        for sentence in said:
            run.warn(sentence)
    return borders.check_checkpoint(result, offer)


def _is_ours(folder: Path, run: WorkerRun) -> bool:
    """Whether it is a checkpoint of this run, be it one that was found damaged and set aside."""
    is_there = folder.is_dir() or any(run.folder.quarantine.glob(f"{folder.name}-*"))
    return folder.parent == run.folder.checkpoints and is_there


def sample_both(project: Project, prepared: Prepared, result: Checkpoint, run: WorkerRun) -> None:
    """Continue the project's prompts by the base model and by the result, with the same seed."""
    if not project.prompts:
        return
    run.phase("sampling")
    pairs = [("final", Checkpoint(run.folder.final, result.step, shape=prepared.encoded.shape))]
    if prepared.model.weights:
        base = Checkpoint(prepared.model.path, 0, tokenizer=prepared.encoded.tokenizer, shape=prepared.encoded.shape)
        pairs.insert(0, ("base", base))
    for name, checkpoint in pairs:
        for prompt, text in zip(project.prompts, generate(project, checkpoint, project.prompts, run), strict=True):
            run.sample(checkpoint.step, prompt, text, model=name)


class Texts:
    """What a generator writes, piece by piece: for each prompt a text by sequence."""

    def __init__(self, prompts: int, limit: int | None = None) -> None:
        self._limit = limit
        self._sequences: list[dict[int, str]] = [{} for _ in range(prompts)]

    def add(self, chunk: Chunk) -> None:
        """One more piece; what goes beyond `limit` characters of a sequence is left out."""
        of_prompt = self._sequences[chunk.index]
        of_prompt[chunk.sequence] = (of_prompt.get(chunk.sequence, "") + chunk.text)[: self._limit]

    def joined(self) -> list[str]:
        """One text for each prompt; several sequences of one prompt with blank lines between."""
        return ["\n\n".join(texts) for texts in self.by_prompt()]

    def by_prompt(self) -> list[list[str]]:
        """For each prompt the texts of its sequences, in their order."""
        return [[text for _, text in sorted(of_prompt.items())] for of_prompt in self._sequences]


def generate(project: Project, checkpoint: Checkpoint, prompts: Sequence[Prompt], run: WorkerRun) -> list[str]:
    """The text that the generator gives for each prompt; several sequences of one prompt are joined by blank lines."""
    offer, generator = project.offer("generator"), built(project, "generator")
    texts = Texts(len(prompts), MAX_SAMPLE_CHARACTERS)
    try:
        for chunk in chunks(offer, generator, checkpoint, prompts, run):
            texts.add(chunk)
    finally:
        call(offer, "close()", method(offer, generator, "close"))
    return texts.joined()


def chunks(
    offer: Offer, generator: Any, checkpoint: Checkpoint, prompts: Sequence[Prompt], run: WorkerRun
) -> Iterator[Chunk]:
    """The pieces that a generator gives, each checked. Raises ContractError for what is none.

    The process is put back once, at the end: put back between two pieces, the random numbers of the first would be
    drawn again for the second.
    """
    with left_as_found(offer.title, run.warn), threads_of(offer.title):
        with blamed(offer, "generate()"):
            pieces = iter(method(offer, generator, "generate")(checkpoint, prompts, run))
        while True:
            with blamed(offer, "generate()"):
                chunk = next(pieces, None)
            if chunk is None:
                return
            yield borders.check_chunk(chunk, len(prompts), offer)
