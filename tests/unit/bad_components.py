"""Components that each do one thing wrong: what the conformance kit must find."""

import base64
import io
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ftstudio.api import (
    Checkpoint,
    Chunk,
    Component,
    ComponentError,
    Encoded,
    Facts,
    ModelRef,
    OptionError,
    Plan,
    Problem,
    option,
)
from ftstudio.testing import (
    FakeGenerator,
    FakeGeneratorOptions,
    FakeModel,
    FakeModelOptions,
    FakeObserver,
    FakeObserverOptions,
    FakeSource,
    FakeSourceOptions,
    FakeTable,
    FakeTokenizer,
    FakeTokenizerOptions,
    FakeTrainer,
    FakeTrainerOptions,
)

# -------------------------------------------------------------------------------------------------- options


@dataclass(frozen=True, kw_only=True)
class Fragile:
    path: str = option("a.txt", help="A path.")

    def __post_init__(self):
        self.path.encode()


@dataclass(frozen=True, kw_only=True)
class Misnaming:
    path: str = option("a.txt", help="A path.")

    def __post_init__(self):
        if not self.path:
            raise OptionError("pth", "It is empty.")


@dataclass(frozen=True, kw_only=True)
class Changing:
    """An absent value means 3, so what it makes of 0 cannot be written."""

    size: int | None = option(3, help="A size.")

    def __post_init__(self):
        if self.size == 0:
            object.__setattr__(self, "size", None)


@dataclass(frozen=True, kw_only=True)
class Required:
    path: Path = option(help="A path.")


# -------------------------------------------------------------------------------------------------- sources


class Raising(FakeSource):
    def load(self, run):
        raise ZeroDivisionError("a bug")


class Lists(FakeSource):
    def load(self, run):
        return [1, 2]


class Numbers(FakeSource):
    def load(self, run):
        return {"train": FakeTable(("text",), [{"text": 1}])}


class Messages(FakeSource):
    def load(self, run):
        return {"train": FakeTable(("messages",), [{"messages": [{"role": "user"}]}])}


class HalfCharacter(FakeSource):
    def load(self, run):
        return {"train": FakeTable(("text",), [{"text": "a"}, {"text": "half \ud800 of one"}])}


class HalfColumn(FakeSource):
    def load(self, run):
        return {"train": FakeTable(("text", "x\ud800"), [{"text": "a", "x\ud800": 1}])}


class Short(FakeSource):
    """Its table says more rows than it has."""

    class Table(FakeTable):
        def __len__(self):
            return 9

    def load(self, run):
        return {"train": self.Table(("text",), [{"text": "a"}])}


class Lacking(FakeSource):
    def load(self, run):
        return {"train": FakeTable(("text", "title"), [{"text": "a"}])}


class UsedUp(FakeSource):
    class Table(FakeTable):
        def __iter__(self):
            rows, self.rows = self.rows, ()
            return iter(rows)

        def __len__(self):
            return 2

    def load(self, run):
        return {"train": self.Table(("text",), [{"text": "a"}, {"text": "b"}])}


class Drawn(FakeSource):
    """It draws from Python's global generator."""

    def load(self, run):
        return {"train": FakeTable(("text",), [{"text": str(random.random())}])}


class Unordered(FakeSource):
    """Its rows come in the order of a set."""

    def load(self, run):
        return {"train": FakeTable(("text",), [{"text": text} for text in {f"text {i}" for i in range(20)}])}


class Chdir(FakeSource):
    def load(self, run):
        os.chdir(run.dir)
        return super().load(run)


class Deaf(FakeSource):
    def load(self, run):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return super().load(run)


class Silencer(FakeSource):
    def load(self, run):
        sys.stdout = io.StringIO()
        return super().load(run)


class Litter(FakeSource):
    def load(self, run):
        (run.project / "index.json").write_text("{}")
        return super().load(run)


class Clearing(FakeSource):
    """It removes by another program, which Python does not see."""

    def load(self, run):
        subprocess.run(["rm", str(run.project / "lines.txt")], check=True)
        return super().load(run)


class Temporary(FakeSource):
    def load(self, run):
        with tempfile.TemporaryDirectory():
            return super().load(run)


class Telling(FakeSource):
    def load(self, run):
        run.say(f"Asking with {run.secret('KIT_TOKEN')}.")
        return super().load(run)


class Printing(FakeSource):
    def load(self, run):
        sys.stdout.write(run.secret("KIT_TOKEN"))
        return super().load(run)


class Keeping(FakeSource):
    def load(self, run):
        (run.cache / "answer").write_text(run.secret("KIT_TOKEN"))
        return super().load(run)


class Encoding(FakeSource):
    """What it keeps of the secret can be read back by anybody."""

    def load(self, run):
        said = f"user:{run.secret('KIT_TOKEN')}".encode()
        (run.cache / "answer").write_text("Authorization: Basic " + base64.b64encode(said).decode())
        return super().load(run)


class Spelling(FakeSource):
    def load(self, run):
        run.say(run.secret("KIT_TOKEN").encode().hex())
        return super().load(run)


class Blaming(FakeSource):
    def load(self, run):
        raise ComponentError(f"The server refused {run.secret('KIT_TOKEN')}.")


class EncodingSource(FakeSource):
    def load(self, run):
        for text in self.options.texts:
            text.encode()
        return super().load(run)


class OtherPreview(FakeSource):
    def preview(self, run, rows):
        return [{"text": "else"}] * rows


class LongPreview(FakeSource):
    def preview(self, run, rows):
        return [{"text": text} for text in self.options.texts]


class UnsteadyPrint(FakeSource):
    def fingerprint(self, run):
        return str(time.monotonic_ns())


def wrong_facts(options, folder):
    return Facts(rows=99)


def heavy_facts(options, folder):
    import textual  # noqa: F401

    return Facts(rows=4)


def no_facts(options, folder):
    return {"rows": 4}


def negative_facts(options, folder):
    return Facts(rows=-4)


def wrong_problems(options, project, facts):
    yield "a string"


def stray_problems(options, project, facts):
    yield Problem(level="warning", option="nothing", message="Something.")


def refusing(options, project, facts):
    yield Problem(level="error", option="texts", message="Never good enough.")


def odd_sniff(path):
    return [path]


def every_sniff(path):
    return {"use": "bad", "options": {}}


def other_sniff(path):
    return {"use": "nobody", "options": {}}


def refused_sniff(path):
    return {"options": {"no_such_option": 1}}


def telling_sniff(path):
    sys.stdout.write("looking at it")


def telling_facts(options, folder):
    os.write(1, b"\x1b[31mlooking")
    return Facts(rows=4)


class Lines(FakeSource):
    """Reads a file of the project, and knows it by its content."""

    def _texts(self, run):
        return (run.project / "lines.txt").read_text().split("\n")

    def load(self, run):
        return {"train": FakeTable(["text"], [{"text": text} for text in self._texts(run) if text])}

    def preview(self, run, rows):
        return self.load(run)["train"].rows[:rows]

    def fingerprint(self, run):
        return "\n".join(self._texts(run))


class SamePrint(Lines):
    def fingerprint(self, run):
        return "always the same"


# --------------------------------------------------------------------------------------------------- models


class NoConfig(FakeModel):
    def fetch(self, run):
        return ModelRef(run.dir, weights=False, name="none")


class BadConfig(FakeModel):
    def fetch(self, run):
        model = super().fetch(run)
        (model.path / "config.json").write_text("{")
        return model


class Pickled(FakeModel):
    def fetch(self, run):
        model = super().fetch(run)
        (model.path / "model.safetensors").rename(model.path / "pytorch_model.bin")
        return model


class Untold(FakeModel):
    def fetch(self, run):
        return ModelRef(super().fetch(run).path, weights=False, name="x")


def other_context(options, folder):
    return Facts(context=1)


# ----------------------------------------------------------------------------------------------- tokenizers


class AllMasked(FakeTokenizer):
    def encode(self, data, model, run):
        return FakeTokenizer(FakeTokenizerOptions(masked=True)).encode(data, model, run)


class Outside(FakeTokenizer):
    def encode(self, data, model, run):
        e = super().encode(data, model, run)
        return Encoded(e.train, e.validation, e.tokenizer, 10, 0, e.shape)


class NoValidation(FakeTokenizer):
    def encode(self, data, model, run):
        e = super().encode(data, model, run)
        return Encoded(e.train, None, e.tokenizer, e.vocab_size, 0, e.shape)


class AlwaysText(FakeTokenizer):
    def encode(self, data, model, run):
        e = super().encode(data, model, run)
        return Encoded(e.train, e.validation, e.tokenizer, e.vocab_size, 0, "text")


class NoFolder(FakeTokenizer):
    def encode(self, data, model, run):
        e = super().encode(data, model, run)
        (e.tokenizer / "tokenizer.json").unlink()
        (e.tokenizer / "tokenizer_config.json").unlink()
        return e


class TooLong(FakeTokenizer):
    def encode(self, data, model, run):
        return FakeTokenizer(FakeTokenizerOptions()).encode(data, model, run)


class Miscounting(FakeTokenizer):
    def encode(self, data, model, run):
        e = super().encode(data, model, run)
        return Encoded(e.train, e.validation, e.tokenizer, e.vocab_size, 0, e.shape, {"tokens": 3})


class Strict(FakeTokenizer):
    def encode(self, data, model, run):
        for row in data["train"]:
            json.dumps(row, ensure_ascii=False).encode()
        return super().encode(data, model, run)


# ------------------------------------------------------------------------------------------------- trainers


class Quiet(FakeTrainer):
    def train(self, data, model, run):
        run.log = lambda step, **metrics: None
        return super().train(data, model, run)


class Backwards(FakeTrainer):
    def train(self, data, model, run):
        log = run.log
        run.log = lambda step, **metrics: log(100 - step, **metrics)
        return super().train(data, model, run)


class NotANumber(FakeTrainer):
    def train(self, data, model, run):
        run.log(1, loss=float("nan"))
        return super().train(data, model, run)


class Speechless(FakeTrainer):
    def train(self, data, model, run):
        run.progress = lambda *figures: None
        return super().train(data, model, run)


class Vandal(FakeTrainer):
    def train(self, data, model, run):
        (model.path / "config.json").write_text("{}")
        return super().train(data, model, run)


class DeafTrainer(FakeTrainer):
    def hears(self, run):
        return False


class NoCheckpoint(FakeTrainer):
    def train(self, data, model, run):
        class Requests:
            stop = property(lambda self: run.requests.stop)
            checkpoint = False

        return super().train(data, model, _Seen(run, Requests()))


class _Seen:
    def __init__(self, run, requests):
        self._run, self.requests = run, requests

    def __getattr__(self, name):
        return getattr(self._run, name)


class Uncommitted(FakeTrainer):
    def train(self, data, model, run):
        last = super().train(data, model, run)
        return Checkpoint(run.dir, last.step)


class NoWeights(FakeTrainer):
    def write_weights(self, folder, values):
        pass


class FromTheStart(FakeTrainer):
    def train(self, data, model, run):
        run.resume_from = None
        return super().train(data, model, run)


class Drifting(FakeTrainer):
    """What a resume brings back is not all that the loop carried."""

    def commit(self, run, step, position):
        checkpoint = super().commit(run, step, position)
        state = json.loads((checkpoint.path / "state.json").read_text())
        (checkpoint.path / "state.json").write_text(json.dumps({**state, "position": 0.0}))
        return checkpoint


class BaseAgain(FakeTrainer):
    """A resume has the steps of the checkpoint, and the weights of the base model."""

    def begins(self, run):
        return 0.0, super().begins(run)[1]


class LeavingOut(FakeTrainer):
    """A resume begins two steps behind the checkpoint."""

    def begins(self, run):
        position, done = super().begins(run)
        return position, done + 1 if done else 0


class NotReproducible(FakeTrainer):
    def write_weights(self, folder, values):
        super().write_weights(folder, [random.random(), *values[1:]])


class Hashing(FakeTrainer):
    """Its weights hang on a number that is another one in each process."""

    def write_weights(self, folder, values):
        super().write_weights(folder, [float(hash("a text")), *values[1:]])


class EmptyExport(FakeTrainer):
    def export(self, checkpoint, folder, run):
        (folder / "README").write_text("later")


def five_steps(options, facts):
    return Plan(total_steps=5)


def odd_checkpoints(options, facts):
    return Plan(total_steps=10, checkpoints=(3,))


# ----------------------------------------------------------------------------------------------- generators


class NeverDone(FakeGenerator):
    def generate(self, checkpoint, prompts, run):
        return (c for c in super().generate(checkpoint, prompts, run) if not c.done)


class Strings(FakeGenerator):
    def generate(self, checkpoint, prompts, run):
        yield "text"


class WrongPrompt(FakeGenerator):
    def generate(self, checkpoint, prompts, run):
        yield Chunk(7, "text", done=True)


class Parrot(FakeGenerator):
    def opening(self, checkpoint, prompt, run):
        return str(prompt)


class OnceOnly(FakeGenerator):
    used = False

    def generate(self, checkpoint, prompts, run):
        if self.used:
            raise RuntimeError("used up")
        self.used = True
        return super().generate(checkpoint, prompts, run)


class Counting(FakeGenerator):
    """The text of a prompt depends on the others."""

    def generate(self, checkpoint, prompts, run):
        for index, _ in enumerate(prompts):
            yield Chunk(index, f" {index} of {len(prompts)}", done=True)


class Endless(FakeGenerator):
    def generate(self, checkpoint, prompts, run):
        for index, _ in enumerate(prompts):
            yield from itertools.repeat(Chunk(index, "x"), 100)
            yield Chunk(index, "", done=True)


class Unclosable(FakeGenerator):
    def generate(self, checkpoint, prompts, run):
        try:
            yield from super().generate(checkpoint, prompts, run)
        except GeneratorExit:
            raise RuntimeError("left alone") from None


class BrokenChange(FakeGenerator):
    def change(self, options):
        self.options = None


class StrictPrompts(FakeGenerator):
    def opening(self, checkpoint, prompt, run):
        json.dumps(prompt, ensure_ascii=False).encode()
        return " text"


# ------------------------------------------------------------------------------------------------ observers


class RaisingObserver(FakeObserver):
    def on_event(self, event):
        raise ZeroDivisionError("a bug")


class NoRepeats(FakeObserver):
    def on_event(self, event):
        if event.seq in self.events:
            raise ValueError("seen before")
        super().on_event(event)


class Doubling(FakeObserver):
    """It writes down an event as often as it hears it."""

    def open(self, run, after_seq):
        self.path = run.dir / "heard.txt"

    def on_event(self, event):
        with self.path.open("a") as file:
            file.write(f"{event.seq} {event.kind}\n")


class Logging(FakeObserver):
    """It goes on with the file of an earlier instance, and needs it."""

    def open(self, run, after_seq):
        self.path, self.last = run.dir / "log.txt", after_seq
        if after_seq == 0:
            self.path.write_text("begin\n")
        elif not self.path.read_text().startswith("begin"):
            raise ValueError("its file is not there")

    def on_event(self, event):
        if event.seq > self.last:
            self.last = event.seq
            with self.path.open("a") as file:
                file.write(f"{event.seq} {event.kind}\n")


class Summing(Logging):
    """One line of how it stands, written anew each time, which counts what this instance heard."""

    def open(self, run, after_seq):
        self.path, self.heard = run.dir / "now.txt", 0
        self.path.write_text("")

    def on_event(self, event):
        self.heard += 1
        self.path.write_text(f"event {event.seq} is a {event.kind}")

    def close(self):
        self.path.write_text(f"heard {self.heard}")


class Emptying(Logging):
    def open(self, run, after_seq):
        super().open(run, 0)
        self.last = after_seq


class Appending(Logging):
    def open(self, run, after_seq):
        self.path, self.last = run.dir / "log.txt", after_seq


class FromOne(FakeObserver):
    def on_event(self, event):
        super().on_event(event)
        _ = self.events[1]


class NeedsEvents(FakeObserver):
    def close(self):
        min(self.events)


class OnlyFinished(FakeObserver):
    def on_event(self, event):
        if event.kind == "state":
            _ = {"running": 0, "finished": 1}[event.data["state"]]


class Latin(FakeObserver):
    def on_event(self, event):
        str(event.data.get("text", "")).encode("utf-8")


class Scribbling(FakeObserver):
    def open(self, run, after_seq):
        Path("observed.txt").write_text("here")


# ---------------------------------------------------------------------------------------------- descriptions

OPTIONS = {
    "model": FakeModelOptions, "dataset": FakeSourceOptions, "tokenizer": FakeTokenizerOptions,
    "trainer": FakeTrainerOptions, "generator": FakeGeneratorOptions, "observer": FakeObserverOptions,
}  # fmt: skip
GOOD = {
    "model": "FakeModel", "dataset": "FakeSource", "tokenizer": "FakeTokenizer", "trainer": "FakeTrainer",
    "generator": "FakeGenerator", "observer": "FakeObserver",
}  # fmt: skip


def described(kind, name="", **more):
    target = f"bad_components:{name}" if name else f"ftstudio.testing:{GOOD[kind]}"
    return Component(**{"name": "bad", "summary": "wrong", "target": target, "options": OPTIONS[kind], **more})
