"""Every screen looks as its picture in tests/tui/snapshots. `make snapshots` takes them anew."""

import asyncio
import difflib
import os
import secrets
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from scenes import NOW, tour
from textual.widgets import Input

from ftstudio.doctor import Finding
from ftstudio.process import devices

pytestmark = pytest.mark.usefixtures("fakes")

SNAPSHOTS = Path(__file__).with_name("snapshots")
MODES = {
    "80x24": {"size": (80, 24)},
    "120x36": {"size": (120, 36)},
    "200x60": {"size": (200, 60)},
}
FINDINGS = (
    Finding(level="ok", subject="python", says="3.11 on Linux"),
    Finding(level="ok", subject="torch", says="2.13, for the CPU"),
    Finding(level="warn", subject="login", says="processes end with your login here", mend="loginctl enable-linger"),
    Finding(level="ok", subject="record locks", says="work in every folder"),
)


@pytest.fixture
def still(monkeypatch, fakes):
    """A clock that stands, a disk, devices and a machine that are the same everywhere, and a folder of fixed length."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    name = f"ft-{secrets.token_hex(4)}"
    place = Path("/tmp").resolve() / name
    place.mkdir(mode=0o700)
    for kind in ("CONFIG", "STATE", "CACHE", "DATA"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(place / kind.lower()))
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("HF_HOME", str(place / "hf"))
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(Input, "_toggle_cursor", lambda self: None)
    monkeypatch.setattr(devices, "_visible_gpus", list)
    monkeypatch.setattr(devices, "_is_apple", lambda: False)
    disk = SimpleNamespace(total=10**12, used=5 * 10**11, free=5 * 10**11)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk)
    from ftstudio.tui.screens import doctor
    from ftstudio.tui.widgets import device_cells

    monkeypatch.setattr(doctor, "examine", lambda root, *, write: iter(FINDINGS))
    cell = device_cells.Cell("gpu0", ("poetry",), 96, 31 * 10**9, 80 * 10**9)
    monkeypatch.setattr(device_cells, "read_cells", lambda share: [cell])
    try:
        yield place, lambda text: text.replace(name, "ft-snapshot")
    finally:
        shutil.rmtree(place)
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("mode", MODES)
def test_every_screen_looks_as_its_picture(mode, still):
    place, hide = still
    pictures, _ = asyncio.run(tour(place, hide=hide, **MODES[mode]))
    compare(mode, pictures)


def test_in_ascii_every_cell_of_every_screen_is_ascii(still):
    place, hide = still
    pictures, _ = asyncio.run(tour(place, hide=hide, size=(80, 24), ascii=True))
    wrong = {name: {c for c in text if not 32 <= ord(c) <= 126} - {"\n"} for name, text in pictures.items()}
    assert not {name: signs for name, signs in wrong.items() if signs}
    compare("ascii", pictures)


def test_without_colour_none_is_painted_and_states_are_glyph_and_word(still, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    place, hide = still
    pictures, painted = asyncio.run(tour(place, hide=hide, size=(80, 24)))
    assert not {name: found for name, found in painted.items() if found}
    lines = pictures["home"].splitlines()
    for pair in ("● running", "◌ queued", "✓ finished", "✗ failed"):
        assert any(set(pair.split()) <= set(line.split()) for line in lines), pair
    compare("no-color", pictures)


def compare(mode, pictures):
    """Against the files; with FTSTUDIO_SNAPSHOTS=update they are written."""
    folder = SNAPSHOTS / mode
    if os.environ.get("FTSTUDIO_SNAPSHOTS") == "update":
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, text in pictures.items():
            (folder / f"{name}.txt").write_text(text)
        return
    kept = {path.stem: path.read_text() for path in folder.glob("*.txt")}
    differing = []
    for name in sorted({*kept, *pictures}):
        before, now = kept.get(name, "").splitlines(), pictures.get(name, "").splitlines()
        lines = difflib.unified_diff(before, now, f"{mode}/{name}.txt", "the screen now", lineterm="", n=1)
        differing += ["\n".join(lines)] if before != now else []
    if differing:
        said = "\n\n".join(differing)
        pytest.fail(f"{said}\n\nIf that is how it should look: make snapshots", pytrace=False)
