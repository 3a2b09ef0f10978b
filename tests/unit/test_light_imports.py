"""What the terminal side may load: proved on the real program, since a linter cannot see deferred imports."""

import json
import os
import subprocess
import sys

import pytest

PRINT_MODULES = """
import json, os, sys
leave = os._exit
def tell(code):
    print(json.dumps(sorted(sys.modules)), file=sys.stderr, flush=True)
    leave(code)
os._exit = tell
import runpy
sys.argv = ["ftstudio", *sys.argv[1:]]
runpy.run_module("ftstudio", run_name="__main__")
"""
HEAVY = {"torch", "transformers", "datasets", "peft", "accelerate"}


def modules_of(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-c", PRINT_MODULES, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    return set(json.loads(done.stderr.splitlines()[-1])), done


@pytest.fixture
def quickstart(ftstudio, tmp_path):
    assert ftstudio("new", "quick", "--from", "quickstart", "--root", tmp_path).code == 0
    return tmp_path / "quick"


def test_the_version_costs_neither_textual_nor_torch_nor_plugins(tmp_path):
    modules, done = modules_of("--version", cwd=tmp_path)
    assert done.stdout.startswith("ftstudio")
    assert not modules & (HEAVY | {"textual", "pluggy", "ftstudio_datasets"})


@pytest.mark.parametrize(
    "command", [["status"], ["check", "quick"], ["plugins", "list"], ["show", "quick"], ["plugins", "show", "native"]]
)
def test_looking_loads_no_torch(quickstart, command):
    modules, done = modules_of(*command, cwd=quickstart.parent)
    assert done.returncode == 0, done.stderr
    assert not modules & (HEAVY | {"textual"})


def test_the_studio_loads_no_torch(tmp_path):
    code = "import sys, ftstudio.tui.app, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert not set(json.loads(done.stdout)) & HEAVY


def test_the_first_screen_loads_what_it_shows_and_no_more(tmp_path):
    code = (
        "import sys, json; from ftstudio.__main__ import _means_studio; assert _means_studio([sys.argv[1]])\n"
        "import ftstudio.tui.app, ftstudio.tui.memory; print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    later = {"click", "pluggy", "tomlkit", "tomli_w", "psutil", "importlib.metadata"}
    ours = {
        "api",
        "cli.main",
        "options",
        "settings",
        "project",
        "plugins",
        "process",
        "tui.chart",
        "tui.screens.project",
    }
    assert not set(json.loads(done.stdout)) & (later | {f"ftstudio.{name}" for name in ours})


def test_describing_the_built_ins_loads_no_torch(tmp_path):
    code = (
        "import sys, json; from ftstudio.plugins import registry; from ftstudio.api import KINDS\n"
        "found = [o.title for k in KINDS for o in registry().offers(k)]; print(json.dumps([found, sorted(sys.modules)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=dict(os.environ)
    )
    found, modules = json.loads(done.stdout)
    assert "trainer native" in found
    assert not set(modules) & (HEAVY | {"tokenizers", "pyarrow", "huggingface_hub", "numpy"})


def test_status_loads_no_plugin_and_no_torch(quickstart):
    modules, done = modules_of("status", quickstart.parent, cwd=quickstart.parent)
    assert done.returncode == 0, done.stderr
    assert not modules & (HEAVY | {"ftstudio.plugins", "ftstudio_datasets", "psutil", "textual", "tomlkit"})
