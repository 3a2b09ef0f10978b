"""A project whose plugin is missing or broken opens, explains, keeps its tables, and runs once the plugin is there."""

import os
import sys

import pytest

from ftstudio.plugins import registry
from ftstudio.project import edit, load

MISSING = "A plugin may offer it: pip install it, then 'ftstudio plugins list'."
pytestmark = pytest.mark.usefixtures("fakes")


@pytest.fixture(params=["missing", "failed", "disabled"])
def without(request, tmp_path, monkeypatch):
    """The environment of a machine where the plugin is not what it was, and what is said of it."""
    if request.param == "disabled":
        return {"FTSTUDIO_DISABLE_PLUGINS": "fakes"}, "Or plugin fakes (ftstudio-fakes 1.0) is disabled: see"
    path = os.environ["PYTHONPATH"].split(os.pathsep)
    if request.param == "missing":
        return {"PYTHONPATH": os.pathsep.join(p for p in path if not p.endswith("fake_plugin"))}, MISSING
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "ftstudio_fakes.py").write_text("import a_library_that_is_gone\n")
    return {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "broken"), *path])
    }, "Or plugin fakes (ftstudio-fakes 1.0) failed: see"


def test_it_explains_and_saves_and_runs_again_while_a_run_goes_on(
    ftstudio, make_project, without, monkeypatch, settings_file
):
    settings_file("[slots]\ncpu = 2")  # the second run need not wait for the first
    without, hint = without
    going = make_project("going", trainer={"step_seconds": 0.3, "max_steps": 1000})
    waiting = make_project("waiting", trainer={"max_steps": 3, "note": "kept"})
    assert ftstudio("run", going, "--detach").code == 0

    checked = ftstudio("check", waiting, env=without)
    assert checked.code == 2
    assert "fake-walk" in checked.err
    said = " ".join(checked.err.split())
    assert hint in said
    started = ftstudio("run", waiting, env=without)
    assert (started.code, "Traceback" in started.err) == (2, False)
    assert not (waiting / "runs").exists()
    for command in (("status", going), ("plugins", "list")):
        assert ftstudio(*command, env=without).code == 0, command
    assert ftstudio("status", going, "--json", env=without).json[0]["state"] == "running"

    with monkeypatch.context() as patch:
        for name, value in without.items():
            patch.setenv(name, value)
        if "PYTHONPATH" in without:
            others = [p for p in sys.path if not p.endswith("fake_plugin")]
            patch.setattr(sys, "path", [*without["PYTHONPATH"].split(os.pathsep), *others])
            patch.delitem(sys.modules, "ftstudio_fakes", raising=False)
        registry.cache_clear()
        project = load(waiting)
        assert project.errors
        edit(project, {"dataset.limit": 2})
    registry.cache_clear()
    text = (waiting / "project.toml").read_text()
    assert 'use = "fake-walk"\nmax_steps = 3\nnote = "kept"\n' in text
    assert "limit = 2" in text

    done = ftstudio("run", waiting, "--json")
    assert (done.code, done.json["state"]) == (0, "finished")
    assert ftstudio("status", going, "--json", env=without).json[0]["state"] == "running"
    assert ftstudio("stop", going, env=without).code == 0
    attached = ftstudio("attach", going, env=without)
    assert (attached.code, "Stopped at step" in attached.err) == (3, True)
