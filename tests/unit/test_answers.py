"""What light functions answer is held to its type, and what they do to their process is a sentence."""

import sys
import threading
from dataclasses import dataclass

import pytest

from ftstudio.answers import held
from ftstudio.api import Component, Facts, OptionError, Plan, Problem, option
from ftstudio.errors import ContractError, PluginError
from ftstudio.plan import look_ahead
from ftstudio.plugins import Offer, Record, Registry, registry
from ftstudio.process.left_running import left_running
from ftstudio.process.stages import call
from ftstudio.project import load

RECORD = Record(name="mine", value="mine", distribution="d", version="1", status="active")


def forever():
    while True:
        yield Problem(level="note", message="again")


@pytest.mark.parametrize(
    ("which", "answer", "sentence"),
    [
        ("facts", {"rows": 3}, "X: its facts function returned dict; expected Facts(...)."),
        ("facts", Facts(rows="many"), "X: its facts function says rows = 'many'; expected int | None."),
        ("facts", Facts(rows=1.5), "says rows = 1.5; expected int | None."),
        ("facts", Facts(rows=True), "says rows = True; expected int | None."),
        ("facts", Facts(characters=-3), "says characters = -3; None means unknown."),
        ("facts", Facts(shape=5), "says shape = 5; expected str | None."),
        ("facts", Facts(columns="abc"), "says columns = 'abc'; expected tuple[str, ...] | None."),
        ("facts", Facts(sample=(1, 2)), "says sample = (1, 2); expected tuple[str, ...] | None."),
        ("facts", Facts(tokens_per_second=float("nan")), "says tokens_per_second = nan; expected float | None."),
        ("facts", Facts(estimated=["rows"]), "says estimated = ['rows']; expected frozenset[str]."),
        ("facts", Facts(shape="\x1b[2J" * 99, rows=""), "says rows = ''; expected"),
        ("plan", Facts(), "X: its plan function returned Facts; expected Plan(...)."),
        ("plan", Plan(curve=((0, 1.0, 2.0),)), "says curve = ((0, 1.0, 2.0),); expected tuple[tuple[int, float], ...]."),
        ("plan", Plan(curve=((0, "high"),)), "says curve = ((0, 'high'),); expected"),
        ("plan", Plan(checkpoints=(1, 2.5)), "says checkpoints = (1, 2.5); expected tuple[int, ...]."),
        ("check", None, "X: its check function returned NoneType; expected Problems, one after the other."),
        ("check", ["too short"], "X: its check function gave str; expected Problem(level=..., message=...)."),
        ("check", [Problem(level="fatal", message="x")], "gave a Problem with level = 'fatal'; expected Literal['error', 'warning', 'note']."),
        ("check", [Problem(level="error", message=None)], "gave a Problem with message = None; expected str."),
        ("check", [Problem(level="error", message="x", edit={"a": {1}})], "gave a Problem with edit.a = {1}; expected what TOML holds."),
        ("check", forever(), "X: its check function gave more than 1,000 problems."),
        ("sniff", ["x"], "X: its sniff function returned list; expected None, or use and options."),
        ("sniff", {"use": "x", "options": 3}, "X: its sniff function says options = 3; expected Mapping."),
        ("sniff", {"use": "x", "rows": "many"}, "says rows = 'many'; expected int."),
    ],
)  # fmt: skip
def test_an_answer_of_the_wrong_type_is_said(which, answer, sentence):
    with pytest.raises(ContractError) as error:
        held(which, answer, "X")
    assert sentence in str(error.value)
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    ("which", "answer"),
    [
        ("facts", None),
        ("facts", Facts(rows=0, columns=["a"], tokens_per_second=3, estimated={"rows"})),
        ("plan", Plan(total_steps=3, curve=[(0, 1), (3, -1e-20)], epochs=1)),
        ("check", []),
        ("check", [Problem(level="error", message="x", edit={"a": True, "b": [1, "c"], "d": 0.5})]),
        ("sniff", {"use": "x", "options": {}, "says": "rows", "rows": 3, "shape": None, "more": object()}),
    ],
)
def test_what_is_right_goes_through(which, answer):
    assert held(which, answer, "X") == answer


# ------------------------------------------------------------------------------------- what they do to a process


@dataclass(frozen=True, kw_only=True)
class Options:
    size: int = option(1, help="A size.")

    def __post_init__(self):
        if self.size == 2:
            sys.exit(9)
        if self.size == 3:
            raise ValueError("too large")
        if self.size == 4:
            raise OptionError("size", "size must not be 4.")


class OwnError(BaseException):
    pass


def leaves(options, folder):
    sys.exit(7)


def interrupts(options, folder):
    raise KeyboardInterrupt


def ends(options, folder):
    raise OwnError("it is over")


def wrong(options, folder):
    return Facts(rows="many")


def offer_of(facts, target="test_answers:Options"):
    component = Component(name="x", summary="x", target=target, options=Options, facts=facts)
    return Offer(kind="dataset", component=component, record=RECORD)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ("test_answers:leaves", "dataset x of d 1 failed in its facts function: it called sys.exit(7). It is offered by"),
        ("test_answers:ends", "failed in its facts function: OwnError: it is over. It is offered by plugin mine (d 1)."),
        ("left_at_import:facts", "dataset x of d 1 cannot be imported: it called sys.exit(5). Its target is"),
    ],
)  # fmt: skip
def test_a_light_function_that_leaves_ends_nobody_else(facts, sentence, tmp_path, monkeypatch):
    (tmp_path / "left_at_import.py").write_text("import sys; sys.exit(5)")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError) as error:
        offer_of(facts).light("facts", Options(), None)
    assert sentence in str(error.value)


def test_ctrl_c_of_a_person_passes_and_that_of_a_plugin_in_a_thread_does_not():
    offer, raised = offer_of("test_answers:interrupts"), []

    def ask():
        try:
            offer.light("facts", Options(), None)
        except BaseException as error:  # noqa: BLE001 - it is what the test is about
            raised.append(type(error))

    ask()
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert raised == [KeyboardInterrupt, PluginError]


@pytest.mark.parametrize(("size", "says"), [(2, "it called sys.exit(9)."), (3, "ValueError: too large.")])
def test_options_that_fail_in_their_own_check_are_said_with_the_plugin(size, says):
    with pytest.raises(PluginError) as error:
        offer_of("").parse({"size": size})
    assert str(error.value) == (
        f"dataset x of d 1 failed in reading its options: {says} It is offered by plugin mine (d 1)."
    )
    _, problems = offer_of("").parse({"size": 4})
    assert [p.message for p in problems] == ["size must not be 4."]


@pytest.mark.parametrize(
    ("facts", "table", "says"),
    [
        ("test_answers:wrong", {}, "its facts function says rows = 'many'; expected int | None."),
        ("test_answers:leaves", {}, "failed in its facts function: it called sys.exit(7)."),
        ("", {"size": 3}, "failed in reading its options: ValueError: too large."),
    ],
)
def test_a_project_with_such_a_component_opens_and_says_it(facts, table, says, make_project, fakes, monkeypatch):
    offer, found = offer_of(facts), Registry.find
    monkeypatch.setattr(Registry, "find", lambda self, kind, name: offer if name == "x" else found(self, kind, name))
    project = load(make_project(dataset={"use": "x", **table}), plugins=registry())
    problems = look_ahead(project).problems
    assert [(p.level, p.table, p.option) for p in problems if says in p.message] == [("error", "dataset", "use")]


def test_threads_that_a_component_leaves_are_said_with_its_name():
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="uploads")
    call(offer_of(""), "load()", thread.start)
    try:
        assert left_running() == ["dataset x of d 1 left a thread running (uploads): it ends with the run."]
    finally:
        end.set()
        thread.join()
