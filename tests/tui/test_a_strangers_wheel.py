"""One wheel made outside the repository adds a source, a tokenizer, a trainer and a generator to the studio."""

import importlib
import os
import subprocess
import sys
import tomllib

import pytest
from studio import session

from ftstudio.plugins import registry
from ftstudio.project import load
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.status import read_state

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "afternoon"
version = "3.1"
dependencies = ["ftstudio"]
[project.entry-points.ftstudio]
afternoon = "afternoon"
"""
DESCRIBED = """
from dataclasses import dataclass
from ftstudio.api import Component, Facts, Metric, Plan, Problem, hookimpl, option

@dataclass(frozen=True, kw_only=True)
class CountOptions:
    to: int = option(3, help="Count to this number.", ge=1)
    word: str = option("river", help="The word that is counted.", suggestions=("river", "stone"))

@dataclass(frozen=True, kw_only=True)
class LetterOptions:
    upper: bool = option(False, help="Capitals only.")

@dataclass(frozen=True, kw_only=True)
class WalkOptions:
    max_steps: int = option(5, help="Steps to walk.", ge=1, unit="steps")
    pace: float = option(1.0, help="How far a step goes.", gt=0)

@dataclass(frozen=True, kw_only=True)
class TellOptions:
    loud: bool = option(False, help="With an exclamation mark.")

def facts(options, folder):
    return Facts(shape="text", rows=options.to, validation_rows=0)

def plan(options, facts):
    return Plan(total_steps=options.max_steps, steps_per_epoch=facts.examples, checkpoints=(options.max_steps,))

def check(options, project, facts):
    if options.pace > 10:
        yield Problem(level="error", option="pace", message="Nobody walks that fast.", fix="Set pace = 1.", edit={"pace": 1.0})

@hookimpl
def ftstudio_dataset_sources():
    yield Component(name="count", summary="counted words", target="afternoon.work:Count", options=CountOptions,
                    gives=("text",), facts="afternoon:facts")

@hookimpl
def ftstudio_tokenizers():
    yield Component(name="letters", summary="a token a letter", target="afternoon.work:Letters", options=LetterOptions,
                    takes=("text",))

@hookimpl
def ftstudio_trainers():
    yield Component(name="walk", summary="a walk of some steps", target="afternoon.work:Walk", options=WalkOptions,
                    takes=("text",), plan="afternoon:plan", check="afternoon:check", exact_resume=True,
                    metrics=(Metric(name="loss", tile=True), Metric(name="distance", unit="m", better="max", tile=True)))

@hookimpl
def ftstudio_generators():
    yield Component(name="tell", summary="tells how far it is", target="afternoon.work:Tell", options=TellOptions)
"""
WORK = """
import json, struct
from ftstudio.api import Chunk, ComponentError, Encoded

class Rows:
    def __init__(self, column_names, rows):
        self.column_names, self.rows = column_names, rows

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows)

class Count:
    def __init__(self, options):
        self.options = options

    def load(self, run):
        o = self.options
        return {"train": Rows(["text"], [{"text": f"{i} {o.word}"} for i in range(1, o.to + 1)])}

LETTERS = {chr(i): i for i in range(128)}

class Letters:
    def __init__(self, options):
        self.options = options

    def encode(self, data, model, run):
        folder = run.dir / "tokenizer"
        folder.mkdir(exist_ok=True)
        tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
                     "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False},
                     "post_processor": None, "decoder": None,
                     "model": {"type": "WordLevel", "vocab": LETTERS, "unk_token": chr(0)}}
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        texts = [row["text"].upper() if self.options.upper else row["text"] for row in data["train"]]
        rows = [{"input_ids": (ids := [LETTERS[c] for c in text]), "labels": ids} for text in texts]
        tokens = sum(len(row["input_ids"]) for row in rows)
        counts = {"documents": len(rows), "rows": len(rows), "tokens": tokens, "trained_tokens": tokens}
        return Encoded(Rows(["input_ids", "labels"], rows), None, folder, 128, 0, "text", counts)

class Walk:
    def __init__(self, options):
        self.options = options

    def train(self, data, model, run):
        last, done = run.resume_from, run.resume_from.step if run.resume_from else 0
        for step in range(done + 1, self.options.max_steps + 1):
            run.progress(step, self.options.max_steps)
            run.log(step, loss=len(data.train) / step, distance=step * self.options.pace)
            stop = run.requests.stop
            if stop or run.requests.checkpoint or step == self.options.max_steps:
                with run.checkpoint(step) as draft:
                    (draft.path / "config.json").write_text("{}")
                    head = json.dumps({"at": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}).encode()
                    body = struct.pack("<d", step * self.options.pace)
                    (draft.path / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + body)
                last = draft.checkpoint
            if stop:
                break
        return last

class Tell:
    def __init__(self, options):
        self.options = options

    def generate(self, checkpoint, prompts, run):
        for index, prompt in enumerate(prompts):
            if not isinstance(prompt, str):
                raise ComponentError("It only goes on from texts.")
            yield Chunk(index, f" flows out of {checkpoint.path.name}" + "!" * self.options.loud)
            yield Chunk(index, "", done=True, finish_reason="eos")

    def close(self):
        pass
"""
PROJECT = """format = 1
[model]
use = "starter"
[dataset]
use = "inline"
texts = ["one"]
[tokenizer]
use = "pretrained"
[trainer]
use = "native"
[generator]
use = "sample"
prompts = ["The river"]
"""


@pytest.fixture
def wheel(tmp_path, monkeypatch, fresh_registry):
    """Built from its source, and installed from the wheel alone."""
    source, site = tmp_path / "source", tmp_path / "site"
    (source / "afternoon").mkdir(parents=True)
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "afternoon" / "__init__.py").write_text(DESCRIBED)
    (source / "afternoon" / "work.py").write_text(WORK)
    pip = [sys.executable, "-m", "pip"]
    offline = ["--quiet", "--no-index", "--no-deps"]
    build = [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (made,) = tmp_path.glob("afternoon-3.1-*.whl")
    subprocess.run([*pip, "install", *offline, "--target", str(site), str(made)], check=True, capture_output=True)
    monkeypatch.syspath_prepend(str(site))
    path = filter(None, [str(site), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    importlib.invalidate_caches()
    registry.cache_clear()


@pytest.mark.usefixtures("wheel")
def test_it_is_driven_through_form_check_run_and_sample(tmp_path):
    folder = tmp_path / "root" / "lab"
    folder.mkdir(parents=True)
    (folder / "project.toml").write_text(PROJECT)

    async def pick(driver, kind, name):
        driver.lines.put_cursor(f"{kind}.use")
        await driver.press("enter")
        await driver.until("enter take")
        names = [row.key for row in driver.app.screen.query_one("Lines").rows]
        await driver.press("home", *["down"] * names.index(name), "enter")
        await driver.until(lambda: load(folder).parts[kind].use == name)

    async def write(driver, key, old, new):
        driver.lines.put_cursor(key)
        await driver.press("enter", *["backspace"] * len(old))
        await driver.type(new)
        await driver.press("enter")

    async def script(driver):
        app = driver.app
        app.open_project(folder.resolve(), "setup")
        await driver.until(lambda: app.screen.query("SetupPane"))
        driver.lines = app.screen.query_one("SetupPane").lines.lines
        await driver.until("it can start")

        for kind, name in {"dataset": "count", "tokenizer": "letters", "trainer": "walk", "generator": "tell"}.items():
            await pick(driver, kind, name)
        await driver.until("it can start")
        await write(driver, "trainer.pace", "1.0", "99.0")
        await driver.until("Nobody walks that fast.")
        await driver.press("f")  # takes the fix
        await driver.until(lambda: load(folder).source.table["trainer"].get("pace") == 1.0)
        await write(driver, "trainer.max_steps", "5", "7")
        await driver.until("7 steps")
        await write(driver, "dataset.word", "river", "stone")
        await driver.until("it can start")

        await driver.press("S")
        await driver.until("Start a run of lab")
        await driver.press("enter")
        run = RunFolder(folder / "runs" / "0001")
        await driver.until(lambda: run.state.exists() and read_state(run).state == "finished", seconds=120)
        await driver.until("7/7")
        await driver.until("distance 7 m")  # among the tiles, as it asked for
        assert {"loss", "distance"} <= {name for name, chart in app.screen.pane._charts.items() if chart.display}

        await driver.press("5", "enter", "enter")
        await driver.until("flows out of final", seconds=60)
        assert "flows out of starter_gpt2" in driver.text

    session(folder.parent, script, size=(120, 40))
    table = load(folder).source.table
    assert table["dataset"] == {"use": "count", "word": "stone"}
    assert table["trainer"] == {"use": "walk", "pace": 1.0, "max_steps": 7}
    assert table["generator"] == {"use": "tell", "prompts": ["The river"]}
    record = tomllib.loads((folder / "runs" / "0001" / "run.toml").read_text())
    made_by = {kind: (one["distribution"], one["version"]) for kind, one in record["components"].items()}
    assert made_by["trainer"] == made_by["dataset"] == ("afternoon", "3.1")
