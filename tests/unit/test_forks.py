"""What is said of a fork before it starts: whose settings it has, and whether its trainer can go on from there."""

import pytest
from hand_made import made

from ftstudio.errors import ProblemsError
from ftstudio.process.wanted import Wanted
from ftstudio.runs.compare import value_text
from ftstudio.runs.fork import find_parent

SETTINGS = {
    "format": 1,
    "model": {"use": "starter"},
    "dataset": {"use": "inline", "texts": ["one", "two"]},
    "tokenizer": {"use": "pretrained"},
    "trainer": {"use": "hf", "max_steps": 9},
    "generator": {"use": "sample", "prompts": ["The"]},
}


@pytest.fixture
def run(make_project):
    return made(make_project(base=SETTINGS), steps=[4])


def wanted(run, *overrides, **more):
    return Wanted(project=run.project, overrides=overrides, parent=find_parent(f"{run.path}:4", run.project, **more))


def test_another_trainer_than_the_one_that_wrote_the_checkpoint_is_refused_before_the_start(run):
    with pytest.raises(ProblemsError) as refused:
        wanted(run, "trainer.use=native").outlook()
    (problem,) = [p for p in refused.value.problems if p.level == "error"]
    assert problem.message == (
        "lab:0001 was trained by 'hf', so nothing but 'hf' goes on from its checkpoint 4; the project's trainer today "
        "is 'native'."
    )
    assert problem.fix == 'Set trainer.use = "hf", or take only its weights (--weights-only, in the studio ctrl+w).'
    wanted(run).outlook()
    wanted(run, "trainer.use=native", weights_only=True).outlook()


def test_a_run_that_lost_its_record_may_be_forked(run):
    run.record.unlink()
    wish = wanted(run)
    assert wish.differs(wish.outlook(), value_text).endswith("those of lab:0001 cannot be read.")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([], "Settings are the project's of today, and lab:0001 has the same."),
        (
            ["trainer.learning_rate=1e-3", "seed=7"],
            "Settings are the project's of today, not those of lab:0001: seed 42 → 7, learning_rate 5e-05 → 0.001.",
        ),
    ],
)
def test_what_a_fork_sets_otherwise_than_its_parent_is_one_line(run, overrides, said):
    wish = wanted(run, *overrides)
    assert wish.differs(wish.outlook(), value_text) == said
