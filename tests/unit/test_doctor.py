"""The doctor says how things are and what to do, never a secret, and loads nothing heavy."""

import json
import os
from dataclasses import replace

import pytest

from ftstudio import doctor
from ftstudio.doctor import examine
from ftstudio.plugins import Described, Record, Registry
from ftstudio.process.devices import Gauge, Tenant
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.queue import take_slot


def findings(root, subject, **more):
    return [f for f in examine(root, **more) if f.subject == subject]


def found(root, subject, **more):
    (one,) = findings(root, subject, **more)
    return one


def test_versions_come_without_an_import_and_what_is_missing_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "NEEDED", ("textual", "not-installed-at-all"))
    assert found(tmp_path, "textual").level == "ok"
    missing = found(tmp_path, "not-installed-at-all")
    assert (missing.level, missing.mend) == ("error", "pip install not-installed-at-all")


def test_a_plugin_that_works_but_of_which_something_is_to_be_known_is_a_warning(tmp_path, monkeypatch):
    offered = (Described(kind="model", name="starter", summary=""),)
    plain = Record(name="plain", value="plain", distribution="dist-plain", version="1", status="active",
                   components=(Described(kind="model", name="own", summary=""),))  # fmt: skip
    marked = replace(plain, name="marked", distribution="dist-marked", components=offered, printed=True)
    taken = replace(plain, name="models", distribution="ftstudio", components=offered)
    monkeypatch.setattr(doctor, "registry", lambda: Registry((plain, marked, taken)))
    clash, prints = findings(tmp_path, marked.title)
    assert (clash.level, prints.level) == ("warn", "warn")
    assert "write use = 'dist-marked/starter' to mean this plugin's" in clash.says
    assert "It prints while it is loaded" in prints.says
    assert not findings(tmp_path, plain.title)
    assert found(tmp_path, "plugins").says == "3 of 3 work"


def test_settings_that_cannot_be_used_are_an_error_and_the_rest_is_still_looked_at(tmp_path, settings_file):
    settings_file("probe_seconds = -1")
    assert "must be above 0" in found(tmp_path, "settings").says
    assert found(tmp_path, "free space").says


def test_record_locks_are_really_tried_and_leave_nothing(tmp_path, monkeypatch):
    assert found(tmp_path, "record locks").level == "ok"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(doctor, "why_locks_fail_there", lambda folder: "No locks available")
    bad = found(tmp_path, "record locks")
    assert (bad.level, "No locks available" in bad.says) == ("error", True)
    assert "local disk" in bad.mend
    assert findings(tmp_path, "record locks", write=False) == []


def test_little_space_is_a_warning_and_none_an_error(tmp_path, monkeypatch):
    for size, level in ((10**12, "ok"), (10**9, "warn"), (10**8, "error")):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder, size=size: Usage(size))
        assert {f.level for f in findings(tmp_path, "free space")} == {level}


class Usage:
    total = 10**13

    def __init__(self, free):
        self.free = free


def test_a_folder_that_anybody_can_write_is_a_warning(tmp_path):
    tmp_path.chmod(0o777)
    bad = found(tmp_path, "projects")
    assert (bad.level, bad.mend) == ("warn", f"chmod o-w {tmp_path}")
    tmp_path.chmod(0o755)
    assert found(tmp_path, "projects").level == "ok"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    tmp_path.chmod(0o555)
    assert found(tmp_path, "projects").level == "error"
    tmp_path.chmod(0o755)


def test_the_token_is_told_of_and_never_told(tmp_path, monkeypatch, own_folders):
    assert "no token" in found(tmp_path, "Hub").says
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    token = own_folders / "hf" / "token"
    token.parent.mkdir(parents=True, exist_ok=True)
    token.write_text("hf_othersecret")
    token.chmod(0o644)
    said = list(examine(tmp_path))
    assert "a token is set in HF_TOKEN" in str(said)
    assert f"chmod 600 {token}" in str(said)
    assert "secret" not in str(said)


def test_devices_say_who_holds_them(tmp_path, monkeypatch, settings_file):
    settings_file("[slots]\ncpu = 2")
    run = RunFolder(tmp_path / "poems" / "runs" / "0001")
    slot = take_slot(run, "cpu", {"cpu": 2})
    monkeypatch.setattr(doctor, "gauges", lambda: {"gpu0": Gauge(96, 31 * 10**9, 80 * 10**9)})
    monkeypatch.setattr(doctor, "tenants", lambda: {"gpu0": [Tenant(7, "alice", 31 * 10**9)]})
    assert found(tmp_path, "cpu").says == "2 slots, poems:0001 here"
    assert found(tmp_path, "gpu0").says == "1 slot, free, 31 GB of 80 GB in use, process 7 of alice holds 31 GB"
    slot.release()
    assert found(tmp_path, "cpu").says == "2 slots, free"


def test_what_ends_a_run_with_the_login_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "what_ends_it", lambda: "This shell belongs to Slurm job 7.")
    assert (found(tmp_path, "login").level, found(tmp_path, "login").says) == (
        "warn",
        "This shell belongs to Slurm job 7.",
    )
    monkeypatch.setattr(doctor, "what_ends_it", lambda: "")
    assert found(tmp_path, "login").level == "ok"


def test_terminal_facts(tmp_path, monkeypatch):
    for name in ("NO_COLOR", "COLORTERM", "TMUX", "STY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    assert found(tmp_path, "terminal").level == "warn"
    monkeypatch.setenv("TERM", "xterm-256color")
    assert found(tmp_path, "terminal").says == "xterm-256color, 256 colours"
    monkeypatch.setenv("TMUX", "/tmp/tmux")
    assert "tmux-256color" in found(tmp_path, "multiplexer").mend
    monkeypatch.setenv("TERM", "tmux-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    assert found(tmp_path, "multiplexer").level == "ok"
    assert "no colours" in found(tmp_path, "terminal").says
    assert findings(tmp_path, "SSH") == []
    monkeypatch.setenv("SSH_CONNECTION", "a b c d")
    assert found(tmp_path, "SSH").level == "ok"


def test_the_command_prints_the_same_and_fails_on_an_error(ftstudio, settings_file, tmp_path):
    done = ftstudio("doctor", env={"FTSTUDIO_PROJECTS": str(tmp_path)})
    assert done.code == 0, done.out
    assert "✓ ok" in done.out
    answer = ftstudio("doctor", "--json", env={"FTSTUDIO_PROJECTS": str(tmp_path)}).json
    assert {"level", "subject", "says", "mend"} == set(answer[0])
    settings_file("nonsense = 1")
    broken = ftstudio("doctor", "--json", env={"FTSTUDIO_PROJECTS": str(tmp_path)})
    assert broken.code == 1
    assert any("nonsense" in f["says"] for f in json.loads(broken.out))
