"""The README's first command, on a copy of the example: from ten sentences to two texts side by side."""

import shutil
import subprocess
import sys

import pytest

from ftstudio.runs.events import Series, read_events
from ftstudio.runs.folder import RunFolder


@pytest.fixture
def quickstart(ftstudio, tmp_path):
    assert ftstudio("new", "quickstart", "--from", "quickstart", "--root", tmp_path).code == 0
    return tmp_path / "quickstart"


def imported(console):
    """The modules that the worker loaded, as Python itself wrote them down."""
    lines = [line for line in console.read_text().splitlines() if line.startswith("import time:")]
    found = {line.rpartition("|")[2].strip() for line in lines}
    assert "torch" in found
    return found


def test_the_demo_ends_with_everything_it_promises(ftstudio, quickstart):
    done = ftstudio("run", quickstart, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.code == 0, done.err
    assert "prompt: AI research is important because" in done.out
    assert "before (base model, seed 42)" in done.out
    assert "after (fine-tuned, seed 42)" in done.out
    assert "eval_loss: " in done.out
    assert "8 rows can shift a model's tone" in done.out
    final = quickstart / "runs" / "0001" / "final"
    assert f"model:  {final}" in done.out
    assert f"ftstudio {quickstart}" in done.out
    series = Series()
    series.add(read_events(RunFolder(final.parent).events))
    assert "peft" not in imported(final.parent / "console.log")  # a third of a second, for adapters alone
    losses = series.values("eval_loss")
    assert losses[0][0] == 0
    assert losses[-1][1] < losses[0][1]

    moved = shutil.move(final, quickstart.parent / "moved")
    code = (
        "import sys; from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "t = AutoTokenizer.from_pretrained(sys.argv[1]); m = AutoModelForCausalLM.from_pretrained(sys.argv[1])\n"
        "ids = t('AI research', return_tensors='pt'); print(len(t.decode(m.generate(**ids, max_new_tokens=8, do_sample=False)[0])))\n"
        "assert not any(n.startswith('ftstudio') for n in sys.modules)"
    )
    opened = subprocess.run([sys.executable, "-c", code, str(moved)], capture_output=True, text=True, check=False)
    assert opened.returncode == 0, opened.stderr
    assert int(opened.stdout) > len("AI research")


def test_a_deep_check_measures_and_shows_a_batch(ftstudio, quickstart):
    done = ftstudio("check", quickstart, "--deep")
    assert done.code == 0, done.err
    assert "tokens/s on cpu" in done.out
    assert "committed and read back" in done.out
    assert "= =" in done.out
    again = ftstudio("check", quickstart).out
    for figure in ("tokens", "speed", "memory", "time"):  # kept for the next plan
        (line,) = [line for line in again.splitlines() if line.startswith(f"{figure} ")]
        assert line.endswith("measured" if figure != "time" else "estimated")
