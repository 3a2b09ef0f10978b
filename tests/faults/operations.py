"""What faults are tried on: small jobs through ftstudio's own functions, and the server that forks a process for each.

Each function takes plain JSON values and returns one. As a program this reads one job a line from stdin, forks, arms
the shim in the child, runs the job there, and answers with a line: value, or class and sentence of the error.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path

from ftstudio.errors import FtstudioError
from ftstudio.explain import explain, named
from ftstudio.files import open_log, write_toml
from ftstudio.plan import Outlook
from ftstudio.process.wanted import Wanted
from ftstudio.process.worker import work as run_worker
from ftstudio.process.worker_run import WorkerRun
from ftstudio.project import load
from ftstudio.runs import checkpoints as commits
from ftstudio.runs.control import ask
from ftstudio.runs.events import EventWriter
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.record import create_run
from ftstudio.source import edit_source, read_source


def commit(run, *steps, content="", best=False, again=False):
    """Commit checkpoints as a trainer does; `again`: try once more after an error, as a stubborn trainer would."""
    with_run = worker_run(run)
    for step in steps:
        try:
            commit_one(with_run, step, content, best=best)
        except OSError:
            if not again:
                raise
            commit_one(with_run, step, content, best=best)
    with_run.close()
    return steps[-1]


def worker_run(run):
    folder = RunFolder(Path(run))
    return WorkerRun(folder, folder.project, attempt=1, seed=0, devices=("cpu",), secrets={})


def commit_one(with_run, step, content="", *, best=False):
    with with_run.checkpoint(step, metrics={"loss": 1.0 / step}, best=best) as draft:
        write(draft.path / "config.json", "{}")
        write(draft.path / "model.safetensors", f"weights of {step} {content}" * 20)
        (draft.path / "state").mkdir()
        write(draft.path / "state" / "optimizer.safetensors", f"optimizer of {step}" * 50)


def write(path, text):
    with named(path):
        path.write_text(text)


def commit_again(run, step, content):
    return commit(run, step, content=content)


def commit_stubbornly(run, step):
    return commit(run, step, again=True)


def events(run, count):
    """Append events; each one that fails is tried again once."""
    writer, failed = EventWriter(RunFolder(Path(run)).events, 1), []
    for step in range(count):
        try:
            writer.write("metrics", step, metrics={"loss": step / 2}, text="é" * 40)
        except OSError as error:
            failed.append([step, str(explain(error))])
    writer.close()
    return failed


def state(run, word):
    write_toml(RunFolder(Path(run)).state, {"state": word, "reason": "", "attempt": 1, "pid": 1})


def edit(project, rate):
    edit_source(read_source(Path(project) / "project.toml"), {"trainer.max_steps": rate})


def create(project):
    return str(create_run(load(Path(project)), ["ftstudio", "run"]).path)


def look(project, own):
    """What is wrong with a project for somebody whose state and cache are in `own`; the plugins are known there then."""
    os.environ.update(XDG_STATE_HOME=f"{own}/state", XDG_CACHE_HOME=f"{own}/cache")
    return [p.message for p in load(Path(project)).errors]


def start(project, own=None):
    """Make a run and start it, as `ftstudio run --detach` does; `own` is as in `look`."""
    if own is not None:
        look(project, own)
    wanted = Wanted(project=Path(project), device="cpu")
    run = wanted.create(Outlook(project=load(Path(project))), ["ftstudio", "run"])
    wanted.start(run)
    return str(run.path)


def request(run, word):
    ask(RunFolder(Path(run)), word, 1)


def work(run, attempt):
    """The whole worker of a fake project, its output in console.log; returns the exit code."""
    folder = RunFolder(Path(run))
    console = open_log(folder.console)
    for descriptor in (1, 2):
        os.dup2(console, descriptor)
    os.close(console)
    code = run_worker(folder, attempt, "cpu")
    sys.stdout.flush()
    return code


def work_preempted(run, attempt):
    """As `work`, with a SIGTERM at its third step: the checkpoint of the notice is what comes next."""
    import ftstudio_fakes

    steps = ftstudio_fakes.FakeTrainer._misbehave
    ftstudio_fakes.FakeTrainer._misbehave = lambda self, step: (
        os.kill(os.getpid(), signal.SIGTERM) if step == 3 else steps(self, step)
    )
    return work(run, attempt)


def newest(run):
    folder = RunFolder(Path(run))
    found, said = commits.newest(folder.checkpoints, folder.path / "quarantine")
    return [found.step if found else None, said]


# ------------------------------------------------------------------------------------------------ server


def serve():
    import numbers  # noqa: F401 - another user may not read the interpreter's folder later

    import tomlkit  # noqa: F401

    from ftstudio.api import KINDS
    from ftstudio.plugins import registry

    for kind in KINDS:
        registry().offers(kind)
    ctypes.CDLL(None).fault_arm.argtypes = [
        ctypes.c_char_p, ctypes.c_char_p, ctypes.c_long, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p
    ]  # fmt: skip
    for line in sys.stdin:
        answer = in_child(*json.loads(line))
        print(json.dumps(answer), flush=True)


def in_child(operation, arguments, arming, uid, descriptors, processes):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            answer = perform(operation, arguments, arming, uid, descriptors, processes)
        except BaseException as error:
            answer = {"error": "Harness", "said": repr(error)}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return {"killed": os.WIFSIGNALED(status), **(json.loads(said) if said else {})}


def perform(operation, arguments, arming, uid, descriptors, processes):
    arm = ctypes.CDLL(None).fault_arm
    where, which, at, mode, number, log = arming
    if processes is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    if uid is not None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, limits[1]))
    arm(where.encode(), which.encode(), at, mode.encode(), number, log.encode())
    try:
        return {"value": globals()[operation](*arguments)}
    except FtstudioError as error:
        return {"error": type(error).__name__, "said": str(error)}
    except OSError as error:
        return {"error": type(error).__name__, "said": str(explain(error))}
    finally:
        arm(b"", b"", 0, b"count", 0, b"")
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


if __name__ == "__main__":
    serve()
