"""Samples: all that a run's prompts were continued with so far, the newest first, and one of them whole."""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType

from ftstudio.errors import InputError
from ftstudio.runs.events import EventReader
from ftstudio.runs.folder import RunFolder
from ftstudio.text import plural
from ftstudio.tui.actions import bindings
from ftstudio.tui.copying import copy
from ftstudio.tui.samples import CHARACTERS, Sample, Samples, sample_line
from ftstudio.tui.screens.overlay import OverlayScreen
from ftstudio.tui.watch import Seen
from ftstudio.tui.widgets.lines import Row

PIECE = 2 << 20
"""Bytes that are read at once: a longer line, which no sample should be, is passed over."""
FEW = 5_000
"""Events that are read before anybody would wonder what goes on."""
NONE_YET = (
    "No sample yet. While it trains, sample_prompts in [trainer] are continued every sample_steps steps; at the end "
    "the prompts in [generator] are, by the model before and by the finished one."
)


class SamplesScreen(OverlayScreen):
    """Reads the run's events in a thread, and what comes as long as it is shown."""

    HEADING = "Samples"
    DEFAULT_CSS = "SamplesScreen #words { height: 50%; }"
    PLACES: ClassVar[tuple[str, ...]] = ("everywhere", "samples")
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("everywhere", "samples")]

    def __init__(self, run: RunFolder) -> None:
        super().__init__()
        self.run_folder = run
        self.prompt: str | None = None
        self._forget()
        self._samples: dict[Hashable, Sample] = {}
        self._prompts: list[str] = []
        self._reading = False

    def _forget(self) -> None:
        """Of this run nothing was read yet."""
        self._made = self.run_folder.made
        self._reader, self._found = EventReader(self.run_folder.events), Samples()

    def on_mount(self) -> None:
        """Read."""
        self.put_title("reading ...")
        self.read()

    def seen(self, seen: Seen) -> None:
        """There may be more."""
        if self.run_folder.path in seen.changed and not self._reading:
            self.read()

    def read(self) -> None:
        """Read what is there, in a thread; as it is one reader, no second one while that goes on.

        A run that got the number of a deleted one is read from its beginning.
        """
        if self.run_folder.made != self._made:
            self._forget()
        self._reading = True

        def question() -> bool:
            while events := self._reader.read(PIECE):
                self._found.add(events)
                if len(events) > FEW:
                    self.tell(lambda seq: self.put_title(f"reading event {seq:,} ..."), self._reader.seq)
            return True

        self.ask(question, self.take)

    def take(self, _: bool) -> None:
        """All was read; of a run that is gone by now, if another one has its number."""
        self._reading = False
        if self.run_folder.made != self._made:
            self.read()
        self.draw()

    def draw(self) -> None:
        """The samples of all prompts, or of one."""
        look, found = self.studio.look, self._found
        self._prompts = found.prompts()
        if self.prompt not in self._prompts:
            self.prompt = None
        shown = found.newest_first(self.prompt)
        self._samples = {sample.number: sample for sample in shown}
        width = max((len(sample.when) for sample in shown), default=0)
        rows = [
            Row(s.number, sample_line(s.when.rjust(width), s.prompt if self.prompt is None else "", s.text, look))
            for s in shown
        ]
        words = [self.run_folder.title, plural(len(shown), "sample")]
        if self.prompt is not None:
            words.append(f"prompt {self._prompts.index(self.prompt) + 1} of {len(self._prompts)}")
        self.put_title(" · ".join(words))
        self.put_rows(rows or [Row(None, Text(" No sample yet."))])
        self.refresh_keys()

    def words_on(self, key: Hashable) -> Text:
        """A sample whole, behind its prompt."""
        sample, look = self._samples.get(key), self.studio.look
        if sample is None:
            return Text("" if self._reading else NONE_YET)
        place = {"before": "The model before fine-tuning", "final": "The finished model"}.get(sample.when)
        title = Text(f"{place or f'Step {sample.when}'}\n", "bold")
        asked = look.lines(f"> {sample.prompt}\n", "bold") if sample.answers else look.lines(sample.prompt, "dim")
        rest = ("\nThe log has the rest.", "dim") if len(sample.text) == CHARACTERS else ""
        return Text.assemble(title, asked, look.lines(sample.text), rest)

    def explain(self) -> str:
        """For help."""
        return (
            "The same prompts, continued as the run went on: what changes from one step to the next is what the model "
            "learned meanwhile. Samples of steps that a resume went back behind are left out."
        )

    # --------------------------------------------------------------------------------------- actions

    def why_not(self, id: str) -> str:
        """Why an action cannot be taken now."""
        return "There is only one prompt." if id == "samples.prompt" and len(self._prompts) < 2 else ""

    def do_samples_prompt(self) -> None:
        """The next prompt alone; after the last one all again."""
        at = 0 if self.prompt is None else self._prompts.index(self.prompt) + 1
        self.prompt = self._prompts[at] if at < len(self._prompts) else None
        self.draw()

    def do_copy(self) -> None:
        """The sample under the cursor, with its prompt."""
        if self.key not in self._samples:
            raise InputError("There is no sample to copy.")
        self.say(copy(self.app, self.words_on(self.key).plain))
