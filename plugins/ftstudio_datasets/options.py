"""What can be set of each dataset source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ftstudio.api import OptionError, option
from ftstudio_kit.hub_cache import check_name
from ftstudio_kit.whole import is_whole


@dataclass(frozen=True, kw_only=True)
class InlineOptions:
    """Texts that stand in project.toml itself."""

    texts: tuple[str, ...] = option(help="The texts to train on, one a row.", kind="text")

    def __post_init__(self) -> None:
        if not any(text.strip() for text in self.texts):
            raise OptionError("texts", "texts holds no text.", 'Give it at least one: texts = ["..."].')
        for index, text in enumerate(self.texts):
            if not is_whole(text):
                raise OptionError(
                    "texts", f"texts[{index}] holds half a character, a lone surrogate.", "Write it anew."
                )


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Where files lie and how their bytes are read."""

    path: tuple[str, ...] = option(
        help="The file to read; a pattern such as notes/**/*.txt, or a list, reads several.", kind="glob"
    )
    validation_path: tuple[str, ...] = option(
        (), help="The file or files to evaluate on, when they are kept apart already.", kind="glob"
    )
    encoding: str = option(
        "utf-8",
        help="How characters are stored in the files.",
        suggestions=("utf-8", "utf-16", "cp1252", "latin-1"),
        advanced=True,
    )

    def __post_init__(self) -> None:
        if not any(self.path):
            raise OptionError("path", "path names no file.", 'Give it one: path = "data.txt".')
        try:
            "a".encode(self.encoding)
        except (LookupError, ValueError) as error:
            raise OptionError(
                "encoding",
                f"{self.encoding[:40]!r} is not an encoding of text.",
                "Usual ones: utf-8, utf-16, cp1252, latin-1.",
            ) from error


@dataclass(frozen=True, kw_only=True)
class TextOptions(FileOptions):
    """Plain text files."""

    split_by: Literal["line", "blank_line", "document"] = option(
        "line", help="What one row is: a line, the lines between two blank lines, or a whole file."
    )


@dataclass(frozen=True, kw_only=True)
class ColumnOptions:
    """Which columns are used as what. Absent ones are guessed where only one reading is possible."""

    text_column: str | None = option(None, help="The column with plain text.", kind="column")
    prompt_column: str | None = option(
        None,
        help="The column with what is asked; absent: of Alpaca's instruction and input both are the prompt.",
        kind="column",
    )
    completion_column: str | None = option(None, help="The column with the answer to learn.", kind="column")
    messages_column: str | None = option(
        None, help="The column with conversations: lists of role and content, or of from and value.", kind="column"
    )
    chosen_column: str | None = option(None, help="The column with the preferred answer.", kind="column", advanced=True)
    rejected_column: str | None = option(
        None, help="The column with the answer that was not preferred.", kind="column", advanced=True
    )

    def __post_init__(self) -> None:
        groups = (
            ("text_column",),
            ("messages_column",),
            ("completion_column",),
            ("chosen_column", "rejected_column"),
        )
        named = [group[0] for group in groups if any(getattr(self, name) is not None for name in group)]
        if self.prompt_column is not None and named and named[0] in {"text_column", "messages_column"}:
            named.append("prompt_column")
        if len(named) > 1:
            raise OptionError(
                named[1], f"{named[0]} and {named[1]} say two different things of a row.", "Keep one of them."
            )


@dataclass(frozen=True, kw_only=True)
class TableOptions(ColumnOptions, FileOptions):
    """Files with named columns."""

    format: Literal["jsonl", "json", "csv", "tsv", "parquet"] | None = option(
        None, help="How the files are written; absent: their names and first bytes tell."
    )
    delimiter: str | None = option(
        None, help="What stands between two cells of a CSV; absent: found from the first lines.", advanced=True
    )

    def __post_init__(self) -> None:
        FileOptions.__post_init__(self)
        ColumnOptions.__post_init__(self)
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise OptionError("delimiter", "delimiter must be one character.", 'Such as ",", ";" or "\\t".')


@dataclass(frozen=True, kw_only=True)
class HubName:
    """A dataset of the Hugging Face Hub."""

    name: str = option(help="The dataset's name on the Hub, such as org/name, or a local folder of data files.")
    config: str | None = option(None, help="Which of the dataset's configurations; absent: its default.")
    split: str = option("train", help="The split to train on; a slice such as train[:1000] too.")
    validation_split: str | None = option(None, help="The split to evaluate on.")
    revision: str | None = option(None, help="The commit, tag or branch; absent: the newest.", advanced=True)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise OptionError("name", "name is empty.", "Give it a dataset's name, such as org/name.")
        check_name(self.name)


@dataclass(frozen=True, kw_only=True)
class HubOptions(ColumnOptions, HubName):
    """A dataset of the Hub and how its columns are used."""

    def __post_init__(self) -> None:
        HubName.__post_init__(self)
        ColumnOptions.__post_init__(self)
