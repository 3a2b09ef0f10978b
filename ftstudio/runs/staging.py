"""Folders that appear whole: made beside their place, made durable, then renamed into it.

    .NAME.TOKEN.staging     being written; nobody reads it
    NAME                    whole and durable
    .NAME.TOKEN.replaced    the NAME before, from the first of two renames until it is deleted
    .NAME.TOKEN.deleted     being deleted

A process may die between any two of these steps. `settle` then makes NAME what it was, or what it was to be, and
never loses both. Checkpoints and final/ are written like this. Nothing here asks a clock.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from pathlib import Path

from ftstudio.errors import InterruptedRunError
from ftstudio.explain import named
from ftstudio.files import fsync_folder, refuse_symlinks, settle_file
from ftstudio.text import quote

_LEFT = re.compile(r"\.(?P<name>[^.]+)\.[^.]+\.(?P<kind>staging|replaced|deleted)\Z")


def make(target: Path) -> Path:
    """An empty staging folder for `target`, beside it. The folder that holds `target` has to be there.

    Raises InputError where the way is a symbolic link, InterruptedRunError where the folder is gone, OSError.
    """
    refuse_symlinks(target, target.parent.parent)
    staged = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(3)}.staging")
    try:
        staged.mkdir()
    except FileNotFoundError:
        raise gone(target.parent) from None
    return staged


def gone(folder: Path) -> InterruptedRunError:
    """The end of a run whose folder was deleted or moved: whoever did so does not want it back."""
    return InterruptedRunError(
        f"{quote(folder, 200)} is not there any more: it was deleted or moved while the run went on.",
        "Nothing was made again in its place.",
    )


def put_in_place(staged: Path, target: Path) -> None:
    """Give a durable staging folder its name; a folder that had the name goes last. Raises OSError."""
    old = None
    with named(target):
        if os.path.lexists(target):
            old = staged.with_suffix(".replaced")
            target.rename(old)
        try:
            staged.rename(target)
        except OSError:
            if old is not None:
                with contextlib.suppress(OSError):
                    old.rename(target)
            raise
        fsync_folder(target.parent)
    if old is not None:
        with contextlib.suppress(OSError):  # the new one is in place: what is left of the old one, `settle` removes
            delete(old)


def delete(folder: Path) -> None:
    """Delete a folder so that no crash leaves half of it under its own name. Raises OSError before that began."""
    hidden = folder.name.startswith(".")
    token = f"{os.getpid()}-{secrets.token_hex(3)}"
    doomed = folder.with_suffix(".deleted") if hidden else folder.with_name(f".{folder.name}.{token}.deleted")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def discard(staged: Path) -> None:
    """Remove a staging folder that will not be used, as far as that can be done. Raises nothing."""
    try:
        delete(staged)
    except OSError:
        shutil.rmtree(staged, ignore_errors=True)


def settle(parent: Path) -> None:
    """Finish or undo what a crash left in `parent`. Only the holder of the run's lock may call this. Raises OSError.

    Where a name is missing between the two renames, its staging folder was whole and durable: it takes the name.
    """
    for folder, name, kind in _left(parent):
        if kind == "replaced" and not os.path.lexists(parent / name):
            staged = folder.with_suffix(".staging")
            (staged if staged.is_dir() else folder).rename(parent / name)
            fsync_folder(parent)
    for folder, _, _ in _left(parent):
        shutil.rmtree(folder, ignore_errors=True)


def _left(parent: Path) -> list[tuple[Path, str, str]]:
    try:
        found = [(path, _LEFT.match(path.name)) for path in parent.iterdir()]
    except FileNotFoundError:
        return []
    return [(path, match["name"], match["kind"]) for path, match in found if match]


def sync(folder: Path) -> None:
    """Make all that a folder holds durable, and the names in it. Raises OSError that names the file."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            with named(path):
                fsync_folder(path)
        elif path.is_file():
            with named(path):
                sync_file(path)
    with named(folder):
        fsync_folder(folder)


def sync_file(path: Path) -> None:
    """Make one file durable, with the mode that `settle_file` gives it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        settle_file(descriptor, path.parent)
    finally:
        os.close(descriptor)
