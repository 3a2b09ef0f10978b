"""Forks of runs of the native trainer: around a NaN, from an adapter's weights, of data that changed. On a CPU."""

import shutil
from pathlib import Path

import pytest
from lab import digest, ended, started
from safetensors.numpy import load_file
from test_exact_resume import PROJECT, one_thread

import ftstudio_models
from ftstudio.process.wanted import Wanted
from ftstudio.runs.checkpoints import list_checkpoints, verify
from ftstudio.runs.events import read_events
from ftstudio.runs.fork import find_parent, lineage_text
from ftstudio.runs.record import list_runs

__all__ = ["one_thread"]

SHORT = {
    **PROJECT["trainer"],
    "max_steps": 6,
    "eval_steps": 6,
    "sample_prompts": [],
    "logging_steps": 1,
    "save_steps": 2,
    "load_best_model_at_end": False,
}


def warnings(run):
    return [e.data["text"] for e in read_events(run.events) if e.kind == "warning"]


def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint_to_fork_from(make_project, ftstudio, one_thread):
    wild = {**SHORT, "max_steps": 40, "learning_rate": 1e18, "warmup_steps": 1, "max_grad_norm": 0.0, "save_steps": 1}
    project = make_project(base=PROJECT, trainer=wild)
    done = ftstudio("run", project)
    assert done.code == 1, done.err
    (run,) = list_runs(project)
    state = ended(run)
    good = [verify(folder).step for folder in list_checkpoints(run.checkpoints)]
    assert state.state == "failed"
    assert state.reason.startswith(f"What the model answers was not finite in step {good[-1] + 1}. ")
    assert f"The checkpoint of step {good[-1]} is the last good one. Lower learning_rate" in state.reason
    assert state.reason in done.err
    for folder in list_checkpoints(run.checkpoints):
        for values in load_file(folder / "model.safetensors").values():
            assert abs(values).max() < float("inf")
    origin = ftstudio(
        "run", project, "--from", f"{run.path}:{good[0]}", "--weights-only",
        "--set", "trainer.learning_rate=1e-4", "--set", "trainer.max_steps=2", "--json",
    )  # fmt: skip
    assert origin.json["state"] == "finished", origin.json["reason"]
    fork = list_runs(project)[1]
    assert lineage_text(fork) == f"from the weights of lab:0001 at step {good[0]}"
    assert next(e.step for e in read_events(fork.events) if e.kind == "metrics") == 0


@pytest.mark.timeout(900)
def test_the_weights_of_an_adapter_are_the_base_of_a_fork_and_the_parent_may_go(make_project, ftstudio, one_thread):
    project = make_project(base={
        **PROJECT, "model": {"use": "starter"}, "tokenizer": {"use": "pretrained"},
        "trainer": {**SHORT, "lora_rank": 2, "bf16": False},  # in bfloat16 merged weights are rounded once more
    })  # fmt: skip
    parent = started(project)
    assert ended(parent).state == "finished", ended(parent)
    assert (list_checkpoints(parent.checkpoints)[-1] / "adapter_config.json").is_file()
    last = [
        e.data["metrics"]["eval_loss"] for e in read_events(parent.events) if "eval_loss" in e.data.get("metrics", {})
    ]
    origin = find_parent(f"{parent.path}:best", project.parent, weights_only=True)
    wanted = Wanted(project=project, parent=origin, overrides=("trainer.lora_rank=0", "trainer.max_steps=2"))
    fork = wanted.create(wanted.outlook(), ["test"])
    assert ftstudio("rm", parent.path).code == 0
    assert ftstudio("rm", "--purge", project, "--yes").code == 0
    wanted.start(fork)
    assert ended(fork).state == "finished", ended(fork)
    assert not parent.path.exists()
    assert not (list_checkpoints(fork.checkpoints)[-1] / "adapter_config.json").exists()
    assert digest(fork.path / "origin-merged") != digest(Path(ftstudio_models.__file__).parent / "starter_gpt2")
    first = next(e.data["metrics"]["eval_loss"] for e in read_events(fork.events) if e.kind == "metrics")
    assert first == pytest.approx(last[-1], rel=1e-4)  # it starts where the adapter had come to
    assert first != pytest.approx(last[0], rel=1e-4)
    assert f"lab:0002, from the weights of lab:0001 at step {origin.manifest.step}" in ftstudio("show", fork.path).err


WRONG = [
    (("--from", "lab:0001:77"), "lab:0001 has no checkpoint '77'. It has: 4, 8, 10; or say best or last."),
    (("--from", "lab:xyz"), "'lab' has no run 'xyz'"),
    (("--from", "lab:0001:xyz"), "lab:0001 has no checkpoint 'xyz'."),
    (("--from", "lab:0001:best"), "lab:0001 has no best checkpoint. It has: 4, 8, 10; or say last."),
    (("--from", "lab:7"), "lab:0001 has no checkpoint '7'."),
    (("--from", "lab:0009"), "'lab' has no run '0009'. It has: 0001."),
    (("--weights-only",), "--weights-only says what to take from another run. Name it: --from RUN[:STEP]."),
    (("--each", "trainer.max_steps"), "'trainer.max_steps' is not of the form key.key=VALUE."),
    (("--each", "trainer.max_steps=1,2", "--inline"), "--inline runs it here and now, so --each means nothing."),
]


@pytest.mark.usefixtures("fakes")
def test_a_fork_of_what_is_not_there_makes_no_run(make_project, ftstudio):
    project = make_project(trainer={"save_total_limit": 9})
    assert ftstudio("run", project).code == 0
    for arguments, sentence in WRONG:
        refused = ftstudio("run", project, *arguments, env={"FTSTUDIO_PROJECTS": str(project.parent)})
        assert (arguments, refused.code) == (arguments, 2)
        assert sentence in refused.err
        assert len(list_runs(project)) == 1


@pytest.mark.usefixtures("fakes")
def test_a_run_is_named_as_everywhere_also_beside_its_project(make_project, ftstudio):
    project = make_project(trainer={"save_total_limit": 9})
    assert ftstudio("run", project).code == 0
    for name, step in [("lab:0001", 10), ("lab:4", 4), ("lab:0001:8", 8), ("lab:last", 10)]:
        forked = ftstudio("run", project, "--from", name, "--set", "trainer.max_steps=11", "--detach")
        assert forked.code == 0, forked.err
        assert f"from lab:0001 at step {step}" in forked.err
        assert ended(list_runs(project)[-1]).state == "finished"
        shutil.rmtree(list_runs(project)[-1].path)


@pytest.mark.usefixtures("fakes")
def test_a_fork_of_a_damaged_checkpoint_is_refused_and_one_of_other_data_says_so(make_project, ftstudio):
    project = make_project(trainer={"save_total_limit": 9})
    assert ftstudio("run", project).code == 0
    (run,) = list_runs(project)
    forked = ftstudio("run", project, "--from", f"{run.path}:4", "--set", 'dataset.texts=["other"]')
    assert forked.code == 0, forked.err
    assert "! The data are not those that lab:0001 was trained on." in forked.err
    weights = run.checkpoints / "000008" / "model.safetensors"
    weights.chmod(0o644)
    with weights.open("r+b") as file:
        file.seek(40)
        file.write(b"\xff")
    refused = ftstudio("run", project, "--from", f"{run.path}:8")
    assert refused.code == 2
    assert "Checkpoint 000008 of lab:0001 is damaged: " in refused.err
    assert len(list_runs(project)) == 2


@pytest.mark.usefixtures("fakes")
def test_a_fork_with_no_step_left_to_train_is_refused_and_makes_no_run(make_project, ftstudio):
    project = make_project(trainer={"save_total_limit": 9})
    assert ftstudio("run", project).code == 0
    (run,) = list_runs(project)
    for more, total in [((), "10 steps"), (("--set", "trainer.max_steps=7"), "7 steps")]:
        refused = ftstudio("run", project, "--from", run.path, *more)
        assert refused.code == 2
        assert f"lab:0001 is at step 10 already, and these settings train {total} in all" in refused.err
        assert (
            "Set trainer.max_steps above 10, or take only its weights (--weights-only, in the studio ctrl+w)."
            in refused.err
        )
        assert list_runs(project) == [run]
    weights = ftstudio("run", project, "--from", run.path, "--weights-only")
    assert weights.code == 0, weights.err
