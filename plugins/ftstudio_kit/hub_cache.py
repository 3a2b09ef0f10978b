"""The Hub's cache on this disk, and folders named in place of a Hub id: read without a network or a library.

    HF_HUB_CACHE/models--org--name/refs/main  ->  a commit  ->  snapshots/COMMIT/config.json, model.safetensors, ...

`huggingface_hub` takes half a second to import; a check of a project while somebody types does not have it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ftstudio.api import ComponentError, OptionError, Problem

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_ID = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?\Z", re.ASCII)
_ADDRESS = re.compile(r"(https?://)?(www\.)?(huggingface\.co|hf\.co)/(datasets/)?(?P<id>[^?#\s]+?)/?([?#].*)?\Z")
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model", "spiece.model", "vocab.model")
"""A tokenizer has at least one of these."""


def is_hub_id(name: str) -> bool:
    """Whether a name has the form "name" or "organisation/name"."""
    return _ID.match(name) is not None and "--" not in name and ".." not in name and not name.endswith((".", "-"))


def check_name(name: str) -> None:
    """Raise OptionError for the address of a page in place of the id that stands in it, and give the id."""
    found = _ADDRESS.match(name.strip())
    if found is not None:
        known = "/".join(found["id"].split("/")[:2])
        raise OptionError("name", f"'{name[:80]}' is an address, not a name.", f'Write name = "{known}".')


def not_cached(name: str, revision: str | None, ways_out: str) -> Problem:
    """What a check says of a name that is not in the cache: an error where the network is shut off or the cache has no
    place, else a note.
    """
    try:
        refuse_homeless()
    except ComponentError as error:
        return Problem(level="error", option="name", message=error.message, fix=error.hint)
    option, which = ("name", f"'{name}'") if revision is None else ("revision", f"Revision '{revision}' of '{name}'")
    if is_offline():
        return Problem(
            level="error",
            option=option,
            message=f"{which} is not in the Hub's cache, and HF_HUB_OFFLINE is set.",
            fix=f"Unset it, or {ways_out}.",
        )
    return Problem(
        level="note",
        option=option,
        message=f"{which} is not in the Hub's cache: it will be downloaded.",
        fix="That needs a network when the run starts.",
    )


def is_offline() -> bool:
    """Whether the person has shut off the network for the Hub's libraries."""
    return any(
        os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"}
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def local_folder(name: str, project: Path) -> Path | None:
    """The folder that a name means, its links resolved; None when it is meant as a Hub id.

    A name is a folder when there is one, or when it is written as a path ("./x", "../x", "/x", "~/x", "x/") or could
    be no id. The folder need not exist.
    """
    try:
        path = project / Path(name).expanduser()
        if path.is_dir():
            return path.resolve()
    except (RuntimeError, OSError, ValueError):  # no such user, a name too long, a NUL
        path = project / name[:200].replace("\0", "")
    written_as_path = name.startswith((".", "/", "~")) or name.endswith("/") or not is_hub_id(name)
    return path if written_as_path else None


def hub_cache() -> Path:
    """Where huggingface_hub keeps what it fetched. Read anew each time: the library freezes it when it is imported."""
    return _expanded(_hub()[1])


def datasets_cache() -> Path:
    """Where `datasets` keeps what it prepared from a download."""
    return _expanded(_datasets()[1])


def refuse_homeless(*, datasets: bool = False) -> None:
    """Raise ComponentError where the cache is put below the home of a user who is not there; `datasets`: the other too.

    Such a path stays as it is, so whoever looks finds nothing there; but the libraries would download into a folder
    "~name" of the folder that they are started in.
    """
    for variable, path in (_hub(), _datasets()) if datasets else (_hub(),):
        if str(_expanded(path)).startswith("~"):
            who = path.parts[0][1:]
            why = f"there is no user '{who[:60]}'" if who else "this user has no home"
            raise ComponentError(
                f"The Hub's cache is to be in '{path}', but {why}.",
                f"Write the whole path of a folder into {variable}.",
            )


def _hub() -> tuple[str, Path]:
    return _named("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", otherwise="hub")


def _datasets() -> tuple[str, Path]:
    return _named("HF_DATASETS_CACHE", otherwise="datasets")


def _named(*own: str, otherwise: str) -> tuple[str, Path]:
    """The path of a cache as it is written, and the variable that says or could say it; `otherwise`: within HF_HOME."""
    places = {**dict.fromkeys(own, ""), "HF_HOME": otherwise, "XDG_CACHE_HOME": f"huggingface/{otherwise}"}
    for variable, below in places.items():
        if given := os.environ.get(variable):
            return variable, Path(given, below)
    return "HF_HOME", Path("~/.cache/huggingface", otherwise)


def _expanded(path: Path) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises for a user that is not there


def cached_snapshot(name: str, revision: str | None) -> Path | None:
    """The folder of a model in the cache, named by its commit, or None. It may be incomplete."""
    repo = hub_cache() / f"models--{name.replace('/', '--')}"
    wanted = revision or "main"
    try:
        commit = wanted if _COMMIT.match(wanted) else (repo / "refs" / wanted).read_text("utf-8").strip()
    except (OSError, ValueError):
        return None
    snapshot = repo / "snapshots" / commit
    return snapshot if _COMMIT.match(commit) and snapshot.is_dir() else None


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds the files of a tokenizer. Without them AutoTokenizer may make an empty one."""
    return any(is_there(folder / name) for name in TOKENIZER_FILES)


def is_there(path: Path) -> bool:
    """Whether there is something that may be looked at; Path.exists() raises where it may not."""
    return os.path.exists(path)  # noqa: PTH110
