"""What a person may get wrong: one sentence that names the thing, exit code 2, no traceback.

On the real program, but for what is refused before it would start anything.
"""

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

STARTER = Path(__file__).resolve().parents[2] / "plugins" / "ftstudio_models" / "starter_gpt2"
BASE = {
    "format": 1,
    "model": {"use": "starter"},
    "dataset": {"use": "inline", "texts": ["One sentence.", "Another sentence."]},
    "tokenizer": {"use": "pretrained"},
    "trainer": {"use": "native", "max_steps": 1, "per_device_train_batch_size": 1},
    "generator": {"use": "sample", "prompts": ["One"], "max_new_tokens": 2},
}


def said(done, code=2):
    assert done.code == code, (done.out, done.err)
    assert "Traceback" not in done.err
    return done.err


def names_once(text, *sentences):
    for sentence in sentences:
        assert sentence in text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "The table [model] is missing."),
        (b'format = 1\nname = "\xe9"', "project.toml:2:9: Byte 0xe9 is not UTF-8."),
        (b"\xef\xbb\xbfformat = 1", "project.toml:1:1: The file starts with a byte order mark."),
        (b"format = 1\nformat = 1", "project.toml:2:"),
        (b"x = " + b"[" * 5000, "It is nested more than 32 deep."),
        (b"a." * 20_000 + b"a = 1", "A key has more than 16 dotted parts."),
        (b"# " * 150_000, "The file is larger than 262 kB."),
        (b"format = 1\n\n[modle]\nuse = 'starter'", "project.toml:3: [modle]: 'modle' is not a table of a project. Did you mean model?"),
        (b"format = 1\n[model]\nuse = 'startr'", "There is no model 'startr'. Did you mean starter?"),
        (b"format = 1\n[trainer]\nuse = 'native'\nlearning_rat = 1", "project.toml:4 [trainer]: 'learning_rat' is not an option of trainer native. Did you mean learning_rate?"),
        (b"format = 1\n[trainer]\nuse = 'native'\nlearning_rate = 'high'", "learning_rate must be a number, not 'high'."),
        (b"format = 1\n[trainer]\nuse = 'native'\nlearning_rate = nan", "learning_rate must be a number, not nan."),
        (b"format = 1\n[trainer]\nuse = 'native'\nevaluation_strategy = 'no'", "evaluation_strategy is not an option here. Use eval_strategy instead."),
    ],
)  # fmt: skip
def test_project_files(ftstudio_here, tmp_path, content, sentence):
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "project.toml").write_bytes(content)
    for command in ("check", "run"):
        text = said(ftstudio_here(command, folder)).replace("lab/", "")
        assert sentence.replace("3: [modle]", "3 [modle]") in text
    assert [p.name for p in folder.iterdir()] == ["project.toml"]


def test_a_missing_project_file(ftstudio, tmp_path):
    (tmp_path / "lab").mkdir()
    assert "is no project: it has no project.toml." in said(ftstudio("run", tmp_path / "lab"))


DATA = [
    ({"use": "text", "path": "gone.txt"}, None, "'gone.txt'"),
    ({"use": "text", "path": "*.md"}, None, "'*.md'"),
    ({"use": "text", "path": "d.txt"}, b"", "d.txt' is empty"),
    ({"use": "text", "path": "d.txt"}, b"\n\n \n", "d.txt"),
    ({"use": "text", "path": "d.txt"}, b"abc\x00\x01\x02def" * 100, "d.txt"),
    ({"use": "text", "path": "d.txt"}, "ok\ncaf\xe9\n".encode("latin-1"), "d.txt"),
    ({"use": "table", "path": "d.csv"}, b"text,b\none,2\nthree\n", "Line 3 of"),
    ({"use": "table", "path": "d.jsonl"}, b'{"text": "a"}\n{"text": \n', "Line 2 of"),
    ({"use": "table", "path": "d.jsonl"}, b'{"a": 1, "b": 2}\n', "'a', 'b'"),
    ({"use": "table", "path": "d.jsonl", "text_column": "txet"}, b'{"text": "x"}\n', "Did you mean"),
    ({"use": "table", "path": "d.json"}, b"", "d.json"),
    ({"use": "table", "path": "d.parquet"}, b"not parquet", "d.parquet"),
    ({"use": "inline", "texts": []}, None, "texts"),
    ({"use": "inline", "texts": ["a", "b"], "validation_count": 2}, None, "nothing is left to train on"),
]


@pytest.mark.parametrize(("dataset", "content", "sentence"), DATA, ids=lambda v: str(v)[:40])
def test_data(ftstudio, make_project, dataset, content, sentence):
    folder = make_project(base={**BASE, "dataset": dataset})
    if content is not None:
        (folder / dataset["path"]).write_bytes(content)
    assert sentence in said(ftstudio("run", folder))


def model_folder(tmp_path, **files):
    folder = tmp_path / "model"
    shutil.copytree(STARTER, folder)
    for name, content in files.items():
        target = folder / name.replace("__", ".")
        target.unlink(missing_ok=True)
        if content is not None:
            target.write_bytes(content)
    return folder


CONFIG = json.loads((STARTER / "config.json").read_text()) if STARTER.exists() else {}
WEIGHTS = (STARTER / "model.safetensors").read_bytes() if STARTER.exists() else b""
MODELS = [
    ({"model__safetensors": None, "pytorch_model__bin": b"\x80\x04"}, "are pickles (pytorch_model.bin)"),
    ({"model__safetensors": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"}, "is a Git LFS pointer, not weights."),
    ({"model__safetensors": b"<!DOCTYPE html><html></html>"}, "is an HTML page, not weights."),
    ({"model__safetensors": WEIGHTS[:-1000]}, "is truncated: it has"),
    ({"model__safetensors": struct.pack("<Q", 2**60) + b"x" * 500}, "safetensors"),
    ({"model__safetensors": None}, "has no weights"),
    ({"config__json": json.dumps({**CONFIG, "auto_map": {"AutoModel": "x.Y"}}).encode()}, "asks to run code of its own"),
    ({"config__json": json.dumps({**CONFIG, "model_type": "nobody-knows"}).encode()}, "'nobody-knows'"),
    ({"config__json": b"{"}, "not a config"),
    ({"config__json": None}, "has no config.json"),
    ({"tokenizer__json": None, "tokenizer_config__json": None}, "tokenizer"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "sentence"), MODELS, ids=lambda v: str(v)[:40])
def test_models(ftstudio, make_project, tmp_path, files, sentence):
    folder = make_project(base={**BASE, "model": {"use": "hub", "name": str(model_folder(tmp_path, **files))}})
    assert sentence in said(ftstudio("run", folder))


def test_a_hub_that_is_away_names_three_ways_out(ftstudio, make_project):
    """The name resolves to nothing here or the proxy refuses: both are a Hub that is away, within seconds."""
    folder = make_project(base={**BASE, "model": {"use": "hub", "name": "some/model"}})
    away = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}
    names_once(
        said(ftstudio("run", folder, env=away)),
        "'some/model' is not in the cache",
        "HF_HOME",
        "name a folder",
        'use = "starter"',
    )
    offline = said(ftstudio("run", folder))
    names_once(
        offline, "'some/model' is not in the Hub's cache, and HF_HUB_OFFLINE is set", "name a folder", 'use = "starter"'
    )


def test_max_length_beyond_the_context(ftstudio, make_project):
    folder = make_project(base={**BASE, "tokenizer": {"use": "pretrained", "max_length": 5000}})
    assert "max_length = 5,000 is beyond the model's context of 512 tokens." in said(ftstudio("run", folder))


@pytest.mark.parametrize("name", ["..", "a/b", "a\x07b", "../../etc", ".hidden", "x" * 65])
def test_project_names(ftstudio_here, tmp_path, name):
    assert "is no project name." in said(ftstudio_here("new", name, "--root", tmp_path / "root"))
    assert not (tmp_path / "root").exists()


# Run inside a private mount namespace: a full disk and a read-only one, for real.
MOUNT = """
import subprocess, sys
place, option = sys.argv[1:3]
if option == "ro":
    subprocess.run(["mount", "--bind", place, place], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
sys.exit(subprocess.run(sys.argv[3:]).returncode)
"""


def can_mount():
    probe = (
        subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False) if shutil.which("unshare") else None
    )
    return probe is not None and probe.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace of its own")
def test_a_read_only_file_system(make_project):
    folder = make_project(base=BASE)
    before = sorted(p.name for p in folder.iterdir())
    command = [
        "unshare",
        "-m",
        sys.executable,
        "-c",
        MOUNT,
        str(folder),
        "ro",
        sys.executable,
        "-m",
        "ftstudio",
        "run",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 2, done.stderr
    assert "lies on a file system that is read-only" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in folder.iterdir()) == before


FULL = """
import os, shutil, subprocess, sys
place, project, size, ballast = sys.argv[1:5]
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
shutil.copytree(project, f"{place}/lab")
ftstudio = [sys.executable, "-m", "ftstudio"]
done = subprocess.run([*ftstudio, "run", f"{place}/lab", "--detach"], capture_output=True, text=True)
print(done.stdout, done.stderr, sep="\\n")
if done.returncode == 0:
    try:
        with open(f"{place}/ballast", "wb") as file:
            file.write(bytes(int(ballast)))
    except OSError:
        pass
    done = subprocess.run([*ftstudio, "attach", f"{place}/lab"], capture_output=True, text=True)
    print(done.stdout, done.stderr, sep="\\n")
runs = f"{place}/lab/runs"
print("STAGED", [n for _, ds, fs in os.walk(runs) for n in ds + fs if n.endswith((".staging", ".tmp"))])
sys.exit(done.returncode)
"""


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace of its own")
@pytest.mark.parametrize(("size", "ballast", "code"), [("20m", 0, 2), ("200m", 190_000_000, 3)])
def test_a_full_disk(make_project, tmp_path, size, ballast, code):
    """Too small for the plan, it is refused before the start; filled by others meanwhile, the run is interrupted."""
    folder = make_project(base=BASE)
    place = tmp_path / "small"
    place.mkdir()
    command = ["unshare", "-m", sys.executable, "-c", FULL, str(place), str(folder), size, str(ballast)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == code, done.stdout + done.stderr
    assert ("of disk;" if code == 2 else "interrupted: The disk is full") in done.stdout
    assert "Traceback" not in done.stdout
    assert "STAGED []" in done.stdout
