"""A new plugin: a package whose tests pass at once, from the templates beside this module.

    NAME, kinds ──templates/plugin/common + one folder a kind──> {path: text} ──new_folder──> NAME/

A template is a text with @NAME@, @PACKAGE@, @COMPONENT@ and the like in it; it ends in .txt, so that no tool takes it
for a part of ftstudio.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ftstudio.api import KINDS
from ftstudio.errors import InputError
from ftstudio.files import new_folder
from ftstudio.plugins import registry
from ftstudio.text import NAME_RULE, is_safe_name, quote

TEMPLATES = Path(__file__).resolve().parent / "templates" / "plugin"
TITLES: Mapping[str, str] = {
    "model": "A model source",
    "dataset": "A dataset source",
    "tokenizer": "A tokenizer",
    "trainer": "A trainer",
    "generator": "A generator",
    "observer": "An observer",
}


def new_plugin(into: Path, name: str, kinds: Sequence[str]) -> Path:
    """Make the package in a folder of its name in `into`, whole or not at all, and return the folder.

    Raises InputError for a name that no distribution, package or component may have or that is taken, and when the
    folder exists or cannot be written.
    """
    wanted = [kind for kind in KINDS if kind in kinds]
    words = names(name, wanted)
    with new_folder(into / name) as staged:
        for relative, text in files(words, wanted).items():
            target = staged / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8")
    return into / name


def names(name: str, kinds: Sequence[str]) -> dict[str, str]:
    """What stands for what in the templates. Raises InputError for a name that cannot be used."""
    if not is_safe_name(name) or not name[-1].isalnum():
        raise InputError(
            f"{quote(name)} is no name of a package.", f"A name is {NAME_RULE}; it ends in one of the first."
        )
    package = re.sub(r"[-_.]+", "_", name).lower()
    if not package.isidentifier() or keyword.iskeyword(package):
        raise InputError(f"{quote(name)} cannot be imported as {package}.", "Begin it with a letter.")
    found = importlib.util.find_spec(package)
    if package in sys.stdlib_module_names or (found is not None and found.origin is not None):  # a mere folder has none
        raise InputError(f"There is a package {package} in this environment already.", "Choose another name.")
    component = package.removeprefix("ftstudio_").replace("_", "-")
    for kind in kinds:
        for record in registry().names(kind).get(component, []):
            raise InputError(f"The {kind} {quote(component)} is taken by {record.title}.", "Choose another name.")
    titles = [TITLES[kind] if i == 0 else TITLES[kind].lower() for i, kind in enumerate(kinds)]
    both = " and ".join(filter(None, [", ".join(titles[:-1]), titles[-1]]))
    return {"NAME": name, "PACKAGE": package, "COMPONENT": component, "KINDS": both}


def files(words: Mapping[str, str], kinds: Sequence[str]) -> dict[str, str]:
    """Path within the package -> text."""
    package, hooks = words["PACKAGE"], [_read(f"{kind}/hook.py.txt", words).strip() for kind in kinds]
    imports = [f"from {package}.{kind}_options import {kind.capitalize()}Options" for kind in sorted(kinds)]
    needs = "Component, Metric, hookimpl" if "trainer" in kinds else "Component, hookimpl"
    words = {
        **words,
        "IMPORTS": "\n".join(imports),
        "HOOKS": "\n\n\n".join(hooks),
        "USES": "\n\n".join(_read(f"{kind}/use.md.txt", words).strip() for kind in kinds),
        "API": needs,
    }
    made = {
        "pyproject.toml": _read("common/pyproject.toml.txt", words) + _examples(words, kinds),
        "README.md": _read("common/README.md.txt", words),
        ".gitignore": _read("common/.gitignore.txt", words),
        ".github/workflows/test.yml": _read("common/test.yml.txt", words),
        f"src/{package}/__init__.py": _read("common/__init__.py.txt", words),
        f"src/{package}/py.typed": "",
    }
    for kind in kinds:
        made[f"src/{package}/{kind}.py"] = _read(f"{kind}/work.py.txt", words)
        made[f"src/{package}/{kind}_options.py"] = _read(f"{kind}/options.py.txt", words)
        made[f"tests/test_{kind}.py"] = _read(f"{kind}/test.py.txt", words)
    if "dataset" in kinds:
        made["tests/project/lines.txt"] = _read("dataset/lines.txt", words)
    return made


def _examples(words: Mapping[str, str], kinds: Sequence[str]) -> str:
    """What `plugins check` and the tests try the components with, where their defaults are not enough."""
    if "dataset" not in kinds:
        return ""
    return "\n" + _read("dataset/example.toml.txt", words)


def _read(template: str, words: Mapping[str, str]) -> str:
    text = (TEMPLATES / template).read_text("utf-8")
    for word, meaning in words.items():
        text = text.replace(f"@{word}@", meaning)
    return text
