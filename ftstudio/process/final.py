"""final/: the finished model, self-contained, with tokenizer and model card. It needs nothing of ours."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ftstudio import __version__
from ftstudio.api import Checkpoint
from ftstudio.explain import named
from ftstudio.files import write_atomic
from ftstudio.process.calling import built, call
from ftstudio.process.data import Prepared
from ftstudio.process.worker_run import WorkerRun
from ftstudio.project import Project
from ftstudio.runs import staging
from ftstudio.runs.summary import outcome
from ftstudio.text import quote, safe_text

MODEL_FILES = ("config.json", "generation_config.json")


def write_final(project: Project, prepared: Prepared, result: Checkpoint, run: WorkerRun, seconds: float) -> Path:
    """Write final/ beside its place and rename it into place; an older final/ of this run goes last.

    Raises OSError naming the file; final/ is then what it was.
    """
    staged = staging.make(run.folder.final)
    try:
        trainer = built(project, "trainer")
        if hasattr(trainer, "export"):
            call(project.offer("trainer"), "export()", trainer.export, result, staged, run)
        else:
            _link(result.path, staged)
        for file in sorted(prepared.encoded.tokenizer.iterdir()):
            if file.is_file() and not (staged / file.name).exists():
                shutil.copyfile(file, staged / file.name)
        with named(run.folder.final):
            write_atomic(staged / "README.md", model_card(project, prepared, result, run, seconds))
            staging.sync(staged)
        staging.put_in_place(staged, run.folder.final)
    except BaseException:
        staging.discard(staged)
        raise
    run.say(f"The model is in {run.folder.final}.")
    return run.folder.final


def _link(origin: Path, target: Path) -> None:
    """The model files of a checkpoint, as hard links where the file system has them."""
    for file in sorted(origin.iterdir()):
        if file.name in MODEL_FILES or file.name.startswith("model"):
            try:
                os.link(file, target / file.name)
            except OSError:
                shutil.copyfile(file, target / file.name)


def model_card(project: Project, prepared: Prepared, result: Checkpoint, run: WorkerRun, seconds: float) -> str:
    """README.md of the model: what it is made of, how, and how good it is."""
    loss = outcome(run.folder).loss(result.step)
    model, encoded = prepared.model, prepared.encoded
    data, trainer = project.parts["dataset"], project.parts["trainer"]
    rows_used = encoded.counts.get("rows", len(encoded.train))
    made_from = f"`{safe_text(model.name, one_line=True)}`" + (
        f" at revision `{model.revision}`" if model.revision else ""
    )
    rows = [
        ("base model", made_from if model.weights else f"none: trained from scratch ({made_from})"),
        ("project", f"{quote(project.name)}, run {run.info.run}"),
        (
            "data",
            f"`{data.use}`: {rows_used:,} rows, {encoded.shape}",
        ),
        ("tokens trained on in one epoch", f"{encoded.counts.get('trained_tokens', 0):,}"),
        ("trainer", f"`{trainer.use}`, step {result.step}"),
        ("seed", str(project.head.seed)),
        ("time", f"{seconds:.0f} s on {', '.join(run.devices)}"),
    ]
    if loss:
        rows.append(loss)
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- fine-tuned\n---\n\n"
        f"# {safe_text(project.head.name or project.name, one_line=True)}\n\n"
        f"{safe_text(project.head.description)}\n\n"
        f"| what | value |\n|---|---|\n{table}\n\n"
        "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'model = AutoModelForCausalLM.from_pretrained("this/folder")\n'
        'tokenizer = AutoTokenizer.from_pretrained("this/folder")\n```\n\n'
        f"Its licence follows from the base model and the data. Made with ftstudio {__version__}.\n"
    )
