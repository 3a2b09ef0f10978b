"""The form of a project: sections and entries from the options of its components, problems at their places."""

import pytest

from ftstudio.errors import FileChangedError
from ftstudio.plan import look_ahead
from ftstudio.project import edit, load, put_back, with_changes
from ftstudio.tui.form import components, fix_of, sections, switching

pytestmark = pytest.mark.usefixtures("fakes")
BUILT_IN = {
    "format": 1,
    "model": {"use": "starter"},
    "dataset": {"use": "inline", "texts": ["one", "two"]},
    "tokenizer": {"use": "pretrained"},
    "trainer": {"use": "native"},
    "generator": {"use": "sample", "prompts": ["The"]},
}


def form_of(folder):
    project = load(folder)
    return sections(project, look_ahead(project).problems)


def shown(form, key, *, more=False):
    return [e.field.name for e in form.section(key).shown(more=more)]


def test_the_first_six_of_a_component_and_the_cores_own_are_shown_first(make_project):
    form = form_of(make_project(base=BUILT_IN))
    assert shown(form, "trainer.use") == [
        "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate",
        "warmup_steps", "lora_rank",
    ]  # fmt: skip
    assert shown(form, "dataset.use") == ["texts", "validation_fraction"]
    assert shown(form, "generator.use")[0] == "prompts"


def test_more_shows_all_that_apply_and_what_is_set_is_always_shown(make_project):
    form = form_of(make_project(base=BUILT_IN, trainer={"adam_beta1": 0.8}))
    assert "adam_beta1" in shown(form, "trainer.use")
    assert "weight_decay" in shown(form, "trainer.use", more=True)
    assert "lora_alpha" not in shown(form, "trainer.use", more=True)  # while lora_rank is 0


def test_an_option_that_hangs_on_another_is_shown_once_that_is_set(make_project):
    form = form_of(make_project(base=BUILT_IN, trainer={"lora_rank": 8}))
    assert "lora_alpha" in shown(form, "trainer.use", more=True)


def test_only_what_differs_from_the_default_differs(make_project):
    form = form_of(make_project(base=BUILT_IN, trainer={"num_train_epochs": 3, "warmup_steps": 2}))
    assert not form.entry("trainer.num_train_epochs").differs
    assert form.entry("trainer.warmup_steps").differs


def test_every_problem_stands_somewhere(make_project):
    form = form_of(make_project(trainer={"max_steps": 0, "unknown": 1}, evaluators=1, generator={"use": "none"}))
    assert "at least 1" in form.entry("trainer.max_steps").problems[0].message
    assert "not an option" in form.entry("trainer.unknown").problems[0].message
    assert "There is no generator" in form.section("generator.use").problems[0].message
    assert "evaluators" in form.rest[0].message


def test_components_are_named_with_their_summaries_a_strangers_too():
    assert components("trainer")["fake-walk"] == "a walk"
    assert {"hf", "native"} <= components("trainer").keys()
    assert not [name for name in components("trainer") if "/" in name]


def test_another_component_takes_the_options_out_that_it_does_not_have(make_project):
    project = load(make_project(dataset={"texts": ["a"], "behaviour": "good", "limit": 3}))
    assert switching(project, "dataset", "inline") == {"dataset.use": "inline", "dataset.behaviour": None}


def test_a_fix_that_names_a_component_switches_to_it(make_project):
    project = load(make_project(base=BUILT_IN, model={"use": "scratch"}, tokenizer={"chat_template": "x"}))
    (problem,) = [p for p in look_ahead(project).problems if p.edit.get("use")]
    assert fix_of(project, problem) == {"tokenizer.use": "bpe", "tokenizer.chat_template": None}


def test_changes_are_looked_at_with_nothing_written(make_project):
    folder = make_project()
    text = (folder / "project.toml").read_text()
    project = load(folder)
    changed = with_changes(project, {"trainer.max_steps": 3, "dataset.use": None, "seed": 9})
    assert changed.parts["trainer"].options.max_steps == 3
    assert changed.head.seed == 9
    assert "use is missing" in changed.errors[0].message
    assert (folder / "project.toml").read_text() == text
    assert project.parts["trainer"].options.max_steps == 10
    assert project.source.table["dataset"] == {"use": "fake-data"}


def test_an_earlier_text_is_put_back_only_over_what_was_read(make_project):
    folder = make_project()
    first = load(folder)
    second = edit(first, {"trainer.max_steps": 3})
    assert put_back(second, first.source.text).source.text == first.source.text
    third = edit(load(folder), {"seed": 5})
    with pytest.raises(FileChangedError) as refused:
        put_back(second, first.source.text)
    assert "+seed = 5" in refused.value.difference
    assert load(folder).source.text == third.source.text


def test_taking_out_what_is_not_there_writes_no_empty_table(make_project):
    folder = make_project()
    text = (folder / "project.toml").read_text()
    assert edit(load(folder), {"trainer.nothing.at_all": None}).source.text == text
