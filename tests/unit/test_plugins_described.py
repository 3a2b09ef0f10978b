"""What a plugin describes is held to its types where it is described, and one that describes nothing says so."""

from dataclasses import dataclass, replace

import pytest

from ftstudio.api import Component, ContractError, Metric, hookimpl, option
from ftstudio.plugins import Described, Offer, Record, judged
from ftstudio.probe import NotUsableError, collect

RECORD = Record(name="mine", value="mine", distribution="d", version="1", status="active")
USUAL = {"name": "x", "summary": "one line", "target": "package.module:Class"}


@dataclass(frozen=True, kw_only=True)
class Options:
    size: int = option(1, help="A size.")


@pytest.mark.parametrize(
    ("described", "sentence"),
    [
        ({"summary": 7}, "Component 'x': summary is 7; expected a text."),
        ({"name": None}, "Component None: name is None; expected a text."),
        ({"target": "nomodule"}, "Component 'x': target is 'nomodule'; expected 'package.module:Name'."),
        ({"target": "module:"}, "target is 'module:'"),
        ({"facts": len}, "facts is <built-in function len>; expected a text."),
        ({"plan": "light.plan"}, "plan is 'light.plan'; expected 'package.module:Name'."),
        ({"gives": "text"}, "gives is 'text'; expected a tuple of texts, such as (one,)."),
        ({"takes": (1,)}, "takes is (1,); expected a tuple of texts"),
        ({"secrets": None}, "secrets is None; expected a tuple of texts"),
        ({"metrics": ("loss",)}, "metrics is ('loss',); expected a tuple of Metric"),
        ({"exact_resume": "yes"}, "exact_resume is 'yes'; expected True or False."),
        ({"summary": b"\x1b[2J" * 99}, "summary is b'\\x1b[2J"),
    ],
)
def test_a_description_of_the_wrong_type_is_refused_where_it_is_made(described, sentence):
    with pytest.raises(ContractError) as error:
        Component(**{**USUAL, "options": Options, **described})
    assert sentence in str(error.value)
    assert len(str(error.value)) < 200


def test_what_a_description_may_leave_out_it_may():
    component = Component(**USUAL, options=Options, gives=["text"], metrics=(Metric(name="loss"),), facts="light:facts")
    assert component.install_hint == ""


def test_a_component_without_a_target_is_said_when_it_is_built():
    offer = Offer(kind="model", component=Component(**{**USUAL, "target": ""}, options=Options), record=RECORD)
    with pytest.raises(ContractError, match=r"model x of d 1 names no target\. Write target="):
        offer.build(Options())


def test_a_plugin_that_describes_nothing_has_failed():
    one = replace(RECORD, components=(Described(kind="model", name="x", summary=""),))
    assert judged(one) == one
    assert (judged(RECORD).status, judged(RECORD).reason[:27]) == ("failed", "It describes no component. ")


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("OSError: no such library", "OSError: no such library."),
        ("KeyboardInterrupt: ", "KeyboardInterrupt."),
        ("It hangs.", "It hangs."),
        ("Is it?", "Is it?"),
    ],
)
def test_a_reason_is_a_whole_sentence(reason, sentence):
    assert judged(replace(RECORD, status="failed", reason=reason)).reason == sentence


class Hooked:
    @hookimpl
    def ftstudio_models(self):
        yield Component(**USUAL, options=Options)


class Asking:
    @hookimpl
    def ftstudio_models(self, config, more=3):
        yield Component(**USUAL, options=Options)


@pytest.mark.parametrize(
    ("plugin", "sentence"),
    [
        (Hooked, "Its entry point names the class Hooked: name an object of it, or a module."),
        (Asking(), "Its ftstudio_models takes 'config': a hook takes no arguments. Leave them out."),
    ],
)
def test_a_hook_that_cannot_be_called_is_said_in_a_line(plugin, sentence):
    with pytest.raises(NotUsableError) as error:
        collect(plugin, "x")
    assert str(error.value) == sentence
    assert list(collect(Hooked(), "x")) == ["model"]


def test_an_author_hears_what_to_mend_and_not_what_users_may_do(ftstudio, tmp_path):
    source = tmp_path / "mine.py"
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "d"\nversion = "1"\n[project.entry-points.ftstudio]\nmine = "mine"\n'
    )
    hook = "from ftstudio.api import hookimpl\n\n@hookimpl\ndef ftstudio_models():\n    return None\n"
    for code, says in (
        (hook, "It describes no component. Yield one from a function"),
        ("import not_there_at_all", "Name what brings not_there_at_all in the dependencies"),
        ("raise OSError('no such library')", "It cannot be described: OSError: no such library."),
    ):
        source.write_text(code)
        done = ftstudio("plugins", "check", tmp_path)
        assert done.code == 1
        assert says in " ".join(done.out.split())
        assert "Mend what is marked" in done.err
        assert not [word for word in ("pip install -U", "disable", "--kind") if word in done.out + done.err]
