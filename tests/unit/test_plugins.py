"""Discovery: what works is offered, what does not is a row with a reason, and nobody harms anybody."""

import importlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ftstudio.describing import end_probes, waits_for
from ftstudio.errors import PluginError, UnknownNameError
from ftstudio.plugins import OWN, Described, Record, Registry, look_again, registry
from ftstudio.project import interpret
from ftstudio.source import Source

GOOD = """
    from dataclasses import dataclass
    from ftstudio.api import Component, hookimpl, option

    @dataclass(frozen=True, kw_only=True)
    class Options:
        size: int = option(1, help="A size.")

    @hookimpl
    def ftstudio_models():
        yield Component(name="{name}", summary="x", target="{module}:Model", options=Options)

    class Model:
        def __init__(self, options):
            self.options = options
"""


@pytest.fixture
def install(tmp_path, monkeypatch, fresh_registry):
    """Install packages as a stranger would: a module and its dist-info on sys.path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")])))

    def put(module, code, *, dist=None, version="1.0"):
        (site / f"{module}.py").write_text(textwrap.dedent(code))
        dist = dist or f"dist-{module.replace('_', '-')}"
        info = site / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[ftstudio]\n{module} = {module}\n")
        importlib.invalidate_caches()
        registry.cache_clear()
        return site / f"{module}.py"

    return put


def record_of(name):
    return next(r for r in registry().records if r.name == name)


def test_a_strangers_component_is_found_by_both_names_and_built(install):
    install("plug_good", GOOD.format(name="mine", module="plug_good"))
    offer = registry().find("model", "mine")
    assert registry().find("model", "dist-plug-good/mine").component is offer.component
    assert offer.title == "model mine of dist-plug-good 1.0"
    built = offer.build(offer.component.options(size=3))
    assert built.options.size == 3


def test_a_plugin_that_hangs_is_given_up(install, own_folders):
    settings = own_folders / "config" / "ftstudio" / "settings.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("probe_seconds = 1.0\n")
    install("plug_hangs", "import time\ntime.sleep(60)")
    assert record_of("plug_hangs").reason == "It did not finish describing itself within 1 s."


FORKS = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
os.fork()
open({log!r}, "a").write(f"{{child.pid}} {{os.getpid()}} ")
while len(open({log!r}).read().split()) < 4:  # until both have said who they are
    time.sleep(0.01)
{then}
"""


def alive(pids):
    """Those that run; one that is dead and not yet taken note of does not."""
    states = subprocess.run(["ps", "-o", "stat=", "-p", ",".join(pids)], capture_output=True, text=True, check=False)
    return [state for state in states.stdout.split() if not state.startswith("Z")]


def pids_in(log, count):
    deadline = time.monotonic() + 20
    while not (log.exists() and len(log.read_text().split()) >= count):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return log.read_text().split()


def until_gone(pids):
    deadline = time.monotonic() + 10
    while alive(pids):
        assert time.monotonic() < deadline, alive(pids)
        time.sleep(0.02)


@pytest.mark.parametrize("then", ["time.sleep(60)", "raise ValueError('at once')"])
def test_nothing_that_a_plugin_started_outlives_its_description(install, settings_file, tmp_path, then):
    log = tmp_path / "pids"
    settings_file("probe_seconds = 4")
    install("plug_forks", FORKS.format(log=str(log), then=then))
    assert record_of("plug_forks").status == "failed"
    until_gone(pids_in(log, 4))


def test_a_plugin_that_hangs_ends_with_whoever_asked(install, tmp_path):
    log = tmp_path / "pids"
    undone = "import signal; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15, 14)]; time.sleep(60)"
    install("plug_hangs", FORKS.format(log=str(log), then=undone))
    asks = subprocess.Popen([sys.executable, "-m", "ftstudio", "plugins", "list"], stdout=subprocess.DEVNULL)
    pids = pids_in(log, 4)
    assert len(alive(pids)) == len(set(pids)) == 3
    asks.send_signal(signal.SIGKILL)
    asks.wait()
    until_gone(pids)


def test_whoever_leaves_waits_for_no_description_and_believes_nothing_of_it(install, tmp_path):
    log, mended = tmp_path / "pids", tmp_path / "mended"
    good = textwrap.dedent(GOOD.format(name="mine", module="plug_waits"))
    waits = f"import os, time\nopen({str(log)!r}, 'a').write(f'{{os.getpid()}} ')\n"
    install("plug_waits", f"{waits}while not os.path.exists({str(mended)!r}):\n    time.sleep(0.02)\n{good}")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(record_of, "plug_waits")
        pids = pids_in(log, 1)
        end_probes()
        assert asked.result(10).reason == "Nobody waited for its description."
    until_gone(pids)
    asks = subprocess.Popen([sys.executable, "-m", "ftstudio", "plugins", "list"], stderr=subprocess.PIPE, text=True)
    pids = pids_in(log, 2)
    asks.send_signal(signal.SIGINT)
    _, said = asks.communicate(timeout=10)
    assert (asks.returncode, "Traceback" in said) == (130, False)
    until_gone(pids)
    mended.touch()
    registry.cache_clear()
    assert record_of("plug_waits").status == "active"


def test_what_a_plugin_prints_does_not_reach_stdout(install, ftstudio):
    install("plug_loud", "print('garbage \\x1b[31m')\n" + textwrap.dedent(GOOD.format(name="mine", module="plug_loud")))
    done = ftstudio("plugins", "list", "--json")
    assert {r["name"]: r["status"] for r in done.json}["plug_loud"] == "active"
    shown = ftstudio("plugins", "show", "mine")
    assert shown.code == 0
    assert "garbage" not in shown.out


def test_importing_something_heavy_while_describing_is_noted(install):
    install("plug_heavy", "import textual\n" + textwrap.dedent(GOOD.format(name="mine", module="plug_heavy")))
    assert record_of("plug_heavy").heavy == ("textual",)


def test_the_probe_runs_once_until_a_file_changes(install, tmp_path):
    log = tmp_path / "probed"
    noisy = f"open({str(log)!r}, 'a').write('x')\n"
    path = install("plug_cached", noisy + textwrap.dedent(GOOD.format(name="mine", module="plug_cached")))
    for _ in range(3):
        registry.cache_clear()
        assert record_of("plug_cached").status == "active"
    assert log.read_text() == "x"
    path.write_text(path.read_text() + "\n# changed\n")
    registry.cache_clear()
    assert record_of("plug_cached").status == "active"
    assert log.read_text() == "xx"


def test_a_plugin_that_hangs_costs_its_time_once_until_somebody_tries_it_again(install, settings_file, tmp_path):
    log = tmp_path / "probed"
    settings_file("probe_seconds = 1.0")
    path = install("plug_hangs", f"import time\nopen({str(log)!r}, 'a').write('x')\ntime.sleep(60)")
    for _ in range(2):
        registry.cache_clear()
        assert record_of("plug_hangs").reason == "It did not finish describing itself within 1 s."
    assert log.read_text() == "x"
    assert [r.status for r in look_again().records if r.name == "plug_hangs"] == ["failed"]
    assert log.read_text() == "xx"
    settings_file("probe_seconds = 1.5")
    registry.cache_clear()
    assert record_of("plug_hangs").reason == "It did not finish describing itself within 1.5 s."
    path.write_text(textwrap.dedent(GOOD.format(name="mine", module="plug_hangs")))
    registry.cache_clear()
    assert record_of("plug_hangs").status == "active"


def test_list_tries_again_what_failed(install, ftstudio, tmp_path):
    needed = tmp_path / "needed"
    code = f"open({str(needed)!r})\n" + textwrap.dedent(GOOD.format(name="mine", module="plug_needs"))
    install("plug_needs", code)
    assert record_of("plug_needs").status == "failed"
    needed.touch()
    registry.cache_clear()
    assert record_of("plug_needs").status == "failed"  # nothing shows that it would work now
    assert {r["name"]: r["status"] for r in ftstudio("plugins", "list", "--json").json}["plug_needs"] == "active"
    registry.cache_clear()
    assert record_of("plug_needs").status == "active"


def test_two_who_ask_at_once_have_a_plugin_described_once(install, tmp_path):
    log = tmp_path / "probed"
    noisy = f"import time\nopen({str(log)!r}, 'a').write('x')\ntime.sleep(0.3)\n"
    install("plug_slow", noisy + textwrap.dedent(GOOD.format(name="mine", module="plug_slow")))
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(record_of, "plug_slow") for _ in range(3)]
        while not log.exists():
            assert not any(a.done() for a in asked)
            time.sleep(0.01)
        assert waits_for() == "Waiting for plugin plug_slow (dist-plug-slow) to describe itself ..."
        assert {a.result().status for a in asked} == {"active"}
    assert (log.read_text(), waits_for()) == ("x", "")


def test_a_failure_is_not_believed_once_something_was_installed(install, tmp_path):
    path = install("plug_needs", "import helper_mod\n" + textwrap.dedent(GOOD.format(name="mine", module="plug_needs")))
    assert record_of("plug_needs").status == "failed"
    (path.parent / "helper_mod.py").write_text("")
    registry.cache_clear()
    importlib.invalidate_caches()
    assert record_of("plug_needs").status == "active"


def test_a_plugin_whose_dependency_is_gone_is_found_to_fail(install, tmp_path):
    """By who uses it, and by 'plugins list' though nobody did."""
    good = textwrap.dedent(GOOD.format(name="mine", module="plug_needs"))
    needed = install("plug_needs", "import needed_mod\n" + good).parent / "needed_mod.py"
    needed.write_text("")
    importlib.invalidate_caches()
    registry.cache_clear()
    assert record_of("plug_needs").status == "active"
    needed.unlink()
    importlib.invalidate_caches()
    registry.cache_clear()
    assert record_of("plug_needs").status == "active"  # its own files are as they were
    with pytest.raises(PluginError) as error:
        registry().find("model", "mine")
    assert "cannot be loaded: ModuleNotFoundError: No module named 'needed_mod'. See 'ftstudio" in str(error.value)
    registry.cache_clear()
    assert record_of("plug_needs").mend == "Install needed_mod into this environment, or disable the plugin."
    needed.write_text("")
    importlib.invalidate_caches()
    assert [r.status for r in look_again().records if r.name == "plug_needs"] == ["active"]
    needed.unlink()
    assert [r.status for r in look_again().records if r.name == "plug_needs"] == ["failed"]


def test_a_plugin_that_leaves_a_thread_is_marked_and_keeps_no_command(install, ftstudio):
    starts = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), name='looks').start()\n"
    install("plug_thread", starts + textwrap.dedent(GOOD.format(name="mine", module="plug_thread")))
    shown = ftstudio("plugins", "show", "plug_thread", timeout=60)
    assert shown.code == 0
    assert "size = 1" in shown.out
    assert "It leaves a thread running when it is loaded (looks), in every process that looks at it." in shown.out


@pytest.mark.parametrize("name", ["plug_good", "dist-plug-good"])
def test_a_blocked_plugin_is_never_imported(install, monkeypatch, tmp_path, name):
    log = tmp_path / "imported"
    install("plug_good", f"open({str(log)!r}, 'w')\n" + textwrap.dedent(GOOD.format(name="mine", module="plug_good")))
    monkeypatch.setenv("FTSTUDIO_DISABLE_PLUGINS", f"other,{name}")
    assert record_of("plug_good").status == "disabled"
    with pytest.raises(UnknownNameError):
        registry().find("model", "mine")
    assert not log.exists()


def test_two_strangers_with_one_name_both_work_by_their_full_names(install):
    install("plug_one", GOOD.format(name="same", module="plug_one"))
    install("plug_two", GOOD.format(name="same", module="plug_two"))
    with pytest.raises(UnknownNameError, match="'dist-plug-one/same' and 'dist-plug-two/same'"):
        registry().find("model", "same")
    assert registry().find("model", "dist-plug-one/same").record.name == "plug_one"
    assert registry().find("model", "dist-plug-two/same").record.name == "plug_two"


def test_two_plugins_may_have_one_name_for_their_entry_points(install, tmp_path):
    install("plug_former", GOOD.format(name="first", module="plug_former"))
    install("plug_latter", GOOD.format(name="second", module="plug_latter"))
    (tmp_path / "site" / "dist_plug_latter-1.0.dist-info" / "entry_points.txt").write_text(
        "[ftstudio]\nplug_former = plug_latter\n"
    )
    registry.cache_clear()
    assert registry().find("model", "first").component.target == "plug_former:Model"
    assert registry().find("model", "second").component.target == "plug_latter:Model"
    named = [r.alone for r in registry().records if r.name == "plug_former"]
    assert named == ["dist-plug-former", "dist-plug-latter"], "what list says to disable is what disable takes"


def test_what_a_plugin_is_called_alone_is_what_switches_it(install, ftstudio, tmp_path):
    """Two plugins of one distribution, one of them named as another distribution's."""
    install("plug_former", "raise OSError('no such library')")
    install("plug_latter", "raise OSError('no such library')")
    (tmp_path / "site" / "dist_plug_latter-1.0.dist-info" / "entry_points.txt").write_text(
        "[ftstudio]\nplug_former = plug_latter\nplug_third = plug_latter\n"
    )
    ambiguous = ftstudio("plugins", "disable", "plug_former")
    assert (ambiguous.code, "Name one: dist-plug-former, dist-plug-latter/plug_former." in ambiguous.err) == (2, True)
    failed = [row["mend"].rpartition(" ")[2] for row in ftstudio("plugins", "list", "--json").json if row["mend"]]
    assert failed == ["dist-plug-former", "dist-plug-latter/plug_former", "plug_third"]
    for number, name in enumerate(failed, start=1):
        assert ftstudio("plugins", "disable", name).code == 0
        rows = ftstudio("plugins", "list", "--json").json
        assert [row["status"] for row in rows].count("disabled") == number
    assert ftstudio("plugins", "enable", "dist-plug-latter/plug_former").code == 0


def test_show_says_why_one_fails_what_to_do_and_who_uses_it(install, ftstudio, make_project, tmp_path):
    install("plug_good", GOOD.format(name="mine", module="plug_good"))
    install("plug_needs", "import not_there_at_all")
    make_project("poems", model={"use": "mine"})
    env = {"FTSTUDIO_PROJECTS": str(tmp_path)}
    good = ftstudio("plugins", "show", "dist-plug-good", env=env).out
    assert "plugin plug_good (dist-plug-good 1.0): active.\n  Used by poems in '" in good
    assert "model mine of dist-plug-good 1.0: x\n  size = 1\n      A size. (a whole number)\n" in good
    bad = ftstudio("plugins", "show", "plug_needs", env=env).out
    assert "failed. ModuleNotFoundError: No module named 'not_there_at_all'.\n" in bad
    assert "  Install not_there_at_all into this environment, or disable the plugin.\n  No project in '" in bad
    listed = ftstudio("plugins", "list", env=env).out
    assert "No module named 'not_there_at_all'. Install not_there_at_all into this environment" in listed


def test_show_shows_what_another_plugin_offers_too(install, ftstudio):
    install("plug_one", GOOD.format(name="same", module="plug_one"))
    install("plug_two", GOOD.format(name="same", module="plug_two"))
    shown = ftstudio("plugins", "show", "plug_two").out
    assert "model same of dist-plug-two 1.0: x" in shown
    assert "is offered by plugin plug_one (dist-plug-one 1.0) too: write use = 'dist-plug-two/same' to mean" in shown
    assert "model same of dist-plug-one" not in shown


@pytest.mark.parametrize("entry", ["", ".", "./"])
def test_nothing_is_a_plugin_by_lying_where_one_stands(install, ftstudio, tmp_path, monkeypatch, entry):
    ran = tmp_path / "ran"
    good = textwrap.dedent(GOOD.format(name="mine", module="plug_lies"))
    lies = install("plug_lies", f"open({str(ran)!r}, 'w')\n" + good).parent
    elsewhere, _, others = os.environ["PYTHONPATH"].partition(os.pathsep)
    assert Path(elsewhere) == lies
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [others, str(tmp_path)])) + os.pathsep + entry)
    listed = {r["name"] for r in ftstudio("plugins", "list", "--json", cwd=lies).json}
    assert ("models" in listed, "plug_lies" in listed, ran.exists()) == (True, False, False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [others, str(lies)])))
    assert "plug_lies" in {r["name"] for r in ftstudio("plugins", "list", "--json", cwd=lies).json}


def test_a_built_ins_bare_name_cannot_be_taken(install):
    install("plug_thief", GOOD.format(name="starter", module="plug_thief"))
    assert registry().find("model", "starter").record.distribution == OWN
    assert registry().find("model", "dist-plug-thief/starter").record.name == "plug_thief"


def test_an_unknown_name_gets_the_nearest(fresh_registry):
    with pytest.raises(UnknownNameError, match="Did you mean native"):
        registry().find("trainer", "nativ")
    with pytest.raises(UnknownNameError, match=r"There is no dataset 'notyet'\. Installed: .*pip install it"):
        registry().find("dataset", "notyet")


def test_a_target_that_does_not_import_says_the_install_hint(fakes):
    offer = registry().find("dataset", "fake-missing")
    with pytest.raises(PluginError, match="pip install not-installed-at-all"):
        offer.build(offer.component.options())


def test_a_project_with_a_missing_plugin_opens_and_says_what_is_missing(tmp_path, fakes):
    table = {"format": 1, "model": {"use": "fake-modell", "context": 3}}
    project = interpret(tmp_path, Source(tmp_path / "project.toml", "", table), [], registry())
    said = [p.message + p.fix for p in project.problems if p.table == "model"]
    assert "There is no model 'fake-modell'" in said[0]
    assert "Did you mean fake-model?" in said[0]
    assert project.parts["model"].table == {"use": "fake-modell", "context": 3}


def test_a_plugin_whose_light_function_raises_is_named():
    offer = Registry(
        (
            Record(
                name="p",
                value="x",
                distribution="d",
                version="1",
                status="active",
                components=(Described(kind="model", name="m", summary=""),),
            ),
        )
    )
    with pytest.raises(PluginError, match="plugin p"):
        offer.find("model", "m")
