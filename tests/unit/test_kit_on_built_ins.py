"""The built-in components pass the kit that a stranger's must pass."""

import http.server
import json
import threading

import pytest
from elsewhere import OrderedElsewhere, same_in_another_order

from ftstudio.testing import (
    DatasetSourceTests,
    GeneratorTests,
    ModelSourceTests,
    ObserverTests,
    TokenizerTests,
    TrainerTests,
    tiny_model,
)


class TestScratch(OrderedElsewhere, ModelSourceTests):
    component = "scratch"
    options = {"n_layer": 1, "n_embd": 8, "n_head": 2, "n_positions": 32}


class TestStarter(OrderedElsewhere, ModelSourceTests):
    component = "starter"


class TestHubModelInAFolder(OrderedElsewhere, ModelSourceTests):
    component = "hub"
    options = {"name": "model"}

    def prepare(self, project):
        tiny_model(project / "model")


class TestInline(OrderedElsewhere, DatasetSourceTests):
    component = "inline"
    options = {"texts": ["one", "two", "three"]}

    def write_texts(self, texts, project):
        return {"texts": list(texts)}


class TestText(OrderedElsewhere, DatasetSourceTests):
    component = "text"

    def write_texts(self, texts, project):
        said = "\n".join(texts).encode("utf-8", "surrogatepass")
        (project / "hostile.txt").write_bytes(said)
        return {"path": ["hostile.txt"]}


class TestTable(OrderedElsewhere, DatasetSourceTests):
    component = "table"

    def write_texts(self, texts, project):
        (project / "hostile.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        return {"path": ["hostile.jsonl"]}


class TestHubDatasetInAFolder(OrderedElsewhere, DatasetSourceTests):
    component = "hub"
    options = {"name": "data"}

    def prepare(self, project):
        (project / "data").mkdir(exist_ok=True)
        (project / "data" / "train.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')

    def write_texts(self, texts, project):
        self.prepare(project)
        rows = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (project / "data" / "train.jsonl").write_text(rows)
        return {}


class TestPretrained(OrderedElsewhere, TokenizerTests):
    component = "pretrained"


class TestBytes(OrderedElsewhere, TokenizerTests):
    component = "bytes"


class TestBpe(OrderedElsewhere, TokenizerTests):
    component = "bpe"
    options = {"vocab_size": 300}


class TestNative(OrderedElsewhere, TrainerTests):
    component = "native"
    options = {"max_steps": 12, "per_device_train_batch_size": 4, "logging_steps": 2, "save_steps": 4}


class TestNativeWithAdapters(OrderedElsewhere, TrainerTests):
    component = "native"
    options = {"max_steps": 10, "per_device_train_batch_size": 4, "lora_rank": 2, "packing": True, "logging_steps": 1}


class TestHf(OrderedElsewhere, TrainerTests):
    component = "hf"
    options = {"max_steps": 12, "per_device_train_batch_size": 4, "logging_steps": 2, "save_steps": 4}


class TestSample(OrderedElsewhere, GeneratorTests):
    component = "sample"
    options = {"max_new_tokens": 24, "do_sample": True, "num_return_sequences": 2}


def test_the_order_of_sets_matters_to_none_of_them(tmp_path):
    """The seconds that a process needs for torch once, and not once a component."""
    classes = OrderedElsewhere.__subclasses__()
    assert len(classes) == 14
    same_in_another_order([cls.subject(tmp_path / cls.__name__) for cls in classes])


class TestCsv(ObserverTests):
    component = "csv"


class TestTensorBoard(ObserverTests):
    component = "tensorboard"


@pytest.fixture(scope="module")
def address():
    """Of a server that takes everything."""

    class Taking(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/kit-secret-word"
        server.shutdown()


class TestWebhook(ObserverTests):
    component = "webhook"

    @pytest.fixture(autouse=True)
    def set(self, address, monkeypatch):
        monkeypatch.setenv("FTSTUDIO_WEBHOOK_URL", address)
