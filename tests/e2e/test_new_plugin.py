"""`ftstudio plugins new`: what it makes is installed without a network, passes its own tests, and runs in a project."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ftstudio.api import KINDS
from ftstudio.files import toml_text

QUICK = {
    "format": 1,
    "model": {"use": "bits", "layers": 1, "width": 8},
    "dataset": {"use": "bits", "path": "lines.txt"},
    "tokenizer": {"use": "bits", "max_length": 32},
    "trainer": {"use": "bits", "num_train_epochs": 2},
    "generator": {"use": "bits", "prompts": ["The river"], "max_new_tokens": 8},
    "observers": [{"use": "bits"}],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A package of all kinds, one of each kind alone, and a folder in which all are installed."""
    root = tmp_path_factory.mktemp("made")
    new(root, "ftstudio-bits", *KINDS)
    for kind in KINDS:
        new(root, f"only-{kind}", kind)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index",
               "--target", str(root / "site"), *(str(p) for p in sorted(root.iterdir()))]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return root


def new(root, name, *kinds):
    options = [word for kind in kinds for word in ("--kind", kind)]
    command = [sys.executable, "-m", "ftstudio", "plugins", "new", name, "--into", str(root), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{root / name}\n"
    assert f"ftstudio plugins check {root / name}" in done.stderr


def path_with(site):
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))}


def test_the_tests_of_each_kind_pass_at_once(made):
    tests = [str(made / f"only-{kind}" / "tests") for kind in KINDS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(made), "--import-mode=importlib",
         "-p", "no:cacheprovider", "-W", "error", *tests],
        cwd=made, env={**os.environ, **path_with(made / "site"), "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    for kind in KINDS:
        assert f"only-{kind}" not in done.stdout, "nothing failed, and pytest names only that"
    assert " passed" in done.stdout


def test_what_it_makes_is_formatted_and_clean_by_its_own_rules(made):
    for package in ["ftstudio-bits", *(f"only-{kind}" for kind in KINDS)]:
        for command in (["format", "--check"], ["check", "--no-cache"]):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, "."],
                cwd=made / package,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout


def test_a_package_of_all_kinds_runs_in_a_project(made, ftstudio, tmp_path):
    environment = path_with(made / "site")
    listed = ftstudio("plugins", "list", "--json", env=environment)
    (record,) = [r for r in listed.json if r["distribution"] == "ftstudio-bits"]
    assert record["status"] == "active"
    assert [(c["kind"], c["name"]) for c in record["components"]] == [(kind, "bits") for kind in KINDS]
    project = tmp_path / "mine"
    project.mkdir()
    (project / "project.toml").write_text(toml_text(QUICK))
    (project / "lines.txt").write_text("The river waits.\nThe lamp turns.\nA third line.\n")
    done = ftstudio("run", project, "--json", env=environment)
    assert done.code == 0, done.err
    assert done.json["state"] == "finished"
    assert Path(done.json["run"], "final", "model.safetensors").is_file()
    assert set(done.json["metrics"]) >= {"loss", "surprise"}
    diary = Path(done.json["run"], "diary.txt")
    for _ in range(300):  # nobody waits for an observer
        if diary.is_file() and "finished" in diary.read_text():
            break
        time.sleep(0.1)
    assert [line.partition(" ")[2] for line in diary.read_text().splitlines()] == [
        "checkpoint at step 2",
        "finished: to the end",
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["text", "--kind", "dataset"], "The dataset 'text' is taken by plugin datasets (ftstudio"),
        (
            ["ftstudio-native", "--kind", "observer", "--kind", "trainer"],
            "The trainer 'native' is taken by plugin trainers",
        ),
        (["json", "--kind", "dataset"], "There is a package json in this environment already."),
        (["Torch", "--kind", "dataset"], "There is a package torch in this environment already."),
        (["class", "--kind", "dataset"], "'class' cannot be imported as class."),
        (["1st", "--kind", "dataset"], "'1st' cannot be imported as 1st."),
        (["../up", "--kind", "dataset"], "'../up' is no name of a package."),
        (["ends-", "--kind", "dataset"], "'ends-' is no name of a package."),
        (["there", "--kind", "dataset"], "there' exists already. Choose another name."),
        (["mine", "--kind", "evaluator"], "'evaluator' is not one of"),
        (["mine"], "Missing option '--kind'"),
        (["mine", "--kind", "model", "--into", "file"], "file"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_and_nothing_is_left(ftstudio_here, tmp_path, arguments, says):
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("")
    done = ftstudio_here("plugins", "new", *arguments)
    assert done.code == 2
    assert says in done.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "there"]
