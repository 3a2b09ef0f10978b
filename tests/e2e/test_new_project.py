"""`ftstudio new --data FILE`: it looks at the file, says what it found, and the project it makes can start."""

import json
import tomllib

import pytest

from ftstudio.errors import InputError
from ftstudio.new import new_project
from ftstudio.process.bench import Bench
from ftstudio.project import load

FILES = {
    "poems.txt": ("One line.\nAnother line.\n" * 20, {"use": "text"}, "text"),
    "chat.jsonl": (
        "".join(
            json.dumps({"messages": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": "a"}]})
            + "\n"
            for i in range(30)
        ),
        {"use": "table"},
        "messages",
    ),
    "qa.csv": (
        "question,answer\n" + "".join(f"What is {i}?,It is {i}\n" for i in range(30)),
        {"use": "table"},
        "question",
    ),
    "share.json": (
        json.dumps(
            [{"conversations": [{"from": "human", "value": f"q{i}"}, {"from": "gpt", "value": "a"}]} for i in range(30)]
        ),
        {"use": "table"},
        "conversations",
    ),
}


@pytest.fixture(scope="module")
def bench():
    """A process that imports what is heavy once."""
    bench = Bench()
    yield bench
    bench.close()


@pytest.mark.parametrize("name", FILES)
def test_a_project_from_a_file_says_what_it_found_and_can_start(ftstudio, tmp_path, bench, name):
    content, dataset, said = FILES[name]
    (tmp_path / name).write_text(content)
    made = ftstudio("new", "mine", "--data", name, "--root", "projects")
    assert made.code == 0, made.err
    assert made.out.strip().endswith("projects/mine")
    assert made.err.startswith(f"{name}: ")
    assert said in made.err
    table = tomllib.loads((tmp_path / "projects" / "mine" / "project.toml").read_text())["dataset"]
    assert table.items() >= dataset.items()
    assert table["validation_fraction"] == 0.1
    checked = ftstudio("check", tmp_path / "projects" / "mine")
    assert checked.code == 0, checked.err
    job = {"kind": "rows", "first": 0, "count": 1}
    (row,) = bench.ask(load(tmp_path / "projects" / "mine"), job, lambda event: None)["view"]
    assert row["pieces"]


@pytest.mark.parametrize(
    ("name", "prompt"),
    [("poems.txt", "The"), ("chat.jsonl", "q0"), ("qa.csv", "What is 0?")],
)
def test_what_learns_to_answer_is_asked_and_what_learns_to_go_on_gets_a_beginning(tmp_path, name, prompt):
    (tmp_path / name).write_text(FILES[name][0])
    made = new_project(tmp_path / "projects", "mine", data=tmp_path / name)
    table = tomllib.loads((made.folder / "project.toml").read_text())
    assert table["generator"]["prompts"] == [prompt]
    assert not {"rows", "shape"} & table["dataset"].keys()
    if name == "chat.jsonl":
        assert made.says == "JSONL, 30 rows; conversations in column 'messages'"


def test_a_model_folder_is_named_by_its_absolute_path(ftstudio, tmp_path):
    (tmp_path / "models" / "mine").mkdir(parents=True)
    made = ftstudio("new", "lab", "--model", "models/mine", "--root", "projects")
    assert made.code == 0, made.err
    table = tomllib.loads((tmp_path / "projects" / "lab" / "project.toml").read_text())["model"]
    assert table == {"use": "hub", "name": str(tmp_path / "models" / "mine")}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "empty.txt"),
        (b"\x00\x01" * 100, "binary.txt"),
        (b'{"a": 1', "bad.jsonl"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "photo.png"),
    ],
)
def test_a_file_that_cannot_be_read_makes_no_project(ftstudio, tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    made = ftstudio("new", "mine", "--data", name, "--root", "projects")
    assert made.code == 2, made.out
    assert name in made.err
    assert "Traceback" not in made.err
    assert not (tmp_path / "projects" / "mine").exists()


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("a.jsonl.gz", "\x1f", "Unpack it first."),
        ("a.zip", "PK\x03\x04\0", "Unpack it first."),
        ("a.jsonl", '{"text": null, "b": "x"}\n', "Write a text there, or take the record out."),
        ("a.jsonl", '{"text": 1}\n', "Make it a text."),
    ],
)
def test_what_no_setting_mends_is_told_without_one(tmp_path, name, content, hint):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as raised:
        new_project(tmp_path / "projects", "mine", data=tmp_path / name)
    assert raised.value.hint == hint


def test_a_project_that_cannot_start_is_made_and_the_reason_is_said(ftstudio, tmp_path):
    rows = [{"prompt": f"{n}?", "chosen": "a", "rejected": "b"} for n in range(30)]
    (tmp_path / "prefer.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = ftstudio("new", "mine", "--data", "prefer.jsonl", "--root", "projects")
    assert made.code == 0, made.err
    assert made.out.strip().endswith("projects/mine")
    assert "trainer native takes text, prompt_completion, messages; dataset table gives preference." in made.err
    assert "2 errors: it cannot start." in made.err


def test_columns_that_cannot_be_guessed_are_said_in_the_same_words_that_the_error_gives(ftstudio, tmp_path):
    rows = [{"question": f"Say {n}.", "query": "", "output": str(n)} for n in range(30)]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("new", "mine", "--data", "asked.jsonl", "--root", "projects")
    refused = ftstudio(*words)
    assert refused.code == 2
    way = "--set dataset.prompt_column=COLUMN"
    assert f"Like this: ftstudio new NAME --data asked.jsonl {way}" in refused.err
    assert not (tmp_path / "projects").exists()

    wrong = ftstudio(*words, "--set", "dataset.prompt_column=nonsuch")
    assert wrong.code == 2
    assert "has no column 'nonsuch'; it has 'question', 'query', 'output'" in wrong.err

    made = ftstudio(*words, *way.replace("COLUMN", "question").split(), "--set", "trainer.max_steps=3")
    assert made.code == 0, made.err
    assert "30 rows; columns 'question', 'output' read as prompt, completion" in made.err
    written = tomllib.loads((tmp_path / "projects" / "mine" / "project.toml").read_text())
    assert written["dataset"]["prompt_column"] == "question"
    assert written["trainer"]["max_steps"] == 3
    assert ftstudio("check", tmp_path / "projects" / "mine").code == 0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("trainer.max_stepz=3", "'max_stepz' is not an option of trainer native. Did you mean max_steps?"),
        ("dataset.prompt_column=3", "prompt_column must be a text"),
        ("x", "'x' is not of the form key.key=VALUE."),
        ("seed.x=1", "that is not inside a table"),
    ],
)
def test_a_setting_that_no_project_may_have_makes_no_project(tmp_path, given, sentence):
    (tmp_path / "pairs.jsonl").write_text('{"question": "a", "answer": "b"}\n' * 30)
    with pytest.raises(InputError) as raised:
        new_project(tmp_path / "projects", "mine", data=tmp_path / "pairs.jsonl", overrides=[given])
    said = [problem.message + " " + problem.fix for problem in getattr(raised.value, "problems", ())]
    assert sentence in " ".join([str(raised.value), *said])
    assert not (tmp_path / "projects").exists()


def test_an_example_is_copied_as_it_is(ftstudio, tmp_path):
    done = ftstudio("new", "mine", "--from", "quickstart", "--root", "projects", "--set", "seed=1")
    assert done.code == 2
    assert done.err == "✗ --from and --set cannot be combined. Copy the example, then change its settings.\n"
    assert not (tmp_path / "projects").exists()
    made = ftstudio("new", "mine", "--from", "quickstart", "--root", "projects", "--json").json
    assert (made["project"], made["path"]) == ("mine", str(tmp_path / "projects" / "mine"))
    assert made["plan"]["total_steps"] > 0


def test_a_model_by_name_by_folder_or_from_scratch(ftstudio, tmp_path):
    for model, table in (
        ("gpt2", {"use": "hub", "name": "gpt2"}),
        ("scratch", {"use": "scratch"}),
        ("starter", {"use": "starter"}),
    ):
        assert ftstudio("new", f"with-{model}", "--model", model, "--root", tmp_path).code == 0
        written = tomllib.loads((tmp_path / f"with-{model}" / "project.toml").read_text())
        assert written["model"] == table
        assert written["tokenizer"]["use"] == ("bpe" if model == "scratch" else "pretrained")


def test_a_model_from_scratch_trains_on_its_own_vocabulary(ftstudio, tmp_path):
    (tmp_path / "d.txt").write_text("the cat sat on the mat\n" * 40)
    assert ftstudio("new", "own", "--data", "d.txt", "--model", "scratch", "--root", tmp_path).code == 0
    small = [
        "model.n_layer=1",
        "model.n_embd=32",
        "model.n_head=2",
        "model.n_positions=64",
        "tokenizer.vocab_size=300",
        "trainer.max_steps=3",
    ]
    done = ftstudio("run", tmp_path / "own", "--json", *(w for s in small for w in ("--set", s)))
    assert done.code == 0, done.err
    assert [s["model"] for s in done.json["samples"]] == ["final"]
