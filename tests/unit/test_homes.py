"""Paths that begin with ~name: those of a user that is not there are paths like any other that leads nowhere."""

import os
import sys
import types
from pathlib import Path

import pytest

import ftstudio
from ftstudio.api import Facts, ProjectInfo
from ftstudio.doctor import examine
from ftstudio.errors import InputError, UnknownNameError
from ftstudio.files import hub_home
from ftstudio.finding import project_folder
from ftstudio.options import describe
from ftstudio.plan import look_ahead
from ftstudio.project import load
from ftstudio.runs import measured
from ftstudio.runs.find import find_run
from ftstudio.sniff import sniff
from ftstudio.text import expanded
from ftstudio.tui.offers import cached_models, offers, path_words
from ftstudio_datasets.options import TextOptions
from ftstudio_tokenizers.light import template_file

NOBODYS = "~nobody-of-this-name/x"
BUILT_IN = {
    "format": 1,
    "model": {"use": "starter"},
    "dataset": {"use": "text", "path": NOBODYS},
    "tokenizer": {"use": "pretrained"},
    "trainer": {"use": "native"},
    "generator": {"use": "sample"},
}
TEMPLATE = Path(ftstudio.__file__).parent / "templates" / "plugin" / "dataset" / "options.py.txt"


def test_a_home_is_put_in_and_one_that_is_not_there_is_left_as_it_is():
    assert expanded("~/x") == Path(os.path.expanduser("~")) / "x"  # noqa: PTH111
    assert expanded(Path(NOBODYS)) == Path(NOBODYS)
    assert expanded("~no\0body/x") == Path("~no\0body/x")


def test_data_of_a_user_that_is_not_there_are_a_problem_of_the_setting(make_project):
    project = load(make_project(base=BUILT_IN))
    assert measured.data_files(project) == []
    measured.recall(project, "cpu")
    (found,) = [p for p in look_ahead(project).errors if p.option == "path"]
    assert NOBODYS in found.message


def test_whatever_else_a_person_names_so_is_not_there(tmp_path):
    for look in (lambda: project_folder(NOBODYS), lambda: load(Path(NOBODYS)), lambda: find_run(NOBODYS, tmp_path)):
        with pytest.raises(UnknownNameError, match="nobody-of-this-name"):
            look()
    with pytest.raises(InputError, match="There is no"):
        sniff(Path(NOBODYS))
    assert template_file(NOBODYS, tmp_path) == tmp_path / NOBODYS


def test_the_form_says_of_such_a_path_that_there_is_none(tmp_path):
    (field,) = [f for f in describe(TextOptions) if f.name == "path"]
    assert path_words(field, NOBODYS, tmp_path) == f"There is no '{NOBODYS}' yet."
    assert offers(field, NOBODYS, tmp_path) == []


def test_the_doctor_says_of_such_a_home_of_the_hub_that_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", NOBODYS)
    assert hub_home() == Path(NOBODYS)
    (found,) = [f for f in examine(tmp_path, write=False) if f.subject == "Hub's cache"]
    assert (found.level, found.says) == ("error", f"{NOBODYS}: there is no such home")
    assert found.mend == "Write the whole path of a folder into HF_HOME."
    assert cached_models() == []


@pytest.mark.parametrize(
    ("variables", "hub"),
    [
        ({"HF_HUB_CACHE": "~/c"}, "c"), ({"HUGGINGFACE_HUB_CACHE": "~/d"}, "d"), ({"HF_HOME": "~/h"}, "h/hub"),
        ({"XDG_CACHE_HOME": "~/x"}, "x/huggingface/hub"), ({}, ".cache/huggingface/hub"),
    ],
)  # fmt: skip
def test_models_are_offered_from_where_the_hub_keeps_them(tmp_path, monkeypatch, variables, hub):
    for name in ("HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name)
    for name, value in {"HOME": str(tmp_path), **variables}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / hub / "models--org--name").mkdir(parents=True)
    assert cached_models() == ["org/name"]


@pytest.mark.parametrize("path", [NOBODYS, "no\0file", "none.txt"])
def test_the_dataset_source_that_is_made_for_an_author_refuses_it_in_a_sentence(tmp_path, monkeypatch, path):
    module = types.ModuleType("made")
    monkeypatch.setitem(sys.modules, "made", module)
    exec(compile(TEMPLATE.read_text(), str(TEMPLATE), "exec"), vars(module))
    made = vars(module)
    options = made["DatasetOptions"](path=Path(path))
    assert made["facts"](options, tmp_path) == Facts(shape="text")
    (problem,) = made["check"](options, ProjectInfo(folder=tmp_path, name="x", seed=1, uses={}, options={}), Facts())
    assert (problem.level, problem.option) == ("error", "path")
