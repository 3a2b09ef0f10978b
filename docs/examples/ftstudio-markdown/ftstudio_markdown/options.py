"""What can be set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from ftstudio.api import OptionError, option

Scalar = bool | int | float | str


class How(NamedTuple):
    """What of a document becomes rows: the options without the files, as a key of a cache."""

    split_by: str
    heading_level: int
    drop_code: bool
    text: str
    where: tuple[tuple[str, Scalar], ...]


@dataclass(frozen=True, kw_only=True)
class MarkdownOptions:
    """Which documents are read, and what of them becomes a row."""

    path: tuple[str, ...] = option(
        help="A folder, whose *.md are read, those of its folders too; or a pattern, or a file. Or a list of them.",
        kind="glob",
    )
    split_by: Literal["document", "heading"] = option("document", help="What one row is: a document, or a section.")
    heading_level: int = option(
        2, help="Sections begin at headings of this level or a higher one: 2 means # and ##.", ge=1, le=6
    )
    drop_code: bool = option(False, help="Leave fenced code blocks out.")
    text: Literal["body", "title_and_body"] = option(
        "body", help="title_and_body puts the front matter's title above the document, as a heading."
    )
    where: dict[str, bool | int | float | str] = option(
        {}, help='Read only documents whose front matter says this: where = { tags = "poem", draft = false }.'
    )
    validation_path: tuple[str, ...] = option(
        (), help="Documents to evaluate on, when they are kept apart already.", kind="glob", advanced=True
    )

    def __post_init__(self) -> None:
        if not any(self.path):
            raise OptionError("path", "path names no folder.", 'Give it one: path = "notes".')

    @property
    def how(self) -> How:
        """These options without the files."""
        where = tuple(sorted(self.where.items()))
        return How(self.split_by, self.heading_level, self.drop_code, self.text, where)
