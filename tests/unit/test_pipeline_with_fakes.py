"""The whole pipeline in real processes, on a stranger's torch-free plugin."""

import json
import math
import subprocess
import sys
from contextlib import closing

import pytest

from ftstudio.errors import InterruptedRunError
from ftstudio.process.stages import prepare, run_all
from ftstudio.process.worker_run import WorkerRun
from ftstudio.project import load
from ftstudio.runs.checkpoints import best_of, rotate
from ftstudio.runs.events import read_events
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.summary import OTHER_ROWS, outcome
from ftstudio.testing import FakeRun

pytestmark = pytest.mark.usefixtures("fakes")


def test_a_run_goes_from_project_to_final_model_and_samples(ftstudio, make_project):
    folder = make_project()
    done = ftstudio("run", folder, "--json")
    assert done.code == 0, done.err
    result = done.json
    assert result["state"] == "finished"
    assert result["metrics"]["loss"] == pytest.approx(1.0)
    assert [s["model"] for s in result["samples"]] == ["base", "final"]
    run = RunFolder(folder / "runs" / "0001")
    assert result["run"] == str(run.path)
    assert {p.name for p in run.final.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json", "README.md"}
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["000008", "000010"]
    assert json.loads((run.checkpoints / "000010" / "MANIFEST.json").read_text())["step"] == 10


def test_stdout_is_data_and_stderr_is_narration(ftstudio, make_project):
    folder = make_project()
    done = ftstudio("run", folder)
    assert done.code == 0, done.err
    assert f"loss: 10 at step 1, 1 at step 10, {OTHER_ROWS}\n" in done.out
    assert f"| loss | 10 at step 1, 1 at step 10, {OTHER_ROWS} |" in (folder / "runs/0001/final/README.md").read_text()
    assert "training" in done.err
    assert "model:  " in done.out
    assert "before (base model" in done.out


@pytest.mark.parametrize(
    ("tables", "code", "state", "sentence"),
    [
        ({"trainer": {"ending": "exit"}}, 1, "failed", "exited without finishing"),
        ({"trainer": {"ending": "nan"}}, 1, "failed", "The loss is nan at step 6."),
        ({"trainer": {"ending": "raise"}}, 1, "failed", "trainer fake-walk of ftstudio-fakes 1.0 failed in train()"),
        ({"trainer": {"ending": "no-weights"}}, 1, "failed", "wrote a checkpoint without model.safetensors"),
        ({"trainer": {"ending": "kill"}}, 3, "interrupted", "ended by signal 9 (SIGKILL)"),
        ({"trainer": {"ending": "full"}}, 3, "interrupted", "The disk is full"),
        ({"dataset": {"behaviour": "raise"}}, 1, "failed", "dataset fake-data of ftstudio-fakes 1.0 failed in load()"),
        (
            {"dataset": {"behaviour": "component-error"}},
            2,
            "failed",
            "Line 3 of data.jsonl is not JSON. Mend that line.",
        ),
        ({"dataset": {"behaviour": "bad-type"}}, 1, "failed", "load() returned list; expected a mapping with 'train'"),
        ({"dataset": {"behaviour": "empty"}}, 2, "failed", "gave no rows to train on"),
        ({"tokenizer": {"masked": True}}, 1, "failed", "every label of train is -100"),
    ],
)
def test_each_bad_end_has_its_state_its_sentence_and_its_exit_code(
    ftstudio, make_project, tables, code, state, sentence
):
    folder = make_project(**tables)
    done = ftstudio("run", folder)
    assert done.code == code, done.err
    assert state in done.err
    assert sentence in done.err
    assert "Traceback" not in done.err
    status = ftstudio("status", folder, "--json").json[0]
    assert status["state"] == state
    assert sentence in status["reason"]


def test_settings_from_the_command_line_hold_for_one_run_and_are_recorded(ftstudio, make_project):
    folder = make_project()
    before = (folder / "project.toml").read_bytes()
    done = ftstudio("run", folder, "--json", "--set", "trainer.max_steps=3", "--set", "name=other")
    assert done.code == 0, done.err
    assert (folder / "project.toml").read_bytes() == before
    record = (folder / "runs" / "0001" / "run.toml").read_text()
    assert '"trainer.max_steps" = 3' in record
    assert "max_steps = 3" in record
    assert ftstudio("show", folder / "runs" / "0001", "--json").json["trainer"]["max_steps"] == 3


def test_an_inline_run_ends_in_the_same_files(ftstudio, make_project):
    folder = make_project()
    done = ftstudio("run", folder, "--inline", "--json")
    assert done.code == 0, done.err
    assert done.json["state"] == "finished"
    said = done.err.splitlines()
    assert "nothing survives this terminal" in done.err
    wanted = ["▸ training", "  step 4  loss 2.5", "  checkpoint 4 committed", "▸ sampling"]
    found = [next(i for i, line in enumerate(said) if line.startswith(start)) for start in wanted]
    assert found == sorted(found)
    assert sum(line.startswith("  step ") for line in said) == 10


def test_a_worker_knows_from_the_plan_what_its_first_checkpoint_takes(make_project):
    folder = make_project()
    run = RunFolder(folder / "runs" / "0001")
    run.path.mkdir(parents=True)
    at_work = WorkerRun(run, folder, attempt=1, seed=0, devices=("cpu",), secrets={})
    prepare(load(folder), at_work)
    at_work.close()
    assert at_work.checkpoint_bytes == 500


@pytest.fixture
def keeps_the_first(monkeypatch):
    """The fake trainer, which takes its first checkpoint for the best."""
    import ftstudio_fakes

    class KeepsTheFirst(ftstudio_fakes.FakeTrainer):
        def train(self, data, model, run):
            self.committed = []
            super().train(data, model, run)
            return self.committed[0]

        def commit(self, run, step, position):
            self.committed.append(super().commit(run, step, position))
            return self.committed[-1]

    monkeypatch.setattr(ftstudio_fakes, "FakeTrainer", KeepsTheFirst)
    return KeepsTheFirst


def test_what_is_said_of_a_finished_model_is_of_its_own_step(make_project, keeps_the_first):
    folder = make_project(trainer={"save_total_limit": 9})
    run = RunFolder(folder / "runs" / "0001")
    run.path.mkdir(parents=True)
    at_work = WorkerRun(run, folder, attempt=1, seed=0, devices=("cpu",), secrets={})
    with closing(at_work):
        result = run_all(load(folder), at_work)
        at_work.state("finished", checkpoint=result.path.name, exit_code=0)
    card = (run.final / "README.md").read_text()
    assert "| trainer | `fake-walk`, step 4 |" in card
    assert f"| loss | 10 at step 1, 2.5 at step 4, {OTHER_ROWS} |" in card
    came = outcome(run)
    assert (came.model_step, came.loss(came.model_step)) == (4, ("loss", f"10 at step 1, 2.5 at step 4, {OTHER_ROWS}"))


def test_a_stopped_run_says_the_step_it_reached_and_not_that_of_its_best_checkpoint(
    make_project, monkeypatch, keeps_the_first
):
    import ftstudio_fakes

    class IsStopped(keeps_the_first):
        def hears(self, run):
            if run.logged["loss"] == 10.0 / 7:
                run.requests.notice("asked")
            return super().hears(run)

    monkeypatch.setattr(ftstudio_fakes, "FakeTrainer", IsStopped)
    folder = make_project()
    run = RunFolder(folder / "runs" / "0001")
    run.path.mkdir(parents=True)
    at_work = WorkerRun(run, folder, attempt=1, seed=0, devices=("cpu",), secrets={})
    with closing(at_work), pytest.raises(InterruptedRunError, match=r"Stopped at step 7: asked\."):
        run_all(load(folder), at_work)


@pytest.mark.parametrize("found_before", [False, True])
def test_the_final_model_is_never_that_of_a_damaged_checkpoint(make_project, monkeypatch, found_before):
    """Whether it is found when it is to be used, or by a rotation before the trainer gives it back."""
    import ftstudio_fakes

    class Rots(ftstudio_fakes.FakeTrainer):
        def train(self, data, model, run):
            result = super().train(data, model, run)
            (result.path / "model.safetensors").write_bytes(b"x")
            if found_before:
                rotate(run.folder.checkpoints, run.folder.quarantine, 2)
            return result

    monkeypatch.setattr(ftstudio_fakes, "FakeTrainer", Rots)
    folder = make_project()
    run = RunFolder(folder / "runs" / "0001")
    run.path.mkdir(parents=True)
    with closing(WorkerRun(run, folder, attempt=1, seed=0, devices=("cpu",), secrets={})) as at_work:
        assert run_all(load(folder), at_work).step == 8
    said = [event.data["text"] for event in read_events(run.events) if event.kind == "warning"]
    assert found_before or said[0].startswith("Checkpoint 10 is damaged: model.safetensors has 1 bytes")
    assert said[-1] == "The result is checkpoint 8 instead."
    weights = [(place / "model.safetensors").read_bytes() for place in (run.final, run.checkpoints / "000008")]
    assert weights[0] == weights[1]
    assert [place.name.partition("-")[0] for place in run.quarantine.glob("*.reason.txt")] == ["000010"]


@pytest.mark.parametrize("kind", ["a run", "a run of the kit"])
def test_what_has_no_number_for_a_loss_is_never_the_best(tmp_path, kind):
    folder = RunFolder(tmp_path / "runs" / "0001")
    folder.path.mkdir(parents=True)
    real = WorkerRun(folder, tmp_path, attempt=1, seed=0, devices=("cpu",), secrets={})
    run = real if kind == "a run" else FakeRun(tmp_path / "fake")
    with closing(real):
        for step, loss in ((1, math.nan), (2, 2.0), (3, math.nan)):
            with run.checkpoint(step, metrics={"eval_loss": loss}, best=True) as draft:
                (draft.path / "config.json").write_text("{}")
                (draft.path / "model.safetensors").write_bytes(b"weights")
    if run is real:
        assert best_of(folder.checkpoints).name == "000002"
        assert [e.data["best"] for e in read_events(folder.events) if e.kind == "checkpoint"] == [False, True, False]
    else:
        assert run.best.step == 2


@pytest.mark.parametrize(
    ("own", "phases"),
    [
        ((), ["starting the trainer", "training"]),
        (("loading the model", "training"), ["starting the trainer", "loading the model", "training"]),
    ],
)
def test_training_is_said_once_and_when_it_begins(make_project, monkeypatch, own, phases):
    import ftstudio_fakes

    class NamesPhases(ftstudio_fakes.FakeTrainer):
        def train(self, data, model, run):
            for name in own:
                run.phase(name)
            return super().train(data, model, run)

    monkeypatch.setattr(ftstudio_fakes, "FakeTrainer", NamesPhases)
    folder = make_project()
    run = RunFolder(folder / "runs" / "0001")
    run.path.mkdir(parents=True)
    with closing(WorkerRun(run, folder, attempt=1, seed=0, devices=("cpu",), secrets={})) as at_work:
        run_all(load(folder), at_work)
    said = [event.data["name"] for event in read_events(run.events) if event.kind == "phase"]
    assert said[3:-2] == phases
    assert said[-2:] == ["writing the final model", "sampling"]


def test_at_a_breakpoint_the_terminal_is_the_debuggers(make_project):
    folder = make_project(trainer={"ending": "breakpoint"})
    done = subprocess.run(
        [sys.executable, "-m", "ftstudio", "run", folder, "--inline"],
        input="import time; time.sleep(0.5)\np step * 7\nc\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "(Pdb) 42" in done.stdout
    assert "  step 6  loss" in done.stderr
    assert "\r" not in done.stderr
    assert "model:  " in done.stdout


@pytest.mark.parametrize("option", [["--detach"], ["--auto-resume"], ["--each", "seed=1,2"]])
def test_what_an_inline_run_cannot_do_is_refused(ftstudio, make_project, option):
    folder = make_project()
    done = ftstudio("run", folder, "--inline", *option)
    assert done.code == 2
    assert done.err == f"✗ --inline runs it here and now, so {option[0]} means nothing. Leave one of them out.\n"
    assert not (folder / "runs").exists()


def test_a_detached_run_is_followed_by_attach(ftstudio, make_project):
    folder = make_project(trainer={"step_seconds": 0.05})
    done = ftstudio("run", folder, "--detach", "--json")
    assert done.code == 0, done.err
    assert done.json["state"] in {"starting", "running"}
    attached = ftstudio("attach", folder)
    assert attached.code == 0, attached.err
    assert "model:  " in attached.out


def test_a_stop_commits_a_checkpoint_and_says_stopped(ftstudio, make_project):
    folder = make_project(trainer={"step_seconds": 0.2, "max_steps": 500, "save_steps": 400})
    assert ftstudio("run", folder, "--detach").code == 0
    run = RunFolder(folder / "runs" / "0001")
    while not any(e.kind == "metrics" for e in read_events(run.events)):
        pass
    asked = ftstudio("stop", folder, "--json")
    assert (asked.code, asked.err) == (0, "")
    assert asked.json["run"] == str(run.path)
    assert asked.json["says"] == "It will finish its step, commit a checkpoint and stop."
    attached = ftstudio("attach", folder, "--json")
    assert (attached.code, attached.json["state"]) == (3, "stopped")
    assert attached.json["reason"].startswith("Stopped at step")
    assert "stopped: Stopped at step" in ftstudio("attach", folder).err
    assert len(list(run.checkpoints.iterdir())) == 1


def test_a_killed_run_is_interrupted_on_request(ftstudio, make_project):
    folder = make_project(trainer={"step_seconds": 0.2, "max_steps": 500})
    assert ftstudio("run", folder, "--detach").code == 0
    assert ftstudio("kill", folder).code == 0
    attached = ftstudio("attach", folder)
    assert attached.code == 3
    assert "Killed on request" in attached.err


def test_a_deep_check_tries_everything_once_and_remembers_the_speed(ftstudio, make_project):
    folder = make_project()
    before = ftstudio("check", folder)
    assert before.code == 0
    assert "tokens/s" not in before.out
    deep = ftstudio("check", folder, "--deep", "--json")
    assert deep.code == 0, deep.err
    report = deep.json["deep"]
    assert report["batch"] == f"{report['batch_rows']} rows of up to {report['longest']} tokens"
    assert report["tokens_per_second"] == 100.0
    assert report["checkpoint_bytes"] > 0
    assert report["sample"]["text"].startswith(" step")
    assert report["view"][0]["pieces"][:3] == ["o", "n", "e"]
    assert "100 tokens/s" in ftstudio("check", folder).out
    assert not (folder / "runs").exists()


def test_the_token_view_marks_what_is_trained(ftstudio, make_project):
    done = ftstudio("data", make_project(), "--tokens", "--rows", "1")
    assert done.code == 0, done.err
    assert "o|n|e|" in done.out
    assert "= = =" in done.out


def test_rows_are_shown_as_the_source_gives_them(ftstudio, make_project):
    done = ftstudio("data", make_project(), "--row", "2", "--rows", "1")
    assert done.code == 0, done.err
    assert done.out.splitlines() == ["row 2", "  text: two"]


def test_sampling_a_run_and_its_base(ftstudio, make_project):
    folder = make_project()
    assert ftstudio("sample", folder).code == 2
    assert ftstudio("run", folder).code == 0
    assert "Hi step" in ftstudio("sample", folder, "--prompt", "Hi").out
    assert ftstudio("sample", folder, "--checkpoint", "8", "--json").json["texts"] == [" step 8"]
    assert "It has: 8, 10; or say last." in ftstudio("sample", folder, "--checkpoint", "7").err
    assert ftstudio("sample", folder, "--base").code == 0


def test_several_sequences_of_a_prompt_are_texts_of_their_own(ftstudio, make_project):
    folder = make_project(generator={"sequences": 2, "words": 2})
    ran = ftstudio("run", folder, "--json").json
    words = ("sample", folder, "--checkpoint", "10", "--prompt", "Hi", "--prompt", "Ho")
    report = ftstudio(*words, "--json").json
    texts = [" step 10a 0a 1a", " step 10b 0b 1b"]
    assert report["sequences"] == [texts, texts]
    assert report["texts"] == ["\n\n".join(texts)] * 2
    assert ran["samples"][1]["text"] == report["texts"][0]
    shown = ftstudio(*words)
    assert shown.out.split("\n\n") == [f"Hi{texts[0]}", f"Hi{texts[1]}", f"Ho{texts[0]}", f"Ho{texts[1]}\n"], shown.err


def test_the_text_of_a_generator_that_fails_half_way_is_shown_before_the_error(ftstudio, make_project):
    folder = make_project(generator={"sequences": 2, "words": 2, "ending": "raise"})
    assert ftstudio("run", folder, "--set", "generator.ending=good").code == 0
    shown = ftstudio("sample", folder, "--checkpoint", "10", "--prompt", "Hi")
    assert shown.code == 1
    assert shown.out == "Hi step 10a 0a 1a\n\nHi step 10b 0b 1b\n"
    assert "a bug in the generator" in shown.err


@pytest.mark.parametrize("how", [(), ("--inline",)])
@pytest.mark.parametrize(("variable", "what"), [("XDG_CACHE_HOME", "cache folder"), ("XDG_STATE_HOME", "state folder")])
def test_a_folder_of_ours_that_cannot_be_written_is_named_before_a_run_is_made(
    ftstudio, make_project, tmp_path, how, variable, what
):
    folder = make_project()
    (tmp_path / "file").touch()
    done = ftstudio("run", folder, *how, env={variable: str(tmp_path / "file")})
    assert done.code == 2
    assert f"✗ The {what} cannot be used. '{tmp_path}/file/ftstudio' is not inside a folder" in done.err
    assert f"Set {variable} to a folder that you can write." in done.err
    assert "▸" not in done.err
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("how", [(), ("--inline",)])
def test_a_place_in_the_queue_that_cannot_be_taken_is_named(ftstudio, make_project, own_folders, how):
    state = own_folders / "state" / "ftstudio"
    state.mkdir(parents=True)
    (state / "queue").touch()
    done = ftstudio("run", make_project(), *how)
    assert done.code == 2
    assert f"'{state}/queue' exists already and is no folder" in done.err
