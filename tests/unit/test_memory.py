"""What the studio keeps for the next time: two studios at once lose nothing of each other."""

from pathlib import Path

from ftstudio.tui.memory import Memory


def test_of_two_studios_none_loses_what_the_other_kept(tmp_path):
    path = tmp_path / "state" / "ui.toml"
    one, other = Memory(path), Memory(path)
    one.put(theme="gruvbox")
    one.showed(Path("/a"), "train")
    one.watched([Path("/a/runs/0001")])
    one.looked(tmp_path / "one")
    other.showed(Path("/b"), "logs")
    other.watched([Path("/b/runs/0001")])
    other.looked(tmp_path / "other")
    kept = Memory(path)
    assert kept.get("theme", str, "") == "gruvbox"
    assert (kept.pane(Path("/a")), kept.pane(Path("/b"))) == ("train", "logs")
    assert kept.watched_until(Path("/a/runs/0001")) > 0
    assert kept.watched_until(Path("/b/runs/0001")) > 0
    assert kept.seen_until(tmp_path / "one") > 0
    assert kept.seen_until(tmp_path / "other") > 0


def test_where_nothing_can_be_written_it_is_kept_for_this_time(tmp_path):
    (tmp_path / "file").write_text("")
    memory = Memory(tmp_path / "file" / "ui.toml")
    memory.put(theme="gruvbox")
    assert memory.get("theme", str, "") == "gruvbox"
