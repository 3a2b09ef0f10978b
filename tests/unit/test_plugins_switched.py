"""Plugins are enabled and disabled from the command line; the settings keep what a person wrote."""

import pytest

from ftstudio.plugins import Record
from ftstudio.settings import read_settings, settings_path

pytestmark = pytest.mark.usefixtures("fakes")


def status(ftstudio, name="fakes"):
    (record,) = [r for r in ftstudio("plugins", "list", "--json").json if r["name"] == name]
    return record["status"]


def test_disable_and_enable_write_the_settings_and_say_what_it_means(ftstudio, settings_file):
    settings_file("# mine")
    done = ftstudio("plugins", "disable", "fakes")
    assert (done.code, "Runs that are going go on" in done.err) == (0, True)
    assert status(ftstudio) == "disabled"
    assert settings_path().read_text().startswith("# mine")
    assert "already" in ftstudio("plugins", "disable", "fakes").err
    assert ftstudio("plugins", "enable", "ftstudio-fakes").code == 0
    assert status(ftstudio) == "active"
    assert read_settings().disabled_plugins == ()


def test_a_plugin_that_was_blocked_by_its_distribution_is_enabled_by_its_name(ftstudio, settings_file):
    settings_file('disabled_plugins = ["ftstudio-fakes", "other"]')
    assert ftstudio("plugins", "enable", "fakes").code == 0
    assert read_settings().disabled_plugins == ("other",)


def test_no_setting_lifts_what_the_environment_blocks(ftstudio):
    done = ftstudio("plugins", "enable", "fakes", env={"FTSTUDIO_DISABLE_PLUGINS": "x, fakes"})
    assert (done.code, "FTSTUDIO_DISABLE_PLUGINS blocks" in done.err) == (2, True)


def test_an_unknown_name_is_an_error_with_the_nearest(ftstudio):
    done = ftstudio("plugins", "disable", "fake")
    assert (done.code, "Did you mean fakes?" in done.err) == (2, True)
    several = ftstudio("plugins", "disable", "ftstudio")
    assert (several.code, "means 6 plugins" in several.err) == (2, True)
    assert not settings_path().exists()


@pytest.mark.parametrize(
    ("status", "reason", "mend"),
    [
        ("active", "", ""),
        ("disabled", "Blocked.", "ftstudio plugins enable x"),
        ("failed", "ModuleNotFoundError: No module named 'gguf'", "Install gguf"),
        ("failed", "It hangs.", "pip install -U d"),
    ],
)
def test_each_state_has_its_mend(status, reason, mend):
    record = Record(name="x", value="x", distribution="d", version="1", status=status, reason=reason)
    assert mend in record.mend
    assert bool(record.mend) == (status != "active")
