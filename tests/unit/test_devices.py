"""Which devices a word allows, and the words that are refused at once."""

import os
import sys

import pytest

from ftstudio.errors import InputError
from ftstudio.process import devices
from ftstudio.process.devices import Device, candidates, devices_of

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has other devices")


@pytest.fixture
def cards(monkeypatch, tmp_path):
    """A machine of so many GPUs, as nvidia-smi tells, and a torch that can use them."""

    def have(count):
        smi = tmp_path / "nvidia-smi"
        smi.write_text("#!/bin/sh\n" + "".join(f"echo '{i}, GPU-{i}abc'\n" for i in range(count)))
        smi.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setattr(devices, "torch_has_cuda", lambda: True)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices._told_by_nvidia.cache_clear()
    yield have
    devices._told_by_nvidia.cache_clear()


@pytest.mark.parametrize("word", ["cuda", "cuda:0", "cuda:3"])
def test_a_torch_for_the_cpu_alone_is_said(monkeypatch, word):
    monkeypatch.setattr(devices, "torch_has_cuda", lambda: False)
    with pytest.raises(InputError, match="the torch that is installed was built for the CPU alone") as caught:
        candidates(word)
    assert caught.value.message.startswith(f"Nothing can be computed on {word} here")
    assert caught.value.hint == "Leave --device out, or name cpu."


@pytest.mark.parametrize(
    ("count", "visible", "word", "said"),
    [
        (0, None, "cuda", "there is no GPU."),
        (2, None, "cuda:2", "there is only cuda:0, cuda:1."),
        (2, "1", "cuda:1", "there is only cuda:0 (CUDA_VISIBLE_DEVICES is '1')."),
        (2, "", "cuda", "there is no GPU (CUDA_VISIBLE_DEVICES is '')."),
        (2, "-1", "cuda", "there is no GPU (CUDA_VISIBLE_DEVICES is '-1')."),
        (0, None, "mps", "that is the GPU of a Mac with an Apple chip."),
    ],
)
def test_a_device_that_is_not_here_is_refused(cards, monkeypatch, count, visible, word, said):
    cards(count)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(InputError) as caught:
        candidates(word)
    assert caught.value.message == f"Nothing can be computed on {word} here: {said}"
    assert devices_of(word), "whoever was started with the word trusts it"


@pytest.mark.parametrize(
    ("visible", "word", "found"),
    [
        (None, "auto", [("cuda:0", "gpu0"), ("cuda:1", "gpu1")]),
        (None, "cuda", [("cuda:0", "gpu0"), ("cuda:1", "gpu1")]),
        (None, "cuda:1", [("cuda:1", "gpu1")]),
        ("1,0", "cuda:0", [("cuda:0", "gpu1")]),
        ("GPU-1a", "cuda", [("cuda:0", "gpu1")]),
        ("MIG-7", "cuda", [("cuda:0", "gpu0")]),
        ("", "auto", [("cpu", "cpu")]),
        (None, "cpu", [("cpu", "cpu")]),
    ],
)
def test_a_device_that_is_here_is_found(cards, monkeypatch, visible, word, found):
    cards(2)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert list(candidates(word)) == [Device(*pair) for pair in found]


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("command", ["run", "check", "sample"])
def test_no_command_begins_on_a_device_that_is_not_here(ftstudio, make_project, command):
    folder = make_project()
    more = ["--base"] if command == "sample" else []
    done = ftstudio(command, folder, "--device", "cuda:7", *more)
    assert done.code == 2
    assert done.err.startswith("✗ Nothing can be computed on cuda:7 here: ")
    assert not (folder / "runs").exists()
