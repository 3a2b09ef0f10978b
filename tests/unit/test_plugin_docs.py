"""docs/plugins: every hook and method is there with its signature, and every example is run as it is printed."""

import functools
import hashlib
import hmac
import importlib
import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import elsewhere
import pytest

from ftstudio import api
from ftstudio.options import describe, parse
from ftstudio.plugins import registry
from ftstudio.testing import CheckSkipped, FakeDraft, FakeRequests, FakeRun, Subject, checks_of, tiny_model

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = DOCS / "plugins"
KIND_OF = {
    "models.md": ("model", api.ModelSource, "shelf"),
    "datasets.md": ("dataset", api.DatasetSource, "mail"),
    "tokenizers.md": ("tokenizer", api.Tokenizer, "lower"),
    "trainers.md": ("trainer", api.Trainer, "sgd"),
    "generators.md": ("generator", api.Generator, "greedy"),
    "observers.md": ("observer", api.Observer, "diary"),
    "run.md": ("dataset", api.DatasetSource, "sealed"),
}
"""Page -> the kind that it is about, its protocol, and the component of its example."""
OFFERED = {api.Run: FakeRun, api.Requests: FakeRequests, api.Draft: FakeDraft}


def blocks(page, language):
    """The code blocks of a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (PAGES / page).read_text(), re.DOTALL | re.MULTILINE)


def files(page):
    """Path -> text of the blocks that begin with the path of a file."""
    found = {}
    for language in ("python", "text"):
        for block in blocks(page, language):
            first, _, rest = block.partition("\n")
            found[first.removeprefix("# ")] = rest
    return found


def members(protocol):
    """Name -> signature, as the pages print it, of what a protocol or the hooks have."""
    found = {}
    for name, member in vars(protocol).items():
        if isinstance(member, property):
            found[name] = f"{name}: {inspect.signature(member.fget).return_annotation}"
        elif inspect.isfunction(member) and (not name.startswith("_") or name in {"__len__", "__iter__"}):
            signature = inspect.signature(member)
            mine = [p for p in signature.parameters.values() if p.name != "self"]
            bare = [p.replace(annotation=_Bare(p.annotation)) for p in mine]
            result = _Bare(signature.return_annotation)
            found[name] = f"{name}{signature.replace(parameters=bare, return_annotation=result)}"
    return found


class _Bare:
    """An annotation without the quotes that one written as a text gets."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


@pytest.mark.parametrize("protocol", [api.Hooks, *(p for _, p, _ in KIND_OF.values()), *OFFERED, api.Table])
def test_every_hook_and_method_is_documented_with_its_signature(protocol):
    said = "\n".join(page.read_text() for page in PAGES.glob("*.md")).replace("\\|", "|")
    found = members(protocol)
    assert found
    for signature in found.values():
        assert f"`{signature}`" in said, signature


def test_every_page_of_a_kind_names_its_hook():
    for kind, hook in api.KINDS.items():
        (page,) = [p for p, (k, _, _) in KIND_OF.items() if k == kind and p != "run.md"]
        assert f"`{members(api.Hooks)[hook]}`" in (PAGES / page).read_text()


# ------------------------------------------------------------------------------------------ the examples


@pytest.fixture
def installed(tmp_path, monkeypatch, fresh_registry):
    """The packages of all pages, each with its dist-info."""
    site = tmp_path / "site"
    for page in [*KIND_OF, "options.md"]:
        for path, text in files(page).items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text)
            name = path.partition("/")[0]
            info = site / f"{name}-1.0.dist-info"
            info.mkdir(exist_ok=True)
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text(f"[ftstudio]\n{name} = {name}\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")])))
    importlib.invalidate_caches()
    registry.cache_clear()


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The files that the examples read, in a folder."""
    folder = tmp_path / "files"
    tiny_model(folder / "shelf" / "tiny")
    letters = [
        f"From x\nFrom: {who}@example.org\nSubject: Letter {i}\n\nThe river {i}.\n"
        for i, who in enumerate(["ada", "bob"])
    ]
    (folder / "letters.mbox").write_text("\n".join(letters))
    (folder / "rows.txt").write_text("one\ntwo\n")
    (folder / "rows.txt.sig").write_text(hmac.new(b"a key", b"one\ntwo\n", hashlib.sha256).hexdigest() + "\n")
    monkeypatch.setenv("SEALED_KEY", "a key")
    return folder


def table_of(page, kind):
    """What the page's block of TOML says of its component."""
    (block,) = blocks(page, "toml")
    table = tomllib.loads(block)["observers" if kind == "observer" else kind]
    return table[0] if kind == "observer" else table


def record(monkeypatch, used):
    """Note which members of a run, its requests and its drafts the examples ask for."""
    packages = {name for _, _, name in KIND_OF.values()}
    for protocol, fake in OFFERED.items():
        monkeypatch.setattr(
            fake, "__getattribute__", _noting(members(protocol), protocol, packages, used), raising=False
        )


def _noting(names, protocol, packages, used):
    def get(self, name):
        if name in names and sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] in packages:
            used.add((protocol.__name__, name))
        return object.__getattribute__(self, name)

    return get


def record_methods(monkeypatch, target, names, called):
    for name in names:
        method = getattr(target, name)

        @functools.wraps(method)
        def noted(*arguments, _method=method, _name=name, **more):
            called.add(_name)
            return _method(*arguments, **more)

        monkeypatch.setattr(target, name, noted)


def target_of(component):
    module, _, attribute = component.target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def public(target):
    """The methods of a class that somebody else may call."""
    return {name for name, member in vars(target).items() if inspect.isfunction(member) and not name.startswith("_")}


@pytest.mark.usefixtures("installed")
def test_the_examples_have_no_method_that_their_page_does_not_name():
    for page, (kind, protocol, name) in KIND_OF.items():
        optional = set(re.findall(r"^\| if you like \| `(\w+)\(", (PAGES / page).read_text(), re.MULTILINE))
        beside = public(target_of(registry().find(kind, name).component)) - members(protocol).keys()
        assert beside <= optional, page


@pytest.mark.usefixtures("installed")
def test_the_examples_pass_the_kit_and_use_all_that_a_run_offers(tmp_path, monkeypatch, example):
    used, subjects = set(), []
    record(monkeypatch, used)
    for page, (kind, protocol, name) in KIND_OF.items():
        offer = registry().find(kind, name)
        table = table_of(page, kind)
        assert table.pop("use") == name
        table.pop("prompts", None)
        called = set()
        target = target_of(offer.component)
        record_methods(monkeypatch, target, public(target), called)
        subject = Subject(offer, tmp_path / name, table, example)
        subjects += [subject] if kind != "observer" else []
        for check in checks_of(kind):
            if check is elsewhere.CHECK:
                continue
            try:
                check.make(subject)
            except CheckSkipped as why:
                assert not check.required, f"{page}: {check.name}: {why}"
        assert members(protocol).keys() <= called, page
        assert called == public(target), f"{page}: the kit calls no such method"
    elsewhere.same_in_another_order(subjects)
    assert {name for protocol, name in used if protocol == "Run"} == members(api.Run).keys()
    assert {name for protocol, name in used if protocol == "Requests"} == members(api.Requests).keys()
    assert {name for protocol, name in used if protocol == "Draft"} == members(api.Draft).keys()


@pytest.mark.usefixtures("installed")
def test_the_example_of_options_has_every_type_and_its_table_is_read():
    component = registry().find("dataset", "every").component
    fields = {f.name: f for f in describe(component.options)}
    assert {f.base for f in fields.values()} == {"bool", "int", "float", "str", "path", "choice", "tuple", "dict"}
    table = table_of("options.md", "dataset")
    assert table.pop("use") == "every"
    options, problems = parse(component.options, table)
    assert not problems
    assert (options.rows, options.share, options.drop, options.rename) == (
        20,
        1.0,
        ("the", "a"),
        {"question": "prompt"},
    )
    _, problems = parse(component.options, {"path": "x", "rows": 1, "order": "random"})
    assert [(p.option, p.message, p.fix) for p in problems] == [
        ("order", "One row has no order.", 'Set order = "file".')
    ]


def test_every_argument_of_option_is_explained():
    said = (PAGES / "options.md").read_text()
    for name in list(inspect.signature(api.option).parameters)[1:]:
        assert f"`{name}`" in said or f"`{name}," in said or f", `{name}`" in said, name


def test_links_lead_somewhere():
    for page in PAGES.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).resolve().exists(), f"{page.name}: {target}"


# ------------------------------------------------------------------------------------------ debugging

LOUD = """
from dataclasses import dataclass

from ftstudio.api import Component, Facts, hookimpl


@dataclass(frozen=True, kw_only=True)
class Options:
    pass


@hookimpl
def ftstudio_dataset_sources():
    yield Component(
        name="loud", summary="rows", target="loud_work:Loud", options=Options, gives=("text",), facts="loud:facts"
    )


def facts(options, folder):
    print("said by facts")
    return Facts(shape="text")
"""
LOUD_WORK = """
from ftstudio.testing import FakeTable

print("said at import")


class Loud:
    def __init__(self, options):
        pass

    def load(self, run):
        print("said by load")
        return {"train": FakeTable(["text"], [{"text": "The river bends."}] * 20)}
"""


@pytest.fixture
def loud(tmp_path, monkeypatch, fakes, make_project):
    """A project whose dataset source prints, and whose plugin is installed."""
    site = tmp_path / "site"
    (site / "loud-1.0.dist-info").mkdir(parents=True)
    (site / "loud-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    (site / "loud-1.0.dist-info" / "entry_points.txt").write_text("[ftstudio]\nloud = loud\n")
    (site / "loud.py").write_text(LOUD)
    (site / "loud_work.py").write_text(LOUD_WORK)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ["PYTHONPATH"]]))
    return make_project(dataset={"use": "loud"}, trainer={"max_steps": 3})


def test_the_commands_for_debugging_do_what_their_page_says(loud, ftstudio):
    lines = [line.partition("#")[0].split() for block in blocks("debugging.md", "sh") for line in block.splitlines()]
    lines += [text.split() for text in re.findall(r"`(ftstudio logs [^`]+)`", (PAGES / "debugging.md").read_text())]
    told = {"NAME": "loud", "PROJECT": str(loud), "RUN": str(loud / "runs" / "0001")}
    checks = [words for words in lines if words[1:3] == ["plugins", "check"]]
    assert checks == [
        ["ftstudio", "plugins", "check", "."],
        ["ftstudio", "plugins", "check", "NAME", "--kind", "trainer"],
    ]  # they have tests of their own
    done = {}
    for words in (words for words in lines if words not in checks):
        assert words[0] == "ftstudio"
        done[" ".join(words)] = one = ftstudio(*(told.get(word, word) for word in words[1:]))
        assert one.code == 0, (words, one.err)
    assert "loud" in done["ftstudio plugins list"].out
    assert "dataset loud" in done["ftstudio plugins show NAME"].out
    inline, debug = done["ftstudio run PROJECT --inline"], done["ftstudio --debug check PROJECT"]
    assert ("said at import" in inline.out, "said by load" in inline.out) == (True, True)
    assert ("said by facts" in debug.out, "said by facts" in debug.err) == (False, True)
    assert all("said by facts" not in one.out + one.err for name, one in done.items() if "--debug" not in name)


def test_the_files_that_the_page_on_debugging_names_are_there(fakes, make_project, ftstudio):
    project = make_project(trainer={"max_steps": 3})
    assert ftstudio("run", project).code == 0
    named = re.findall(r"`(runs/0001/[a-z.]+)`", (PAGES / "debugging.md").read_text())
    assert len(named) == 5
    for name in named:
        assert (project / name).is_file(), name


# ------------------------------------------------------------------------------------------ the tutorial


def test_the_tutorial_does_what_it_says(tmp_path):
    """Its files as printed, its commands in their order; what needs a network is left out, and pip gets none."""
    package, site = tmp_path / "ftstudio-riddles", tmp_path / "site"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(package / "src"), str(site), os.environ.get("PYTHONPATH", "")]),
    }

    def run(*command, cwd=package):
        return subprocess.run(
            [sys.executable, "-m", *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )

    lines = [line for block in blocks("tutorial.md", "sh") for line in block.splitlines()]
    commands = [line.split() for line in lines if line.startswith(("ftstudio", "pytest"))]
    made = run(*commands.pop(0), cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    pip = ["pip", "install", "--quiet", "--no-index", "--no-build-isolation", "--no-deps", "--target", str(site), "."]
    assert (done := run(*pip)).returncode == 0, done.stderr
    assert commands.pop(0) == ["pytest"]  # of the template as it is: tried where templates are
    listed = run(*commands.pop(0)).stdout
    said = "✓ active  riddles  ftstudio-riddles 0.1.0  dataset riddles"
    assert said in (PAGES / "tutorial.md").read_text()
    assert said.split() in [line.split() for line in listed.splitlines()]
    for path, text in files("tutorial.md").items():
        (package / path).parent.mkdir(exist_ok=True)
        (package / path).write_text(text)
    for command in commands:
        options = ["-q", "-p", "no:cacheprovider", "-W", "error"] if command == ["pytest"] else []
        done = run(*command, *options)
        assert done.returncode == 0, (command, done.stdout[-3000:], done.stderr[-3000:])
        if command[:3] == ["ftstudio", "plugins", "check"]:
            assert "override write_texts() in the test class" in " ".join(done.stdout.split())
