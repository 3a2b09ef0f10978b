"""The workbench in its own process, on a stranger's torch-free plugin."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from ftstudio.errors import FtstudioError, InputError, InterruptedRunError, PluginError
from ftstudio.files import cache_dir
from ftstudio.locks import RecordLock
from ftstudio.process import free
from ftstudio.process.bench import Bench
from ftstudio.process.devices import Device, Tenant
from ftstudio.process.free import free_device, wanted_by_runs
from ftstudio.project import load
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.queue import slot_paths, take_slot, take_ticket

pytestmark = pytest.mark.usefixtures("fakes")

SAMPLE = {"kind": "sample", "base": True, "prompts": ["Hello"]}


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.close()


def ask(bench, folder, job=SAMPLE, overrides=(), **how):
    events = []
    result = bench.ask(load(folder, overrides), job, events.append, **how)
    return result, events


def tell(*more):
    return ("generator.tell=true", *more)


def test_text_is_streamed_and_then_given_whole(bench, make_project):
    result, events = ask(bench, make_project(generator={"words": 2}))
    assert result["texts"] == [" step 0 0 1"]
    chunks = [e.data for e in events if e.kind == "chunk"]
    assert [c["text"] for c in chunks] == [" step 0", " 0", " 1", ""]
    assert chunks[-1]["done"]
    assert chunks[-1]["finish_reason"] == "eos"


def test_a_generator_is_kept_warm_for_its_model_and_closed_when_another_takes_its_place(bench, make_project):
    folder = make_project()
    text = [ask(bench, folder, overrides=tell())[0]["texts"][0] for _ in range(2)]
    assert "built 1 closed 0" in text[1]
    changed = ask(bench, folder, overrides=tell("generator.shout=true"))[0]["texts"][0]
    assert "BUILT 2 CLOSED 1" in changed


def test_three_models_are_not_held_at_one_time(bench, make_project, tmp_path):
    folder = make_project()
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    texts = [
        ask(bench, folder, {"kind": "sample", "checkpoint": str(tmp_path / n), "prompts": ["x"]}, tell())[0]["texts"][0]
        for n in "abcb"
    ]
    assert "built 3 closed 1" in texts[2]
    assert "built 3 closed 1" in texts[3]  # b was still there


def test_a_model_that_was_written_again_is_loaded_again(bench, make_project, tmp_path):
    folder, model = make_project(), tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    job = {"kind": "sample", "checkpoint": str(model), "prompts": ["x"]}
    ask(bench, folder, job, tell())
    os.utime(model / "config.json", (1, 1))
    assert "built 2" in ask(bench, folder, job, tell())[0]["texts"][0]


def test_the_seed_of_the_request_counts(bench, make_project):
    text = ask(bench, make_project(), overrides=tell("seed=7"))[0]["texts"][0]
    assert text.endswith("seed 7")


def test_a_cancel_ends_the_text_at_once_and_keeps_the_process(bench, make_project):
    folder = make_project(generator={"words": 1000, "word_seconds": 0.05})
    heard = threading.Event()
    texts = []

    def on_event(event):
        if event.kind == "chunk":
            texts.append(event.data["text"])
            heard.set()

    result = bench.ask(load(folder), SAMPLE, on_event, cancelled=heard.is_set)
    assert len(texts) < 100
    assert len(result["texts"][0]) < 500
    pid = bench._process._child.pid
    ask(bench, folder, overrides=["generator.words=0"])
    assert bench._process._child.pid == pid


def test_a_cancel_that_is_not_heard_kills_the_process_and_the_next_request_has_another(bench, make_project):
    folder = make_project(generator={"words": 1000, "word_seconds": 0.5, "deaf": True})
    heard = threading.Event()

    def on_event(event):
        if event.kind == "chunk":
            heard.set()

    began = time.monotonic()
    with pytest.raises(InterruptedRunError):
        bench.ask(load(folder), SAMPLE, on_event, cancelled=heard.is_set)
    assert time.monotonic() - began < 60
    assert ask(bench, folder, overrides=["generator.words=0"])[0]["texts"] == [" step 0"]


def test_a_request_that_waits_for_its_turn_can_be_cancelled(bench, make_project):
    folder = make_project(generator={"words": 1000, "word_seconds": 0.05})
    stop, begun = threading.Event(), threading.Event()

    def first():
        bench.ask(load(folder), SAMPLE, lambda e: begun.set(), cancelled=stop.is_set)

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait(30)
    with pytest.raises(InterruptedRunError):
        bench.ask(load(folder), SAMPLE, lambda e: None, cancelled=lambda: True)
    stop.set()
    thread.join()


@pytest.mark.parametrize(
    ("tables", "job", "error", "sentence"),
    [
        ({"generator": {"ending": "raise"}}, SAMPLE, FtstudioError, "failed in generate(): ZeroDivisionError"),
        ({"dataset": {"behaviour": "component-error"}}, {"kind": "preview"}, InputError, "Line 3 of data.jsonl"),
        ({"dataset": {"behaviour": "raise"}}, {"kind": "listing"}, FtstudioError, "failed in load()"),
        ({}, {"kind": "sample", "checkpoint": "/no/such/folder", "prompts": ["x"]}, InputError, "any more"),
    ],
)
def test_a_failure_is_its_own_sentence_and_the_next_request_is_met(bench, make_project, tables, job, error, sentence):
    folder = make_project(**tables)
    with pytest.raises(error, match=".*") as failed:
        ask(bench, folder, job)
    assert sentence in str(failed.value)
    make_project(name="good")
    assert ask(bench, folder.parent / "good")[0]["texts"] == [" step 0"]


def test_a_plugin_that_exits_is_said_with_its_last_words_and_another_process_goes_on(bench, make_project):
    with pytest.raises(PluginError) as failed:
        ask(bench, make_project(generator={"ending": "exit"}))
    assert "exit code 0 before it was done" in failed.value.message
    assert failed.value.hint == "the last words of the plugin"
    assert ask(bench, make_project(name="good"))[0]["texts"] == [" step 0"]


def test_what_a_plugin_prints_disturbs_no_answer(bench, make_project):
    assert ask(bench, make_project(generator={"ending": "garbage"}))[0]["texts"] == [" step 0"]
    assert b"garbage" in bench._process.console.read_bytes()


def test_an_idle_workbench_ends_and_the_next_request_starts_another(make_project):
    bench, folder = Bench(idle_seconds=0.3), make_project()
    ask(bench, folder)
    child = bench._process._child
    deadline = time.monotonic() + 30
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert child.returncode == 0
    assert not bench._process.scratch.exists()
    assert ask(bench, folder)[0]["texts"] == [" step 0"]
    bench.close()


STUDIO = """
import sys, time
from pathlib import Path
from ftstudio.process.bench import Bench
from ftstudio.project import load
bench = Bench()
def on_event(event):
    if event.kind == "chunk":
        print(bench._process._child.pid, bench._process.scratch, flush=True)
bench.ask(load(Path(sys.argv[1])), {"kind": "sample", "base": True, "prompts": ["x"]}, on_event)
"""


def test_it_dies_with_its_studio_in_the_middle_of_a_text_and_leaves_nothing(make_project):
    folder = make_project(generator={"words": 1000, "word_seconds": 0.1, "deaf": True})
    studio = subprocess.Popen([sys.executable, "-c", STUDIO, str(folder)], stdout=subprocess.PIPE, text=True)
    pid, scratch = studio.stdout.readline().split()
    studio.send_signal(signal.SIGKILL)
    studio.wait()
    studio.stdout.close()
    deadline = time.monotonic() + 20
    while (Path("/proc") / pid).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not (Path("/proc") / pid).exists()
    assert not Path(scratch).exists()


def test_folders_of_killed_workbenches_are_taken_away(bench, make_project):
    old = cache_dir() / "workbench" / "old"
    old.mkdir(parents=True)
    os.utime(old, (1, 1))
    ask(bench, make_project())
    assert not old.exists()


def test_nothing_is_left_after_close(bench, make_project):
    ask(bench, make_project())
    process = bench._process
    bench.close()
    assert process._child.returncode == -signal.SIGKILL
    assert not process.scratch.exists()


# ------------------------------------------------------------------------------------------------ devices


def a_run(tmp_path, number):
    run = RunFolder(tmp_path / "lab" / "runs" / f"000{number}")
    run.path.mkdir(parents=True)
    return run


@pytest.fixture
def two_gpus(monkeypatch):
    gpus = (Device("cuda:0", "gpu0"), Device("cuda:1", "gpu1"))
    monkeypatch.setattr(free, "candidates", lambda wanted="auto": gpus)
    monkeypatch.setattr(free, "tenants", dict)


def test_a_free_device_is_taken_without_a_word(two_gpus):
    assert free_device() == (Device("cuda:0", "gpu0"), "")


def test_a_device_that_a_run_holds_is_left_for_another_free_one(two_gpus, tmp_path):
    slot = take_slot(a_run(tmp_path, 1), "gpu0", {})
    device, why = free_device()
    slot.release()
    assert device.name == "cuda:1"
    assert why == "On gpu1: lab:0001 computes on gpu0."


def test_when_runs_hold_all_devices_it_is_the_cpu_and_said(two_gpus, tmp_path):
    slots = [take_slot(a_run(tmp_path, n), f"gpu{n}", {}) for n in (0, 1)]
    device, why = free_device()
    for slot in slots:
        slot.release()
    assert device.name == "cpu"
    assert why == "On the CPU: lab:0000 computes on gpu0."


def test_a_strangers_gpu_is_left_alone_but_not_ones_own(two_gpus, monkeypatch):
    monkeypatch.setattr(free, "tenants", lambda: {"gpu0": [Tenant(1, "alice", 20_000_000_000)]})
    assert free_device()[1] == "On gpu1: alice uses 20 GB of gpu0."
    assert free_device(ours={"cuda:0"}) == (Device("cuda:0", "gpu0"), "")


def test_a_run_that_waits_for_a_device_is_made_room_for(two_gpus, tmp_path):
    run = a_run(tmp_path, 1)
    assert not wanted_by_runs({"cuda:0"})
    holder = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from ftstudio.locks import RecordLock
        lock = RecordLock(Path(sys.argv[1])); assert lock.acquire(); print("held", flush=True); time.sleep(1000)
    """)
    child = subprocess.Popen([sys.executable, "-c", holder, str(run.lock)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    take_ticket(run, ["gpu0"])
    try:
        assert wanted_by_runs({"cuda:0"})
        assert not wanted_by_runs({"cuda:1"})
        assert not wanted_by_runs({"cpu"})
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_sample_beside_a_run_on_the_only_cpu_says_that_both_are_slower(bench, make_project, tmp_path):
    slot = RecordLock(slot_paths("cpu", {})[0])
    assert slot.acquire()
    slot.note(str(a_run(tmp_path, 3).path))
    _, events = ask(bench, make_project(), device="cpu")
    slot.release()
    (state,) = [e for e in events if e.kind == "state"]
    assert state.data["devices"] == ["cpu"]
    assert state.data["reason"] == "On the CPU, though lab:0003 computes on it: both are slower for it."
