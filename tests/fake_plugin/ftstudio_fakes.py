"""A stranger's plugin for the tests: the fakes of `ftstudio.testing`, taught to misbehave."""

import ctypes
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ftstudio import testing
from ftstudio.api import (
    Component,
    ComponentError,
    Facts,
    Metric,
    Plan,
    Problem,
    TrainingError,
    hookimpl,
    option,
)


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    context: int = option(16, help="Positions.", ge=1)


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    texts: tuple[str, ...] = option(("one", "two", "three", "four"), help="The texts.")
    behaviour: str = option(
        "good", help="What load() does.", choices=("good", "raise", "bad-type", "empty", "component-error", "rude")
    )


@dataclass(frozen=True, kw_only=True)
class TrainerOptions(testing.FakeTrainerOptions):
    step_seconds: float = option(0.0, help="Seconds a step.", ge=0, unit="s")
    ending: str = option(
        "good",
        help="How it ends.",
        choices=(
            "good",
            "exit",
            "segfault",
            "nan",
            "raise",
            "memory",
            "no-weights",
            "kill",
            "full",
            "breakpoint",
            "hoard",
        ),
    )
    note: str = option("", help="A text that is printed.")
    flood: int = option(0, help="Print so many MB.", ge=0, unit="MB")
    deaf: bool = option(False, help="Never look whether a stop was asked for.")
    commit_seconds: float = option(0.0, help="Seconds a commit.", ge=0, unit="s")
    chatty: bool = option(False, help="Print a line after each step.")
    children: Path | None = option(
        None, help="Start processes that do not end: write the pids of one here, and of one in a session of its own."
    )
    pool: Path | None = option(None, help="Map with two processes that do not end, each of which leaves its pid here.")


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions(testing.FakeGeneratorOptions):
    say: str = option("", help="A text to say before anything else.")
    word_seconds: float = option(0.0, help="Seconds a word.", ge=0, unit="s")
    deaf: bool = option(False, help="Never look whether a stop was asked for.")
    tell: bool = option(False, help="Say how often generators were built and closed in this process, and where.")
    ending: str = option("good", help="How it ends.", choices=("good", "exit", "raise", "garbage"))
    sequences: int = option(1, help="Texts for each prompt, whose pieces come in turns.", ge=1)


@dataclass(frozen=True, kw_only=True)
class ObserverOptions:
    at: int = option(0, help="The event at which it misbehaves; 0 is never, -1 in open, -2 in close.")
    behaviour: str = option(
        "raise",
        help="What it does there.",
        choices=("raise", "component-error", "hang", "hang-held", "exit", "sys-exit", "segfault", "print", "tell"),
    )
    once: bool = option(False, help="Misbehave only where it was not told anything before.")
    event_seconds: float = option(0.0, help="Seconds an event.", ge=0, unit="s")


class FakeModel(testing.FakeModel):
    def fetch(self, run):
        return replace(super().fetch(run), name="fake-model", revision="r1")


class FakeData(testing.FakeSource):
    def load(self, run):
        match self.options.behaviour:
            case "raise":
                raise ZeroDivisionError("a bug in the plugin")
            case "component-error":
                raise ComponentError("Line 3 of data.jsonl is not JSON.", "Mend that line.")
            case "bad-type":
                return [1, 2, 3]
            case "rude":
                os.chdir(run.dir)
                sys.stdout = io.StringIO()
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                random.seed(7)
            case "empty":
                return {"train": testing.FakeTable(["text"], [])}
        return super().load(run)


def leave_pid_and_wait(row):
    (Path(row["folder"]) / str(os.getpid())).touch()
    threading.Event().wait()


class FakeTrainer(testing.FakeTrainer):
    def train(self, data, model, run):
        o = self.options
        if o.note:
            print(o.note, flush=True)
        for _ in range(o.flood):
            print(("x" * 9_999 + "\n") * 100, end="")
        if o.flood:
            print(f"the last of {o.flood} MB", flush=True)
        if o.children:
            started = [subprocess.Popen(["sleep", "1000"], start_new_session=own).pid for own in (False, True)]
            o.children.write_text(f"{started[0]} {started[1]}\n")
        if o.pool:
            from datasets import Dataset

            Dataset.from_dict({"folder": [str(o.pool)] * 2}).map(leave_pid_and_wait, num_proc=2)
        return super().train(data, model, run)

    def step_begins(self, step):
        time.sleep(self.options.step_seconds)

    def step_done(self, step):
        if self.options.chatty:
            print("said", step, flush=True)
        self._misbehave(step)

    def hears(self, run):
        return not self.options.deaf and run.requests.stop

    def write_weights(self, folder, values):
        time.sleep(self.options.commit_seconds)
        if self.options.ending != "no-weights":
            super().write_weights(folder, values)

    def _misbehave(self, step):
        if self.options.ending == "hoard":
            self.hoard = [*getattr(self, "hoard", ()), bytearray(1 << 20)]
        if step != 6:
            return
        match self.options.ending:
            case "exit":
                os._exit(0)
            case "segfault":
                ctypes.string_at(0)
            case "memory":
                bytearray(1 << 50)
            case "nan":
                raise TrainingError("The loss is nan at step 6.", "Lower learning_rate.")
            case "raise":
                raise ZeroDivisionError("a bug in the trainer")
            case "breakpoint":
                breakpoint()  # noqa: T100 - a person's, in an inline run
            case "kill":
                os.kill(os.getpid(), 9)
            case "full":
                raise OSError(28, "No space left on device", "/somewhere/file")


class FakeGenerator(testing.FakeGenerator):
    built = closed = 0

    def __init__(self, options):
        super().__init__(options)
        FakeGenerator.built += 1

    def generate(self, checkpoint, prompts, run):
        for chunk in super().generate(checkpoint, prompts, run):
            for sequence in range(self.options.sequences):
                text = chunk.text and f"{chunk.text}{'abc'[sequence]}"
                yield chunk if self.options.sequences == 1 else replace(chunk, sequence=sequence, text=text)

    def opening(self, checkpoint, prompt, run):
        text = f" step {checkpoint.step}"
        if self.options.tell:
            text += f" built {self.built} closed {self.closed} on {run.devices[0]} seed {run.seed}"
        return self.options.say + text + self.turns(prompt)

    def word_begins(self):
        time.sleep(self.options.word_seconds)

    def hears(self, run):
        return not self.options.deaf and run.requests.stop

    def said(self):
        match self.options.ending:
            case "exit":
                print("the last words of the plugin", flush=True)
                os._exit(0)
            case "raise":
                raise ZeroDivisionError("a bug in the generator")
            case "garbage":
                print("\x1b]0;title\x07 garbage " * 1000, flush=True)

    def close(self):
        FakeGenerator.closed += 1


class FakeObserver:
    """Writes down what it is told, a line a call, into the run's folder."""

    def __init__(self, options):
        self.options = options

    def open(self, run, after_seq):
        self.path = run.dir / "told.jsonl"
        self.tame = self.options.once and self.path.exists()
        loaded = sorted({"torch", "textual", "ftstudio_models", "ftstudio_observers"} & sys.modules.keys())
        self._tell(
            call="open", after=after_seq, attempt=run.attempt, run=f"{run.project}:{run.run}", pid=os.getpid(),
            loaded=loaded,
        )  # fmt: skip
        self._misbehave(-1)

    def on_event(self, event):
        time.sleep(self.options.event_seconds)
        self._tell(call="event", seq=event.seq, kind=event.kind, attempt=event.attempt, state=event.data.get("state"))
        self._misbehave(event.seq)

    def close(self):
        self._tell(call="close")
        self._misbehave(-2)

    def _tell(self, **said):
        with self.path.open("a") as file:
            file.write(json.dumps(said) + "\n")

    def _misbehave(self, at):
        if at != self.options.at or self.tame:
            return
        match self.options.behaviour:
            case "raise":
                raise ZeroDivisionError("a bug in the observer")
            case "component-error":
                raise ComponentError("Its server is away.", "Start it.")
            case "hang":
                time.sleep(1000)
            case "hang-held":
                ctypes.PyDLL(None).sleep(1000)  # holds the GIL
            case "exit":
                os._exit(0)
            case "sys-exit":
                sys.exit(4)
            case "segfault":
                ctypes.string_at(0)
            case "print":
                for _ in range(100):
                    print(("x" * 9_999 + "\n") * 100, end="")
            case "tell":
                raise RuntimeError(f"https://example.org/{os.environ['FAKE_TOKEN']}")


def data_facts(options, folder):
    return Facts(
        shape="text",
        rows=len(options.texts),
        characters=sum(map(len, options.texts)),
        longest_characters=max(map(len, options.texts), default=0),
    )


def model_facts(options, folder):
    return Facts(context=options.context, parameters=2, weights_bytes=16)


def trainer_plan(options, facts):
    steps = options.max_steps
    return Plan(
        total_steps=steps,
        steps_per_epoch=steps,
        curve=((1, 1.0), (steps, 0.0)),
        checkpoints=tuple(range(options.save_steps, steps + 1, options.save_steps)),
        peak_bytes=1000,
        kept_bytes=500,
    )


def trainer_check(options, project, facts):
    if options.save_steps > options.max_steps:
        yield Problem(
            level="warning",
            option="save_steps",
            message="save_steps never fires.",
            fix="Lower it.",
            edit={"save_steps": 1},
        )


@hookimpl
def ftstudio_models():
    yield Component(
        name="fake-model",
        summary="two numbers",
        target="ftstudio_fakes:FakeModel",
        options=ModelOptions,
        facts="ftstudio_fakes:model_facts",
    )


@hookimpl
def ftstudio_dataset_sources():
    yield Component(
        name="fake-data",
        summary="a list",
        target="ftstudio_fakes:FakeData",
        options=DataOptions,
        gives=("text",),
        facts="ftstudio_fakes:data_facts",
    )
    yield Component(
        name="fake-pairs", summary="pairs", target="ftstudio_fakes:FakeData", options=DataOptions, gives=("preference",)
    )
    yield Component(
        name="fake-secret",
        summary="needs a secret",
        target="ftstudio_fakes:FakeData",
        options=DataOptions,
        gives=("text",),
        secrets=("FAKE_TOKEN",),
    )
    yield Component(
        name="fake-missing",
        summary="a target that does not import",
        target="not_installed_at_all:X",
        options=DataOptions,
        install_hint="pip install not-installed-at-all",
    )


@hookimpl
def ftstudio_tokenizers():
    yield Component(
        name="fake-bytes",
        summary="bytes",
        target="ftstudio.testing:FakeTokenizer",
        options=testing.FakeTokenizerOptions,
        takes=("text",),
    )


@hookimpl
def ftstudio_trainers():
    yield Component(
        name="fake-walk",
        summary="a walk",
        target="ftstudio_fakes:FakeTrainer",
        options=TrainerOptions,
        takes=("text",),
        exact_resume=True,
        plan="ftstudio_fakes:trainer_plan",
        check="ftstudio_fakes:trainer_check",
        metrics=(Metric(name="walked", label="way so far", unit="metres", better="max"),),
    )


@hookimpl
def ftstudio_generators():
    yield Component(
        name="fake-echo", summary="an echo", target="ftstudio_fakes:FakeGenerator", options=GeneratorOptions
    )


@hookimpl
def ftstudio_observers():
    yield Component(name="fake-watch", summary="a list", target="ftstudio_fakes:FakeObserver", options=ObserverOptions)
    yield Component(
        name="fake-secret-watch",
        summary="needs a secret",
        target="ftstudio_fakes:FakeObserver",
        options=ObserverOptions,
        secrets=("FAKE_TOKEN",),
    )
