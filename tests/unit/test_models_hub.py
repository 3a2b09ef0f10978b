"""The model `hub`: folders, a Hub cache laid out by hand, and a Hub that answers what the test says."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import constants
from tiny_models import save_model, save_tokenizer

from ftstudio.api import ComponentError, Facts, ModelRef, OptionError, Problem, ProjectInfo
from ftstudio.testing import FakeRun
from ftstudio_datasets.options import HubOptions as DatasetOptions
from ftstudio_kit import hub as kit_hub
from ftstudio_models.hub import Hub
from ftstudio_models.light import hub_check, hub_facts
from ftstudio_models.options import HubOptions
from ftstudio_tokenizers.options import PretrainedOptions

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    save_model(folder)
    return save_tokenizer(folder)


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path / "run")


def lay_out(tiny: Path, name: str = "gpt2", commit: str = COMMIT, ref: str | None = "main") -> Path:
    """As huggingface_hub lays it out: blobs, snapshots of links, refs."""
    repo = Path(os.environ["HF_HOME"]) / "hub" / f"models--{name.replace('/', '--')}"
    snapshot = repo / "snapshots" / commit
    for folder in (snapshot, repo / "blobs", repo / "refs"):
        folder.mkdir(parents=True, exist_ok=True)
    for file in tiny.iterdir():
        blob = repo / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        blob.write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(os.path.relpath(blob, snapshot))
    if ref is not None:
        (repo / "refs" / ref).write_text(commit)
    return snapshot


def fetch(run: FakeRun, name: str, revision: str | None = None) -> ModelRef:
    return Hub(HubOptions(name=name, revision=revision)).fetch(run)


def refused(run: FakeRun, name: str, revision: str | None = None) -> ComponentError:
    with pytest.raises(ComponentError) as caught:
        fetch(run, name, revision)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value


def check(run: FakeRun, name: str, revision: str | None = None) -> list[Problem]:
    options = HubOptions(name=name, revision=revision)
    info = ProjectInfo(folder=run.project, name="x", seed=1, uses={}, options={})
    return list(hub_check(options, info, Facts()))


# ------------------------------------------------------------------------------------------------- folders


@pytest.mark.parametrize("how", ["relative", "dotted", "absolute", "home", "link"])
def test_a_folder_is_found_however_it_is_written(
    tiny: Path, run: FakeRun, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = run.project / "models" / "mine"
    target.parent.mkdir()
    target.symlink_to(tiny)
    monkeypatch.setenv("HOME", str(run.project))
    names = {
        "relative": "models/mine",
        "dotted": "./models/mine",
        "absolute": str(tiny),
        "home": "~/models/mine",
        "link": str(target),
    }
    found = fetch(run, names[how])
    assert found == ModelRef(tiny.resolve(), weights=True, name=names[how], revision=None)
    assert check(run, names[how]) == []
    assert hub_facts(HubOptions(name=names[how]), run.project).context == 64


@pytest.mark.parametrize("name", ["./gone", "../gone", "/gone", "~/gone", "gone/", "a/b/c", "no id"])
def test_a_folder_that_is_not_there_is_said_by_the_check_and_by_the_run(run: FakeRun, name: str) -> None:
    error = refused(run, name)
    assert error.message.startswith("There is no model folder '")
    (problem,) = check(run, name)
    assert (problem.level, problem.option, problem.message) == ("error", "name", error.message)
    assert hub_facts(HubOptions(name=name), run.project) == Facts()


def test_a_revision_of_a_folder_means_nothing(tiny: Path, run: FakeRun) -> None:
    (problem,) = check(run, str(tiny), "main")
    assert (problem.level, problem.option) == ("warning", "revision")


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("nobody-knows", "which this transformers lacks"),
        (None, "which this transformers lacks"),
        ("t5", "does not write text"),
    ],
)
def test_an_architecture_that_cannot_be_opened(tiny: Path, run: FakeRun, kind: str | None, sentence: str) -> None:
    folder = run.project / "odd"
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(tiny / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    assert sentence in refused(run, "./odd").message


def test_the_facts_come_from_config_and_headers(tiny: Path, run: FakeRun) -> None:
    facts = hub_facts(HubOptions(name=str(tiny)), run.project)
    assert (facts.context, facts.vocab_size, facts.architecture) == (64, 257, "gpt2")
    assert facts.parameters == 35_744
    assert facts.weights_bytes == 4 * 35_744
    (run.project / "config.json").write_text((tiny / "config.json").read_text())
    assert hub_facts(HubOptions(name=str(run.project)), run.project).parameters is None


# --------------------------------------------------------------------------------------------------- cache


def test_gpt2_resolves_offline_from_a_cache_laid_out_by_hand(tiny: Path, run: FakeRun) -> None:
    snapshot = lay_out(tiny)
    assert fetch(run, "gpt2") == ModelRef(snapshot, weights=True, name="gpt2", revision=COMMIT)
    assert check(run, "gpt2") == []
    assert hub_facts(HubOptions(name="gpt2"), run.project).architecture == "gpt2"


def test_a_revision_chooses_among_the_snapshots(tiny: Path, run: FakeRun) -> None:
    lay_out(tiny, "org/name")
    lay_out(tiny, "org/name", OTHER, ref="v2")
    assert fetch(run, "org/name").revision == COMMIT
    assert fetch(run, "org/name", "v2").revision == fetch(run, "org/name", OTHER).revision == OTHER
    assert "not in the cache" in refused(run, "org/name", "v3").message
    assert hub_facts(HubOptions(name="org/name", revision="v3"), run.project) == Facts()


def test_a_revision_that_is_not_here_is_named_itself(tiny: Path, run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tiny)
    (problem,) = check(run, "gpt2", "v99")
    assert (problem.level, problem.option) == ("error", "revision")
    assert problem.message == "Revision 'v99' of 'gpt2' is not in the Hub's cache, and HF_HUB_OFFLINE is set."
    assert "The model 'gpt2' at revision 'v99' is not in the cache" in refused(run, "gpt2", "v99").message
    monkeypatch.delenv("HF_HUB_OFFLINE")
    (note,) = check(run, "gpt2", "v99")
    assert (note.level, note.message) == (
        "note", "Revision 'v99' of 'gpt2' is not in the Hub's cache: it will be downloaded.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://huggingface.co/gpt2", "gpt2"),
        ("https://huggingface.co/org/name/tree/main", "org/name"),
        ("huggingface.co/org/name/", "org/name"),
        ("https://huggingface.co/org/name?library=transformers", "org/name"),
        ("https://huggingface.co/datasets/org/name", "org/name"),
        ("https://hf.co/org/name", "org/name"),
    ],
)
@pytest.mark.parametrize("options", [HubOptions, PretrainedOptions, DatasetOptions])
def test_an_address_gives_the_name_that_stands_in_it(options: Any, address: str, name: str) -> None:
    with pytest.raises(OptionError) as caught:
        options(name=address)
    assert (caught.value.field, caught.value.hint) == ("name", f'Write name = "{name}".')


def test_a_name_that_is_no_address_stays_as_it_is() -> None:
    for name in ("gpt2", "org/huggingface.co", "./huggingface.co/x", "https://example.org/gpt2"):
        assert HubOptions(name=name).name == name


OTHERWISE = {"name": "org/other", "revision": "v2"}


@pytest.mark.parametrize("option", [f.name for f in dataclasses.fields(HubOptions)])
def test_every_option_chooses_another_model(tiny: Path, run: FakeRun, option: str) -> None:
    lay_out(tiny, "org/name")
    lay_out(tiny, "org/name", OTHER, ref="v2")
    lay_out(tiny, "org/other")
    usual = HubOptions(name="org/name")
    changed = dataclasses.replace(usual, **{option: OTHERWISE[option]})
    assert Hub(changed).fetch(run).path != Hub(usual).fetch(run).path


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"])
def test_the_cache_may_lie_elsewhere(tiny: Path, run: FakeRun, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tiny)
    monkeypatch.setenv(variable, str(Path(os.environ["HF_HOME"]) / "hub"))
    monkeypatch.setenv("HF_HOME", "/gone")
    assert fetch(run, "gpt2").revision == COMMIT


def test_without_cache_and_hub_three_ways_out_are_named(run: FakeRun) -> None:
    error = refused(run, "gpt2")
    assert error.message == "The model 'gpt2' is not in the cache, and the Hub cannot be asked: HF_HUB_OFFLINE is set."
    for way in ("hf download gpt2", "HF_HOME", "name a folder", 'use = "starter"'):
        assert way in error.hint
    (problem,) = check(run, "gpt2")
    assert problem.level == "error"


def test_a_broken_copy_in_the_cache_says_what_it_lacks_when_the_hub_is_away(tiny: Path, run: FakeRun) -> None:
    snapshot = lay_out(tiny)
    (snapshot / "model.safetensors").unlink()
    assert "has no weights" in refused(run, "gpt2").message
    assert "has no weights" in check(run, "gpt2")[0].message


def test_a_copy_without_its_tokenizer_will_do_when_the_hub_is_away(tiny: Path, run: FakeRun) -> None:
    snapshot = lay_out(tiny)
    (snapshot / "tokenizer.json").unlink()
    assert fetch(run, "gpt2").path == snapshot


# ----------------------------------------------------------------------------------------------------- hub

Answer = Callable[[httpx2.Request], httpx2.Response]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], list[str]]]:
    """Let a function answer every request; gives the list of paths that were asked for."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    asked: list[str] = []

    def answer_with(answer: Answer) -> list[str]:
        def handler(request: httpx2.Request) -> httpx2.Response:
            asked.append(f"{request.method} {request.url.path}")
            return answer(request)

        huggingface_hub.set_client_factory(lambda: httpx2.Client(transport=httpx2.MockTransport(handler)))
        return asked

    yield answer_with
    huggingface_hub.close_session()
    from huggingface_hub.utils._http import default_client_factory

    huggingface_hub.set_client_factory(default_client_factory)


def status(code: int, reason: str = "", headers: dict[str, str] | None = None) -> Answer:
    more = {"X-Error-Code": reason} if reason else {}
    return lambda request: httpx2.Response(
        code, headers={**more, **(headers or {})}, json={"error": "x"}, request=request
    )


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (status(401), "The Hub does not show 'org/name' (401)"),
        (status(401, "RepoNotFound"), "The Hub does not show 'org/name' (401)"),
        (status(403, "GatedRepo"), "The model 'org/name' is gated: the Hub wants its terms accepted first (403)."),
        (status(404, "RepoNotFound"), "There is no model 'org/name' on the Hub (404)."),
        (status(404), "There is no model 'org/name' on the Hub (404)."),
        (status(404, "RevisionNotFound"), "The model 'org/name' has no revision 'v1'."),
        (status(429), "The Hub asks us to wait (429)"),
        (status(500), "the Hub cannot be asked: it answered 500."),
    ],
)
def test_each_refusal_of_the_hub_is_a_sentence(
    run: FakeRun, hub: Callable[[Answer], list[str]], answer: Answer, sentence: str
) -> None:
    hub(answer)
    assert sentence in refused(run, "org/name", "v1").message


def test_a_hub_that_cannot_be_reached(run: FakeRun, hub: Callable[[Answer], list[str]]) -> None:
    def no_route(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("no route to host", request=request)

    hub(no_route)
    error = refused(run, "gpt2")
    assert "the Hub cannot be asked: no route to host." in error.message
    assert 'use = "starter"' in error.hint


def test_a_hub_that_does_not_answer_is_given_up_and_asked_once(
    run: FakeRun, hub: Callable[[Answer], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit_hub, "ANSWER_SECONDS", 0.05)

    def slow(request: httpx2.Request) -> httpx2.Response:
        time.sleep(0.5)
        return httpx2.Response(404, request=request)

    asked = hub(slow)
    assert "it did not answer within 0.05 s" in refused(run, "gpt2").message
    assert len(asked) <= 1


def test_weights_that_are_pickles_are_refused_before_the_download(
    run: FakeRun, hub: Callable[[Answer], list[str]]
) -> None:
    files = [{"rfilename": name} for name in ("config.json", "pytorch_model.bin")]
    asked = hub(
        lambda request: httpx2.Response(200, json={"id": "a/b", "sha": COMMIT, "siblings": files}, request=request)
    )
    error = refused(run, "a/b")
    assert error.message == "The model 'a/b' has no safetensors on the Hub, only weights that may run code."
    assert len(asked) == 1


def test_what_the_cache_holds_is_not_asked_for(tiny: Path, run: FakeRun, hub: Callable[[Answer], list[str]]) -> None:
    asked = hub(status(500))
    lay_out(tiny)
    assert fetch(run, "gpt2").revision == COMMIT
    assert asked == []
    assert check(run, "gpt2") == []
    (note,) = check(run, "org/other")
    assert (note.level, note.message) == ("note", "'org/other' is not in the Hub's cache: it will be downloaded.")
    assert asked == []


def serve(folder: Path) -> Answer:
    """The parts of the Hub's API that a download needs."""
    names = [*sorted(p.name for p in folder.iterdir()), "pytorch_model.bin", "evil.py"]

    def entry(name: str) -> dict[str, Any]:
        size = (folder / name).stat().st_size if (folder / name).exists() else 3
        return {"type": "file", "path": name, "size": size, "oid": hashlib.sha1(name.encode()).hexdigest()}

    def answer(request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if "/tree/" in path:
            return httpx2.Response(200, json=[entry(name) for name in names], request=request)
        if path.startswith("/api/models/"):
            siblings = [{"rfilename": name} for name in names]
            return httpx2.Response(200, json={"id": "org/name", "sha": COMMIT, "siblings": siblings}, request=request)
        name = path.rsplit("/", 1)[-1]
        data = (folder / name).read_bytes() if (folder / name).exists() else b"no!"
        headers = {"ETag": f'"{entry(name)["oid"]}"', "X-Repo-Commit": COMMIT, "Content-Length": str(len(data))}
        return httpx2.Response(200, headers=headers, content=b"" if request.method == "HEAD" else data, request=request)

    return answer


def test_a_download_brings_safetensors_and_tokenizer_and_is_found_again_offline(
    tiny: Path, run: FakeRun, hub: Callable[[Answer], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub(serve(tiny))
    found = fetch(run, "org/name")
    assert found.revision == COMMIT
    assert {p.name for p in found.path.iterdir()} == {p.name for p in tiny.iterdir()}
    assert run.messages == [f"Fetching org/name at {COMMIT[:12]} from the Hub."]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(run, "org/name") == found
