"""The tutorial, every step of it, on a Hub cache with GPT-2's true size and real tokenizer, offline."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hub_cache import REVISION, lay_out_gpt2

from ftstudio.files import read_toml

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def gpt2_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("hf")
    lay_out_gpt2(home)
    return home


def test_the_traps_of_the_tutorial_are_said_before_the_start_each_with_its_fix(ftstudio, tmp_path, gpt2_home):
    assert ftstudio("new", "tutorial", "--from", "tutorial", "--root", tmp_path).code == 0
    done = ftstudio("check", tmp_path / "tutorial", env={"HF_HOME": str(gpt2_home)})
    assert done.code == 0, done.err
    warnings = [line for line in done.err.splitlines() if line.startswith("! warning")]
    assert len(warnings) == 3
    for line, fix in zip(warnings, ("warmup_steps = 1", "save_steps = 3", "eval_steps = 3"), strict=True):
        assert "tutorial/project.toml:" in line
        assert f"Set {fix}" in line
    assert "in all          12 steps" in done.out
    assert "124,439,808 parameters" in done.out


def test_the_tutorial_runs_and_its_model_opens_anywhere(ftstudio, tmp_path, gpt2_home):
    assert ftstudio("new", "tutorial", "--from", "tutorial", "--root", tmp_path).code == 0
    folder = tmp_path / "tutorial"
    done = ftstudio("run", folder, "--json", env={"HF_HOME": str(gpt2_home)})
    assert done.code == 0, done.err
    result = done.json
    assert result["state"] == "finished"
    assert result["metrics"]["eval_loss"] < 11.2
    run = Path(result["run"])
    assert read_toml(run / "inputs.toml")["model"]["revision"] == REVISION

    moved = shutil.move(run / "final", tmp_path / "somewhere else")
    shutil.rmtree(folder)
    code = (
        "import sys; from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "t = AutoTokenizer.from_pretrained(sys.argv[1]); m = AutoModelForCausalLM.from_pretrained(sys.argv[1])\n"
        "ids = t.encode('AI research is important because', return_tensors='pt')\n"
        "out = m.generate(ids, max_length=50, num_return_sequences=1, temperature=0.7, do_sample=True, pad_token_id=t.eos_token_id)\n"
        "print(t.decode(out[0], skip_special_tokens=True))"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path / "empty")}
    opened = subprocess.run(
        [sys.executable, "-c", code, str(moved)], capture_output=True, text=True, check=False, env=environment
    )
    assert opened.returncode == 0, opened.stderr
    assert opened.stdout.startswith("AI research is important because")
