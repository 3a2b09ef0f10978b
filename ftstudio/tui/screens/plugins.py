"""Plugins: what is installed, what it offers with which options, who uses it, and why one does not work."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType

from ftstudio.options import describe
from ftstudio.plugins import Offer, Record, look_again, registry, switch
from ftstudio.project import users
from ftstudio.text import plural
from ftstudio.tui.actions import bindings
from ftstudio.tui.look import Look
from ftstudio.tui.screens.overlay import OverlayScreen
from ftstudio.tui.widgets.lines import Row

COLOURS: Mapping[str, str] = {"active": "green", "disabled": "yellow", "failed": "red"}
REMARKED = ("!", "yellow")
"""Of an active plugin of which something is to be known."""
GLYPHS: Mapping[str, str] = {"active": "✓", "disabled": "◌", "failed": "✗"}


@dataclass(frozen=True)
class Looked:
    """What was found: the plugins, by their keys who uses them, and what is to be known of those that work."""

    records: Sequence[Record]
    used: Mapping[str, list[str]]
    remarks: Mapping[str, list[str]]


@dataclass(frozen=True)
class Component:
    """A component in the list: what one plugin offers under a kind and a name."""

    plugin: str
    distribution: str
    kind: str
    name: str


class PluginsScreen(OverlayScreen):
    """A plugin a line, those that failed first, below it its components; the words say what can be set."""

    HEADING = "Plugins"
    DEFAULT_CSS = "PluginsScreen #words { height: 45%; }"
    PLACES: ClassVar[tuple[str, ...]] = ("everywhere", "plugins")
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("everywhere", "plugins")]

    def __init__(self) -> None:
        super().__init__()
        self.looked = Looked((), {}, {})
        self._offers: dict[Hashable, Offer] = {}

    def on_mount(self) -> None:
        """Discover, in a thread: a stranger's plugin may have to be probed."""
        self.put_title("looking ...")
        self.discover(then_again=True)

    def discover(self, *, anew: bool = False, then_again: bool = False) -> None:
        """Look what is installed, and who uses it. `then_again`: when that is drawn, try anew what failed."""
        projects = self.studio.found.projects

        def question() -> Looked:
            found = look_again() if anew else registry()
            return Looked(found.records, users(projects, found), {r.key: found.remarks(r) for r in found.records})

        def taken(answer: Looked) -> None:
            self.take(answer)
            failed = sum(r.status == "failed" for r in answer.records)
            if then_again and failed:
                self.put_title(f"{self._count()}, trying again {plural(failed, 'plugin')} that failed ...")
                self.discover(anew=True)

        self.ask(question, taken)

    def _count(self) -> str:
        records = self.looked.records
        return f"{plural(len(records), 'plugin')}, {sum(r.status == 'active' for r in records)} active"

    def take(self, looked: Looked) -> None:
        """Draw them."""
        self.looked = looked
        self.put_title(self._count())
        look = self.studio.look
        width = max((len(r.name) for r in looked.records), default=0)
        rows = []
        for record in sorted(looked.records, key=lambda r: (r.status != "failed", r.name, r.distribution)):
            text = _line(record, looked.remarks[record.key], look, min(20, width))
            rows.append(Row(record.name + "\0" + record.distribution, text))
            for one in record.components:
                text = Text.assemble("     ", look.plain(f"{one.kind:<10}"), look.plain(one.name), end="", no_wrap=True)
                text.pad_right(max(0, 34 - text.cell_len))
                text.append("  ").append_text(look.plain(one.summary, "dim"))
                rows.append(Row(Component(record.name, record.distribution, one.kind, one.name), text))
        self.put_rows(rows or [Row(None, Text(" No plugin is installed, not even our own: install ftstudio again."))])
        self.refresh_keys()

    # ----------------------------------------------------------------------------------------- words

    @property
    def record(self) -> Record | None:
        """The plugin under the cursor, or that of the component under it."""
        key = self.key
        if isinstance(key, Component):
            key = f"{key.plugin}\0{key.distribution}"
        return next((r for r in self.looked.records if f"{r.name}\0{r.distribution}" == key), None)

    def words_on(self, key: Hashable) -> Text:
        """Of a plugin why it is as it is and who uses it, of a component its options."""
        record, look = self.record, self.studio.look
        if record is None:
            return Text()
        if not isinstance(key, Component):
            return _plugin_words(record, self.looked, look)
        if key in self._offers:
            return _offer_words(self._offers[key], look)
        if record.status == "active":
            self.ask(lambda: (key, registry().offered(record, key.kind, key.name)), self.take_offer, group="offer")
        return Text("reading its options ...", "dim")

    def take_offer(self, answer: tuple[Component, Offer]) -> None:
        """The options of a component were read."""
        self._offers[answer[0]] = answer[1]
        self.put_words()

    def explain(self) -> str:
        """For help."""
        return (
            "A plugin brings components: the names behind `use` in a project. A disabled one is not even imported; "
            "projects that name one of its components say so, and runs that are going go on."
        )

    # --------------------------------------------------------------------------------------- actions

    def why_not(self, id: str) -> str:
        """Why an action cannot be taken on this line."""
        return "No plugin is under the cursor." if id == "plugins.switch" and self.record is None else ""

    def do_plugins_switch(self) -> None:
        """Enable what is disabled, disable all else; then discover again."""
        record = self.record
        assert record is not None
        self.say(switch(record, on=record.status == "disabled"))
        self._offers.clear()
        self.discover()


def _line(record: Record, remarks: Sequence[str], look: Look, width: int) -> Text:
    glyph, colour = GLYPHS[record.status], COLOURS[record.status]
    if remarks and record.status == "active":
        glyph, colour = REMARKED
    name = look.cell(record.name, width, "bold")
    text = Text.assemble(f" {look.words(glyph)} ", name, "  ", end="", no_wrap=True)
    text.stylize(colour, 1, 2)
    text.append(f"{record.status:<9} ", colour).append_text(look.plain(f"{record.distribution} {record.version}"))
    said = record.reason or " ".join(remarks)
    return text.append("  ").append_text(look.plain(said, colour)) if said else text


def _plugin_words(record: Record, looked: Looked, look: Look) -> Text:
    text = Text.assemble(look.plain(record.title, "bold"), f" is {record.status}.\n")
    for words in filter(None, (record.reason, record.mend)):
        text.append_text(look.lines(words)).append("\n")
    for remark in looked.remarks[record.key]:
        text.append_text(look.lines(remark, "yellow")).append("\n")
    used = looked.used.get(record.key, [])
    return text.append_text(look.lines(f"Used by {', '.join(used)}." if used else "No project here uses it."))


def _offer_words(offer: Offer, look: Look) -> Text:
    component = offer.component
    text = Text.assemble(look.plain(offer.title, "bold"), look.lines(f": {component.summary}\n"))
    for name, values in (("gives", component.gives), ("takes", component.takes), ("needs", component.secrets)):
        if values:
            text.append_text(look.lines(f"{name} {', '.join(values)}\n", "dim"))
    for field in describe(component.options):
        text.append_text(look.plain(f"{field.name} = {field.default_words}")).append("\n")
        text.append_text(look.lines(f"  {field.help} ({field.about})\n", "dim"))
    text.rstrip()
    return text
