"""Every screen and pane of the studio on one made lab, at a time that stands still, as text.

    lab(folder)                     the projects and their runs, by hand: no torch
    tour(root, size, ...)           one studio that visits every screen; gives a picture of each

A picture is what the terminal would show, line by line. Where there is no colour, the attributes that are left (bold,
dim, reverse, underlined) stand below each line that has some.
"""

import json
import math
from contextlib import ExitStack

from hand_made import commit
from studio import opened, screen_text

from ftstudio.files import toml_text, write_toml
from ftstudio.locks import RecordLock
from ftstudio.project import load
from ftstudio.runs.notes import write_note
from ftstudio.runs.queue import take_ticket
from ftstudio.runs.record import create_run
from ftstudio.tui.memory import Memory
from ftstudio.tui.widgets.device_cells import DeviceCells
from ftstudio.tui.widgets.lines import Lines

NOW = 1_790_000_000.0
"""2026-09-21 14:13:20 UTC."""

QUICKSTART = {
    "format": 1,
    "description": "Poems about the sea.",
    "seed": 42,
    "model": {"use": "starter"},
    "dataset": {"use": "inline", "texts": [f"Line {n} of a poem." for n in range(40)], "validation_fraction": 0.2},
    "tokenizer": {"use": "pretrained", "max_length": 128},
    "trainer": {"use": "native", "num_train_epochs": 30, "per_device_train_batch_size": 8, "warmup_steps": 500},
    "generator": {"use": "sample", "prompts": ["The river keeps"], "max_length": 50, "temperature": 0.7},
}
SENTENCES = (
    "AI is transforming industries.",
    "Model fine-tuning improves performance.",
    "The river bends because the stone is older than the water.",
    "Data sharing enables collaborative AI development.",
    "Neural networks learn from training examples.",
)
FAKES = {
    "format": 1,
    "model": {"use": "fake-model"},
    "dataset": {"use": "fake-data", "texts": list(SENTENCES)},
    "tokenizer": {"use": "fake-bytes", "max_length": 48},
    "trainer": {"use": "fake-walk"},
    "generator": {"use": "fake-echo", "prompts": ["The river keeps"]},
}


def run_of(folder, state, *, steps=0, total=120, ago=3600.0, overrides=(), reason="", sample="", words=(), **more):
    """A run as its supervisor and worker would leave it, whose last event is `ago` seconds old."""
    run = create_run(load(folder, overrides), ["test"])
    began = NOW - ago - 5 * steps
    write_toml(run.state, {
        "state": state, "reason": reason, "attempt": 1, "host": "gpu03", "boot_id": "b", "started": began, **more,
    })  # fmt: skip
    write_toml(run.inputs, {"data": {"fingerprint": "d", "shape": "text"}, "model": {"name": "starter"}})
    lines = [{"kind": "phase", "step": None, "name": "training", "t": began}] if steps else []
    for step in range(1, steps + 1):
        at = began + 5 * step
        loss = 1.9 + 2.1 * math.exp(-step / 30) + 0.08 * math.sin(step * 1.7)
        values = {"loss": round(loss - 0.1 * len(overrides), 4), "learning_rate": 5e-5 * (1 - step / total),
                  "tokens_per_second": 98_000.0, "grad_norm": 1.0 + 0.3 * math.cos(step)}  # fmt: skip
        lines.append({"kind": "progress", "step": None, "done": step, "total": total, "unit": "step", "t": at})
        lines.append({"kind": "metrics", "step": step, "metrics": values, "t": at})
        if step % 20 == 0:
            lines.append({"kind": "metrics", "step": step, "metrics": {"eval_loss": round(loss + 0.1, 4)}, "t": at})
    at = began + 5 * steps
    texts = {0: " the the river and and", steps // 2: " its way, and the way is the", steps: sample} if sample else {}
    for step, text in texts.items():
        of = {"model": "base"} if step == 0 else {}
        lines.append({"kind": "sample", "step": step, "prompt": "The river keeps", "text": text, "t": at, **of})
    lines += [{"kind": kind, "step": None, "text": text, "t": at} for kind, text in words]
    run.events.write_text("".join(json.dumps({"attempt": 1, **e}, separators=(",", ":")) + "\n" for e in lines))
    return run


def write_project(root, name, table):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "project.toml").write_text(toml_text({**table, "name": name}))
    return folder


def lab(root, stack):
    """Five projects: runs that run, wait, ended well and badly. `stack` holds the lock of the one that waits."""
    poetry, notes = write_project(root, "poetry", QUICKSTART), write_project(root, "code-notes", QUICKSTART)
    letters, fakes = write_project(root, "letters", QUICKSTART), write_project(root, "lab", FAKES)
    write_project(root, "tutorial", QUICKSTART)
    for overrides, ago in (((), 90_000.0), (("trainer.learning_rate=1e-4",), 7_300.0)):
        run = run_of(poetry, "finished", steps=120, ago=ago, overrides=overrides, device="cpu",
                     sample=" its silver in the dark, and will not say whose face it carries to the sea.",
                     words=[("warning", "The run has 120 steps: the rate never reaches 5e-05."), ("message", "Done.")])  # fmt: skip
        for step in (40, 80, 120):
            commit(run, step, best=step == 80, optimizer=40_000 if step == 120 else 0)
        (run.final).mkdir()
        (run.final / "model.safetensors").write_bytes(b"w" * 20_000)
        (run.path / "profile.bin").write_bytes(bytes(2_000_000))  # else the size of run.toml would be read here
    write_note(run, "twice the rate", pinned=True)
    run_of(poetry, "running", steps=57, ago=4.0, device="cuda:0",
           sample=" its own counsel", words=[("message", "Training on cuda:0.")])  # fmt: skip
    run_of(notes, "failed", steps=18, ago=11_000.0, reason="Out of memory at row 418.")
    waiting = run_of(letters, "queued", queued=NOW - 1200.0, reason="Waits for cpu, behind poetry:0003.")
    lock = RecordLock(waiting.lock)
    assert lock.acquire()
    stack.callback(lock.release)
    take_ticket(waiting, ["cpu"])
    tuned = run_of(fakes, "finished", steps=12, total=12, ago=200_000.0)
    commit(tuned, 8)
    return root


# ------------------------------------------------------------------------------------------------- pictures


def attributes(app):
    """Below each line its attributes: b bold, d dim, r reverse, u underlined, a letter a column; "" for none."""
    rows = []
    for strip in app.screen._compositor.render_strips():
        row = ""
        for text, style, _ in strip:
            mark = " "
            for name, letter in (("dim", "d"), ("underline", "u"), ("bold", "b"), ("reverse", "r")):
                mark = letter if style is not None and getattr(style, name) else mark
            row += mark * len(text)
        rows.append(row.rstrip())
    return rows


def colours(app):
    """All colours that are painted, but the terminal's own."""
    styles = [style for strip in app.screen._compositor.render_strips() for _, style, _ in strip if style is not None]
    return {c for style in styles for c in (style.color, style.bgcolor) if c is not None and not c.is_default}


def picture(app, hide):
    lines = hide(screen_text(app)).split("\n")
    if not app.no_color:
        return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"
    shown = []
    for line, marks in zip(lines, attributes(app), strict=True):
        shown += [line.rstrip(), f"~{marks}"] if marks else [line.rstrip()]
    return "\n".join(shown).rstrip() + "\n"


# ------------------------------------------------------------------------------------------------- the tour


class Tour:
    """A walk through all screens; `pictures` holds what was seen."""

    def __init__(self, driver, hide):
        self.driver, self.app, self.hide = driver, driver.app, hide
        self.pictures, self.painted = {}, {}

    async def take(self, name, until):
        """A picture, once a text is there and nothing is at work any more."""
        await self.driver.until(until)
        before, still = "", 0
        for _ in range(200):
            busy = [w for w in self.app.workers if not w.is_finished and w.group != "watch"]
            text = screen_text(self.app)
            still = still + 1 if text == before and not busy else 0
            if still == 3:
                break
            before = text
            await self.driver.pilot.pause(0.03)
        self.pictures[name] = picture(self.app, self.hide)
        self.painted[name] = colours(self.app)

    async def act(self, id):
        self.app.screen.action_act(id)
        await self.driver.pilot.pause()

    async def pane(self, key, name, until):
        await self.driver.press(key)
        await self.take(name, until)

    async def open(self, run):
        """From Home into the project of a run."""
        path = next(path for path in self.app.found.statuses if path.match(run))
        self.app.screen.query_one("#runs", Lines).put_cursor(path)
        await self.driver.press("enter")

    async def home(self):
        d = self.driver
        await d.until("While you were away")
        await self.take("home", "gpu0")
        await d.press("question_mark")
        await self.take("help", "esc closes this")
        await d.press("escape", "colon")
        await self.take("palette", lambda: self.app.screen.query("CommandList.--visible"))
        await d.press("escape", "Q")
        await self.take("queue", "Waits for cpu")
        await d.press("escape", "n")
        await self.take("new-project", "examples:")
        await d.press("escape")
        for name, until in (("plugins", "active"), ("settings", "probe_seconds"), ("doctor", "1 warn")):
            await self.act(f"{name}.open")
            await self.take(name, until)
            await d.press("escape")

    async def project(self):
        d = self.driver
        await self.open("poetry/runs/0002")
        await d.until(lambda: all(cells.cells for cells in d.app.screen.query(DeviceCells)))  # a thread asks for them
        await self.take("train", "120/120")
        await d.press("s")
        await self.take("samples", "3 samples")
        await d.press("escape")
        await self.pane("1", "setup", "learning_rate")
        await d.press("s")
        await self.take("run-setup", "as it was made")
        await d.press("escape")
        await d.press("S")
        await self.take("start", "120 steps")
        await d.press("escape")
        await self.pane("4", "logs", "events.jsonl")
        await d.press("at")
        await self.take("error", "The charts have no cursor")
        await d.press("escape")
        await self.pane("6", "compare", "results")
        await self.pane("7", "files", "step 120")
        await d.press("D")
        await self.take("question", "Remove poetry:0002?")
        await d.press("escape", "escape")

    async def bench(self):
        d = self.driver
        await d.until(lambda: type(self.app.screen).__name__ == "Home")
        await self.open("lab/runs/0001")
        await d.until("12/12")
        await d.press("2")
        await d.until("median")
        await d.press("t")
        await self.take("data", "tokens, ")
        await d.press("5")
        await d.until("before")
        await d.press("g")
        await self.take("generate", lambda: all(a.note == "ended by itself" for a in self.app.screen.query("Answer")))


async def tour(root, size, hide, **manners):
    """All pictures of a studio at one size, by name; and the colours that each was painted in.

    `hide` makes of a text one that is the same on every machine.
    """
    pictures, painted = {}, {}
    with ExitStack() as stack:
        for part in ("first", "lab"):
            folder = root / part
            folder.mkdir()
            if part == "lab":
                lab(folder, stack)
                Memory().put(seen={str(folder): NOW - 50_000})
            async with opened(folder, size, **manners) as driver:
                walk = Tour(driver, hide)
                if part == "first":
                    await walk.take("first-time", "No projects here yet.")
                else:
                    await walk.home()
                    await walk.project()
                    await walk.bench()
            pictures |= walk.pictures
            painted |= walk.painted
    return pictures, painted
