"""What plugins print while they are asked something reaches nobody, whichever way they print it."""

import os
import pdb  # noqa: T100
import subprocess
import sys
import threading

import pytest

from ftstudio.api import Component, Facts
from ftstudio.errors import PluginError
from ftstudio.hushed import hushed
from ftstudio.plugins import Offer, Record


def loud():
    print("by print")  # noqa: T201
    print("to stderr", file=sys.stderr)  # noqa: T201
    sys.__stdout__.write("by the first stdout")
    os.write(1, b"\x1b[31mby a system call")
    os.write(2, b"and on stderr")
    subprocess.run(["echo", "by a child"], check=True)
    return Facts(shape="text")


def facts(options, folder):
    return loud()


def debugging(options, folder):
    pdb.Pdb().set_trace()  # as breakpoint() does, which pytest makes something else
    return Facts()


def offer(name):
    component = Component(name="loud", summary="x", target="", options=object, facts=f"{__name__}:{name}")
    return Offer(kind="dataset", component=component, record=Record(name="x", value="", distribution="x", version="1", status="active"))  # fmt: skip


def test_nothing_that_a_light_function_prints_is_seen_and_its_answer_is_what_it_was(capfd):
    sys.stdout.write("before ")
    assert offer("facts").light("facts", None, None) == Facts(shape="text")
    sys.stdout.write("after")
    assert capfd.readouterr() == ("before after", "")


def test_with_debug_it_is_shown_on_stderr_without_what_acts_on_a_terminal(capfd, monkeypatch):
    monkeypatch.setenv("FTSTUDIO_DEBUG", "1")
    offer("facts").light("facts", None, None)
    out, err = capfd.readouterr()
    assert out == ""
    for said in ("by print", "to stderr", "by the first stdout", "\\x1b[31mby a system call", "by a child"):
        assert said in err
    assert "\x1b" not in err


def test_a_debugger_in_a_light_function_ends_at_once_and_is_named(capfd):
    with pytest.raises(PluginError, match="failed in its facts function: BdbQuit"):
        offer("debugging").light("facts", None, None)
    assert capfd.readouterr() == ("", "")


def test_the_streams_come_back_when_the_last_of_several_threads_has_left(capfd):
    streams = sys.stdin, sys.stdout, sys.stderr
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first():
        with hushed():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second():
        first_in.wait(10)
        with hushed():
            second_in.set()
            first_out.wait(10)
            loud()

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sys.stdin, sys.stdout, sys.stderr) == streams
    sys.stdout.write("heard\n")
    assert capfd.readouterr() == ("heard\n", "")


def test_an_output_that_is_closed_or_read_by_nobody_is_no_error():
    script = "import os, sys\nfrom ftstudio.hushed import hushed\nprint('x')\n{}\nwith hushed():\n    print('y')\nos._exit(0)"
    for how in ("os.close(1)", "os.close(2)", "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)"):
        done = subprocess.run([sys.executable, "-c", script.format(how)], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), how


def test_who_works_for_a_component_prints_what_it_likes_while_its_module_is_imported(tmp_path, monkeypatch, capfd):
    (tmp_path / "talking_work.py").write_text(
        "print('at import')\nclass Work:\n    def __init__(self, options): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    component = Component(name="loud", summary="x", target="talking_work:Work", options=object)
    record = Record(name="x", value="", distribution="x", version="1", status="active")
    Offer(kind="dataset", component=component, record=record).build(None)
    assert capfd.readouterr().out == "at import\n"
