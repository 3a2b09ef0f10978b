"""Driving the studio in tests: open it on a folder, press keys, wait for what the screen says, read it as text."""

import asyncio
import contextlib

from textual import _wait

from ftstudio.tui.app import Manners, Studio

_wait.SLEEP_GRANULARITY, _wait.SLEEP_IDLE = 1 / 200, 1 / 4000
"""How long a process is idle before Textual's pilot goes on: a quarter of its 20 ms, which it waits thrice a key."""


def screen_text(app):
    """What the terminal shows, line by line."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    lines = ["".join(segment.text for segment in strip)[:width].rstrip() for strip in strips]
    return "\n".join(lines[:height])


class Driver:
    """A studio under test. Every wait has an end, and says what did not come."""

    def __init__(self, app, pilot):
        self.app, self.pilot = app, pilot

    @property
    def text(self):
        return screen_text(self.app)

    async def press(self, *keys):
        for key in keys:
            await self.pilot.press(key)
        await self.pilot.pause()

    async def type(self, text):
        await self.press(*("space" if c == " " else c for c in text))

    async def until(self, what, seconds=30):
        """Wait until the screen shows a text, or a condition holds."""
        holds = what if callable(what) else lambda: what in self.text
        for _ in range(int(seconds / 0.02)):
            if holds():
                return
            await self.pilot.pause(0.02)
        raise AssertionError(f"{what!r} did not come; the screen:\n{self.text}")


@contextlib.asynccontextmanager
async def opened(root, size=(80, 24), **manners):
    app = Studio(root, Manners(**manners))
    async with app.run_test(size=size) as pilot:
        driver = Driver(app, pilot)
        await driver.until(lambda: app.found.whole or not root.is_dir())
        await pilot.pause()
        yield driver


def session(root, script, size=(80, 24), **manners):
    """Run `script(driver)` on a studio that is open on a folder, and return what it returns."""

    async def run():
        async with opened(root, size, **manners) as driver:
            return await script(driver)

    return asyncio.run(run())
