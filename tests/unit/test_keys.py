"""docs/keys.md says what the registry of actions says, and no two actions of one place share a key."""

from pathlib import Path
from string import punctuation

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.keys import _character_to_key

from ftstudio.tui.actions import ACTIONS, in_place, key_words
from ftstudio.tui.keymap import clashes, held, key_of, keys_page, moments, usable

PAGE = Path(__file__).parents[2] / "docs" / "keys.md"


def test_the_page_is_what_the_registry_says():
    assert PAGE.read_text() == keys_page(), "make keys writes it again"


def test_no_two_actions_of_one_place_share_a_key():
    for places in moments():
        keys = [key for a in in_place(*places) for key in a.keys.split(",") if key]
        assert len(keys) == len(set(keys)), places
        assert held(*places, keymap={}) == in_place(*places), "and no list has one of them for itself"


def test_keys_that_terminals_use_themselves_are_left_alone():
    taken = {f"ctrl+{letter}" for letter in "abhijm["}
    assert not [a.id for a in ACTIONS if taken & set(a.keys.split(","))]


def test_a_sign_is_written_as_the_sign():
    used = {key for action in ACTIONS for key in action.keys.split(",")}
    signs = {_character_to_key(sign): sign for sign in punctuation}
    assert {key: key_words(key) for key in used & signs.keys()} == {key: signs[key] for key in used & signs.keys()}
    assert "at" in used


def test_a_clash_and_an_unknown_action_are_sentences():
    assert clashes({"run.start": "X"}) == ["X means both run.start and run.stop: run.start keeps it."]
    assert clashes({"run.begin": "f5"}) == ["keymap.run.begin is no action."]
    assert clashes({"run.start": "f5"}) == []


def test_a_key_that_a_list_has_for_itself_is_said_and_not_offered_there():
    assert clashes({"help": "down"}) == [
        "down is a key of lists: help does not have it there.",
        "down is a key of the lines of Logs: help does not have it there.",
    ]
    assert keys_at("help", "everywhere", "project", "setup", help="down") == ""
    assert keys_at("help", "everywhere", "project", "train", help="down") == "down"
    assert keys_at("palette", "everywhere", "project", "home", palette="g,f2") == "f2"
    assert "g is a key of lists: palette does not have it there." in clashes({"palette": "g"})
    assert clashes({"home.open": "enter"}) == []


def test_of_one_key_the_nearest_action_keeps_it_then_the_one_that_was_rebound():
    said = clashes({"run.start": "n"})
    assert "n means both run.start and project.new: run.start keeps it." in said
    assert [s for s in said if "generate.new" in s] == [
        "n means run.start and also setup.next, data.next, train.next, logs.next, generate.new: those keep it."
    ]
    home, generate = ("everywhere", "project", "home"), ("everywhere", "project", "generate")
    assert (keys_at("run.start", *home, run_start="n"), keys_at("project.new", *home, run_start="n")) == ("n", "")
    assert (keys_at("run.start", *generate, run_start="n"), keys_at("generate.new", *generate, run_start="n")) == (
        "", "n"
    )  # fmt: skip
    assert "enter means run.start and also home.open," in " ".join(clashes({"run.start": "enter"}))


def test_what_is_no_key_is_said_and_the_default_holds():
    for keys in ("banana", "ctrl+", "hypo+a", "f5,banana", "f5,", "ctrl+enter", "ctrl+slash", "shift+1", "ctrl++"):
        assert usable({"setup.undo": keys}) == {}, keys
    assert clashes({"setup.undo": "banana"})[0].startswith("keymap.setup.undo: 'banana' is no key.")
    for keys in ("f5", "ctrl+s", "Z", "backslash", "plus", "shift+left", "ctrl+f5", "é", "percent_sign", "f1, f2"):
        assert clashes({"setup.undo": keys}) == [], keys
    assert clashes({"setup.undo": "f5,banana"})[0].startswith("keymap.setup.undo: 'banana' is no key.")
    signs = {"?": "question_mark", "+": "plus", ",": "comma", "/": "slash", "@": "at"}
    assert {sign: usable({"help": sign})["help"] for sign in signs} == signs


def test_a_key_that_comes_from_a_terminal_as_another_one_is_refused_with_that_ones_name():
    said = {"ctrl+i": "tab", "ctrl+h": "backspace", "ctrl+m": "enter", "ctrl+[": "esc", "ctrl+S": "ctrl+s",
            "ctrl+shift+n": "ctrl+n", "shift+s": "S", "alt+X": "alt+shift+x", "ctrl+space": "ctrl+@"}  # fmt: skip
    for key, sent in said.items():
        assert clashes({"help": key}) == [f"keymap.help: '{key}' is {sent} to a terminal."]
        assert usable({"help": key}) == {}
    assert clashes({"help": "ctrl+q"}) == ["keymap.help: 'ctrl+q' always leaves."]
    sent = {key.value for keys in ANSI_SEQUENCES_KEYS.values() if isinstance(keys, tuple) for key in keys}
    ours = {key for action in ACTIONS for key in action.keys.split(",") if key}
    for key in (sent | ours) - {"ctrl+c", "ctrl+q", "<scroll-up>", "<scroll-down>"}:
        assert usable({"help": key}) == {"help": key}, key


def test_a_key_is_named_as_the_page_writes_it_and_with_modifiers_in_any_order():
    assert usable({"help": "esc", "copy": "shift+ctrl+left"}) == {"help": "escape", "copy": "ctrl+shift+left"}
    for action in ACTIONS:
        if action.keys:
            assert usable({action.id: action.key}) == {action.id: action.keys.split(",")[0]}


def test_an_action_whose_key_is_taken_away_is_left_to_the_palette():
    assert usable({"run.stop": " "}) == {"run.stop": ""}
    assert clashes({"run.stop": ""}) == []
    assert keys_at("run.stop", "everywhere", "project", "home", run_stop="") == ""
    assert key_of("run.stop", {"run.stop": ""}) == "ctrl+p stop"
    assert clashes({"run.start": "X", "run.stop": ""}) == []


def test_what_has_no_key_is_named_by_the_palettes():
    assert key_of("run.kill", {}) == "ctrl+p kill"
    assert key_of("run.kill", {"palette": "f2"}) == "f2 kill"


def keys_at(id, *places, **keymap):
    given = {name.replace("run_", "run."): keys for name, keys in keymap.items()}
    return next(action.keys for action in held(*places, keymap=given) if action.id == id)
