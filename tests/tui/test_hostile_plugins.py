"""Plugins that do harm, all installed at once: each is a row with reason and mend, the others work, no screen breaks.

What a plugin does while it runs, and not while it is found, is tried in tests/faults.
"""

import asyncio
import importlib
import json
import os
import textwrap
import time
from importlib import metadata

import pytest
from studio import session

from ftstudio.files import write_toml
from ftstudio.plugins import registry
from ftstudio.project import load
from ftstudio.runs.record import create_run

HEAD = """
import os, signal, subprocess, sys
from dataclasses import dataclass
from ftstudio.api import Component, hookimpl, option
"""
GOOD = """
@dataclass(frozen=True, kw_only=True)
class Options:
    size: int = option(1, help="A size.")

@hookimpl
def ftstudio_models():
    yield Component(name="{name}-model", summary="a \\x1b[31mred [b]model", target="{name}:Model", options=Options)

class Model:
    def __init__(self, options):
        self.options = options
"""
BUILT_IN = {
    "format": 1,
    "model": {"use": "starter"},
    "dataset": {"use": "inline", "texts": ["one", "two"]},
    "tokenizer": {"use": "pretrained"},
    "trainer": {"use": "native"},
    "generator": {"use": "sample", "prompts": ["The"]},
}
OURS = len(metadata.distribution("ftstudio").entry_points.select(group="ftstudio"))
UPDATE = "Update it (pip install -U dist-"
BAD = {
    "imports": ("import not_there_at_all", "No module named 'not_there_at_all'", "Install not_there_at_all into this"),
    "oserror": ("raise OSError('no such library')", "OSError: no such library", UPDATE),
    "leaves": ("raise SystemExit(3)", "It called sys.exit(3) while it was loaded.", UPDATE),
    "exits": ("os._exit(0)", "Its process ended with exit code 0 while it was loaded.", UPDATE),
    "crashes": ("os.kill(os.getpid(), 11)", "Its process was ended by signal 11 (Segmentation fault) while it was loaded.", UPDATE),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt", UPDATE),
    "inhook": ("@hookimpl\ndef ftstudio_models():\n    return 1 / 0", "ZeroDivisionError: division by zero", UPDATE),
    "halfway": (GOOD.replace("class Model", "    raise KeyError('halfway')\n\nclass Model"), "KeyError: 'halfway'", UPDATE),
    "unknown": ("@hookimpl\ndef ftstudio_modelz():\n    yield 1", "It implements 'ftstudio_modelz', which is no hook.", UPDATE),
    "unmarked": ("def ftstudio_models():\n    yield 1", "Its ftstudio_models is not marked. Put @hookimpl above it.", UPDATE),
    "yields": ("@hookimpl\ndef ftstudio_models():\n    yield 1", "ftstudio_models yielded 'int'; it must yield Component", UPDATE),
    "returns": ("@hookimpl\ndef ftstudio_models():\n    return 1", "ftstudio_models returned 'int'; it must yield Component", UPDATE),
    "nothing": ("x = 1", "It has no function marked @hookimpl.", UPDATE),
    "takesuse": (GOOD.replace("size", "use"), "a name that the core owns", UPDATE),
    "notype": (GOOD.replace("size: int", "size: set"), "a type that no form has", UPDATE),
    "nohelp": (GOOD.replace('help="A size."', 'help=""'), "help", UPDATE),
    "twice": (GOOD.replace("class Model", "    yield next(ftstudio_models())\n\nclass Model"), "yielded the name 'twice-model' twice", UPDATE),
    "moves": (GOOD + "\nos.chdir('/')", "It changed the working directory while it was loaded", UPDATE),
    "deafens": (GOOD + "\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)", "It changed the handler of SIGTERM while it was loaded", UPDATE),
    "resizes": (GOOD + "\nsignal.signal(signal.SIGWINCH, print)", "It changed the handler of SIGWINCH while it was", UPDATE),
    "rings": (GOOD + "\nsignal.alarm(9)", "It changed the timer of SIGALRM while it was loaded", UPDATE),
    "rehomes": (GOOD + "\nos.environ['HOME'] = '/'\nos.umask(0o7)", "It changed $HOME, the umask while it was loaded", UPDATE),
    "mutes": (GOOD + "\nos.close(1)", "It changed stdout while it was loaded", UPDATE),
    "garbles": (GOOD + "\nos.write(1, b'\\x1b[2Jgarbage')", "It writes to the terminal past sys.stdout", UPDATE),
    "forks": (GOOD + "\nsubprocess.run(['echo', 'garbage'])", "It writes to the terminal past sys.stdout", UPDATE),
    "hostile": ("raise ValueError('\\x1b]0;title\\x07 \\u202e [b] \\ud800')", "ValueError:", UPDATE),
}  # fmt: skip
FINE = {
    "good": GOOD,
    "prints": GOOD + "\nprint('garbage \\x1b[31m' * 100_000)",
    "heavy": "import textual\n" + GOOD,
    "one": GOOD.replace("{name}-model", "shared"),
    "two": GOOD.replace("{name}-model", "shared"),
    "thief": GOOD.replace("{name}-model", "starter"),
}
REMARKS = {
    "good": "",
    "prints": "It prints while it is loaded, which nobody sees. Tell its author",
    "heavy": "It imports textual while it describes itself: every start is slower. Tell its author",
    "one": "The model 'shared' is offered by plugin two (dist-two 1.0) too: write use = 'dist-one/shared' to mean",
    "two": "The model 'shared' is offered by plugin one (dist-one 1.0) too: write use = 'dist-two/shared' to mean",
    "thief": "The model 'starter' is ftstudio's own: write use = 'dist-thief/starter' to mean this plugin's.",
}


async def open_plugins(driver):
    await driver.press("colon")
    await driver.type("plugins")
    await driver.pilot.pause(0.5)
    await driver.press("enter")
    await driver.until(lambda: type(driver.app.screen).__name__ == "PluginsScreen")


@pytest.fixture
def put(tmp_path, monkeypatch, fresh_registry):
    """Write a module and its dist-info where Python finds them."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")])))

    def write(name, code, entry=None):
        (site / f"{name}.py").write_text(HEAD + textwrap.dedent(code).replace("{name}", name))
        info = site / f"dist_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[ftstudio]\n{entry or name} = {name}\n")
        importlib.invalidate_caches()
        registry.cache_clear()

    return write


@pytest.fixture
def menagerie(put):
    for name, code in FINE.items():
        put(name, code)
    for name, (code, _, _) in BAD.items():
        put(name, code)


@pytest.mark.usefixtures("menagerie")
def test_each_is_a_line_with_its_reason_and_mend_on_the_command_line(ftstudio):
    done = ftstudio("plugins", "list")
    assert (done.code, done.err) == (0, "")
    assert not set("\x1b\u202e\x07") & set(done.out)
    assert "garbage" not in done.out
    lines = {line.split()[2]: line for line in done.out.splitlines() if " dist-" in line}
    assert lines.keys() == FINE.keys() | BAD.keys()
    for name, (_, reason, mend) in BAD.items():
        assert lines[name].startswith("✗ failed"), name
        assert reason in lines[name], name
        assert mend in lines[name], name
    for name, remark in REMARKS.items():
        assert lines[name].startswith("! active" if remark else "✓ active"), name
        assert remark in lines[name], name
    shown = {r["name"]: r for r in ftstudio("plugins", "list", "--json").json}
    assert all(" ".join(shown[name]["remarks"]).startswith(remark) for name, remark in REMARKS.items())
    assert shown["good"]["remarks"] == shown["models"]["remarks"] == []
    assert REMARKS["one"] in ftstudio("plugins", "show", "one").out


@pytest.mark.usefixtures("menagerie")
def test_each_is_a_row_with_its_reason_and_mend_on_the_screen_and_the_others_work(make_project, tmp_path):
    make_project("lab", base={"format": 1}, model={"use": "good-model"}, dataset={"use": "inline", "texts": ["a"]})

    async def script(driver):
        await open_plugins(driver)
        await driver.until(f"{len(FINE) + len(BAD) + OURS} plugins, {len(FINE) + OURS} active")
        lines = driver.app.screen.query_one("Lines")
        for name, (_, reason, mend) in BAD.items():
            lines.put_cursor(f"{name}\0dist-{name}")
            await driver.until(f"plugin {name} (dist-{name} 1.0) is failed.")
            words = str(driver.app.screen.query_one("#words Static").render())
            assert reason in words, name
            assert mend in words, name
        for name, remark in REMARKS.items():
            lines.put_cursor(f"{name}\0dist-{name}")
            await driver.until(f"plugin {name} (dist-{name} 1.0) is active.")
            (row,) = [line.split() for line in driver.text.splitlines() if line.split()[1:3] == [name, "active"]]
            assert row[0] == ("!" if remark else "✓"), name
            assert remark in str(driver.app.screen.query_one("#words Static").render()), name
        assert not set("\x1b\u202e\x07") & set(driver.text)
        await driver.press("escape")
        await driver.until("lab")

    session(tmp_path, script, size=(140, 40))
    for name in ("good-model", "prints-model", "heavy-model", "dist-one/shared", "dist-two/shared"):
        assert registry().find("model", name).build(None), name
    assert registry().find("model", "starter").record.distribution == "ftstudio"


def test_two_distributions_may_call_their_entry_points_alike(put):
    put("first", GOOD, entry="same")
    put("second", GOOD, entry="same")
    assert registry().find("model", "first-model").component.target == "first:Model"
    assert registry().find("model", "second-model").component.target == "second:Model"


def test_the_studio_answers_while_a_plugin_hangs(put, settings_file, make_project, tmp_path):
    settings_file("probe_seconds = 3.0")
    put("hangs", "import time\ntime.sleep(60)")
    make_project("lab", base={"format": 1})
    slowest = 0.0

    async def watch_the_loop():
        nonlocal slowest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.02)
            slowest = max(slowest, time.monotonic() - before - 0.02)

    async def script(driver):
        nonlocal slowest
        await open_plugins(driver)
        await driver.until("looking ...")
        slowest = 0.0
        ticking = asyncio.create_task(watch_the_loop())
        await driver.press("escape")
        await driver.until("lab")  # home is there again, before the plugin was given up
        assert registry.cache_info().currsize == 0
        ticking.cancel()
        await open_plugins(driver)
        await driver.until(f"{OURS} active")
        driver.app.screen.query_one("Lines").put_cursor("hangs\0dist-hangs")
        await driver.until("It did not finish describing itself within 3 s.")

    session(tmp_path, script, size=(140, 40))
    assert slowest < 1.0  # generously: other tests run beside this one


def test_the_panes_say_what_they_wait_for(put, settings_file, make_project, tmp_path):
    settings_file("probe_seconds = 5.0")
    put("hangs", "import time\ntime.sleep(60)")
    project = make_project("lab", base={"format": 1}, dataset={"use": "inline", "texts": ["a"]})

    async def script(driver):
        driver.app.open_project(project)
        await driver.until("Waiting for plugin hangs (dist-hangs) to describe itself ...")
        await driver.press("2")
        await driver.until(lambda: "DataPane" in {type(w).__name__ for w in driver.app.screen.walk_children()})
        await driver.until(lambda: "Waiting for plugin hangs" in driver.text.splitlines()[1])
        assert "no rows" not in driver.text
        assert registry.cache_info().currsize == 0
        await driver.until(lambda: "Waiting for" not in driver.text)
        await driver.press("1")
        await driver.until("texts")

    session(tmp_path, script, size=(140, 40))


def test_train_and_generate_say_what_they_wait_for(put, settings_file, make_project, tmp_path):
    settings_file("probe_seconds = 60.0")
    project = make_project(base=BUILT_IN)
    run = create_run(load(project), ["test"])
    write_toml(run.state, {"state": "finished", "attempt": 1, "host": "gpu03", "boot_id": "b"})
    metrics = {"loss": 2.0, "strange": 1.0}
    event = {"t": 1.0, "attempt": 1, "kind": "metrics", "step": 1, "metrics": metrics}
    run.events.write_text(json.dumps(event, separators=(",", ":")) + "\n")
    put("hangs", "import time\ntime.sleep(90)")

    async def script(driver):
        driver.app.open_project(project, "train", run.path)
        await driver.until("Waiting for plugin hangs (dist-hangs) to describe itself ...")
        assert "loss" in driver.text  # its charts wait for nobody
        await driver.press("n", "question_mark")
        await driver.until("strange: the trainer's plugin says what it is. Waiting for plugin hangs")
        await driver.press("escape", "5")
        await driver.until(lambda: "Waiting for plugin hangs" in driver.text.splitlines()[2])
        await driver.press("g")
        await driver.until("There is no prompt yet")

    session(tmp_path, script, size=(140, 40))


def test_leaving_does_not_wait_for_a_plugin_that_hangs(put, make_project, tmp_path):
    put("hangs", "import time\ntime.sleep(60)")
    project = make_project("lab", base={"format": 1})

    async def script(driver):
        driver.app.open_project(project)
        await driver.until("Waiting for plugin hangs (dist-hangs) to describe itself ...")
        return time.monotonic()

    left = session(tmp_path, script)
    assert time.monotonic() - left < 10  # of the 20 s that it has
