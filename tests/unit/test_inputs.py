"""What a run was trained on is what it goes on with, or somebody accepts the change."""

from contextlib import closing
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from ftstudio.api import Checkpoint, ComponentError, ModelRef
from ftstudio.files import write_toml
from ftstudio.process import stages
from ftstudio.process.inputs import check_base, compare_inputs, hashes, pinned
from ftstudio.process.worker_run import WorkerRun
from ftstudio.runs.control import ask
from ftstudio.runs.events import read_events
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.fork import Parent

BASE = {"config.json": "c", "model.safetensors": "a"}
OTHER = {"config.json": "c", "model.safetensors": "b"}
CHANGED = r"The base model changed since this run began \(model\.safetensors\)"


def inputs(base=BASE, data="d", **model):
    model = {"name": "gpt2", "revision": None, "weights": True, "sha256": base, **model}
    return {"threads": 1, "devices": ["cpu"], "versions": {}, "data": {"fingerprint": data}, "model": model}


@pytest.fixture
def run(make_project):
    """An attempt that goes on after another one, from nothing yet."""
    folder = RunFolder(make_project() / "runs" / "0001")
    folder.path.mkdir(parents=True)
    write_toml(folder.inputs, inputs())
    with closing(WorkerRun(folder, folder.project, attempt=2, seed=0, devices=("cpu",), secrets={})) as at_work:
        yield at_work


def go_on_from(run, kind, place="checkpoints/000004", base=None):
    folder = run.folder.path / place
    folder.mkdir(parents=True)
    (folder / ("adapter_config.json" if kind == "adapter" else "config.json")).write_text("{}")
    run.resume_from = Checkpoint(folder, 4, base)


def warnings(run):
    return [event.data["text"] for event in read_events(run.folder.events) if event.kind == "warning"]


def compare(run, now):
    compare_inputs(run, now, exact=True)


def assert_refused_until_accepted(run, now, sentence):
    with pytest.raises(ComponentError, match=sentence) as refused:
        compare(run, now)
    assert "or resume this one with --accept-changed-data" in refused.value.hint
    assert warnings(run) == []
    ask(run.folder, "accept-changed-data", run.info.attempt)
    compare(run, now)
    assert warnings(run) == [f"Accepted: {refused.value.message}"]


@pytest.mark.parametrize("kind", ["adapter", None])
def test_a_base_model_that_changed_is_refused_where_it_still_counts(run, kind):
    """Beneath an adapter, and where nothing was committed yet."""
    if kind:
        go_on_from(run, kind)
    compare(run, inputs())
    assert_refused_until_accepted(run, inputs(OTHER), CHANGED)


def test_a_whole_model_goes_on_over_another_base_and_that_is_said(run):
    go_on_from(run, "whole")
    compare(run, inputs(OTHER))
    (said,) = warnings(run)
    assert said.startswith("The base model changed since this run began (model.safetensors). Its checkpoint holds all")


def test_a_config_without_weights_may_change(run):
    go_on_from(run, "adapter")
    compare(run, inputs(OTHER, weights=False))
    assert warnings(run) == []


def test_data_that_were_accepted_are_named(run):
    go_on_from(run, "whole")
    assert_refused_until_accepted(run, inputs(data="other"), "The data changed since this run began, so going on would")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is missing"),
        (b"", "is damaged"),
        (b"data = 3", "is damaged"),
        (b"[data]\nfingerprint = 'd'\n[versions]\n[model]\n", "is damaged"),
        (b"[data", r"cannot be read \(.+\)"),
        (b"\xff", r"cannot be read \(.+\)"),
    ],
)
def test_what_cannot_be_compared_is_refused_once_something_was_trained(run, content, said):
    run.folder.inputs.unlink()
    if content is not None:
        run.folder.inputs.write_bytes(content)
    compare(run, inputs(data="other"))  # nothing was trained: what comes is all there is
    go_on_from(run, "whole")
    sentence = rf"inputs\.toml, which says what this run was trained on, {said}: nobody can tell whether the data and"
    assert_refused_until_accepted(run, inputs(), sentence)


# ----------------------------------------------------------------------------------------------------- forks


@pytest.fixture
def fork(run):
    """An attempt of a run that goes out from an adapter of another run."""
    run.folder.inputs.unlink()
    run.lineage = {"run": "lab:0007", "data": "d", "base": BASE}
    go_on_from(run, "adapter", "origin")
    return run


def test_the_adapter_of_a_fork_is_refused_over_another_base(fork):
    compare(fork, inputs())
    assert_refused_until_accepted(
        fork, inputs(OTHER), r"The base model is not the one that lab:0007 was trained on \(model\.safetensors\)"
    )


def test_a_fork_whose_parent_does_not_say_what_it_was_trained_on_says_so(fork):
    fork.lineage = {"run": "lab:0007"}
    compare(fork, inputs(OTHER))
    assert [said.partition(" that lab:0007")[0] for said in warnings(fork)] == [
        "Nobody can tell whether the data are those",
        "Nobody can tell whether the base model is the one",
    ]


def test_a_fork_is_told_what_its_parent_was_trained_on(run):
    manifest = SimpleNamespace(step=4)
    assert Parent(run.folder, run.folder.path, manifest).lineage["base"] == BASE
    run.folder.inputs.unlink()
    assert "base" not in Parent(run.folder, run.folder.path, manifest).lineage


def test_an_adapter_is_merged_over_no_other_base_than_its_own(fork, tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(b"another one")
    adapter = Checkpoint(fork.resume_from.path, 4, ModelRef(tmp_path, weights=True, name="gpt2"))
    with pytest.raises(ComponentError, match="The base model is not the one that lab:0007 was trained on"):
        stages._merged(None, fork, adapter)
    fork.lineage = {**fork.lineage, "base": hashes(tmp_path)}
    check_base(fork, hashes(tmp_path))
    assert warnings(fork) == []


# --------------------------------------------------------------------------------------- the commit of a model


@dataclass(frozen=True)
class Options:
    name: str = "gpt2"
    revision: str | None = None


@pytest.mark.parametrize("revision", [None, "main"])
def test_a_resume_takes_the_commit_that_was_recorded(run, revision):
    assert pinned(run, Options(revision=revision)).revision == revision
    write_toml(run.folder.inputs, inputs(revision="abc"))
    assert pinned(run, Options(revision=revision)) == Options(revision="abc")
    assert pinned(run, Options(name="other", revision=revision)).revision == revision
    assert pinned(run, "no options") == "no options"


def test_a_fork_of_an_adapter_takes_the_commit_beneath_it_unless_another_one_is_asked_for(fork, tmp_path):
    fork.resume_from = Checkpoint(
        fork.resume_from.path, 4, ModelRef(tmp_path, weights=True, name="gpt2", revision="abc")
    )
    assert pinned(fork, Options()).revision == "abc"
    assert pinned(fork, Options(revision="v2")).revision == "v2"
    assert pinned(fork, Options(name="other")).revision is None


@pytest.mark.usefixtures("fakes")
def test_the_model_is_fetched_by_the_options_that_were_pinned(run, monkeypatch):
    import ftstudio_fakes

    from ftstudio.project import load

    asked = []

    class Fetches(ftstudio_fakes.FakeModel):
        def fetch(self, run):
            asked.append(self.options.context)
            return super().fetch(run)

    monkeypatch.setattr(ftstudio_fakes, "FakeModel", Fetches)
    monkeypatch.setattr(stages, "pinned", lambda run, options: replace(options, context=8))
    stages.base_model(load(run.project), run)
    assert asked == [8]
