"""What a terminal makes of the bytes that reach it, and which of them the studio never means to send.

    Screen(80, 24).feed(data); .text     the picture, line by line
    foreign(data)                        sequences and control characters that are not of the studio's own making

The studio draws with few sequences: colours, places, the modes of its start and end. All else comes from text that
somebody else wrote.
"""

import codecs
import re

from rich.cells import get_character_cell_size

TOKEN = re.compile(
    r"\x1b\][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC
    r"|\x1b[PX^_][^\x1b\x9c]*(?:\x1b\\|\x9c)"  # DCS, SOS, PM, APC
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[ -/]*[0-~]"  # two characters, or a choice of a character set
    r"|\x1b"
    r"|[\x00-\x1a\x1c-\x1f\x7f-\x9f]"
    r"|[^\x00-\x1f\x7f-\x9f]+"
)
OWN = re.compile(
    r"\x1b\[[0-9;]*m"
    r"|\x1b\[[0-9]+;[0-9]+H|\x1b\[H"
    r"|\x1b\[\?(?:7|25|1000|1003|1004|1006|1015|1016|1049|2004|2026|2048)[hl]"
    r"|\x1b\[\?(?:2026|2048)\$p"
    r"|\x1b\[>[0-9]+u|\x1b\[<u"
    r"|\x1b\]22;[a-z-]+\x07"  # the shape of the mouse's pointer
    r"|\r|\n"
)
INVISIBLE = re.compile("[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb]")
"""What turns text around, or is no character at all."""
PARTIAL = re.compile("\x1b(?:[PX^_\\]][^\x07\x1b\x9c]*\x1b?|\\[[0-?]*[ -/]*|[ -/]*)?$")
COPY = re.compile(r"\x1b\]52;c;[A-Za-z0-9+/=]*\x07")
PLACE = re.compile(r"\x1b\[([0-9]+);([0-9]+)H")


def foreign(data, *, copies=False):
    """What the studio would not have sent by itself; `copies`: it was asked to copy something (OSC 52)."""
    try:
        text = bytes(data).decode()
    except UnicodeDecodeError as error:
        return [f"no UTF-8 at byte {error.start}: {bytes(data)[error.start - 20 : error.start + 20]!r}"]
    found = []
    for match in TOKEN.finditer(text):
        token = match.group()
        if token[0] >= " " and not "\x7f" <= token[0] <= "\x9f":
            found += [_around(text, match.start() + bad.start()) for bad in INVISIBLE.finditer(token)]
        elif not (OWN.fullmatch(token) or (copies and COPY.fullmatch(token))):
            found.append(_around(text, match.start()))
    return found


def _around(text, at):
    return f"{text[at : at + 40]!r} after {text[max(0, at - 80) : at]!r}"


class Screen:
    """A grid of cells that knows the studio's own sequences; others leave it as it is."""

    def __init__(self, columns, rows):
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._left = ""
        self.columns = self.rows = 0
        self.resize(columns, rows)

    def resize(self, columns, rows):
        """An empty grid of another size: the studio draws it all again. At the same size nothing changes."""
        if (columns, rows) == (self.columns, self.rows):
            return
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0

    def feed(self, data):
        """Take in what was written; a sequence whose end did not come yet is kept until it does."""
        text = self._left + self._decode(bytes(data))
        partial = PARTIAL.search(text[-4096:])
        tail = self._left = partial.group() if partial else ""
        for match in TOKEN.finditer(text.removesuffix(tail)):
            self._take(match.group())

    def _take(self, token):
        if token == "\r":
            self.column = 0
        elif token == "\n":
            self.row += 1
        elif place := PLACE.fullmatch(token):
            self.row, self.column = int(place[1]) - 1, int(place[2]) - 1
        elif token == "\x1b[H":
            self.row = self.column = 0
        elif token >= " ":
            for character in token:
                self._put(character)

    def _put(self, character):
        width = get_character_cell_size(character)
        for offset in range(width):
            if self.row < self.rows and self.column + offset < self.columns:
                self.cells[self.row][self.column + offset] = "" if offset else character
        self.column += width

    @property
    def text(self):
        return "\n".join("".join(line).rstrip() for line in self.cells)
