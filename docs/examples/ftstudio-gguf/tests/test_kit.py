"""The conformance kit, on a file that is written for it."""

import pytest

pytest.importorskip("gguf", reason="the package gguf, which writes the file of this test, is not installed")

import tiny

from ftstudio.testing import ModelSourceTests


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory):
    TestGguf.project = tmp_path_factory.mktemp("project")
    tiny.write(TestGguf.project / "tiny.gguf", tiny.model())


class TestGguf(ModelSourceTests):
    component = "gguf"
    options = {"path": "tiny.gguf"}
