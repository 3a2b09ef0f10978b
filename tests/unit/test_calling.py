"""Calls into components: whatever one of them raises, its plugin is named, and a person's Ctrl+C stays one."""

import errno
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ftstudio.api import Component, ComponentError
from ftstudio.errors import ContractError, FtstudioError, PluginError
from ftstudio.explain import is_disk_full
from ftstudio.plugins import Offer, Record
from ftstudio.process.calling import Pressed, blamed, built, call, method, on_int
from ftstudio.process.worker import ending, explained_end

WHO = "dataset mine of mine-dist 1.0"


@pytest.fixture
def offer():
    component = Component(name="mine", summary="rows", target="mine.work:Mine", options=object)
    record = Record(name="mine", value="", distribution="mine-dist", version="1.0", status="active")
    return Offer(kind="dataset", component=component, record=record)


@pytest.fixture
def listening():
    """As in a worker that has a keyboard."""
    before = signal.signal(signal.SIGINT, on_int)
    yield
    signal.signal(signal.SIGINT, before)


class OwnBase(BaseException):
    pass


class UnspeakableError(Exception):
    def __str__(self):
        raise ValueError("no")


def raising(error):
    def load():
        raise error

    return load


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("a bug"), "ZeroDivisionError: a bug."),
        (OwnBase("base"), "OwnBase: base."),
        (SystemExit(0), "it called sys.exit(0)."),
        (SystemExit("bye"), "it called sys.exit(bye)."),
        (GeneratorExit(), "GeneratorExit."),
        (KeyboardInterrupt(), "KeyboardInterrupt."),
        (UnspeakableError(), "UnspeakableError: its words cannot be read, for its __str__ raises ValueError."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_component_raises_its_plugin_is_named(offer, error, said):
    with pytest.raises(PluginError) as raised:
        call(offer, "load()", raising(error))
    assert raised.value.message == f"{WHO} failed in load(): {said}"
    assert raised.value.hint == "This is a fault of plugin mine (mine-dist 1.0)."
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("ending", ["raise SystemExit(3)", "class B(BaseException): pass\nraise B('base')"])
def test_a_module_that_ends_while_it_is_imported_is_its_plugins_fault(offer, tmp_path, monkeypatch, ending):
    (tmp_path / "ending_work.py").write_text(ending)
    monkeypatch.syspath_prepend(str(tmp_path))
    bad = replace(offer, component=replace(offer.component, target="ending_work:Mine"))
    with pytest.raises(PluginError, match=WHO):
        built(SimpleNamespace(offer=lambda kind: bad, build=lambda kind: bad.build(None)), "dataset")


@pytest.mark.parametrize("error", [ComponentError("Line 3."), FileNotFoundError(2, "gone"), MemoryError(), Pressed()])
def test_what_is_no_fault_of_the_plugin_goes_through_as_it_is(offer, listening, error):
    with pytest.raises(type(error)) as raised:
        call(offer, "load()", raising(error))
    assert raised.value is error


def test_ctrl_c_is_a_persons_and_no_fault_of_what_was_running(offer, listening):
    with pytest.raises(KeyboardInterrupt) as raised, blamed(offer, "load()"):
        signal.raise_signal(signal.SIGINT)
    assert ending(raised.value, "") == ("interrupted", "Interrupted from the keyboard.", 3)


def test_where_nobody_can_tell_a_keyboard_interrupt_is_taken_for_a_persons(offer):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            call(offer, "load()", raising(KeyboardInterrupt()))
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_method_that_is_not_there_is_said_with_the_class_that_lacks_it(offer):
    with pytest.raises(ContractError) as raised:
        method(offer, SimpleNamespace(load=3), "load")
    assert str(raised.value) == f"{WHO} has no method load(). mine.work:Mine must offer it."


def test_an_error_without_readable_words_is_no_full_disk_and_ends_a_run_as_any_other():
    assert not is_disk_full(UnspeakableError())
    assert is_disk_full(RuntimeError("writing: No space left on device"))
    assert is_disk_full(OSError(errno.EDQUOT, "quota"))
    state, reason, code = ending(UnspeakableError(), "")
    assert (state, code) == ("failed", 1)
    assert reason == "UnspeakableError: its words cannot be read, for its __str__ raises ValueError"


@pytest.mark.parametrize(
    ("error", "traceback_in", "reason"),
    [
        (ZeroDivisionError("a bug"), "console.log", "The traceback is in console.log."),
        (ZeroDivisionError("a bug"), "", "This is a fault of plugin mine (mine-dist 1.0)."),
        (ComponentError("Line 3 is bad."), "console.log", "Line 3 is bad."),
        (MemoryError(), "console.log", "max_length."),
    ],
)
def test_the_reason_names_the_file_of_a_traceback_where_there_is_one(offer, capsys, error, traceback_in, reason):
    said = []
    run = SimpleNamespace(
        requests=SimpleNamespace(reason=""), state=lambda state, reason, exit_code: said.append((state, reason))
    )
    with explained_end(run, traceback_in=traceback_in) as code, blamed(offer, "load()"):
        raise error
    assert code[0] == getattr(error, "exit_code", FtstudioError.exit_code)
    ((state, words),) = said
    assert state == "failed"
    assert words.endswith(reason), words
    assert ("Traceback" in capsys.readouterr().err) == (type(error) in {ZeroDivisionError, MemoryError})
