"""Projects: read and validated as a whole, made whole or not at all, edited with care."""

import os
import tempfile
from pathlib import Path

import pytest

from ftstudio import plan
from ftstudio.errors import FileChangedError, InputError, ProblemsError, UnknownNameError
from ftstudio.project import create, each_in, each_value, edit, example_files, list_projects, load
from ftstudio.source import edit_source, read_source

pytestmark = pytest.mark.usefixtures("fakes")


def said(project):
    return [f"{p.line}: {p.message} {p.fix}".strip() for p in project.problems]


def test_a_good_project_has_no_problems_and_its_options_are_built(make_project):
    project = load(make_project(trainer={"max_steps": 3}, seed=7, observers=[]))
    assert project.problems == ()
    assert project.parts["trainer"].options.max_steps == 3
    assert project.head.seed == 7
    assert project.prompts == ("Hello",)
    resolved = project.resolved()
    written = {"use": "fake-walk", "max_steps": 3, "save_steps": 4, "step_seconds": 0.0, "ending": "good"}
    assert resolved["trainer"].items() >= written.items()
    assert resolved["dataset"]["dedupe"] is False


def test_all_problems_come_at_once_each_with_its_line(tmp_path):
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "project.toml").write_text(
        'format = 2\nseeed = 3\n\n[model]\nuse = "fake-modl"\n\n[dataset]\nuse = "fake-data"\ntexts = [3]\nlimit = 0\n\n'
        '[tokenizer]\nuse = 5\n\n[trainer]\nuse = "fake-walk"\nmax_step = 3\nsave_steps = 1.5\n\n[generater]\n\n[[evaluators]]\nuse = "x"\n'
    )
    problems = "\n".join(said(load(folder)))
    for sentence in (
        "1: format 2 is unknown. This version reads format 1.",
        "2: 'seeed' is not a key of a project. Did you mean seed?",
        "5: There is no model 'fake-modl'. Did you mean fake-model?",
        "9: texts[0] must be a text, not 3.",
        "10: limit must be at least 1 rows, not 0.",
        "13: use must be a text.",
        "17: 'max_step' is not an option of trainer fake-walk of ftstudio-fakes 1.0. Did you mean max_steps?",
        "18: save_steps must be a whole number, not 1.5.",
        "None: The table [generator] is missing.",
        "20: 'generater' is not a table of a project. Did you mean generator?",
        "22: [[evaluators]] is reserved for a later version.",
    ):
        assert sentence in problems


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ({"format": "1"}, "format must be a whole number, not '1'."),
        ({"seed": -1}, "seed must be at least 0, not -1."),
        ({"trainer": 3}, "trainer must be a table."),
        ({"observers": {"use": "x"}}, "observers must be a list of tables."),
        ({"observers": [{"use": "nobody"}]}, "There is no observer 'nobody'."),
        ({"observers": [3]}, "observer must be a table."),
        ({"generator": {"prompts": 3}}, "prompts must be a list."),
        ({"generator": {"prompts": [3]}}, "prompts[0] is neither a text nor a conversation."),
        ({"generator": {"prompts": [[{"role": "user"}]]}}, "prompts[0] is neither a text nor a conversation."),
        ({"dataset": {"validation_fraction": 1.0}}, "validation_fraction must be below 1, not 1."),
        ({"dataset": {"validation_fraction": 0.5, "validation_count": 1}}, "are both set"),
        ({"dataset": {"validation_fraction": float("nan")}}, "validation_fraction must be a number, not nan."),
        (
            {"dataset": {"use": "fake-pairs"}},
            "tokenizer fake-bytes of ftstudio-fakes 1.0 takes text; dataset fake-pairs",
        ),
        (
            {"dataset": {"validation_count": 4}},
            "validation_count keeps 4 of 4 rows apart; nothing is left to train on.",
        ),
        ({"dataset": {"use": "fake-secret"}}, "needs the environment variable FAKE_TOKEN, which is not set."),
    ],
)
def test_each_wrong_setting_has_its_sentence(make_project, tables, sentence):
    folder = make_project(**{k: v for k, v in tables.items() if isinstance(v, dict) and k != "observers"})
    text = (folder / "project.toml").read_text()
    others = {k: v for k, v in tables.items() if not isinstance(v, dict) or k == "observers"}
    if others:
        import tomllib

        from ftstudio.files import toml_text

        (folder / "project.toml").write_text(toml_text({**tomllib.loads(text), **others}))
    outlook = plan.look_ahead(load(folder))
    assert any(sentence in p.message for p in outlook.errors), [p.message for p in outlook.problems]


def test_a_conversation_is_a_prompt(make_project):
    talk = [{"role": "user", "content": "Hi"}]
    assert load(make_project(generator={"prompts": [talk]})).prompts == (tuple(talk),)


def test_an_empty_text_is_a_prompt(make_project):
    project = load(make_project(generator={"prompts": ["", " "]}))
    assert (project.prompts, project.problems) == (("", " "), ())


def test_of_a_prompt_that_is_none_it_is_not_said_too_that_there_are_none(make_project):
    outlook = plan.look_ahead(load(make_project(generator={"prompts": [3]})))
    assert [p.message for p in outlook.problems] == ["prompts[0] is neither a text nor a conversation."]


def test_settings_for_one_run_are_typed_and_located_apart(make_project):
    folder = make_project()
    project = load(folder, ["trainer.max_steps=3", "dataset.texts=['a', 'b']", "name=x"])
    assert project.parts["trainer"].options.max_steps == 3
    assert project.parts["dataset"].options.texts == ("a", "b")
    assert project.overrides["trainer.max_steps"] == 3
    wrong = load(folder, ["trainer.max_steps=many"]).errors[0]
    assert wrong.message == "max_steps must be a whole number, not 'many'."
    assert wrong.file is None
    for bad in ("x", "=1", "a..b=1", "format.x=1"):
        with pytest.raises(InputError, match=r"Write table\.key=VALUE|not of the form"):
            load(folder, [bad])


def test_choosing_another_component_for_one_run_leaves_the_others_options_out_and_says_so(make_project):
    folder = make_project(dataset={"texts": ["a"], "behaviour": "good"})
    project = load(folder, ["dataset.use=fake-pairs"])
    assert project.parts["dataset"].use == "fake-pairs"
    project = load(make_project("other", trainer={"use": "native", "learning_rate": 1e-4}), ["trainer.use=fake-walk"])
    assert [p.message for p in project.problems] == [
        "learning_rate is not an option of trainer fake-walk of ftstudio-fakes 1.0: left out."
    ]
    assert not project.errors


def test_the_plan_says_what_the_settings_imply(make_project):
    outlook = plan.look_ahead(
        load(make_project(dataset={"validation_count": 1}, trainer={"max_steps": 3, "save_steps": 9}))
    )
    assert outlook.facts.rows == 3
    assert outlook.facts.validation_rows == 1
    assert outlook.plan.total_steps == 3
    (warning,) = [p for p in outlook.problems if p.level == "warning"]
    assert (warning.message, warning.table, warning.edit) == ("save_steps never fires.", "trainer", {"save_steps": 1})
    lines = {what: (figure, how) for what, figure, how in plan.outlook_lines(outlook)}
    assert lines["tokens"][1] == "estimated"
    assert lines["in all"] == ("3 steps", "exact")


def test_a_project_is_made_whole_or_not_at_all(tmp_path, monkeypatch):
    folder = create(tmp_path, "new", {"format": 1})
    assert (folder / "project.toml").read_text() == "format = 1\n"
    with pytest.raises(InputError, match="exists already"):
        create(tmp_path, "new", {"format": 1})
    for name in ("..", "a/b", "a\x07b", ".x", "x" * 65, ""):
        with pytest.raises(InputError, match="no project name"):
            create(tmp_path, name, {})
    import ftstudio.project

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ftstudio.project, "write_atomic", full)
    with pytest.raises(InputError, match="disk is full"):
        create(tmp_path, "other", {"format": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["new"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to somebody else and become them")
def test_a_folder_that_may_not_be_written_is_named_with_its_mode():
    import subprocess
    import sys

    place = Path(tempfile.mkdtemp())  # another session of pytest closes the folders above tmp_path
    place.chmod(0o755)
    code = (
        "import os; from pathlib import Path; from ftstudio.project import create; from ftstudio.errors import InputError\n"
        "os.setgid(65534); os.setuid(65534)\n"
        f"try: create(Path({str(place)!r}), 'new', {{'format': 1}})\n"
        "except InputError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "No permission for" in done.stdout, done.stderr
    assert "has mode 0755" in done.stdout
    place.rmdir()


def test_an_edit_keeps_the_comments_and_refuses_a_lost_update(make_project):
    folder = make_project()
    path = folder / "project.toml"
    path.write_text("# mine\n" + path.read_text())
    project = load(folder)
    after = edit(project, {"trainer.max_steps": 5})
    assert after.parts["trainer"].options.max_steps == 5
    assert path.read_text().startswith("# mine\n")
    with pytest.raises(FileChangedError) as caught:
        edit(project, {"trainer.max_steps": 6})
    assert "+max_steps = 5" in caught.value.difference


def test_only_folders_with_a_project_file_count(tmp_path, make_project):
    make_project("b")
    make_project("a")
    (tmp_path / "no-project").mkdir()
    (tmp_path / "file").write_text("")
    assert [p.name for p in list_projects(tmp_path)] == ["a", "b"]
    assert [p.name for p in list_projects(tmp_path / "a")] == ["a"]
    with pytest.raises(InputError, match="There is no"):
        list_projects(tmp_path / "gone")


def test_a_damaged_project_file_is_named_with_its_line_hides_no_other_and_is_not_written(ftstudio, make_project):
    good, bad = make_project("good"), make_project("bad")
    assert ftstudio("run", good).code == 0
    path = bad / "project.toml"
    damaged = path.read_bytes().replace(b"[dataset]", b"[datas\xe5t]")
    path.write_bytes(damaged)
    line = damaged[: damaged.index(b"\xe5")].count(b"\n") + 1
    refused = ftstudio("run", bad)
    assert refused.code == 2
    assert f"project.toml:{line}:7: Byte 0xe5 is not UTF-8." in refused.err
    listed = ftstudio("status", env={"FTSTUDIO_PROJECTS": str(good.parent)})
    assert (listed.code, listed.out.split()[:3]) == (0, ["✓", "good:0001", "finished"])
    with pytest.raises(ProblemsError):
        edit_source(read_source(path), {"trainer.max_steps": 3})
    assert path.read_bytes() == damaged
    assert [p.name for p in bad.iterdir()] == ["project.toml"]


def test_a_folder_without_a_project_is_said(tmp_path):
    with pytest.raises(UnknownNameError, match=r"is no project: it has no project.toml"):
        load(tmp_path)
    (tmp_path / "project.toml").write_text("x = [")
    with pytest.raises(ProblemsError):
        load(tmp_path)


def test_an_empty_project_file_names_all_that_is_missing(tmp_path):
    (tmp_path / "project.toml").write_text("")
    missing = [p.message for p in load(tmp_path).problems]
    assert missing == [
        "format is missing.",
        *(f"The table [{k}] is missing." for k in ("model", "dataset", "tokenizer", "trainer", "generator")),
    ]


def test_examples_are_found_and_a_wrong_name_gets_the_nearest():
    text, _ = example_files("quickstart")
    assert 'name = "quickstart"' in text
    with pytest.raises(UnknownNameError, match="Did you mean quickstart"):
        example_files("quikstart")
    with pytest.raises(UnknownNameError):
        example_files("../quickstart")


@pytest.mark.parametrize("dataset", [{"use": "inline", "texts": ["a b", "c d"]}, {"use": "text", "path": "rows.txt"}])
def test_without_validation_rows_no_evaluation_is_planned(make_project, dataset):
    base = {
        "format": 1,
        "model": {"use": "starter"},
        "dataset": dataset,
        "tokenizer": {"use": "pretrained"},
        "trainer": {"use": "native", "max_steps": 3},
        "generator": {"use": "sample"},
    }
    folder = make_project(base=base)
    (folder / "rows.txt").write_text("one\ntwo\nthree\n")
    assert plan.look_ahead(load(folder)).plan.evaluations == ()
    evaluated = load(folder, ["dataset.validation_count=1"])
    assert plan.look_ahead(evaluated).plan.evaluations == (0, 1, 2, 3)


def test_validation_rows_from_two_places_are_refused_before_the_start(make_project):
    base = {"dataset": {"use": "text", "path": "a.txt", "validation_path": "b.txt", "validation_count": 1}}
    folder = make_project(base={**base, "format": 1, "model": {"use": "starter"}, "tokenizer": {"use": "pretrained"},
                                "trainer": {"use": "native"}, "generator": {"use": "sample"}})  # fmt: skip
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text("one\ntwo\nthree\n")
    (problem,) = plan.look_ahead(load(folder)).errors
    assert problem.option == "validation_count"
    assert "validation rows of its own" in problem.message


def test_a_split_that_leaves_nothing_to_train_on_is_one_error(make_project):
    base = {
        "format": 1,
        "model": {"use": "starter"},
        "dataset": {"use": "inline", "texts": ["a b", "c d", "e f"], "validation_fraction": 0.99},
        "tokenizer": {"use": "pretrained"},
        "trainer": {"use": "native", "max_steps": 3, "eval_steps": 1, "load_best_model_at_end": True},
        "generator": {"use": "sample"},
    }
    (problem,) = plan.look_ahead(load(make_project(base=base))).errors
    assert problem.option == "validation_fraction"
    assert "keeps 3 of 3 rows apart; nothing is left to train on" in problem.message


def test_the_values_of_several_keys_multiply_and_the_first_key_changes_slowest():
    assert each_value([]) == [()]
    assert each_value(["seed=1,2"]) == [("seed=1",), ("seed=2",)]
    texts = each_in('trainer.x=1, 2  trainer.y="a, b","c" m.z=[3],{k = 1, l=2}')
    assert texts == ["trainer.x=1, 2", 'trainer.y="a, b","c"', "m.z=[3],{k = 1, l=2}"]
    runs = each_value(texts)
    assert [run[:2] for run in runs[::2]] == [
        (f"trainer.x={x}", f'trainer.y="{y}"') for x in (1, 2) for y in ("a, b", "c")
    ]
    assert len(set(runs)) == 8


@pytest.mark.parametrize("beside", [["seed=1"], []])
def test_a_key_that_is_given_its_values_twice_is_refused(beside):
    texts = ["seed=1,2"] if beside else ["seed=1,2", "trainer.x=1,2", "seed=3,4"]
    with pytest.raises(InputError, match=r"'seed' is set twice. Name it once, with all its values: --each seed=A,B,C"):
        each_value(texts, beside)
