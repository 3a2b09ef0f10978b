"""What a component changes of the process that all of a run share is put back, and it is named."""

import os
import random
import signal
import sys
from contextlib import contextmanager

import pytest

from ftstudio.process.manners import left_as_found


@contextmanager
def told():
    """What is said of what happens inside."""
    said = []
    with left_as_found("dataset mine", said.append):
        yield said


def handler(signum, frame):
    raise AssertionError("nobody sends it")


@pytest.mark.parametrize(
    ("change", "look", "words"),
    [
        (lambda: os.chdir("/"), os.getcwd, "the working directory"),
        (lambda: signal.signal(signal.SIGUSR1, handler), lambda: signal.getsignal(signal.SIGUSR1), "the handler of SIGUSR1"),
        (lambda: signal.signal(signal.SIGALRM, handler), lambda: signal.getsignal(signal.SIGALRM), "the handler of SIGALRM"),
        (lambda: signal.signal(signal.SIGRTMIN + 3, handler), lambda: signal.getsignal(signal.SIGRTMIN + 3), f"the handler of signal {signal.SIGRTMIN + 3}"),
        (lambda: os.umask(0o007), lambda: (os.umask(mask := os.umask(0o077)), mask)[1], "the umask"),
        (lambda: os.environ.update(HOME="/x"), lambda: os.environ.get("HOME"), "$HOME"),
        (lambda: os.environ.update(HF_HOME="/x", TMPDIR="/y"), lambda: os.environ.get("TMPDIR"), "$TMPDIR, $HF_HOME"),
        (lambda: setattr(sys, "stdout", sys.stderr), lambda: sys.stdout, "sys.stdout"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_changed_is_put_back_and_named(tmp_path, monkeypatch, change, look, words):
    monkeypatch.chdir(tmp_path)
    before = look()
    with told() as said:
        change()
        assert look() != before
    assert look() == before
    assert said == [f"dataset mine changed {words} of the worker: it was put back."]


def test_a_timer_is_stopped_and_one_that_ran_before_goes_on():
    mine = signal.setitimer(signal.ITIMER_REAL, 0)  # of a time limit on tests, where there is one
    try:
        with told() as said:
            signal.setitimer(signal.ITIMER_REAL, 500)
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
        assert said == ["dataset mine changed the timer of SIGALRM of the worker: it was put back."]
        signal.setitimer(signal.ITIMER_REAL, 500)
        with told() as said:
            pass
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 400
        assert said == []
    finally:
        signal.setitimer(signal.ITIMER_REAL, *mine)


def test_a_variable_that_was_not_set_is_taken_away_again(monkeypatch):
    monkeypatch.delenv("XDG_DATA_HOME")
    with told() as said:
        os.environ["XDG_DATA_HOME"] = "/x"
    assert "XDG_DATA_HOME" not in os.environ
    assert "$XDG_DATA_HOME" in said[0]


def test_of_many_signals_some_are_named():
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    with told() as said:
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, handler)
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before
    assert "SIGHUP, SIGINT, SIGQUIT and " in said[0]


def test_what_a_library_sets_for_itself_and_draws_is_no_ones_fault(monkeypatch):
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    random.seed(3)
    expected = random.random()
    random.seed(3)
    with told() as said:
        monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
        random.random()
    assert random.random() == expected
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
    assert said == []
