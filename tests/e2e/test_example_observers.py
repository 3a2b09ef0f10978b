"""The example observers of docs/examples, each in an environment of its own, since what they need changes others.

They are installed from the package index, which takes a minute each: only with `pytest --installs`.
"""

import os
import shutil
import subprocess
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
LIGHT = ["click", "platformdirs", "pluggy", "psutil", "tomli-w", "tomlkit", "pytest"]
"""What replaying takes of ftstudio's dependencies: no torch."""


@pytest.mark.alone
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", ["wandb", "trackio", "mlflow"])
def test_an_example_observer_is_installed_and_shows_a_run_where_it_says(request, tmp_path, name):
    if not request.config.getoption("--installs"):
        pytest.skip("it installs packages from the index: pytest --installs")
    example = Path(shutil.copytree(EXAMPLES / f"ftstudio-{name}", tmp_path / "example"))
    needs = tomllib.loads((example / "pyproject.toml").read_text())["project"]["dependencies"]
    place = tmp_path / "venv"
    venv.create(place, with_pip=True)
    for packages in ([*LIGHT, *(n for n in needs if n != "ftstudio")], ["--no-deps", str(example)]):
        pip = [place / "bin" / "python", "-m", "pip", "install", "--quiet", *packages]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"pip cannot install {name}: {done.stderr.strip().splitlines()[-1]}")
    done = subprocess.run(
        [place / "bin" / "python", "-m", "pytest", "-q"], cwd=example, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
