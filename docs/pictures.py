"""Make the README's pictures of the studio from real runs: `python docs/pictures.py`, or `make pictures`.

Two examples run in a scratch folder, on the model that comes with ftstudio; then the studio itself is opened there, led
by keys, and drawn as SVG. Takes some minutes.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from ftstudio.runs.folder import RunFolder
from ftstudio.runs.status import LIVE, read_status
from ftstudio.tui.app import Studio
from ftstudio.tui.widgets.answer import Answer

HERE = Path(__file__).resolve().parent
WIDE, SMALL = (120, 36), (80, 24)
LONGER = (
    "trainer.num_train_epochs=12",
    "trainer.logging_steps=1",
    "trainer.eval_strategy=steps",
    "trainer.eval_steps=8",
)
SHORT_ROWS = ("tokenizer.max_length=64", "trainer.logging_steps=1", "trainer.eval_steps=20")
WAIT_SECONDS = 600


def main() -> None:
    """Run, open, draw."""
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        for kind in ("CONFIG", "STATE", "CACHE", "DATA"):
            os.environ[f"XDG_{kind}_HOME"] = str(Path(scratch) / kind.lower())
        os.environ["HOME"] = scratch
        root = Path(scratch).resolve() / "projects"
        for example in ("quickstart", "shakespeare"):
            ftstudio("new", example, "--from", example, "--root", str(root))
        quickstart, shakespeare = str(root / "quickstart"), str(root / "shakespeare")
        ftstudio("run", quickstart)
        ftstudio("run", quickstart, *settings(*LONGER))
        ftstudio("run", quickstart, *settings(*LONGER, "trainer.learning_rate=5e-4"))
        ftstudio("note", f"{quickstart}/runs/0003", "ten times the rate")
        ftstudio("run", shakespeare, "--detach", *settings(*SHORT_ROWS))
        live = RunFolder(root / "shakespeare" / "runs" / "0001")
        try:
            asyncio.run(with_a_live_run(root, live))
        finally:
            ftstudio("stop", str(live.path))
            asyncio.run(until(lambda: read_status(live).state not in LIVE))
        asyncio.run(at_rest(root))


def settings(*overrides: str) -> list[str]:
    """Settings for one run, as the command line takes them."""
    return [word for override in overrides for word in ("--set", override)]


def ftstudio(*arguments: str) -> None:
    """The command line, as a person would call it."""
    subprocess.run([sys.executable, "-m", "ftstudio", *arguments], check=True, stdout=subprocess.DEVNULL)


async def until(holds: Callable[[], object], pilot: Pilot[None] | None = None) -> None:
    """Wait until something holds. Raises TimeoutError."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():
            await (asyncio.sleep(0.1) if pilot is None else pilot.pause(0.1))
    if pilot is not None:
        await pilot.pause(1.5)  # what is read in threads comes in


def draw(studio: Studio, name: str) -> None:
    """The screen as it is, into docs/NAME.svg."""
    (HERE / f"{name}.svg").write_text(studio.export_screenshot(title="ftstudio", simplify=True))


async def with_a_live_run(root: Path, live: RunFolder) -> None:
    """Home at both sizes, and Train while it goes."""
    await until(lambda: (read_status(live).step or 0) >= 50)
    for size, name in ((WIDE, "home"), (SMALL, "home-80x24")):
        studio = Studio(root)
        async with studio.run_test(size=size) as pilot:
            await until(lambda found=studio: found.found.whole, pilot)  # type: ignore[misc]
            draw(studio, name)
            if size == WIDE:
                await pilot.press("enter")
                await until(lambda shown=studio: shown.screen.query("TrainPane"), pilot)  # type: ignore[misc]
                draw(studio, "train")
                await pilot.press("escape")


async def at_rest(root: Path) -> None:
    """The other panes, of the quickstart's newest run."""
    studio = Studio(root)
    async with studio.run_test(size=WIDE) as pilot:
        await until(lambda: studio.found.whole, pilot)
        studio.open_project(root / "quickstart", "setup", root / "quickstart" / "runs" / "0003")
        await until(lambda: studio.screen.query("SetupPane"), pilot)
        draw(studio, "setup")
        await pilot.press("6")
        await until(lambda: studio.screen.query("ComparePane"), pilot)
        draw(studio, "compare")
        await pilot.press("5")
        await until(lambda: studio.screen.query("GeneratePane"), pilot)
        await pilot.press("g")
        await until(lambda: all(a.answer and not a.writing for a in studio.screen.query(Answer)), pilot)
        draw(studio, "generate")


if __name__ == "__main__":
    main()
