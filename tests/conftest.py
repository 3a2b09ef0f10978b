"""What all tests share: folders of their own, no network, a stranger's plugin, and a way to run the program."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

FAKE_PLUGIN = Path(__file__).parent / "fake_plugin"
FAKE_PROJECT = {
    "format": 1,
    "model": {"use": "fake-model"},
    "dataset": {"use": "fake-data"},
    "tokenizer": {"use": "fake-bytes"},
    "trainer": {"use": "fake-walk"},
    "generator": {"use": "fake-echo", "prompts": ["Hello"]},
}


def pytest_addoption(parser):
    parser.addoption("--examples", type=int, default=2_000, help="inputs that hypothesis makes, in all")
    parser.addoption(
        "--faults", default="8", help="points tried of each operation that faults are injected into, or full"
    )
    parser.addoption("--installs", action="store_true", help="also what installs packages from the index")


def pytest_configure():
    """A shell in the background, or nohup, ignores these signals, and so would every program that a test starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def homes(tmp_path_factory):
    """Where tests have their own folders: `mktemp` would read the names of all earlier ones each time."""
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(autouse=True)
def own_folders(homes, monkeypatch):
    """Settings, state, caches and the Hub's cache of each test are its own; the network is off."""
    root = Path(tempfile.mkdtemp(dir=homes))
    for name in ("CONFIG", "STATE", "CACHE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(root / name.lower()))
    monkeypatch.setenv("HF_HOME", str(root / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("FTSTUDIO_PROJECTS", str(root / "projects"))
    for name in ("FTSTUDIO_DISABLE_PLUGINS", "FTSTUDIO_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return root


@pytest.fixture
def settings_file(own_folders):
    """Write the user's settings.toml of this test."""

    def write(text):
        folder = own_folders / "config" / "ftstudio"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "settings.toml").write_text(text + "\n")

    return write


@pytest.fixture(scope="session")
def described(tmp_path_factory):
    """The cache after the first look at the stranger's plugin: each test would start a process for the same answer."""
    from ftstudio.announced import announced
    from ftstudio.describing import describe_apart

    cache = tmp_path_factory.mktemp("described")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setenv("XDG_CONFIG_HOME", str(cache))
        _install_fakes(patch)
        (entry,) = [entry for entry in announced() if entry.name == "fakes"]
        assert not describe_apart(entry)["reason"]
    return cache / "ftstudio"


@pytest.fixture
def fakes(monkeypatch, own_folders, described):
    """The stranger's plugin of tests/fake_plugin, installed for this test here and in child processes."""
    _install_fakes(monkeypatch)
    shutil.copytree(described, own_folders / "cache" / "ftstudio")
    from ftstudio.plugins import registry

    registry.cache_clear()
    yield
    registry.cache_clear()


def _install_fakes(patch):
    patch.syspath_prepend(str(FAKE_PLUGIN))
    patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(FAKE_PLUGIN), os.environ.get("PYTHONPATH", "")])))
    importlib.invalidate_caches()


@pytest.fixture
def fresh_registry():
    """Forget what was discovered, before and after."""
    from ftstudio.plugins import registry

    registry.cache_clear()
    yield
    registry.cache_clear()


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def ftstudio(tmp_path):
    """Run the command line in a process of its own: `ftstudio("check", path)`."""

    def run(*arguments, cwd=tmp_path, timeout=300, env=None):
        done = subprocess.run(
            [sys.executable, "-m", "ftstudio", *map(str, arguments)],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **(env or {})},
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def ftstudio_here(tmp_path, monkeypatch, capsys, fresh_registry):
    """As `ftstudio`, in this process: for words that are refused, whose answers need no start of Python each."""
    from ftstudio.__main__ import _command, _means_studio, _studio

    def run(*arguments, cwd=tmp_path, env=None):
        monkeypatch.chdir(cwd)
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        words = [*map(str, arguments)]
        code = _studio(words) if _means_studio(words) else _command(words)
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def closed(tmp_path):
    """A path that may not be looked at; of root's processes only another one's root folder is closed to root."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    for path in (folder / "x", Path("/proc/1/root/x")):
        try:
            path.stat()
        except PermissionError:
            yield path
            break
        except OSError:
            continue
    else:
        pytest.skip("this user may look everywhere")
    folder.chmod(0o700)


@pytest.fixture
def terminal():
    """Run the program at a terminal of its own: `terminal("attach", run)`; with a folder alone it is the studio.

    `before` are words that stand before the program's; `command` is another one to run.
    """
    from terminal import Terminal

    opened = []

    def open_one(*arguments, before=(), command=None, **more):
        ours = [*before, sys.executable, "-m", "ftstudio", *map(str, arguments)]
        opened.append(Terminal(command or ours, **more))
        return opened[-1]

    yield open_one
    for one in opened:
        one.kill()


@pytest.fixture
def make_project(tmp_path):
    """Write a project folder from tables: `make_project(trainer={"max_steps": 3})`, over the fake project."""
    from ftstudio.files import toml_text

    def make(name="lab", base=FAKE_PROJECT, **tables):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        merged = {k: dict(v) if isinstance(v, dict) else v for k, v in base.items()}
        for key, value in tables.items():
            merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
        (folder / "project.toml").write_text(toml_text(merged))
        return folder

    return make
