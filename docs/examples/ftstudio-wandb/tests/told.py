"""A run that has ended, made by hand, and `ftstudio replay` on it in a process of its own."""

import json
import subprocess
import sys

POINTS = [(1, {"loss": 3.5}), (2, {"loss": 0.25, "eval_loss": 2.0}), (3, {"loss": 0.125})]


def make_run(root):
    """A run folder with three steps that finished."""
    run = root / "poems" / "runs" / "0007"
    run.mkdir(parents=True)
    (run / "run.toml").write_text("format = 1\n[settings]\n")
    (run / "state.toml").write_text('state = "finished"\nreason = ""\nattempt = 1\nhost = ""\n')
    events = [{"kind": "state", "step": None, "state": "running"}]
    events += [{"kind": "metrics", "step": step, "metrics": metrics} for step, metrics in POINTS]
    events += [{"kind": "state", "step": None, "state": "finished"}]
    lines = [json.dumps({"t": 1000.0 + i, "attempt": 1, **event}) for i, event in enumerate(events)]
    (run / "events.jsonl").write_text("\n".join(lines) + "\n")
    return run


def replay(run, name, *options):
    """Tell an observer the run; the log is what it printed."""
    command = [sys.executable, "-m", "ftstudio", "replay", str(run), "--to", name, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    log = (run / "observers" / f"{name}.log").read_text() if (run / "observers").exists() else ""
    assert done.returncode == 0, done.stderr + log


def forget(run, name):
    """The cursor as a kill before its last writing leaves it: the last events will be told again."""
    (run / "observers" / f"{name}.toml").write_text("seq = 2\nt = 1001.0\n")
