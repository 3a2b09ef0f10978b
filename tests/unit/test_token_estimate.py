"""How many tokens a plan expects: measured on the project's own text where the tokenizer is on this machine."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

import ftstudio_models
from ftstudio import plan
from ftstudio.api import Component, Facts
from ftstudio.plugins import Offer, Record
from ftstudio.project import examples, load
from ftstudio_tokenizers import light
from ftstudio_tokenizers.options import BpeOptions, BytesOptions, PretrainedOptions

STARTER = Path(ftstudio_models.__file__).parent / "starter_gpt2"
PLAYS = (examples() / "shakespeare" / "plays.txt").read_text("utf-8")[:150_000]
BASE = {
    "format": 1,
    "model": {"use": "starter"},
    "dataset": {"use": "text", "path": "rows.txt"},
    "tokenizer": {"use": "pretrained"},
    "trainer": {"use": "native"},
    "generator": {"use": "sample", "prompts": ["The"]},
}


@pytest.fixture
def plays(make_project):
    folder = make_project("plays", BASE)
    (folder / "rows.txt").write_text(PLAYS)
    return folder


def counted(rows):
    tokenizer = Tokenizer.from_file(str(STARTER / "tokenizer.json"))
    return sum(len(tokenizer.encode(row, add_special_tokens=False).ids) + 1 for row in rows)


@pytest.mark.parametrize("name", [None, "own"])
def test_tokens_are_estimated_with_the_models_own_vocabulary(plays, name):
    if name:
        shutil.copytree(STARTER, plays / name)
    overrides = ['model.use="hub"', 'model.name="own"'] if name else []
    outlook = plan.look_ahead(load(plays, overrides))
    real = counted([line for line in PLAYS.splitlines() if line.strip()])
    assert outlook.facts.tokens == pytest.approx(real, rel=0.05)
    assert {"tokens", "characters_per_token"} <= outlook.facts.estimated
    assert ("tokens", "estimated") in [(what, how) for what, _, how in plan.outlook_lines(outlook)]
    without = len(PLAYS) / plan.CHARACTERS_PER_TOKEN
    assert abs(without - real) > 0.2 * real, "the tokenizer must be one that the rule of thumb gets wrong"


def test_of_texts_that_are_cut_only_what_is_left_is_counted(plays):
    whole = plan.look_ahead(load(plays, ['dataset.split_by="document"', "tokenizer.max_length=64"]))
    cut = ['dataset.split_by="document"', "tokenizer.max_length=64", "tokenizer.truncation=true"]
    assert plan.look_ahead(load(plays, cut)).facts.tokens == 64 < whole.facts.tokens
    by_line = plan.look_ahead(load(plays, ["tokenizer.max_length=8", "tokenizer.truncation=true"]))
    tokenizer = Tokenizer.from_file(str(STARTER / "tokenizer.json"))
    rows = [row for row in PLAYS.splitlines() if row.strip()]
    real = sum(min(8, len(tokenizer.encode(row, add_special_tokens=False).ids) + 1) for row in rows)
    assert by_line.facts.tokens == pytest.approx(real, rel=0.05)


def test_of_conversations_what_the_template_writes_is_counted(make_project):
    model = {"model": {"use": "scratch"}, "tokenizer": {"use": "bytes"}}
    folder = make_project("talk", {**BASE, **model, "dataset": {"use": "table", "path": "talk.jsonl"}})
    talks = [[("user", f"{n}?"), ("assistant", "Yes, I think so.")] * (1 + n % 3) for n in range(20)]
    rows = [{"messages": [{"role": role, "content": text} for role, text in talk]} for talk in talks]
    (folder / "talk.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    real = sum(len(f"{role}:\n{text}\n\n") for talk in talks for role, text in talk) + sum(map(len, talks)) // 2
    assert plan.look_ahead(load(folder)).facts.tokens == pytest.approx(real, rel=0.05)


def test_a_plan_for_others_holds_no_text_of_the_data(plays):
    outlook = plan.look_ahead(load(plays))
    assert outlook.facts.sample
    assert PLAYS[:20] not in json.dumps(plan.as_json(outlook))


def test_a_tokenizer_of_another_name_is_the_one_that_is_measured(tmp_path):
    known = Facts(sample=("to be or not to be",), tokenizer=tmp_path / "gone")
    shutil.copytree(STARTER, tmp_path / "other")
    named = light.facts(PretrainedOptions(name="./other"), tmp_path, known)
    assert named.characters_per_token == pytest.approx(18 / (counted(known.sample) - 1))
    assert light.facts(PretrainedOptions(), tmp_path, known).characters_per_token is None


def test_bytes_are_counted_and_what_cannot_be_measured_is_left_unknown(tmp_path):
    assert light.facts(BytesOptions(), tmp_path).characters_per_token == 1.0
    assert light.facts(BytesOptions(), tmp_path, Facts(sample=("éé",))).characters_per_token == 0.5
    assert light.facts(BpeOptions(), tmp_path, Facts(sample=("éé",))).characters_per_token is None
    (tmp_path / "tokenizer.json").write_text("<html>")
    known = Facts(sample=("a",), tokenizer=tmp_path)
    assert light.facts(PretrainedOptions(), tmp_path, known).characters_per_token is None
    assert light.facts(PretrainedOptions(), tmp_path, Facts(tokenizer=STARTER)).characters_per_token is None


def test_measuring_loads_nothing_heavy(ftstudio, plays):
    done = ftstudio("check", plays, "--json")
    assert done.json["facts"]["characters_per_token"] < 3.5
    code = (
        "import sys; from ftstudio_tokenizers import light; from ftstudio_tokenizers.options import PretrainedOptions\n"
        "from ftstudio.api import Facts; from pathlib import Path\n"
        f"known = Facts(sample=('a b',), tokenizer=Path({str(STARTER)!r}))\n"
        "assert light.facts(PretrainedOptions(), Path(), known).characters_per_token\n"
        "assert 'tokenizers' in sys.modules\n"
        "assert not {'torch', 'transformers', 'datasets', 'numpy', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def two(options, folder):
    return Facts(rows=folder)


def any_number(*arguments):
    return Facts(rows=len(arguments))


@pytest.mark.parametrize(("name", "rows"), [("two", 7), ("any_number", 3)])
def test_a_function_of_an_older_plugin_is_called_with_what_it_takes(name, rows):
    component = Component(name="x", summary="x", target="x:X", options=BpeOptions, facts=f"{__name__}:{name}")
    record = Record(name="x", value="x", distribution="x", version="1", status="active")
    assert Offer(kind="tokenizer", component=component, record=record).light("facts", None, 7, Facts()).rows == rows
