"""docs/keys.md says what the registry of actions says, and no two actions of one place share a key."""

from pathlib import Path
from string import punctuation

from textual.keys import _character_to_key

from ftstudio.tui.actions import ACTIONS, PLACES, _together, clashes, in_place, key_words, keys_page

PAGE = Path(__file__).parents[2] / "docs" / "keys.md"


def test_the_page_is_what_the_registry_says():
    assert PAGE.read_text() == keys_page(), "make keys writes it again"


def test_no_two_actions_of_one_place_share_a_key():
    for place in PLACES:
        keys = [key for a in in_place(*_together(place)) for key in a.keys.split(",") if key]
        assert len(keys) == len(set(keys)), place


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
