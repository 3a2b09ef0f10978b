"""No control character of anybody's text reaches the terminal, whichever way it came; asked of the bytes on a real pty."""

import importlib
import os
import time

import hostile
import pytest
from screen import COPY, foreign

pytestmark = [pytest.mark.usefixtures("fakes"), pytest.mark.timeout(240)]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A root folder with a hostile name, full of hostile text, and a hostile plugin."""
    plugins = tmp_path / "plugins"
    hostile.write_plugin(plugins)
    monkeypatch.syspath_prepend(str(plugins))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(plugins), os.environ["PYTHONPATH"]]))
    from ftstudio.plugins import registry

    importlib.invalidate_caches()
    registry.cache_clear()
    root = tmp_path / hostile.file_name("Y", 22)
    hostile.lab(root)
    return root


def leaks(raw):
    """Sequences that are not the studio's own, and those that could be, as somebody's text has them."""
    return foreign(raw) + [repr(d)[:60] for d in hostile.DANGERS if hostile.acts(d) and hostile.raw(d) in raw]


BACK = {"pagedown": "pageup", "pageup": "pagedown"}


def shows(shown, wanted, key, most=40):
    """Press a key again and again until all of these beginnings were shown; then the other way, where one was passed by."""
    for pressed in [key] * most + [BACK.get(key, key)] * most:
        text = shown.shown
        left = {word for word in wanted if word not in text}
        if not left:
            return
        before, deadline = shown.picture, time.monotonic() + 0.5
        shown.press(pressed, pause=0.05)
        while shown.picture == before and time.monotonic() < deadline:
            time.sleep(0.02)
    raise AssertionError(f"{sorted(left)} were never shown; now:\n{shown.picture}")


def turn(shown, *keys, sees=(), wait=0.4):
    """Another screen."""
    shown.clear()
    shown.press(*keys)
    shown.sees(*sees) if sees else time.sleep(wait)


def home(shown, *, wide):
    shown.sees("ftstudio")
    shows(shown, hostile.words("F"), "pagedown")
    shown.press("home")
    if wide:  # the projects stand beside the runs, which are those of the one under the cursor
        turn(shown, "p", *["down"] * 4, sees=["Runs of"])
        turn(shown, "esc", "esc", sees=["all projects"])
    else:
        turn(shown, "p", sees=["all projects"])
        shows(shown, hostile.words("F"), "pagedown")
        turn(shown, "esc")
    shown.press("/", "R0", "enter", "esc", "s", "s", "s", "s", "home")


def project(shown):
    """All panes of the project in which everything is hostile."""
    turn(shown, "enter", sees=[" aa ", "3 Train"])
    shows(shown, {"B16", "S17", "U02"}, "n")
    turn(shown, "s", sees=["samples"])
    shows(shown, {f"S{number:02d}" for number in range(0, hostile.COUNT, 4)}, "down")
    turn(shown, "esc", "?")
    turn(shown, "esc", "r", sees=["Runs"])
    turn(shown, "esc", "N", sees=["Note on"])
    shown.until("T15")
    turn(shown, "esc", "1", sees=["1 Setup", "evil-00"])
    shown.press(".", *["down"] * 12, pause=0.05)
    turn(shown, "?")
    turn(shown, "esc", "v", "v", "s", sees=["as it was made"])
    turn(shown, "esc", "2", sees=["2 Dat", "longest"])
    shows(shown, hostile.words("D"), "pagedown")
    turn(shown, "t", sees=["tokens   rows", "D47"])
    shown.press("home")
    shows(shown, hostile.words("D"), "pagedown")
    turn(shown, "4", sees=["following", "U02"])
    shows(shown, hostile.words("M"), "pageup")
    turn(shown, "t", sees=["console.log", "C46"])
    shows(shown, hostile.words("C"), "pageup")
    shown.press("e", "e")
    turn(shown, "5", sees=["5 Gen", "before"])
    shown.press("g")
    shown.until("G00", "G19")
    turn(shown, "o", sees=["for this once"])
    turn(shown, "esc", "m", sees=["The first model"])
    turn(shown, "esc", "6", sees=["6 Com"])
    turn(shown, "7", sees=["7 Fil"])
    shows(shown, hostile.words("A") | hostile.words("W"), "pagedown")


def overlays(shown):
    turn(shown, ":", sees=["commands"])
    turn(shown, "plugins")
    turn(shown, "enter", sees=["plugins,"])
    shows(shown, hostile.words("P"), "pagedown")
    for name in ("settings", "doctor"):
        turn(shown, ":", name)
        turn(shown, "enter", wait=1.0)
    turn(shown, "esc", "Q", wait=1.0)
    turn(shown, "esc")


@pytest.mark.parametrize(("size", "flags"), [((200, 60), []), ((80, 24), ["--ascii"])], ids=["wide", "ascii"])
def test_no_hostile_text_reaches_the_terminal_as_anything_but_text(lab, terminal, size, flags):
    shown = terminal(lab, *flags, size=size)
    home(shown, wide=size[0] >= 150)
    project(shown)
    overlays(shown)
    shown.press("q")
    assert shown.ended() == 0
    assert "Traceback" not in shown.shown
    assert leaks(shown.raw) == []


def test_whatever_were_printed_as_it_is_would_be_found():
    for danger in hostile.DANGERS:
        printed = b"\x1b[1;1H\x1b[1;38;2;1;2;3mwords " + hostile.raw(danger) + b" words\r\n\x1b[0m"
        assert bool(leaks(printed)) == hostile.acts(danger), repr(danger)[:60]
    assert sum(map(hostile.acts, hostile.DANGERS)) >= 40


def test_what_the_studio_was_asked_to_copy_is_the_only_osc_52():
    asked = b"\x1b]52;c;d29yZHM=\x07"
    assert COPY.fullmatch(asked.decode())
    assert foreign(asked, copies=True) == []
    assert foreign(asked)
    assert foreign(b"\x1b]52;c;?\x07", copies=True)
