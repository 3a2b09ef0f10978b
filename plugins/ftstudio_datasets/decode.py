r"""Bytes -> lines of text, in bounded memory, whatever the file holds.

Newlines of all three kinds become \n, a byte order mark goes, and a file that is not text in the encoding that was
named is refused with the place and a guess at what it is.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass, field

from ftstudio_datasets.files import DataFile
from ftstudio_datasets.words import DataError, plural, size_text

CHUNK = 1 << 20
LONGEST_ROW = 8 * 2**20
"""Characters at which plain text goes on in a next row. A tokenizer needs about 150 bytes a token: 300 MB of them."""
LONGEST_RECORD = 16 * 2**20
"""Characters of one JSON object or CSV record, which cannot be read in parts."""

_FORMATS = {
    b"\x1f\x8b": "a gzip file", b"PK\x03\x04": "a zip file (or an office document)", b"%PDF": "a PDF",
    b"PAR1": "a Parquet file", b"(\xb5/\xfd": "a zstd file", b"BZh": "a bzip2 file", b"\x89PNG": "a picture",
    b"GGUF": "a model", b"version https://git-lfs": "a Git LFS pointer, not the file itself",
}  # fmt: skip
_MENDS = {"a Parquet file": 'Set use = "table".', "a Git LFS pointer, not the file itself": "Fetch it: git lfs pull."}
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip


@dataclass
class Tally:
    """What a reading has met so far. `limit`: read only so many bytes of each file, for a first look."""

    limit: int | None = None
    done: int = 0  # bytes
    blank: int = 0  # rows left out because there is nothing in them to learn
    continued: int = 0  # rows that only continue an overlong one
    replaced: int = 0  # lone surrogates
    foreign: list[str] = field(default_factory=list)  # files that are UTF-8 and were read as something else
    said: list[str] = field(default_factory=list)

    def warnings(self) -> list[str]:
        """Sentences on what was not taken as it stands in the files."""
        found = []
        if self.continued:
            size = f"{LONGEST_ROW:,} characters"
            found.append(f"Rows longer than {size} go on in a next row: {plural(self.continued, 'row')} came of that.")
        found += [f"{foreign(name)[0]} {foreign(name)[1]}" for name in dict.fromkeys(self.foreign)]
        if self.replaced:
            found.append(f"{plural(self.replaced, 'lone surrogate')} became U+FFFD: no tokenizer can read them.")
        return found


def foreign(name: str) -> tuple[str, str]:
    """The sentence on a file that is UTF-8 but is read in another encoding, and what to do."""
    return (
        f"{name} looks like UTF-8, but is read in the encoding that was set: its letters beyond ASCII will be wrong.",
        "Turn the files into one encoding (iconv), or take encoding out.",
    )


class _Utf8:
    """Whether what goes by is UTF-8 with more than ASCII in it, which no text in an older encoding is by chance."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._fits, self._beyond = True, False

    def see(self, data: bytes, final: bool) -> None:
        self._beyond = self._beyond or not data.isascii()
        try:
            self._decoder.decode(data, final)
        except UnicodeDecodeError:
            self._fits = False

    @property
    def found(self) -> bool:
        return self._fits and self._beyond


def chunks(file: DataFile, encoding: str, tally: Tally) -> Iterator[str]:
    """Decoded text of about a MiB each. Raises DataError for what is not text in `encoding`."""
    named = codecs.lookup(encoding).name
    utf8 = None if named.startswith("utf") else _Utf8()
    plain = codecs.getincrementaldecoder("utf-8-sig" if named == "utf-8" else named)()
    decoder = io.IncrementalNewlineDecoder(plain, translate=True)
    end = file.size if tally.limit is None else min(file.size, tally.limit)
    offset = 0
    with file.path.open("rb") as stream:
        while offset < end:
            data = stream.read(min(CHUNK, end - offset))
            if offset == 0:
                _refuse_known(file, data, named)
            offset += len(data)
            tally.done += len(data)
            if utf8 is not None:
                utf8.see(data, final=not data or offset >= file.size)
            try:
                text = decoder.decode(data, final=not data or offset >= file.size)
            except UnicodeDecodeError as error:
                raise _not_text(file, encoding, offset - len(error.object) + error.start, error) from error
            if "\0" in text:
                raise _binary(file)
            if text:
                yield text
            if not data:  # the file became shorter
                break
    if utf8 is not None and utf8.found:
        tally.foreign.append(file.name)


def lines(file: DataFile, encoding: str, tally: Tally, *, whole: bool) -> Iterator[tuple[int, str]]:
    """(number from 1, line without its newline). An overlong line is refused if `whole`, else it comes in pieces.

    Under a limit the last line is left out: it may be half a line.
    """
    number, parts, size = 1, list[str](), 0
    for text in chunks(file, encoding, tally):
        head, *others = text.split("\n")
        parts.append(head)
        size += len(head)
        if others:
            yield number, "".join(parts)
            for line in others[:-1]:
                number += 1
                yield number, line
            number += 1
            parts, size = [others[-1]], len(others[-1])
        if whole and size > LONGEST_RECORD:
            raise too_long(file, f"Line {number:,}")
        if not whole and size > LONGEST_ROW:
            piece, rest = cut("".join(parts))
            tally.continued += 1
            yield number, piece
            parts, size = [rest], len(rest)
    if size and (tally.limit is None or tally.limit >= file.size):
        yield number, "".join(parts)


def cut(text: str) -> tuple[str, str]:
    """Two parts of an overlong text, parted at a space or newline near its end when there is one."""
    near = len(text) - 1000
    at = max(text.rfind(" ", near), text.rfind("\n", near)) + 1
    return (text[:at], text[at:]) if at else (text, "")


def too_long(file: DataFile, what: str) -> DataError:
    """The refusal of a record that has no end in sight."""
    return DataError(
        f"{what} of {file.name} is longer than {size_text(LONGEST_RECORD)}: it cannot be read as one record.",
        "Check the file and its format; write each record on a line of its own.",
    )


def _refuse_known(file: DataFile, head: bytes, encoding: str) -> None:
    for mark, kind in _FORMATS.items():
        if head.startswith(mark):
            raise DataError(f"{file.name} is {kind}.", _MENDS.get(kind, "Unpack it, or turn it into text first."))
    for mark, meant in _MARKS.items():
        if head.startswith(mark) and not encoding.startswith(meant):
            # UTF-16's mark is the start of UTF-32's, hence the order of _MARKS and the first match.
            said = f"{file.name} is {meant.upper()} text, not {encoding.upper()}: its first bytes say so."
            raise _other_encoding(said, meant)
    if b"\0" in head and not encoding.startswith(("utf-16", "utf-32")):
        raise _binary(file, head)


def _other_encoding(said: str, encoding: str) -> DataError:
    return DataError(said, f'Set encoding = "{encoding}".', "encoding", {"encoding": encoding})


def _binary(file: DataFile, head: bytes = b"") -> DataError:
    even, odd = head[:2000:2], head[1:2000:2]
    if len(odd) > 3 and odd.count(0) > 0.4 * len(odd) and not even.count(0):  # Latin letters in pairs of bytes
        return _other_encoding(f"{file.name} looks like UTF-16 text.", "utf-16-le")
    where = f": byte {head.index(0):,} is zero" if head else ": it holds zero bytes"
    return DataError(f"{file.name} is not a text file{where}.", "Name a text file.")


def _not_text(file: DataFile, encoding: str, offset: int, error: UnicodeDecodeError) -> DataError:
    """The sentence for bytes that are no text: line, byte, and which encoding it is instead."""
    with file.path.open("rb") as stream:
        line, left = 1, offset
        while left and (data := stream.read(min(CHUNK, left))):
            line, left = line + data.count(b"\n"), left - len(data)
        near = stream.read(400)
    bad = "".join(f"0x{byte:02x}" for byte in near[:1])
    if encoding.lower().replace("_", "-") not in {"utf-8", "utf8"}:
        likely = "utf-8"
    else:
        likely = "latin-1" if any(byte in near for byte in b"\x81\x8d\x8f\x90\x9d") else "cp1252"
    return DataError(
        f"{file.name} is not {encoding.upper()} text: line {line:,}, byte {offset:,} ({bad}) cannot be read"
        f" ({error.reason}).",
        f'It may be in another encoding: set encoding = "{likely}".',
        "encoding",
        {"encoding": likely},
    )
