"""`ftstudio plugins check`: the kit from the command line, on source folders whose plugins do what they like."""

import textwrap
from dataclasses import fields

import pytest

from ftstudio.errors import InputError
from ftstudio.files import toml_text
from ftstudio.testing.campaign import Finding
from ftstudio.testing.examples import nearest_examples, read_examples

PLUGIN = """
    import ctypes, os, sys, time
    from dataclasses import dataclass
    from ftstudio.api import Component, hookimpl, option
    from ftstudio.testing import FakeObserver, FakeSource, fake_rows

    @dataclass(frozen=True, kw_only=True)
    class Options:
        texts: tuple[str, ...] = option({default} help="The texts.")

    class Source(FakeSource):
        def load(self, run):
            {load}
            return super().load(run)

    @hookimpl
    def ftstudio_dataset_sources():
        yield Component(name="mine", summary="texts", target="my_plugin:Source", options=Options, gives=("text",))
"""


@pytest.fixture
def source(tmp_path):
    """Write a plugin's source folder: the line that its load() begins with, and more of its pyproject.toml."""

    def write(load="pass", default="('a', 'b'),", code=PLUGIN, **check):
        folder = tmp_path / "my-plugin"
        (folder / "src").mkdir(parents=True)
        (folder / "src" / "my_plugin.py").write_text(textwrap.dedent(code).format(load=load, default=default))
        project = {"name": "my-plugin", "version": "1.2", "entry-points": {"ftstudio": {"mine": "my_plugin"}}}
        (folder / "pyproject.toml").write_text(toml_text({"project": project, "tool": {"ftstudio": {"check": check}}}))
        return folder

    return write


def results(done):
    return {f["check"]: (f["result"], f["says"]) for plugin in done.json for f in plugin["findings"]}


WORK = "It does its work, and what it gives keeps the contract"


def test_a_source_folder_is_checked_without_being_installed(source, ftstudio):
    folder = source()
    done = ftstudio("plugins", "check", folder, "--json")
    assert done.code == 0, done.err
    (plugin,) = done.json
    assert (plugin["plugin"], plugin["distribution"], plugin["version"]) == ("mine", "my-plugin", "1.2")
    assert set(plugin["findings"][0]) == {f.name for f in fields(Finding)}
    assert results(done)[WORK] == ("passed", "")
    assert {f["result"] for f in plugin["findings"]} == {"passed", "skipped"}
    listed = ftstudio("plugins", "list", "--json", cwd=folder)
    assert "my-plugin" not in {record["distribution"] for record in listed.json}, "only what is installed loads"


def test_the_report_says_what_failed_and_what_to_do(source, ftstudio):
    done = ftstudio("plugins", "check", source(load="(run.project / 'x\\x1b[31m').write_text('')"))
    assert done.code == 1
    assert "plugin mine (my-plugin 1.2)" in done.out
    assert "  ✓ Describing it imports nothing heavy\n" in done.out
    assert "  ✗ It writes only into run.dir, run.cache and the Hub's cache\n      It wrote '" in done.out
    assert "\\x1b[31m" in done.out
    assert "\x1b" not in done.out
    assert "Mend what is marked ✗" in done.err


@pytest.mark.parametrize(
    ("load", "says"),
    [
        ("print('last words', flush=True); os._exit(0)", "Its process ended with exit code 0 in the middle"),
        ("ctypes.string_at(0)", "Its process ended by SIGSEGV in the middle of this check."),
        ("time.sleep(100)", "It did not finish within 4 s."),
        ("sys.exit(3)", "SystemExit: 3"),
    ],
)
def test_a_plugin_that_ends_or_holds_its_process_is_a_finding(source, ftstudio, load, says):
    done = ftstudio("plugins", "check", source(load=load), "--json", "--seconds", 4)
    assert done.code == 1
    found = results(done)
    result, said = found[WORK]
    assert result == "failed"
    assert says in said
    assert found["Its options survive the way into TOML and back"] == ("passed", "")
    assert found["fingerprint() is the same while the data are"][0] in {"passed", "skipped"}


def test_required_options_without_an_example_are_named_and_nothing_passes_for_it(source, ftstudio):
    folder = source(default="")
    done = ftstudio("plugins", "check", folder)
    assert done.code == 2
    assert "It requires texts, and no example gives a value" in done.out
    assert "[tool.ftstudio.check.dataset.mine]" in " ".join(done.out.split())
    given = ftstudio("plugins", "check", folder, "--set", 'texts=["a", "b"]')
    assert given.code == 0, given.out
    assert "It keeps the contract as far as these checks can tell." in given.err


def test_examples_come_from_pyproject_and_files_are_copied(source, ftstudio, tmp_path):
    folder = source(
        load="assert (run.project / 'a' / 'notes.txt').read_text() == 'hello'",
        default="",
        project="example",
        dataset={"mine": {"texts": ["one"]}},
    )
    (folder / "example" / "a").mkdir(parents=True)
    (folder / "example" / "a" / "notes.txt").write_text("hello")
    done = ftstudio("plugins", "check", folder, "--json")
    assert done.code == 0, done.out
    assert nearest_examples(folder / "src").of("dataset", "mine") == {"texts": ["one"]}


@pytest.mark.parametrize(
    ("check", "says"),
    [
        ({"project": "nowhere"}, "names the folder 'nowhere', which is not there"),
        ({"project": "../.."}, "which is outside of the package"),
        ({"datasets": {"mine": {}}}, "'datasets' is not known"),
        ({"dataset": {"mine": 3}}, "'dataset' is not known"),
    ],
)
def test_examples_that_mean_nothing_are_refused(source, check, says):
    with pytest.raises(InputError, match=says):
        read_examples(source(**check) / "pyproject.toml")


def test_a_plugin_that_cannot_be_described_is_one_finding(source, ftstudio):
    done = ftstudio("plugins", "check", source(code="raise OSError('no such library')"))
    assert done.code == 1
    assert "✗ It cannot be described: OSError: no such library" in done.out


def test_a_plugin_that_imports_something_heavy_while_it_is_described_is_found(source, ftstudio):
    done = ftstudio("plugins", "check", source(code="import textual\n" + textwrap.dedent(PLUGIN)), "--json")
    assert done.code == 1
    assert "Describing it imports textual" in results(done)["Describing it imports nothing heavy"][1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no-such"], "There is no plugin and no folder 'no-such'."),
        (["dataset"], "Did you mean datasets?"),
        (["."], "has no pyproject.toml. Name the folder that holds it."),
        (["datasets", "--component", "nope"], "datasets offers no such component."),
    ],
)
def test_what_is_not_there_is_said_with_exit_code_2(ftstudio_here, arguments, says):
    done = ftstudio_here("plugins", "check", *arguments)
    assert done.code == 2
    assert says in done.err


def test_a_package_without_an_entry_point_is_no_plugin(ftstudio, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    done = ftstudio("plugins", "check", ".")
    assert done.code == 2
    assert "declares no plugin. Add [project.entry-points.ftstudio]" in done.err


def test_a_disabled_plugin_is_not_imported(ftstudio):
    done = ftstudio("plugins", "check", "datasets", env={"FTSTUDIO_DISABLE_PLUGINS": "datasets"})
    assert done.code == 2
    assert "is disabled, so it is not imported. Enable it" in done.err
