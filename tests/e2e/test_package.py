"""The wheel: what is in it, and that it works where nothing else of this repository is."""

import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = {"ftstudio", *(p.name for p in (ROOT / "plugins").iterdir() if (p / "__init__.py").exists())}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (found,) = out.glob("*.whl")
    return found


def test_the_wheel_holds_our_packages_and_nothing_else_at_the_top(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {n.split("/")[0] for n in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == PACKAGES
    assert not [n for n in names if ("/examples/" in n and "/runs/" in n) or "__pycache__" in n]
    for needed in (
        "ftstudio/py.typed",
        "ftstudio/tui/app.tcss",
        "ftstudio/templates/plugin/common/pyproject.toml.txt",
        "ftstudio/templates/plugin/common/.gitignore.txt",
        "ftstudio/examples/quickstart/project.toml",
        "ftstudio/examples/tutorial/project.toml",
        "ftstudio/examples/shakespeare/plays.txt",
        "ftstudio_models/starter_gpt2/model.safetensors",
        "ftstudio_models/starter_gpt2/README.md",
    ):
        assert needed in names
    metadata = next(n for n in names if n.endswith("METADATA"))
    assert "License-Expression: Apache-2.0" in zipfile.ZipFile(wheel).read(metadata).decode()


def test_the_installed_wheel_makes_and_checks_a_project_from_an_example(wheel, tmp_path):
    """Installed by itself: our packages come from the wheel, third-party ones from the environment that runs the tests."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    site = next((home / "lib").glob("python*")) / "site-packages"
    zipfile.ZipFile(wheel).extractall(site)
    outside = [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    (site / "environment.pth").write_text("\n".join(outside) + "\n")

    def run(*arguments):
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        return subprocess.run(
            [str(python), "-P", "-m", "ftstudio", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    where = subprocess.run(
        [str(python), "-P", "-c", "import ftstudio; print(ftstudio.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(site) in where.stdout
    made = run("new", "mine", "--from", "quickstart", "--root", tmp_path)
    assert made.returncode == 0, made.stderr
    checked = run("check", tmp_path / "mine")
    assert checked.returncode == 0, checked.stderr
    assert (tmp_path / "mine" / "project.toml").read_text() == (ROOT / "projects/quickstart/project.toml").read_text()


def test_the_entry_points_that_are_installed_are_those_of_pyproject():
    declared = PYPROJECT["project"]["entry-points"]["ftstudio"]
    installed = {e.name: e.value for e in entry_points(group="ftstudio") if e.dist and e.dist.name == "ftstudio"}
    assert installed == declared, "pyproject.toml changed: install again with pip install --editable ."


def test_every_dependency_has_an_exact_pin_and_the_core_ones_are_open():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    named = {n.lower().replace("_", "-") for n in pins}
    wanted = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["project"]["optional-dependencies"]["dev"]]
    for requirement in wanted:
        name = requirement.split(">")[0].split("=")[0].strip()
        assert name.lower().replace("_", "-") in named, f"{name} has no pin in constraints.txt"
    assert all("==" not in r for r in wanted)


def test_the_top_level_is_fixed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    tops = {line.split("/")[0] for line in listed.stdout.splitlines()}
    usual = {".ci", ".gitignore", ".importlinter", "CHANGELOG.md", "LICENSE", "Makefile", "constraints.txt", "docs"}
    assert tops <= usual | {"pyproject.toml", "README.md", "ftstudio", "plugins", "tests", "projects"}
