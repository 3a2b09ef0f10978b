"""The examples of plugins, installed as a stranger would install them, and driven by commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ftstudio.files import toml_text
from ftstudio.testing import tiny_model

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
NAMES = ("ftstudio-dpo", "ftstudio-gguf", "ftstudio-markdown")


def pip_install(site, *packages):
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-build-isolation", "--no-deps"]
    subprocess.run([*command, "--target", str(site), *map(str, packages)], check=True, capture_output=True)


def path_with(*folders):
    return {"PYTHONPATH": os.pathsep.join(filter(None, [*map(str, folders), os.environ.get("PYTHONPATH", "")]))}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strangers") / "site"
    pip_install(folder, *(EXAMPLES / name for name in NAMES))
    return folder


@pytest.fixture
def installed(site, ftstudio):
    """The command line where the examples are installed."""

    def run(*arguments, **more):
        done = ftstudio(*arguments, env=path_with(site), **more)
        assert done.code == 0, done.err
        return done

    return run


def project(folder, **tables):
    folder.mkdir(exist_ok=True)
    (folder / "project.toml").write_text(toml_text({"format": 1, **tables}))
    return folder


def test_they_are_listed_and_shown(installed):
    rows = {row["distribution"]: row for row in installed("plugins", "list", "--json").json}
    assert {name: rows[name]["status"] for name in NAMES} == dict.fromkeys(NAMES, "active")
    shown = installed("plugins", "show", "ftstudio-dpo").out
    assert "tokenizer pairs of ftstudio-dpo 1.0.0" in shown
    assert "beta = 0.1" in shown


def test_a_folder_of_markdown_becomes_a_project_that_is_checked_run_and_sampled(installed, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    for number in range(3):
        (notes / f"{number}.md").write_text(
            f"---\ntags: [poem]\n---\n# Poem {number}\n\nThe river bends {number} times.\n"
        )
    made = installed("new", "poems", "--data", notes, "--model", "scratch", "--root", tmp_path)
    assert "Markdown, 3 documents" in made.err
    poems = tmp_path / "poems"
    assert 'use = "markdown"' in (poems / "project.toml").read_text()
    checked = installed("check", poems, "--json").json
    assert checked["facts"]["rows"] == 3
    quick = ["--set", "trainer.max_steps=2", "--set", "generator.max_new_tokens=4", "--set", "model.n_embd=16"]
    done = installed("run", poems, "--json", *quick, "--set", "tokenizer.vocab_size=300").json
    assert (done["state"], len(done["samples"])) == ("finished", 1)
    assert len(installed("sample", poems, "--prompt", "The", "--json").json["texts"]) == 1


def test_preferences_are_learnt_and_their_metrics_are_there(installed, tmp_path):
    tiny_model(tmp_path / "tiny")
    rows = [{"prompt": f"{i}? ", "chosen": "yes", "rejected": "no!!"} for i in range(24)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lab = project(
        tmp_path / "lab",
        model={"use": "hub", "name": "../tiny"},
        dataset={"use": "table", "path": "../rows.jsonl", "validation_count": 4},
        tokenizer={"use": "pairs"},
        trainer={"use": "dpo", "learning_rate": 0.02, "num_train_epochs": 8, "logging_steps": 5, "beta": 0.5},
        generator={"use": "sample", "prompts": ["1? "], "max_new_tokens": 4},
    )
    checked = installed("check", lab, "--json").json
    assert (checked["facts"]["shape"], checked["plan"]["total_steps"]) == ("preference", 40)
    done = installed("run", lab, "--json").json
    assert done["state"] == "finished"
    assert done["metrics"]["rewards/accuracies"] == 1.0
    assert done["metrics"]["eval_rewards/accuracies"] == 1.0
    assert {sample["model"] for sample in done["samples"]} == {"base", "final"}
    assert Path(done["run"], "final", "model.safetensors").is_file()


def test_a_gguf_file_is_the_base_model_of_a_run(installed, site, tmp_path):
    pytest.importorskip("gguf", reason="the package gguf, which writes the file of this test, is not installed")
    code = "import sys, tiny; tiny.write(sys.argv[1], tiny.model())"
    environment = {**os.environ, **path_with(site, EXAMPLES / "ftstudio-gguf" / "tests")}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "tiny.gguf")], env=environment, check=True)
    lab = project(
        tmp_path / "lab",
        model={"use": "gguf", "path": "../tiny.gguf"},
        dataset={"use": "inline", "texts": ["a reed", "a river"]},
        tokenizer={"use": "pretrained"},
        trainer={"use": "native", "max_steps": 2},
        generator={"use": "sample", "prompts": ["a"], "max_new_tokens": 4},
    )
    assert installed("check", lab, "--json").json["facts"]["architecture"] == "llama"
    done = installed("run", lab, "--json").json
    assert (done["state"], {s["model"] for s in done["samples"]}) == ("finished", {"base", "final"})


def test_their_own_tests_pass(site, tmp_path):
    """The conformance kit is among them."""
    tests = [EXAMPLES / name / "tests" for name in NAMES]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(EXAMPLES), "--import-mode=importlib",
         "-p", "no:cacheprovider", "-W", "error", *map(str, tests)],
        cwd=tmp_path, env={**os.environ, **path_with(site, *tests), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


def test_the_kit_passes_them_from_the_command_line_too(installed):
    said = installed("plugins", "check", EXAMPLES / "ftstudio-markdown").out
    assert "0 failed" in said


def test_what_lies_in_a_project_folder_is_no_plugin_and_does_not_run(ftstudio, make_project, fakes, tmp_path):
    """A package with its dist-info, and modules by the names of others, in the folder that is opened and stood in."""
    folder = make_project()
    ran = f"open({str(tmp_path / 'ran')!r}, 'a').write(__name__ + ' ')\n"
    for name in ("evil", "torch", "transformers", "json", "sitecustomize", "ftstudio_datasets", "conftest"):
        (folder / f"{name}.py").write_text(ran)
    info = folder / "evil-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ftstudio]\nevil = evil\n")
    (folder / "pyproject.toml").write_text('[project]\nname = "evil"\n[project.entry-points.ftstudio]\nevil = "evil"\n')
    for command in (
        ("plugins", "list"),
        ("check", "."),
        ("data", ".", "--tokens"),
        ("run", "."),
        ("sample", ".", "--prompt", "a"),
    ):
        done = ftstudio(*command, cwd=folder)
        assert done.code == 0, (command, done.err)
        assert "evil" not in done.out + done.err
    assert not (tmp_path / "ran").exists()
