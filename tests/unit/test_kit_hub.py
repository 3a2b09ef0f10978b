"""Folders of the Hub: the cache first, one question with a limit, and a sentence for each refusal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ftstudio.api import ComponentError
from ftstudio.testing import FakeRun
from ftstudio_kit import hub
from ftstudio_kit.hub import MODEL_PATTERNS, TOKENIZER_PATTERNS, HubFolder
from ftstudio_kit.hub_cache import (
    cached_snapshot,
    datasets_cache,
    hub_cache,
    is_hub_id,
    is_offline,
    local_folder,
    not_cached,
    refuse_homeless,
)

MAIN, OTHER = "a" * 40, "b" * 40
WAYS_OUT = "Look elsewhere."


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path)


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wish to be offline, in the environment and in what the library read of it when it was imported."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)


def wanted(name: str = "org/name", revision: str | None = None, **more: Any) -> HubFolder:
    complete = more.pop("complete", lambda folder: (folder / "config.json").exists())
    return HubFolder(name, revision, "model", MODEL_PATTERNS, complete, WAYS_OUT, **more)


def lay_out(name: str, commit: str, *refs: str, files: tuple[str, ...] = ("config.json",)) -> Path:
    repo = hub_cache() / f"models--{name.replace('/', '--')}"
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for file in files:
        (snapshot / file).write_text("{}")
    for ref in refs:
        (repo / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (repo / "refs" / ref).write_text(commit)
    return snapshot


def answer_with(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[dict[str, Any]]:
    """Let the Hub answer this, or raise it; returns what it was asked."""
    asked: list[dict[str, Any]] = []

    def model_info(self: object, name: str, **arguments: Any) -> Any:
        asked.append({"name": name, **arguments})
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(hub.HfApi, "model_info", model_info)
    return asked


def info(*files: str) -> SimpleNamespace:
    return SimpleNamespace(sha=MAIN, siblings=[SimpleNamespace(rfilename=file) for file in files])


# -------------------------------------------------------------------------------------------------- cache


@pytest.mark.parametrize(
    ("revision", "commit"), [(None, MAIN), ("main", MAIN), (MAIN, MAIN), (OTHER, OTHER), ("v1", OTHER), ("pr/1", OTHER)]
)
def test_the_cache_answers_by_branch_and_by_commit_without_a_question(
    run: FakeRun, revision: str | None, commit: str
) -> None:
    lay_out("org/name", MAIN, "main")
    lay_out("org/name", OTHER, "v1", "pr/1")
    assert wanted(revision=revision).fetch(run).name == commit


@pytest.mark.parametrize("revision", ["gone", "../../secrets", "c" * 40, "a\0b", "v" * 5000])
def test_a_revision_that_is_not_in_the_cache(revision: str) -> None:
    lay_out("org/name", MAIN, "main")
    assert cached_snapshot("org/name", revision) is None


def test_a_reference_to_nothing_is_no_snapshot() -> None:
    snapshot = lay_out("org/name", MAIN, "main")
    (snapshot.parent.parent / "refs" / "main").write_text("../../..")
    assert cached_snapshot("org/name", None) is None


def test_an_incomplete_copy_is_given_when_the_hub_cannot_be_asked(run: FakeRun) -> None:
    snapshot = lay_out("org/name", MAIN, "main", files=("tokenizer.json",))
    assert wanted().fetch(run) == snapshot


@pytest.mark.parametrize(
    ("name", "yes"),
    [
        ("gpt2", True), ("org/name", True), ("org/name-1.5_B", True),
        ("a/b/c", False), ("org/", False), ("a--b", False), ("a..b", False), ("ends.", False), ("naïve", False),
        ("with space", False), ("", False), ("new\nline", False),
    ],
)  # fmt: skip
def test_names_of_the_hub(name: str, yes: bool) -> None:
    assert is_hub_id(name) == yes


def test_folders_relative_absolute_at_home_and_behind_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "link").symlink_to(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("../models/mine", str(folder), "~/models/mine", "link", "./link", "../models/mine/"):
        assert local_folder(name, tmp_path / "project") == folder.resolve()


@pytest.mark.parametrize(
    "name", ["./gone", "/gone", "~/gone", "gone/", "two words", "~nobody-here/x", "x" * 5000, "a\0b"]
)
def test_what_is_written_as_a_path_is_one_even_when_it_is_not_there(tmp_path: Path, name: str) -> None:
    found = local_folder(name, tmp_path)
    assert found is not None
    assert not found.exists() or name == "x" * 5000


def test_a_name_that_is_no_folder_here_is_of_the_hub(tmp_path: Path) -> None:
    assert local_folder("org/name", tmp_path) is None
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert local_folder("org/name", tmp_path) == (tmp_path / "org" / "name").resolve()


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"HF_HUB_CACHE": "/c"}, "/c"),
        ({"HUGGINGFACE_HUB_CACHE": "/d"}, "/d"),
        ({"HF_HOME": "/h"}, "/h/hub"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_library_has_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    monkeypatch.delenv("HF_HOME")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert hub_cache() == Path(folder)
    code = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)"
    assert in_process(code, {}).strip() == folder
    refuse_homeless(datasets=True)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"HF_DATASETS_CACHE": "~/c", "HF_HUB_CACHE": "/c"}, "/home/me/c"),
        ({"HF_HOME": "~/h"}, "/home/me/h/datasets"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/datasets"),
        ({}, "/home/me/.cache/huggingface/datasets"),
    ],
)
def test_datasets_have_a_cache_beside_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    for name in ("HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    assert datasets_cache() == Path(folder)


@pytest.mark.parametrize(
    ("variable", "path"),
    [
        ("HF_HUB_CACHE", "~nobody-of-this-name/x"),
        ("HUGGINGFACE_HUB_CACHE", "~nobody-of-this-name/x"),
        ("HF_HOME", "~nobody-of-this-name/x/hub"),
        ("XDG_CACHE_HOME", "~nobody-of-this-name/x/huggingface/hub"),
    ],
)
def test_a_cache_in_the_home_of_a_user_who_is_not_there_is_a_sentence_wherever_it_is_needed(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch, variable: str, path: str
) -> None:
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv(variable, "~nobody-of-this-name/x")
    assert cached_snapshot("org/name", None) is None
    error, problem = refusal(run), not_cached("org/name", None, WAYS_OUT)
    assert error.message == f"The Hub's cache is to be in '{path}', but there is no user 'nobody-of-this-name'."
    assert error.hint == f"Write the whole path of a folder into {variable}."
    assert (problem.level, problem.message, problem.fix) == ("error", error.message, error.hint)


def test_who_has_no_home_is_told_what_to_set(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    error = refusal(run)
    assert error.message == "The Hub's cache is to be in '~/.cache/huggingface/hub', but this user has no home."
    assert error.hint == "Write the whole path of a folder into HF_HOME."


# ----------------------------------------------------------------------------------------------- refusals


def refusal(run: FakeRun, **more: Any) -> ComponentError:
    with pytest.raises(ComponentError) as caught:
        wanted(**more).fetch(run)
    return caught.value


def http(kind: type[HfHubHTTPError], status: int) -> HfHubHTTPError:
    request = httpx2.Request("GET", "https://huggingface.co/api/models/org/name")
    return kind(f"{status} Client Error. (Request ID: x)\n\nmore", response=httpx2.Response(status, request=request))


@pytest.mark.parametrize(
    ("error", "sentence", "hint"),
    [
        (http(GatedRepoError, 403), "is gated: the Hub wants its terms accepted first (403).", "hf auth login"),
        (http(RevisionNotFoundError, 404), "The model 'org/name' has no revision 'v9'.", "mend it"),
        (http(RepositoryNotFoundError, 401), "does not show 'org/name' (401)", "hf auth login"),
        (http(HfHubHTTPError, 401), "does not show 'org/name' (401)", "hf auth login"),
        (http(RepositoryNotFoundError, 404), "There is no model 'org/name' on the Hub (404).", "Mend the name."),
        (http(HfHubHTTPError, 429), "asks us to wait (429)", "Try again"),
        (http(HfHubHTTPError, 503), "the Hub cannot be asked: it answered 503.", WAYS_OUT),
        (HFValidationError("bad"), "'org/name' is no name of a model on the Hub.", "org/name"),
        (OfflineModeIsEnabled("off"), "the Hub cannot be asked: HF_HUB_OFFLINE is set.", WAYS_OUT),
        (httpx2.ConnectError("[Errno -2] Name not known"), "cannot be asked: [Errno -2] Name not known.", WAYS_OUT),
        (RuntimeError(), "cannot be asked: RuntimeError.", WAYS_OUT),
    ],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.usefixtures("online")
def test_each_refusal_is_a_sentence(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str, hint: str
) -> None:
    asked = answer_with(monkeypatch, error)
    refused = refusal(run, revision="v9")
    assert sentence in refused.message
    assert hint in refused.hint
    assert "\n" not in str(refused)
    assert asked == [{"name": "org/name", "revision": "v9", "timeout": hub.ANSWER_SECONDS}]


@pytest.mark.usefixtures("online")
def test_a_hub_that_does_not_answer_is_left_after_the_limit(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(hub.HfApi, "model_info", lambda *_, **__: gate.wait(60))
    assert "it did not answer within 0.05 s" in refusal(run).message
    gate.set()


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
@pytest.mark.usefixtures("online")
def test_who_is_offline_is_not_kept_waiting(run: FakeRun, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    asked = answer_with(monkeypatch, info())
    assert not is_offline()
    monkeypatch.setenv(variable, "1")
    assert is_offline()
    assert "HF_HUB_OFFLINE is set" in refusal(run).message
    assert not asked


@pytest.mark.usefixtures("online")
def test_files_are_looked_at_before_a_download(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, info("config.json", "pytorch_model.bin"))
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: pytest.fail("downloaded"))

    def accept(files: Any) -> None:
        raise ComponentError(f"no use: {', '.join(files)}")

    assert refusal(run, accept=accept).message == "no use: config.json, pytorch_model.bin"


@pytest.mark.usefixtures("online")
def test_a_download_that_breaks_off_is_a_sentence(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, info("config.json"))

    def broken(*_: Any, **__: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hub, "snapshot_download", broken)
    assert "No space left on device" in refusal(run).message


@pytest.mark.parametrize(
    "file",
    [
        "pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.pt", "tokenizer.pkl", "tokenizer.bin",
        "tokenizer.py", "modeling_x.py", "original/consolidated.00.pth", "tf_model.h5", "vocab.pkl", "model.onnx",
    ],
)  # fmt: skip
def test_neither_pickles_nor_code_are_asked_for(file: str) -> None:
    assert not any(fnmatch(file, pattern) for pattern in MODEL_PATTERNS)


@pytest.mark.parametrize(
    "file",
    [
        "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt",
        "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "spiece.model",
    ],
)  # fmt: skip
def test_all_files_of_a_tokenizer_are_asked_for(file: str) -> None:
    assert any(fnmatch(file, pattern) for pattern in TOKENIZER_PATTERNS)


# --------------------------------------------------------------------------- a Hub on this machine, for real

FILES = {
    "config.json": b'{"model_type": "gpt2"}',
    "model.safetensors": b"weights",
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"evil",
    "modeling.py": b"evil",
}


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as a download asks for."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        name = path.rpartition("/")[2]
        if path.startswith("/api/models/org/name/tree"):
            files = [
                {"type": "file", "path": f, "size": len(b), "oid": f"{i}" * 40}
                for i, (f, b) in enumerate(FILES.items())
            ]
            self._send(200, json.dumps(files).encode())
        elif path.startswith("/api/models/org/name"):
            self._send(
                200, json.dumps({"id": "org/name", "sha": MAIN, "siblings": [{"rfilename": f} for f in FILES]}).encode()
            )
        elif path.startswith("/org/name/resolve/") and name in FILES:
            self._send(200, FILES[name])
        else:
            self._send(404, b"", ("X-Error-Code", "RepoNotFound"))

    def _send(self, status: int, body: bytes, *more: tuple[str, str]) -> None:
        self.send_response(status)
        etag = ("ETag", f'"{hash(body) & 0xFFFFFFFF:040x}"')
        for key, value in (("Content-Length", str(len(body))), ("X-Repo-Commit", MAIN), etag, *more):
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


FETCH = """
import sys
from pathlib import Path
from ftstudio.api import ComponentError
from ftstudio.testing import FakeRun
from ftstudio_kit.hub import MODEL_PATTERNS, HubFolder
whole = lambda folder: (folder / "model.safetensors").exists()
try:
    print(HubFolder(sys.argv[1], None, "model", MODEL_PATTERNS, whole, "").fetch(FakeRun(Path(sys.argv[2]))))
except ComponentError as error:
    print(error.message)
"""


def in_process(code: str, environment: dict[str, str], *arguments: str) -> str:
    """The output of a process of its own: the library reads its environment when it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True,
        env={**os.environ, **environment}, timeout=120,
    )  # fmt: skip
    return done.stdout


def test_what_was_downloaded_is_found_by_name_when_the_hub_is_away(tmp_path: Path, endpoint: str) -> None:
    fetched = in_process(FETCH, {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": endpoint}, "org/name", str(tmp_path))
    snapshot = Path(fetched.strip())
    assert snapshot.name == MAIN
    assert sorted(file.name for file in snapshot.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    away = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    assert in_process(FETCH, away, "org/name", str(tmp_path)) == fetched
    assert "HF_HUB_OFFLINE is set" in in_process(FETCH, away, "org/other", str(tmp_path))


def test_a_name_that_the_hub_does_not_know(tmp_path: Path, endpoint: str) -> None:
    said = in_process(FETCH, {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": endpoint}, "org/gone", str(tmp_path))
    assert said.strip() == "There is no model 'org/gone' on the Hub (404)."


def test_without_a_network_a_name_fails_with_a_sentence(tmp_path: Path) -> None:
    nowhere = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}
    assert "the Hub cannot be asked: " in in_process(FETCH, nowhere, "org/name", str(tmp_path))
