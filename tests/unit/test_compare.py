"""Runs beside each other: only what differs, and a word where their losses are no measure."""

import json
import math

import pytest

from ftstudio.errors import InputError
from ftstudio.files import toml_text
from ftstudio.runs import checkpoints as commits
from ftstudio.runs.compare import NEWEST, compare, compare_all, doubt_text, read_run, value_text
from ftstudio.runs.compare_tables import cell as markdown_cell
from ftstudio.runs.compare_tables import ranked_rows
from ftstudio.runs.events import EventWriter
from ftstudio.runs.folder import RunFolder

SETTINGS = {
    "name": "lab",
    "seed": 42,
    "model": {"use": "starter"},
    "dataset": {"use": "text", "path": "a.txt", "validation_fraction": 0.1, "validation_count": 0, "dedupe": False},
    "tokenizer": {"use": "pretrained", "max_length": 64, "completion_only_loss": True, "assistant_only_loss": False},
    "trainer": {"use": "native", "learning_rate": 5e-5, "dropout": 0.1, "logging_steps": 10},
    "generator": {"use": "sample", "prompts": ["The"]},
}
INPUTS = {
    "data": {"fingerprint": "aaaa", "shape": "text", "rows": 90, "tokens": 900, "validation_rows": 10},
    "model": {"name": "starter", "sha256": {"model.safetensors": "1"}},
}
METRICS = ((0, {"eval_loss": 3.0}), (5, {"loss": 2.0, "eval_loss": 1.0}), (10, {"loss": 1.5, "eval_loss": 1.2}))


def make_run(folder, *, settings=None, inputs=None, vocabulary=b"v", metrics=METRICS, distribution="ftstudio"):
    run = RunFolder(folder)
    run.path.mkdir(parents=True)
    components = {"trainer": {"use": "x", "distribution": distribution, "version": "1"}}
    record = {"format": 1, "settings": laid_over(SETTINGS, settings), "components": components}
    run.record.write_text(toml_text(record))
    run.inputs.write_text(toml_text(laid_over(INPUTS, inputs)))
    run.state.write_text('state = "finished"\nattempt = 1\n')
    writer = EventWriter(run.events, 1)
    for step, values in metrics:
        writer.write("metrics", step, metrics=values)
        writer.write("progress", done=step, total=10, unit="step")
    writer.close()
    if vocabulary is not None:
        draft = commits.stage(run.checkpoints, 10)
        for name in ("config.json", "model.safetensors"):
            (draft.path / name).write_text("{}")
        (draft.path / "tokenizer.json").write_bytes(vocabulary)
        commits.commit(draft, 10, metrics={}, best=True, shape="text", base=None)
    return run


def test_a_run_came_to_the_step_of_its_last_metric_where_its_progress_was_told_earlier(tmp_path):
    run = make_run(tmp_path / "runs" / "0001")
    writer = EventWriter(run.events, 1)
    writer.write("metrics", 11, metrics={"loss": 1.4})
    writer.close()
    assert read_run(run).step == 11


def laid_over(tables, changes):
    merged = {k: dict(v) if isinstance(v, dict) else v for k, v in tables.items()}
    for key, value in (changes or {}).items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    return merged


@pytest.fixture
def pair(tmp_path):
    """Two runs, the second with changes."""

    def make(**changes):
        runs = tmp_path / "lab" / "runs"
        return compare([make_run(runs / "0001"), make_run(runs / "0002", **changes)])

    return make


def said(found):
    return [doubt_text(d, [f.label for f in found.runs]) for d in found.doubts]


def test_runs_that_are_alike_differ_in_nothing_and_raise_no_doubt(pair):
    found = pair()
    assert found.settings == {}
    assert said(found) == []


def test_only_settings_that_differ_are_shown_by_their_flat_keys(pair):
    found = pair(settings={"trainer": {"learning_rate": 1e-4, "betas": [1, 2]}, "generator": {"prompts": ["The", "A"]}})
    assert found.settings == {
        "trainer.learning_rate": (5e-5, 1e-4),
        "trainer.betas": (None, [1, 2]),
        "generator.prompts": (["The"], ["The", "A"]),
    }
    assert said(found) == []


def test_a_number_is_the_same_however_it_is_written_and_a_truth_is_no_number(pair):
    found = pair(settings={"trainer": {"logging_steps": 10.0, "warm": 1, "bad": math.nan}, "seed": 42})
    assert "trainer.logging_steps" not in found.settings
    runs = [f.run for f in found.runs]
    for run, warm in zip(runs, ("1", "true"), strict=True):
        run.record.write_text(f"format = 1\n[settings.trainer]\nwarm = {warm}\nbad = nan\n")
    assert compare(runs).settings == {"trainer.warm": (1, True)}


def test_results_hold_the_last_and_the_best_the_steps_and_the_time(pair):
    facts = pair().runs[0]
    assert facts.metrics == {"eval_loss": 1.2, "loss": 1.5}
    assert facts.best == {"eval_loss": (5, 1.0), "loss": (10, 1.5)}
    assert (facts.step, facts.total_steps, facts.state, facts.label) == (10, 10, "finished", "lab:0001")
    assert facts.seconds is not None
    assert facts.model.startswith("starter (")


def test_time_between_attempts_does_not_count(tmp_path):
    run = make_run(tmp_path / "lab" / "runs" / "0001", metrics=())
    lines = [(100, 1), (160, 1), (5000, 2), (5030, 2)]
    run.events.write_text(
        "".join(json.dumps({"t": t, "attempt": a, "kind": "message", "step": None}) + "\n" for t, a in lines)
    )
    assert read_run(run).seconds == 90.0


@pytest.mark.parametrize(
    ("changes", "losses", "reason"),
    [
        ({"inputs": {"data": {"fingerprint": "bbbb"}}}, "eval_loss and loss", "other data."),
        ({"inputs": {"data": {"fingerprint": ""}}}, "eval_loss and loss", "other data."),
        ({"settings": {"dataset": {"validation_fraction": 0.2}}}, "eval_loss and loss", "other validation rows (dataset."),
        ({"settings": {"seed": 7}}, "eval_loss and loss", "other validation rows (seed)"),
        ({"settings": {"dataset": {"limit": 5}}}, "eval_loss and loss", "other rows of the data (dataset.limit)"),
        ({"inputs": {"data": {"validation_rows": 11}}}, "eval_loss", "another number of validation rows"),
        ({"vocabulary": b"w"}, "eval_loss and loss", "another vocabulary"),
        ({"settings": {"tokenizer": {"masked": True}}}, "eval_loss and loss", "a mean over other tokens (tokenizer.masked)"),
        ({"distribution": "other"}, "eval_loss and loss", "trainers of other plugins"),
        ({"settings": {"trainer": {"dropout": 0.0}}}, "loss", "measured otherwise while training (dropout)"),
    ],
)  # fmt: skip
def test_each_reason_against_comparing_two_losses_is_said(pair, changes, losses, reason):
    found = pair(**changes)
    assert len(found.doubts) == 1, said(found)
    assert said(found)[0].startswith(f"{losses} cannot be compared: {reason}")
    assert "lab:0001: " in said(found)[0]
    assert "; lab:0002: " in said(found)[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"trainer": {"learning_rate": 1.0, "use": "hf"}}},
        {"settings": {"tokenizer": {"completion_only_loss": False}}},  # rows are plain texts: it masks nothing
        {"settings": {"tokenizer": {"max_length": 32}}},  # all counts are the same: nothing was cut
        {"settings": {"dataset": {"path": "copy-of-a.txt"}}},  # the fingerprint is of the content
        {"settings": {"tokenizer": {"name": "folder"}}},  # the vocabulary is the same, byte by byte
    ],
)
def test_differences_that_change_nothing_about_the_loss_raise_no_doubt(pair, changes):
    assert said(pair(**changes)) == []


def test_masking_matters_where_it_applies_and_a_length_where_something_was_cut(tmp_path):
    runs = [
        make_run(
            tmp_path / "lab" / "runs" / f"000{n}",
            inputs={"data": {"shape": "prompt_completion", "tokens": 900 + n}},
            settings={"tokenizer": {"completion_only_loss": n == 1, "max_length": 60 + n}},
        )
        for n in (1, 2)
    ]
    assert [d.reason for d in compare(runs).doubts] == [
        "a mean over other tokens (tokenizer.max_length)",
        "a mean over other tokens (tokenizer.completion_only_loss)",
    ]


def test_the_seed_matters_only_where_it_draws_the_validation_rows(tmp_path):
    alone = {"dataset": {"validation_fraction": 0.0}}
    runs = [
        make_run(tmp_path / "lab" / "runs" / f"000{n}", settings={**alone, "seed": n}, metrics=((1, {"loss": 1.0}),))
        for n in (1, 2)
    ]
    assert compare(runs).doubts == ()


def test_a_loss_that_only_one_run_has_is_not_doubted(tmp_path):
    runs = [
        make_run(tmp_path / "lab" / "runs" / "0001", metrics=((1, {"loss": 1.0}),)),
        make_run(tmp_path / "lab" / "runs" / "0002", metrics=((1, {"eval_loss": 1.0}),), vocabulary=b"w"),
    ]
    assert compare(runs).doubts == ()


def test_of_three_runs_those_that_agree_are_named_together(tmp_path):
    runs = [
        make_run(tmp_path / "lab" / "runs" / f"000{n}", inputs={"data": {"fingerprint": mark}})
        for n, mark in ((1, "a"), (2, "b"), (3, "a"))
    ]
    assert said(compare(runs)) == [
        "eval_loss and loss cannot be compared: other data. lab:0001 and lab:0003: a; lab:0002: b"
    ]


def test_without_a_checkpoint_the_vocabulary_is_told_by_the_settings(tmp_path):
    runs = [
        make_run(tmp_path / "lab" / "runs" / "0001", vocabulary=None),
        make_run(tmp_path / "lab" / "runs" / "0002", vocabulary=None, settings={"tokenizer": {"use": "bytes"}}),
    ]
    assert [d.reason for d in compare(runs).doubts] == ["another vocabulary"]


def test_a_copy_is_told_from_its_original_by_its_path(tmp_path):
    runs = [make_run(tmp_path / "lab" / "runs" / "0001"), make_run(tmp_path / "copies" / "lab" / "runs" / "0001")]
    assert [f.label for f in compare(runs).runs] == [str(run.path) for run in runs]


def test_a_run_that_never_trained_is_compared_by_its_settings(tmp_path):
    young = RunFolder(tmp_path / "lab" / "runs" / "0002")
    young.path.mkdir(parents=True)
    young.record.write_text('format = 1\n[settings]\nname = "young"\n')
    facts = compare([make_run(tmp_path / "lab" / "runs" / "0001"), young]).runs[1]
    assert (facts.step, facts.seconds, dict(facts.metrics), facts.model) == (None, None, {}, "")


def test_fewer_than_two_runs_are_refused(tmp_path):
    run = make_run(tmp_path / "lab" / "runs" / "0001")
    with pytest.raises(InputError, match="takes two runs or more"):
        compare([run])
    with pytest.raises(InputError, match="is one and the same"):
        compare([run, run])


def test_the_runs_of_a_project_are_sorted_by_their_lowest_loss_and_the_best_is_marked(tmp_path):
    runs = tmp_path / "lab" / "runs"
    make_run(runs / "0001", settings={"seed": 1}, metrics=((4, {"loss": 0.1}),))
    make_run(runs / "0002", settings={"seed": 2})
    make_run(
        runs / "0003",
        settings={"seed": 3, "trainer": {"dropout": 0.2}},
        metrics=((4, {"eval_loss": 0.5}), (8, {"eval_loss": 0.9})),
    )
    make_run(runs / "0004").record.write_text("[")
    found = compare_all(tmp_path / "lab")
    assert [f.run.name for f in found.runs] == ["0003", "0002", "0001"]
    assert found.settings == {"seed": (3, 2, 1), "trainer.dropout": (0.2, 0.1, 0.1)}
    assert [row[:3] + row[4:] for row in ranked_rows(found)] == [
        ["", "eval_loss", "at step", "settings that differ"],
        ["lab:0003", "0.5  best", "4", "seed=3  dropout=0.2"],
        ["lab:0002", "1", "5", "seed=2  dropout=0.1"],
        ["lab:0001", "", "", "seed=1  dropout=0.1"],
    ]
    (sentence,) = found.left_out
    assert sentence.startswith("lab:0004 is left out. ")


def test_of_many_runs_of_a_project_the_newest_are_compared_which_is_said(tmp_path):
    for number in range(1, NEWEST + 3):
        make_run(tmp_path / "lab" / "runs" / f"{number:04d}", metrics=((number, {"loss": 1.0 * number}),))
    found = compare_all(tmp_path / "lab")
    assert [int(f.run.name) for f in found.runs] == list(range(3, NEWEST + 3))
    assert found.ranked_by == "loss"
    assert found.left_out == ("2 older runs left out: these are the newest 20.",)


def test_a_project_with_one_run_has_nothing_to_compare(tmp_path):
    make_run(tmp_path / "lab" / "runs" / "0001")
    with pytest.raises(InputError, match="takes two runs or more, and 'lab' has 1 to compare"):
        compare_all(tmp_path / "lab")


@pytest.mark.parametrize(
    "content",
    [
        "format = 1\nsettings = 3\ncomponents = 4",
        'format = 1\ncreated = "x"',
        "format = 9",
        "[",
        "format = 1\nargv = 3",
    ],
)
def test_a_damaged_record_is_one_sentence(tmp_path, content):
    run = make_run(tmp_path / "lab" / "runs" / "0001")
    run.record.write_text(content)
    with pytest.raises(InputError, match="damaged|unknown format"):
        read_run(run)


def test_json_holds_no_number_that_json_lacks(pair):
    found = pair(
        metrics=((1, {"loss": math.nan, "eval_loss": math.inf}),), settings={"trainer": {"learning_rate": math.inf}}
    )
    text = json.dumps(found.as_json(), allow_nan=False)
    assert json.loads(text)["runs"][1]["metrics"] == {"loss": "nan", "eval_loss": "inf"}
    assert json.loads(text)["settings"]["trainer.learning_rate"] == [5e-5, "inf"]
    assert json.loads(text)["runs"][1]["best"] == {}


@pytest.mark.parametrize(
    "text", ["a|b", "<img src=x>", "![x](http://y)", "[l](u)", "`c`", "a\nb", "\x1b[31m", "# h", "&lt;", "\u202e"]
)
def test_markdown_cells_hold_text_and_nothing_else(text):
    cell = markdown_cell(text)
    assert not any(c in cell for c in "\n\x1b\u202e")
    bare = cell.replace("\\\\", "")
    for sign in "|<>[]`#!":
        assert bare.count(sign) == bare.count(f"\\{sign}")


def test_values_read_as_a_person_would_write_them():
    assert [value_text(v) for v in (None, True, 1.5, "a", ["x"], {"é": 1}, math.nan)] == [
        "unset", "true", "1.5", "a", '["x"]', '{"é": 1}', '"nan"',
    ]  # fmt: skip
