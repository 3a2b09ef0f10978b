"""ftstudio run, status, stop, kill, checkpoint, attach, logs."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path

import click

from ftstudio import plan
from ftstudio.cli import output
from ftstudio.cli.follow import follow, metrics_text, value_text
from ftstudio.cli.projects import DEVICE, JSON, SETTINGS, project_folder
from ftstudio.errors import InputError, ProblemsError
from ftstudio.files import quote, safe_text, tail_bytes
from ftstudio.process.devices import choose_device
from ftstudio.process.launch import resume, run_inline, start
from ftstudio.project import FILE, Project, default_root, list_projects, load
from ftstudio.runs import measured
from ftstudio.runs.control import Request, ask
from ftstudio.runs.events import Series, read_events
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.record import create_run, find_run, frozen_project, list_runs
from ftstudio.runs.status import EXIT_CODES, GLYPHS, LIVE, StateFile, Status, age_text, ago, read_state, read_status
from ftstudio.runs.summary import few_rows_sentence, losses, samples

LEFT_RUNNING = 130


@click.command()
@click.argument("path")
@SETTINGS
@DEVICE
@click.option("--detach", is_flag=True, help="Start it and return at once.")
@click.option("--inline", is_flag=True, help="Run in this process, for breakpoint(); it ends with the terminal.")
@JSON
def run(path: str, overrides: tuple[str, ...], device: str, detach: bool, inline: bool, as_json: bool) -> int:
    """Run a project: fetch, tokenise, train, sample. Ctrl+C stops it with a checkpoint, twice leaves it running."""
    where = choose_device(device)
    project = load(project_folder(path), overrides)
    outlook = plan.look_ahead(project, None if project.errors else measured.recall(project, where))
    if outlook.errors:
        raise ProblemsError("It cannot start.", outlook.problems)
    output.problems(outlook.problems)
    folder = create_run(project, sys.argv, outlook.problems)
    output.say(f"▸ run {folder.title} in {folder.path}")
    if inline:
        output.say("  inline: nothing survives this terminal, and nobody can stop it but you.")
        run_inline(folder, device=device)
        return _end(folder, project, read_state(folder), as_json=as_json)
    start(folder, device=device)
    return _followed(folder, project, 1, detach=detach, as_json=as_json)


def _followed(folder: RunFolder, project: Project, attempt: int, *, detach: bool, as_json: bool) -> int:
    """Follow an attempt that was started, unless it is to be left alone."""
    if detach:
        output.say(f"  It goes on without this terminal. Follow it: {_command()} attach {folder.title}")
        _result(folder, read_state(folder), as_json=as_json)
        return 0
    state = follow(folder, attempt)
    if state is None:
        output.say(f"  {folder.title} goes on. Come back with: {_command()} attach {folder.title}")
        return LEFT_RUNNING
    return _end(folder, project, state, as_json=as_json)


def _command() -> str:
    """How this program was called, for commands that are to be typed."""
    called = sys.argv[0]
    return f"{shlex.quote(sys.executable)} -m ftstudio" if called.endswith("__main__.py") else shlex.quote(called)


def _end(folder: RunFolder, project: Project | None, state: StateFile, *, as_json: bool) -> int:
    if as_json:
        _result(folder, state, as_json=True)
    elif state.state == "finished":
        _summary(folder, project)
    else:
        output.say(f"{GLYPHS[state.state]} {folder.title} {state.state}: {state.reason}")
        if state.state in {"stopped", "interrupted"}:
            output.say(f"  Go on with it: {_command()} resume {folder.title}")
        if state.state == "failed" and state.exit_code != InputError.exit_code:
            output.say(f"  The worker's output is in {folder.console}.")
    return 2 if state.state == "failed" and state.exit_code == InputError.exit_code else EXIT_CODES.get(state.state, 1)


def _result(folder: RunFolder, state: StateFile, *, as_json: bool) -> None:
    if not as_json:
        output.data(str(folder.path))
        return
    events = read_events(folder.events)
    series = Series()
    series.add(events)
    committed = [e for e in events if e.kind == "checkpoint"]
    output.as_json({
        "run": str(folder.path),
        "state": state.state,
        "reason": state.reason,
        "checkpoint": str(folder.checkpoints / str(committed[-1].data.get("path"))) if committed else None,
        "metrics": {k: v if v == v and abs(v) != float("inf") else str(v) for k, v in series.last().items()},  # noqa: PLR0124
        "samples": samples(events),
    })  # fmt: skip


def _summary(folder: RunFolder, project: Project | None) -> None:
    """What came of it: the texts side by side, the loss before and after, where the model is."""
    events = read_events(folder.events)
    found = samples(events)
    columns = output.width()
    for sample in (s for s in found if s.get("model") == "final"):
        base = next((s for s in found if s.get("model") == "base" and s["prompt"] == sample["prompt"]), None)
        prompt = sample["prompt"] if isinstance(sample["prompt"], str) else sample["prompt"][-1]["content"]
        output.data()
        output.data(f"prompt: {prompt}")
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
    before_after = losses(events)
    if before_after is not None:
        name, before, after = before_after
        output.data(f"{name}: {value_text(before)} before, {value_text(after)} after")
    sentence = few_rows_sentence(folder)
    if sentence:
        output.data(sentence)
    output.data(f"model:  {folder.final}")
    output.data(f"studio: {_command()} {folder.project}")


@click.command()
@click.argument("path", required=False)
@click.option("--watch", is_flag=True, help="Show it again every second until Ctrl+C.")
@JSON
def status(path: str | None, watch: bool, as_json: bool) -> None:
    """What runs, and how the newest runs ended: of all projects, of one, or of one run."""
    while True:
        found = _statuses(path)
        if as_json:
            single = path is not None and not _is_project(path)
            output.as_json(found[0].as_json() if single else [s.as_json() for s in found])
        elif not found:
            output.say("No runs yet. Start one: ftstudio run PROJECT")
        else:
            output.table([_row(s) for s in found])
        if not watch:
            return
        time.sleep(1)
        output.data()


def _is_project(path: str) -> bool:
    return (
        path.endswith("/")
        or (Path(path) / FILE).is_file()
        or (":" not in path and not (Path(path) / "run.toml").is_file())
    )


def _statuses(path: str | None) -> list[Status]:
    if path is not None and not _is_project(path):
        return [read_status(find_run(path, default_root()))]
    if path is None or (Path(path).is_dir() and not (Path(path) / FILE).is_file()):
        root = Path(path) if path else default_root()
        folders = list_projects(root) if root.is_dir() else []
    else:
        folders = [project_folder(path).resolve()]
    found = [read_status(r) for folder in folders for r in list_runs(folder)]
    return sorted(found, key=lambda s: (s.state not in LIVE, -(s.last_event_t or 0)))


def _row(status: Status) -> list[str]:
    if status.state == "running" and status.step is None:
        what = status.phase
    elif status.step is not None:
        what = f"{status.step:,}/{status.total_steps:,}" if status.total_steps else f"{status.step:,}"
    else:
        what = ""
    figures = metrics_text({k: v for k, v in status.metrics.items() if k in {"loss", "eval_loss"}})
    eta = f"{age_text(status.eta_s)} left" if status.eta_s is not None else ago(status.last_event_t)
    return [f"{GLYPHS[status.state]} {status.project}:{status.run}", status.state, what, figures, eta, status.reason]


def _live(text: str) -> tuple[RunFolder, StateFile]:
    """The live run that is meant: by name, or a project's only live one. Raises InputError."""
    run = find_run(text, default_root())
    live = [(r, s) for r in list_runs(run.project) if (s := read_state(r)).state in LIVE]
    if ":" in text or (Path(text) / "run.toml").is_file():
        live = [(r, s) for r, s in live if r.path == run.path]
    if len(live) == 1:
        return live[0]
    if not live:
        raise InputError(f"{quote(text)} is not running.", f"It {read_state(run).state}; see ftstudio status.")
    raise InputError(f"{quote(text)} has {len(live)} live runs.", f"Name one: {', '.join(r.title for r, _ in live)}.")


def _request(text: str, request: Request, said: str) -> None:
    run, state = _live(text)
    ask(run, request, state.attempt)
    output.say(f"{run.title}: {said}")


@click.command()
@click.argument("run")
def stop(run: str) -> None:
    """Finish the step, commit a checkpoint, end the run."""
    _request(run, "stop", "it will finish its step, commit a checkpoint and stop.")


@click.command()
@click.argument("run")
def kill(run: str) -> None:
    """End the run at once; what came after its last checkpoint is lost."""
    _request(run, "kill", "it is being killed; its last checkpoint stays.")


@click.command()
@click.argument("run")
def checkpoint(run: str) -> None:
    """Commit a checkpoint now and go on."""
    _request(run, "checkpoint", "it will commit a checkpoint after its step.")


@click.command("resume")
@click.argument("run")
@DEVICE
@click.option("--accept-changed-data", is_flag=True, help="Go on although the data are not what they were.")
@click.option("--detach", is_flag=True, help="Start it and return at once.")
@JSON
def resume_(run: str, device: str, accept_changed_data: bool, detach: bool, as_json: bool) -> int:
    """Go on with a run that was stopped or interrupted, from its newest checkpoint that verifies."""
    folder = find_run(run, default_root())
    attempt = resume(folder, device, accept_changed_data=accept_changed_data)
    output.say(f"▸ run {folder.title}, attempt {attempt}")
    return _followed(folder, frozen_project(folder), attempt, detach=detach, as_json=as_json)


@click.command()
@click.argument("run")
def attach(run: str) -> int:
    """Follow a run. Ctrl+C only leaves."""
    folder = find_run(run, default_root())
    state = read_state(folder)
    if state.state in LIVE:
        try:
            state = follow(folder, state.attempt) or state
        except KeyboardInterrupt:
            return LEFT_RUNNING
    return _end(folder, None, state, as_json=False)


@click.command()
@click.argument("run")
@click.option("-f", "follow_it", is_flag=True, help="Go on as lines come; Ctrl+C leaves.")
@click.option("-n", "count", default=200, help="How many of the last lines.")
def logs(run: str, follow_it: bool, count: int) -> None:
    """The worker's raw output."""
    folder = find_run(run, default_root())
    text = tail_bytes(folder.console, 1 << 20).decode("utf-8", "replace")
    for line in text.splitlines()[-count:]:
        output.data(safe_text(line))
    offset = folder.console.stat().st_size if folder.console.exists() else 0
    while follow_it and read_state(folder).state in LIVE:
        time.sleep(0.2)
        with folder.console.open("rb") as file:
            file.seek(offset)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        offset += len(whole)
        for raw in whole.splitlines():
            output.data(safe_text(raw.decode("utf-8", "replace")))
