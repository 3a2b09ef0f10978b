"""The source hub: the cache first, a local folder, and one sentence for each way in which the Hub says no."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest

from ftstudio.api import ComponentError, OptionError, ProjectInfo
from ftstudio.testing import FakeRun
from ftstudio_datasets import hub, light
from ftstudio_datasets.hub import Hub
from ftstudio_datasets.options import HubOptions

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf" / "datasets"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    return FakeRun(tmp_path)


def info(run: FakeRun) -> ProjectInfo:
    return ProjectInfo(folder=run.project, name="fake", seed=1, uses={}, options={})


def cache(run: FakeRun, commit: str, *, config: str = "default", **splits: list[dict[str, Any]]) -> None:
    """Lay out what `datasets` leaves behind after it prepared org/Name."""
    folder = run.root / "hf" / "datasets" / "org___name" / config / "0.0.0" / commit
    folder.mkdir(parents=True)
    for name, rows in splits.items():
        with datasets.arrow_writer.ArrowWriter(path=str(folder / f"name-{name}.arrow")) as writer:
            for row in rows:
                writer.write(row)
            writer.finalize()
    described = datasets.DatasetInfo(
        features=datasets.Dataset.from_list(next(iter(splits.values()))).features,
        builder_name="csv",
        dataset_name="name",
        config_name=config,
        version="0.0.0",
        splits=datasets.SplitDict.from_split_dict(
            [{"name": name, "num_examples": len(rows), "dataset_name": "name"} for name, rows in splits.items()]
        ),
    )
    described.write_to_directory(str(folder))


@pytest.fixture
def cached(run: FakeRun) -> FakeRun:
    rows = [{"question": "q", "answer": "a", "id": 1}, {"question": "r", "answer": "b", "id": 2}]
    cache(run, OLD, train=rows, test=rows[:1])
    return run


def local(run: FakeRun, **files: str) -> str:
    folder = run.project / "mine"
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content)
    return "mine"


def load(run: FakeRun, table: str = "train", **options: Any) -> list[dict[str, Any]]:
    return list(Hub(HubOptions(**options)).load(run)[table])


def refusal(run: FakeRun, **options: Any) -> ComponentError:
    with pytest.raises(ComponentError) as caught:
        load(run, **options)
    return caught.value


# ---------------------------------------------------------------------------------------- cache and folder


def test_a_cached_dataset_needs_no_network(cached: FakeRun) -> None:
    assert load(cached, name="org/name") == [{"prompt": "q", "completion": "a"}, {"prompt": "r", "completion": "b"}]
    assert "comes from the cache: default, commit aaaaaaaaaaaa." in cached.messages[0]
    assert "Columns 'question', 'answer' read as prompt, completion; not used: 'id'." in cached.messages


def test_a_split_to_evaluate_on_and_a_slice(cached: FakeRun) -> None:
    assert len(load(cached, "validation", name="org/name", validation_split="test")) == 1
    assert len(load(cached, name="org/name", split="train[:1]")) == 1


def test_columns_are_mapped_and_checked_as_those_of_a_table(cached: FakeRun) -> None:
    assert load(cached, name="org/name", text_column="answer") == [{"text": "a"}, {"text": "b"}]
    assert "'org/name', train row 1: 'id' is a number" in refusal(cached, name="org/name", text_column="id").message
    assert "has no column 'txt'" in refusal(cached, name="org/name", text_column="txt").message


def test_config_and_revision_choose_among_cached_copies(cached: FakeRun) -> None:
    cache(cached, NEW, config="fr", train=[{"text": "bonjour"}])
    (refs := cached.root / "hf" / "hub" / "datasets--org--name" / "refs").mkdir(parents=True)
    (refs / "v1").write_text(OLD)
    assert load(cached, name="org/name", config="fr") == [{"text": "bonjour"}]
    assert len(load(cached, name="org/name", revision=OLD)) == 2
    assert len(load(cached, name="org/name", revision="v1")) == 2


def test_an_unknown_split_names_those_that_there_are(cached: FakeRun) -> None:
    error = refusal(cached, name="org/name", split="tst")
    assert (error.message, error.hint) == (
        "'org/name' has no split 'tst'; it has 'train', 'test'.", "Did you mean 'test'?",
    )  # fmt: skip


def test_a_local_folder_is_read_like_a_dataset(run: FakeRun) -> None:
    name = local(run, train="prompt,completion\na,b\n", test="prompt,completion\nc,d\n")
    assert load(run, name=name) == [{"prompt": "a", "completion": "b"}]
    assert load(run, "validation", name=name, validation_split="test") == [{"prompt": "c", "completion": "d"}]
    assert list(Hub(HubOptions(name=name)).preview(run, 1)) == [{"prompt": "a", "completion": "b"}]
    assert "'mine' has no split 'dev'; it has" in refusal(run, name=name, split="dev").message
    assert "'zz'" in refusal(run, name=name, config="zz").message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.jsonl", '{"text": "a"}\n{"text":\n', "Line 2 of 'b.jsonl' is not valid JSON: Expecting value at column 9"),
        ("b.json", '[{"text": "a"},\n{"te', "'b.json' is not valid JSON: row 2, line 2"),
        ("b.csv", "text,n\na,1\nb,2,3\n", "Line 3 of 'b.csv' has 3 columns, the header has 2"),
        ("b.jsonl", "", "'b.jsonl' is empty"),
        ("b.parquet", "version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer"),
        ("b.txt", "a\0b", "'b.txt' is not a text file"),
    ],
)
def test_a_file_of_a_local_folder_that_cannot_be_read_is_named_with_the_place(
    run: FakeRun, name: str, content: str, message: str
) -> None:
    folder = run.project / "mine"
    folder.mkdir()
    (folder / "dataset_infos.json").write_text("{}")
    (folder / name).write_text(content)
    found = hub.first_bad(folder)
    assert found is not None
    assert message in found.message
    assert found.option == "name"


def test_a_text_of_a_local_folder_in_another_encoding_is_to_become_utf_8(run: FakeRun) -> None:
    (run.project / "a.txt").write_bytes(b"caf\xe9\n")
    found = hub.first_bad(run.project)
    assert found is not None
    assert "is not UTF-8 text: line 1" in found.message
    assert found.hint == "Turn it into UTF-8 (iconv)."


def test_a_bad_line_of_a_local_folder_is_told_in_the_words_of_a_table(run: FakeRun) -> None:
    name = local(run, train="text,n\na,1\nb,2,3\n")
    error = refusal(run, name=name)
    assert error.message == "Line 3 of 'train.csv' has 3 columns, the header has 2: 'text', 'n'."
    assert error.hint == "A cell that holds ',' needs quotes around it."


def test_a_row_that_is_no_utf_8_is_named(run: FakeRun) -> None:
    (run.project / "mine").mkdir()
    (run.project / "mine" / "train.jsonl").write_bytes(b'{"text": "a"}\n{"text": "caf\xe9"}\n')
    assert refusal(run, name="mine").message == "'mine', train row 2 is not UTF-8 text."


def test_a_loading_script_is_never_run(run: FakeRun) -> None:
    local(run)
    (run.project / "mine" / "mine.py").write_text("raise SystemExit('it ran')")
    assert "made by a script, which is never run" in refusal(run, name="mine").message


def test_the_fingerprint_follows_commit_and_options(cached: FakeRun) -> None:
    def fingerprint(**options: Any) -> str:
        return Hub(HubOptions(name="org/name", **options)).fingerprint(cached)

    first = fingerprint()
    assert fingerprint() == first
    assert fingerprint(text_column="answer") != first
    assert fingerprint(split="test") != first
    cache(cached, NEW, train=[{"text": "new"}])
    assert fingerprint(revision=NEW) != fingerprint(revision=OLD)


def test_facts_and_problems_of_a_cached_dataset_come_from_its_description(cached: FakeRun) -> None:
    options = HubOptions(name="org/name", validation_split="test")
    facts = light.hub_facts(options, cached.project)
    assert (facts.rows, facts.validation_rows, facts.shape) == (2, 1, "prompt_completion")
    assert facts.columns is not None
    assert set(facts.columns) == {"question", "answer", "id"}
    assert [p.level for p in light.hub_check(options, info(cached), facts)] == ["note"]
    (problem,) = light.hub_check(HubOptions(name="org/name", text_column="anser"), info(cached), facts)
    assert (problem.level, problem.option, dict(problem.edit)) == ("error", "text_column", {"text_column": "answer"})


# ------------------------------------------------------------------------------------------------- refusals


class Answer:
    """A Hub that answers every question in the same way."""

    status, headers, body = 404, dict[str, str](), b"{}"
    wait: threading.Event | None = None


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answer]:
    given = Answer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if given.wait is not None:
                given.wait.wait(20)
            self.send_response(given.status)
            for name, value in {"Content-Length": str(len(given.body)), **given.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(given.body)

        def log_message(self, *arguments: Any) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield given
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "code", "message", "hint"),
    [
        (404, "RepoNotFound", "The Hub has no dataset 'org/none', or hides it from you.", "hf auth login"),
        (401, "", "The Hub refuses 'org/none': 401.", "hf auth login"),
        (403, "", "The Hub refuses 'org/none': 403.", "hf auth login"),
        (403, "GatedRepo", "'org/none' is gated.", "Ask for access at https://huggingface.co/datasets/org/none"),
        (404, "RevisionNotFound", "'org/none' has no revision 'v9'.", "Check it"),
        (429, "", "The Hub has had too many requests from here (429)", "Try later."),
        (500, "", "The Hub could not give 'org/none': 500.", "Try later."),
    ],
)
def test_each_no_of_the_hub_has_its_sentence(
    run: FakeRun, answer: Answer, status: int, code: str, message: str, hint: str
) -> None:
    answer.status, answer.headers = status, {"X-Error-Code": code} if code else {}
    error = refusal(run, name="org/none", revision="v9")
    assert message in error.message
    assert hint in error.hint


def test_a_gated_dataset_whose_description_is_public_is_gated_all_the_same(run: FakeRun, answer: Answer) -> None:
    asked = hub.HfApi.auth_check
    described = {"id": "org/none", "sha": NEW, "gated": "manual", "private": False, "tags": [], "siblings": []}
    answer.status, answer.body = 200, json.dumps(described).encode()

    def refuse(self: Any, *arguments: Any, **options: Any) -> None:
        answer.status, answer.headers = 403, {"X-Error-Code": "GatedRepo"}
        asked(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub.HfApi, "auth_check", refuse)
        assert refusal(run, name="org/none").message == "'org/none' is gated."


def test_a_hub_that_does_not_answer_is_not_waited_for(
    run: FakeRun, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.2)
    answer.wait = threading.Event()
    error = refusal(run, name="org/none")
    answer.wait.set()
    time.sleep(0.05)  # the thread that still asks ends before its server does
    assert "is not in the cache, and the Hub cannot be reached" in error.message


def test_without_a_network_it_says_so_and_what_to_do(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    error = refusal(run, name="org/none")
    assert error.message == "'org/none' is not in the cache, and the Hub cannot be reached: HF_HUB_OFFLINE is set."
    assert "bring the dataset as files" in error.hint
    (problem,) = light.hub_check(
        HubOptions(name="org/none"), info(run), light.hub_facts(HubOptions(name="x"), run.root)
    )
    assert (problem.level, problem.option) == ("error", "name")


@pytest.mark.parametrize("variable", ["HF_DATASETS_CACHE", "HF_HUB_CACHE"])
def test_a_cache_in_the_home_of_a_user_who_is_not_there_is_refused_before_the_hub_is_asked(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "~nobody-of-this-name/x")
    monkeypatch.setattr(hub, "ask_hub", lambda options: pytest.fail("asked"))
    options = HubOptions(name="org/name")
    with pytest.raises(ComponentError) as caught:
        Hub(options).load(run)
    assert "there is no user 'nobody-of-this-name'" in caught.value.message
    assert variable in caught.value.hint
    (problem,) = light.hub_check(options, info(run), light.hub_facts(options, run.project))
    assert (problem.level, problem.message, problem.fix) == ("error", caught.value.message, caught.value.hint)


def test_a_name_that_is_none_is_refused(run: FakeRun) -> None:
    error = refusal(run, name="a/b/c d")
    assert error.message == "There is no folder 'a/b/c d', and no dataset of the Hub can have that name."
    (problem,) = light.hub_check(
        HubOptions(name="./none"), info(run), light.hub_facts(HubOptions(name="./x"), run.root)
    )
    assert (problem.level, problem.option) == ("error", "name")
    with pytest.raises(OptionError, match="name is empty"):
        HubOptions(name=" ")
