"""A person's own keys: which of them hold, which action a key takes where several have it, and what is wrong with them.

A key goes to what is nearest to the focus: a list's own keys, a chart's, the pane's, the screen's; of one screen's or
pane's actions to one that was rebound, then to the first in the registry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from string import punctuation

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.binding import Binding
from textual.keys import _character_to_key

from ftstudio.text import quote
from ftstudio.tui.actions import ACTIONS, KEY_WORDS, PLACES, Action, in_place, key_words

SCREENS = ("everywhere", "home", "project", "samples", "queue", "plugins", "settings", "doctor")
"""Places whose actions are the screen's; the others are a pane's, or a chart's."""
OVERLAYS = SCREENS[3:]
SIGNS = frozenset(map(_character_to_key, punctuation))
SENT = SIGNS | {key.value for keys in ANSI_SEQUENCES_KEYS.values() if isinstance(keys, tuple) for key in keys}
"""Keys by name that any terminal sends; with modifiers those of them that it tells apart."""
BARE = frozenset({"enter", "tab", "escape", "backspace", "space"}) | SIGNS
"""Those that come without their modifiers from most terminals."""
TAKEN = {
    "ctrl+i": "is tab to a terminal", "ctrl+m": "is enter to a terminal", "ctrl+h": "is backspace to a terminal",
    "ctrl+[": "is esc to a terminal", "ctrl+left_square_bracket": "is esc to a terminal",
    "ctrl+space": "is ctrl+@ to a terminal", "ctrl+c": "always says how to leave", "ctrl+q": "always leaves",
}  # fmt: skip
"""What looks like a key that could be given to an action -> what it is instead."""
_DEFAULTS = {action.id: action.keys.split(",") for action in ACTIONS}
FEW = ("super", "meta", "hyper")
"""Modifiers that few terminals have, which then send them with any key."""
MODIFIERS = ("ctrl", "alt", "shift", *FEW)


Fixed = Mapping[str, tuple[str, str]]
LIST_KEYS: Fixed = {
    "up,k": ("move(-1)", "Go a line up."),
    "down,j": ("move(1)", "Go a line down."),
    "pageup": ("page(-1)", "Go a page up."),
    "pagedown": ("page(1)", "Go a page down."),
    "home,g": ("ends(0)", "Go to the first line."),
    "end,G": ("ends(-1)", "Go to the last line."),
    "enter": ("choose", "Take the line under the cursor."),
}
LOG_KEYS: Fixed = {
    "up,k": ("scroll_lines(-1)", "Go a line up."),
    "down,j": ("scroll_lines(1)", "Go a line down."),
    "pageup": ("scroll_pages(-1)", "Go a page up."),
    "pagedown": ("scroll_pages(1)", "Go a page down."),
    "home": ("to_start", "Go to the first line."),
    "end": ("follow", "Go to the end, and along with it."),
    "left": ("sideways(-20)", "Look at what lies to the left."),
    "right": ("sideways(20)", "Look at what lies to the right."),
}
"""Keys that a list, or the lines of Logs, have for themselves: keys -> the widget's own action, and what it does."""
_LISTED = ("home", "setup", "data", "compare", "files", *list(PLACES)[-4:], "samples")
FIXED: Mapping[str, tuple[str, Fixed]] = dict.fromkeys(_LISTED, ("lists", LIST_KEYS)) | {
    "logs": ("the lines of Logs", LOG_KEYS)
}
"""A place -> whose own keys hold there before those of actions, and which these are."""


def usable(keymap: Mapping[str, str]) -> dict[str, str]:
    """A keymap by names of Textual's; what is no action or no key is left out, so that the default holds.

    "" takes an action's keys away: it is then in the palette.
    """
    known = {action.id for action in ACTIONS}
    split = {name: _split(keys) for name, keys in keymap.items() if name in known}
    return {name: ",".join(map(_named, keys)) for name, keys in split.items() if not any(map(_why_no_key, keys))}


def _split(keys: str) -> list[str]:
    """Keys that a person wrote behind one another, commas between them."""
    return [key.strip() for key in keys.split(",")] if keys.strip() not in {"", ","} else list(keys.strip())


def _named(key: str) -> str:
    """What Textual calls a key that is written as `key_words` has it, as a sign, or with modifiers in any order."""
    if len(key) == 1 or key in SENT:
        return _character_to_key(key) if len(key) == 1 else key
    *modifiers, last = key.split("+")
    return "+".join([*sorted(set(modifiers)), next((name for name, word in KEY_WORDS.items() if word == last), last)])


def _why_no_key(key: str) -> str:
    """Why an action cannot have it, as what follows its name; "" where a terminal sends it."""
    name = _named(key)
    *modifiers, last = name.split("+")
    sent = ""
    if name in TAKEN:
        return TAKEN[name]
    if name in SENT or (len(key) == 1 and key.isprintable()):
        sent = name
    elif modifiers and set(modifiers) <= set(MODIFIERS):
        sent = name if set(modifiers) & set(FEW) or last in SENT - BARE else _sent(modifiers, last)
    if not sent:
        return "is no key. Keys are called f5, ctrl+s, slash, S"
    return f"is {sent} to a terminal" if sent != name else ""


def _sent(modifiers: Sequence[str], letter: str) -> str:
    """What a letter or digit with modifiers comes as from most terminals, "" for nothing."""
    match modifiers:
        case _ if len(letter) > 1 or not letter.isalnum():
            return ""
        case ["ctrl"] | ["ctrl", "shift"] if letter.isalpha() and letter.isascii():
            return f"ctrl+{letter.lower()}"
        case ["shift"] if letter.isalpha():
            return letter.upper()
        case ["alt"] | ["alt", "shift"]:
            shift = letter.isupper() or len(modifiers) > 1
            return f"alt+shift+{letter.lower()}" if shift else f"alt+{letter}"
        case _:
            return ""


def moments() -> Iterator[tuple[str, ...]]:
    """The places whose actions hold at one time, the nearest last; of each place the moment without a chart first."""
    for place in PLACES:
        if place == "everywhere":
            yield (place,)
        elif place == "project" or place in OVERLAYS:
            yield ("everywhere", place)
        else:  # on Home a run under the cursor is acted on as in its project
            yield ("everywhere", "project", place)
        if place in {"train", "compare"}:
            yield ("everywhere", "project", "chart", place)


def held(*places: str, keymap: Mapping[str, str]) -> list[Action]:
    """The actions of places that hold at one time, each with the keys that take it there."""
    found = in_place(*places, keymap=keymap)
    owners = _owners(found, places, keymap)
    return [replace(a, keys=",".join(k for k in a.keys.split(",") if owners.get(k) == a.id)) for a in found]


def _owners(found: Sequence[Action], places: Sequence[str], keymap: Mapping[str, str]) -> dict[str, str]:
    """Key -> the id of the action that it takes; of a key that a list has for itself, whose list that is.

    Where an action has a list's key by default, Enter say, that is how the list tells of it.
    """
    owners = {}
    owner, fixed = FIXED.get(places[-1], ("", {})) if "chart" not in places else ("", {})
    for key in ",".join(fixed).split(","):
        owners[key] = next((a.id for a in found if key in a.keys.split(",") and key in _DEFAULTS[a.id]), owner)
    for action in sorted(found, key=lambda a: (_farness(a.place), a.id not in keymap)):
        for key in filter(None, action.keys.split(",")):
            owners.setdefault(key, action.id)
    return owners


def _farness(place: str) -> int:
    return 0 if place == "chart" else 2 if place in SCREENS else 1


def key_of(id: str, keymap: Mapping[str, str]) -> str:
    """The key that takes an action now, as people write it; where it has none, what the palette calls it."""
    place = next(a.place for a in ACTIONS if a.id == id)
    here = held(*next(places for places in moments() if places[-1] == place), keymap=keymap)
    action = next(a for a in here if a.id == id)
    palette = next((a.keys.split(",")[-1] for a in here if a.id == "palette" and a.keys), "ctrl+p")
    return action.key if action.keys else f"{key_words(palette)} {action.words}"


def clashes(keymap: Mapping[str, str]) -> list[str]:
    """What is wrong with a person's keymap, as sentences: what is no action, what is no key, and keys that several
    have where they meet.
    """
    known, good = {action.id for action in ACTIONS}, usable(keymap)
    said = [f"keymap.{name} is no action." for name in keymap if name not in known]
    said += [
        f"keymap.{name}: {quote(key)} {why}."
        for name, keys in keymap.items()
        if name in known
        for key in _split(keys)
        if (why := _why_no_key(key))
    ]
    keepers: dict[tuple[str, str], list[str]] = {}
    for places in moments():
        found = in_place(*places, keymap=good)
        owners = _owners(found, places, good)
        for action in found:
            for key in filter(None, action.keys.split(",")):
                if owners[key] != action.id and {action.id, owners[key]} & good.keys():
                    keepers.setdefault((key, action.id), []).append(owners[key])
    return said + [s for (key, name), by in keepers.items() for s in _clash(key_words(key), name, dict.fromkeys(by))]


def _clash(key: str, id: str, keepers: Iterable[str]) -> Iterator[str]:
    lists = {owner for owner, _ in FIXED.values()}
    ids = [keeper for keeper in keepers if keeper not in lists]
    if len(ids) == 1:
        yield f"{key} means both {ids[0]} and {id}: {ids[0]} keeps it."
    elif ids:
        yield f"{key} means {id} and also {', '.join(ids)}: those keep it."
    for owner in keepers:
        if owner in lists:
            yield f"{key} is a key of {owner}: {id} does not have it there."


def fixed_bindings(keys: Fixed) -> list[Binding]:
    """Textual's bindings of the keys that a widget has for itself."""
    return [Binding(names, action, words, show=False) for names, (action, words) in keys.items()]


def keys_page() -> str:
    """docs/keys.md."""
    parts = [
        "# Keys\n\nLower case looks, capitals act on a run. Rebind one in settings.toml by its id:"
        ' `keymap = { "run.start" = "f5" }`.\n'
    ]
    for place, title in PLACES.items():
        actions = in_place(place)
        if actions:
            rows = [f"| {_keys_cell(a.keys)} | {a.help} | `{a.id}` |" for a in actions]
            parts.append(f"## {title}\n\n| key | what it does | id |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    for title, fixed in (("In a list", LIST_KEYS), ("In the lines of Logs", LOG_KEYS)):
        rows = [f"| {_keys_cell(keys)} | {words} |" for keys, (_, words) in fixed.items()]
        parts.append(
            f"## {title}\n\nThese are not rebound, and go before an action that was given one of them.\n\n"
            "| key | what it does |\n|---|---|\n" + "\n".join(rows) + "\n"
        )
    return "\n".join(parts)


def _keys_cell(keys: str) -> str:
    return " ".join(f"`{key_words(key)}`" for key in keys.split(",")) if keys else "palette"
