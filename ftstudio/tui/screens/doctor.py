"""Doctor: what is well on this machine and what is not. They come one by one, the bad ones first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType

from ftstudio.doctor import Finding, Level, examine
from ftstudio.tui.actions import bindings
from ftstudio.tui.screens.overlay import OverlayScreen
from ftstudio.tui.widgets.lines import Lines, Row

GLYPHS: Mapping[Level, str] = {"ok": "✓", "warn": "!", "error": "✗"}
ORDER: Mapping[Level, int] = {"error": 0, "warn": 1, "ok": 2}
COLOURS: Mapping[Level, str] = {"ok": "green", "warn": "yellow", "error": "red"}


class DoctorScreen(OverlayScreen):
    """Looks when it is opened, and again when asked to."""

    HEADING = "Doctor"
    PLACES: ClassVar[tuple[str, ...]] = ("everywhere", "doctor")
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("everywhere", "doctor")]

    def __init__(self) -> None:
        super().__init__()
        self.findings: list[Finding] = []

    def on_mount(self) -> None:
        """Look."""
        self.do_doctor_again()

    def do_doctor_again(self) -> None:
        """Look at everything again."""
        self.findings = []
        self.put_title("looking ...")
        root, write = self.studio.root, not self.studio.manners.readonly

        def question() -> bool:
            for finding in examine(root, write=write):
                self.tell(self.take, finding)
            return True

        self.ask(question, self.ended)

    def take(self, finding: Finding) -> None:
        """One more finding."""
        self.findings.append(finding)
        ordered = sorted(enumerate(self.findings), key=lambda pair: ORDER[pair[1].level])
        self.put_rows([Row(number, self._line(one)) for number, one in ordered])

    def ended(self, _: bool) -> None:
        """All was looked at. Who has not moved the cursor sees the worst first."""
        if self.key == 0:
            self.query_one(Lines).action_ends(0)
        count = Counter(finding.level for finding in self.findings)
        bad = [f"{count[level]} {level}" for level in ("error", "warn") if count[level]]
        self.put_title(", ".join(bad) or "all is well")

    def _line(self, finding: Finding) -> Text:
        look = self.studio.look
        subject = look.cell(finding.subject, 18)
        mark = (f" {look.words(GLYPHS[finding.level])} {finding.level:<5} ", COLOURS[finding.level])
        return Text.assemble(mark, " ", subject, "  ", look.plain(finding.says), end="", no_wrap=True)

    def words_on(self, key: Hashable) -> Text:
        """A finding in full, and its mend."""
        if not isinstance(key, int) or key >= len(self.findings):
            return Text()
        finding, look = self.findings[key], self.studio.look
        text = Text.assemble(look.plain(finding.subject, "bold"), "  ", look.lines(finding.says))
        return text.append("\n").append_text(look.lines(finding.mend, "bold")) if finding.mend else text

    def explain(self) -> str:
        """For help."""
        return (
            "What this machine offers to runs, and what would get in their way; the command line says the same: "
            "ftstudio doctor. An error keeps runs from working, a warning is something to know."
        )
