"""How the command line reports the end of a run: the texts side by side, the losses, where the model is."""

from __future__ import annotations

import shlex
import sys
from typing import Any

from ftstudio.cli import output
from ftstudio.errors import InputError
from ftstudio.project import Project
from ftstudio.runs.events import plain
from ftstudio.runs.find import address
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.status import EXIT_CODES, GLYPHS, StateFile
from ftstudio.runs.summary import few_rows_sentence, outcome
from ftstudio.text import prompt_text

LEFT_RUNNING = 130


def typed(*words: object) -> str:
    """A command of this program as it can be typed into a shell: as it was called itself, and these words behind."""
    called = sys.argv[0]
    program = [sys.executable, "-m", "ftstudio"] if called.endswith("__main__.py") else [called]
    return shlex.join([*program, *map(str, words)])


def end(folder: RunFolder, project: Project | None, state: StateFile, *, as_json: bool) -> int:
    """Report how a run ended, and return the exit code."""
    wrong_input = state.exit_code == InputError.exit_code
    if as_json:
        result(folder, state, as_json=True)
    elif state.state == "finished":
        _summary(folder, project)
    else:
        output.say(f"{GLYPHS[state.state]} {folder.title} {state.state}: {state.reason}")
        if state.state in {"stopped", "interrupted"} and not wrong_input and folder.path.exists():
            output.say(f"  Go on with it: {typed('resume', address(folder))}")
        if state.state == "failed" and not wrong_input and folder.console.exists():
            output.say(f"  The worker's output is in {folder.console}.")
    return InputError.exit_code if wrong_input else EXIT_CODES.get(state.state, 1)


def result(folder: RunFolder, state: StateFile, *, as_json: bool) -> None:
    """The run's folder, or all that came of it as JSON."""
    if not as_json:
        output.data(str(folder.path))
        return
    output.as_json(result_table(folder, state))


def result_table(folder: RunFolder, state: StateFile) -> dict[str, Any]:
    """The value that `run --json` prints for a run."""
    came = outcome(folder)
    return {
        "run": str(folder.path),
        "state": state.state,
        "reason": state.reason,
        "checkpoint": str(came.checkpoint) if came.checkpoint else None,
        "metrics": plain(came.series.last()),
        "samples": came.samples,
    }


def _summary(folder: RunFolder, project: Project | None) -> None:
    """What came of it: the texts side by side, the loss, where the model is."""
    came = outcome(folder)
    columns = output.width()
    for sample in (s for s in came.samples if s["model"] == "final"):
        base = next((s for s in came.samples if s["model"] == "base" and s["prompt"] == sample["prompt"]), None)
        output.data()
        output.data(f"prompt: {prompt_text(sample['prompt'])}")
        if base is None:
            for line in output.wrap(sample["text"], columns, "  "):
                output.data(line)
            continue
        seed = project.head.seed if project else 0
        pair = (
            (f"before (base model, seed {seed})", base["text"]),
            (f"after (fine-tuned, seed {seed})", sample["text"]),
        )
        for line in output.side_by_side(*pair, columns):
            output.data(line)
    output.data()
    loss = came.loss(came.model_step)
    if loss is not None:
        output.data(": ".join(loss))
    sentence = few_rows_sentence(folder)
    if sentence:
        output.data(sentence)
    output.data(f"model:  {folder.final}")
    output.data(f"studio: {typed(folder.project)}")
