"""Settings are changed in place: what a person wrote beside them stays, and nothing invalid is ever written."""

import pytest

from ftstudio.errors import FileChangedError, InputError
from ftstudio.settings import edit_settings, read_settings, settings_path
from ftstudio.source import edit_source, read_source


def test_the_file_is_made_where_there_is_none():
    edit_settings({"disabled_plugins": ("a", "b")})
    assert settings_path().read_text() == 'disabled_plugins = ["a", "b"]\n'
    assert read_settings().disabled_plugins == ("a", "b")


def test_comments_order_and_other_keys_stay(settings_file):
    settings_file("# mine\nstop_seconds = 30 # short\n[slots] # places\ncpu = 2 # two")
    edit_settings({"probe_seconds": 5.0, "slots": {"cpu": 3, "gpu0": 1}})
    text = settings_path().read_text()
    assert [c for c in ("# mine", "# short", "# places", "# two") if c in text] == [
        "# mine",
        "# short",
        "# places",
        "# two",
    ]
    assert text.index("stop_seconds") < text.index("[slots]")
    assert (read_settings().probe_seconds, read_settings().slots) == (5.0, {"cpu": 3, "gpu0": 1})


def test_keys_that_hold_dots_are_one_key():
    edit_settings({"keymap": {"run.start": "f5"}})
    edit_settings({"keymap": {"run.start": "f6", "run.stop": "f7"}})
    assert read_settings().keymap == {"run.start": "f6", "run.stop": "f7"}
    edit_settings({"keymap": {"run.stop": "f7"}})
    assert read_settings().keymap == {"run.stop": "f7"}


def test_none_goes_back_to_the_default(settings_file):
    settings_file("stop_seconds = 30\n[slots]\ncpu = 2")
    assert edit_settings({"stop_seconds": None, "slots": None}).stop_seconds == 600.0
    assert read_settings().slots == {}


@pytest.mark.parametrize("change", [{"slots": {"cpu": 0}}, {"probe_seconds": -1}, {"nonsense": 1}])
def test_what_is_not_valid_is_refused_before_anything_is_written(change):
    with pytest.raises(InputError):
        edit_settings(change)
    assert not settings_path().exists()


def test_a_wrong_setting_can_be_mended(settings_file):
    settings_file("probe_seconds = -1")
    edit_settings({"probe_seconds": 3.0})
    assert read_settings().probe_seconds == 3.0


def test_a_symbolic_link_is_not_written_through(tmp_path, settings_file):
    settings_file("")
    target = tmp_path / "dotfile.toml"
    target.write_text("# theirs\n")
    settings_path().unlink()
    settings_path().symlink_to(target)
    with pytest.raises(InputError, match="symbolic link"):
        edit_settings({"probe_seconds": 3.0})
    assert target.read_text() == "# theirs\n"


def test_somebody_else_s_change_at_this_moment_is_not_overwritten(settings_file):
    settings_file("stop_seconds = 30")
    seen = read_source(settings_path())
    settings_file("stop_seconds = 40")
    with pytest.raises(FileChangedError):
        edit_source(seen, {("slots", "cpu"): 2})
    assert read_settings().stop_seconds == 40.0
