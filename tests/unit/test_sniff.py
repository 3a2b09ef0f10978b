"""Who reads a file, the files of a pattern, or a folder; and the table of a new project that comes of it."""

import sys
import tomllib
from types import ModuleType, SimpleNamespace

import pytest

from ftstudio import sniff as asked
from ftstudio.api import Component
from ftstudio.errors import InputError
from ftstudio.new import new_project
from ftstudio.plan import look_ahead
from ftstudio.plugins import Offer, Record, registry
from ftstudio.project import load
from ftstudio.sniff import UndecidedError, sniff
from ftstudio_datasets.options import InlineOptions, TextOptions


@pytest.fixture
def stranger(monkeypatch):
    """Install a source of a stranger, whose name sorts last and whose sniff function is the test's."""
    ours = registry()

    def install(function, options=TextOptions):
        module = ModuleType("strange")
        module.sniff = function
        monkeypatch.setitem(sys.modules, "strange", module)
        component = Component(
            name="zettel", summary="of a stranger", target="strange:Zettel", options=options, sniff="strange:sniff"
        )
        record = Record(
            name="strange", value="strange", distribution="strange", version="1", status="active", reason=""
        )
        offer = Offer(kind="dataset", component=component, record=record)
        found = SimpleNamespace(
            offers=lambda kind: [*ours.offers(kind), offer],
            find=lambda kind, name: offer if name == "zettel" else ours.find(kind, name),
        )
        monkeypatch.setattr(asked, "registry", lambda: found)

    return install


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """A folder of two texts beside the one that is the current."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "note[s]"
    folder.mkdir()
    (folder / "a.txt").write_text("one\ntwo\n")
    (folder / "b.txt").write_text("three\n" * 30)
    return folder


def test_a_plugin_is_asked_before_the_source_that_takes_any_text(stranger, tmp_path):
    (tmp_path / "a.md").write_text("# Zettel\n")
    (tmp_path / "b.md").write_text("# Other\n")
    stranger(lambda path: {"options": {"path": str(path)}} if "Zettel" in path.read_text() else None)
    assert sniff(tmp_path / "a.md")[0]["use"] == "zettel"
    assert sniff(tmp_path / "b.md")[0]["use"] == "text"


def test_a_plugin_that_fails_is_passed_over_which_is_said(stranger, tmp_path):
    (tmp_path / "a.md").write_text("one\n")
    stranger(lambda path: 1 / 0)
    table, says = sniff(tmp_path / "a.md")
    assert table["use"] == "text"
    assert says.startswith("text, 1 line. ")
    assert "strange" in says


def test_the_source_that_is_asked_for_has_no_options_of_another(stranger, tmp_path):
    (tmp_path / "a.md").write_text("one\ntwo\n\n" * 5)
    path = str(tmp_path / "a.md")
    assert sniff(tmp_path / "a.md")[0]["split_by"] == "blank_line"
    stranger(lambda path: None)
    assert sniff(tmp_path / "a.md", {"use": "zettel"}) == ({"use": "zettel", "path": path}, "to be read as zettel")
    stranger(lambda path: None, InlineOptions)
    assert sniff(tmp_path / "a.md", {"use": "zettel"})[0] == {"use": "zettel"}
    stranger(lambda path: {"options": {"path": str(path)}, "says": "a Zettel"})
    assert sniff(tmp_path / "a.md", {"use": "text"})[1].startswith("text, ")


def test_a_file_that_its_suffix_means_for_another_source_is_read_by_the_one_that_is_asked_for(tmp_path):
    (tmp_path / "a.jsonl").write_text("no JSON\n" * 30)
    made = new_project(tmp_path, "mine", data=tmp_path / "a.jsonl", overrides=["dataset.use=text"])
    assert not look_ahead(load(made.folder)).errors


@pytest.mark.parametrize("data", ["note[[]s]/*.txt", "note[s]", "note[s]/"])
def test_a_folder_or_a_pattern_becomes_a_project_on_all_of_its_files(notes, data):
    table, says = sniff(asked.Path(data))
    assert says == "2 files; 'a.txt' is text, 2 lines"
    assert table["rows"] == 32
    project = load(new_project(notes.parent / "projects", "mine", data=asked.Path(data)).folder)
    assert not look_ahead(project).errors
    assert look_ahead(project).facts.rows == 29


def test_a_folder_of_several_kinds_says_what_to_write(notes):
    (notes / "rows.jsonl").write_text('{"text": "a"}\n')
    (notes / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with pytest.raises(InputError) as refused:
        sniff(asked.Path("note[s]"))
    assert refused.value.message == "'note[s]' holds files of several kinds: .jsonl, .txt."
    assert refused.value.hint == "Say which: --data 'note[[]s]/*.jsonl' or --data 'note[[]s]/*.txt'."


def test_files_in_the_folders_of_a_folder_are_found(notes):
    (notes / "deep").mkdir()
    for file in notes.glob("*.txt"):
        file.rename(notes / "deep" / file.name)
    assert sniff(notes)[0]["path"].endswith("/**/*.txt")
    assert sniff(notes)[0]["rows"] == 32


@pytest.mark.parametrize(
    ("data", "sentence"),
    [("*.txt", "No file matches "), ("gone.txt", "There is no 'gone.txt'."), ("empty", "'empty' holds no file that a")],
)
def test_what_is_not_there_is_refused(notes, data, sentence):
    (notes.parent / "empty").mkdir()
    with pytest.raises(InputError) as refused:
        sniff(asked.Path(data))
    assert refused.value.message.startswith(sentence)


def test_columns_that_cannot_be_guessed_make_a_project_where_that_is_wanted(tmp_path):
    (tmp_path / "odd.jsonl").write_text('{"a": "x", "b": "y"}\n' * 30)
    with pytest.raises(UndecidedError) as refused:
        sniff(tmp_path / "odd.jsonl")
    assert "has no column that is plainly usable" in str(refused.value)
    with pytest.raises(InputError, match="Like this: ftstudio new NAME"):
        new_project(tmp_path, "first", data=tmp_path / "odd.jsonl")
    made = new_project(tmp_path, "mine", data=tmp_path / "odd.jsonl", undecided=True)
    table = tomllib.loads((made.folder / "project.toml").read_text())["dataset"]
    assert table == {"use": "table", "path": str(tmp_path / "odd.jsonl"), "validation_fraction": 0.1}
    (problem,) = look_ahead(load(made.folder)).errors
    assert problem.option == "text_column"


def test_that_all_of_a_conversation_is_trained_is_a_remark_that_names_the_option(tmp_path):
    row = '{"messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here."}]}\n'
    (tmp_path / "chat.jsonl").write_text(row * 30)
    folder = new_project(tmp_path, "mine", data=tmp_path / "chat.jsonl").folder
    assert load(folder).prompts == ("Where?",)
    (remark,) = [p for p in look_ahead(load(folder)).problems if p.option == "assistant_only_loss"]
    assert (remark.level, remark.edit) == ("note", {"assistant_only_loss": True})
    only = load(folder, ["tokenizer.assistant_only_loss=true"])
    assert not [p for p in look_ahead(only).problems if p.option == "assistant_only_loss"]


def test_a_question_too_long_to_be_asked_again_is_not_proposed(tmp_path):
    (tmp_path / "qa.jsonl").write_text('{"question": "%s", "answer": "a"}\n' % ("why " * 100) * 30)
    assert load(new_project(tmp_path, "mine", data=tmp_path / "qa.jsonl").folder).prompts == ("Hello, who are you?",)
