"""A worker touches the memory that its training will take on a CPU; what processes start with is a person's first."""

import pytest

from ftstudio.api import Checkpoint
from ftstudio.process import heavy, worker
from ftstudio.process.worker import work
from ftstudio.project import load
from ftstudio.runs.record import create_run


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize(("device", "touched"), [("cpu", [750]), ("cuda:0", [])])
def test_memory_is_touched_ahead_for_one_and_a_half_planned_checkpoints_on_a_cpu_alone(
    make_project, monkeypatch, device, touched
):
    """The fake trainer plans 1,000 bytes at the peak, of which 500 are kept."""
    asked, order = [], []

    def touch(size):
        asked.append(size)
        order.append("touch")
        return size

    def stages(_, run):
        order.append(run.devices)
        return Checkpoint(path=run.dir / "000001", step=1)

    monkeypatch.setattr(worker, "touch_ahead", touch)
    monkeypatch.setattr(worker, "run_all", stages)
    run = create_run(load(make_project()), ["ftstudio", "run"])
    assert work(run, 1, device) == 0
    assert asked == touched
    assert order == [*(["touch"] if touched else []), (device,)], "before torch is imported"


OURS = ("GLIBC_TUNABLES", "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "GOMP_SPINCOUNT")


@pytest.fixture
def nothing_set(monkeypatch):
    for name in (*OURS, "OMP_WAIT_POLICY", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nothing_set")
def test_where_a_person_set_nothing_processes_with_torch_get_what_makes_them_quick(monkeypatch):
    monkeypatch.setenv("SOMETHING_ELSE", "stays")
    found = heavy.environment(FTSTUDIO_ATTEMPT="2")
    assert "glibc.malloc.mmap_max=0" in found["GLIBC_TUNABLES"]
    assert int(found["ONEDNN_PRIMITIVE_CACHE_CAPACITY"]) < 1024
    assert int(found["GOMP_SPINCOUNT"]) < 300_000
    assert found["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert (found["SOMETHING_ELSE"], found["FTSTUDIO_ATTEMPT"]) == ("stays", "2")


@pytest.mark.usefixtures("nothing_set")
@pytest.mark.parametrize("name", OURS)
def test_what_a_person_has_set_stays(monkeypatch, name):
    untouched = heavy.environment()
    monkeypatch.setenv(name, "theirs")
    assert heavy.environment() == untouched | {name: "theirs"}


@pytest.mark.usefixtures("nothing_set")
@pytest.mark.parametrize("policy", ["active", "passive"])
def test_how_threads_wait_is_a_persons_word_alone_where_one_was_said(monkeypatch, policy):
    """A count would be stronger than the policy."""
    untouched = heavy.environment()
    monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    found = heavy.environment()
    assert found["OMP_WAIT_POLICY"] == policy
    assert "GOMP_SPINCOUNT" not in found
    assert set(untouched) - set(found) == {"GOMP_SPINCOUNT"}
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert heavy.environment()["GOMP_SPINCOUNT"] == "7"
