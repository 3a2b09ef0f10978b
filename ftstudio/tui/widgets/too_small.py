"""The word that a terminal too small for anything gets."""

from __future__ import annotations

from textual.widgets import Static


class TooSmall(Static):
    """Covers the screen while its screen has the class `too-small`."""

    DEFAULT_CSS = """
    TooSmall { display: none; layer: above; dock: top; width: 100%; height: 100%; background: $background; }
    """

    def __init__(self) -> None:
        super().__init__("This terminal is too small: the studio needs 60 columns and 16 rows.", markup=False)
