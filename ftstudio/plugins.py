"""Discovery of plugins: what is installed, what works, and why something does not.

    announced ──> Record (active | disabled | failed, with the reason) ──> Registry.find(kind, name) ──> Offer

A plugin of somebody else is first described in a process of its own (`ftstudio.probe`); the answer is cached by
distribution, version and file times. Only what passed there is ever imported here, and only when a project names
one of its components, so fifty installed plugins cost fifty small cache files. Blocking happens before import.
Never `load_setuptools_entrypoints()`: one plugin that raises would take all the others with it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

from ftstudio.announced import Announced, announced
from ftstudio.answers import Light, held, taken
from ftstudio.api import Component, Problem
from ftstudio.describing import describe_apart, end_probes, forget
from ftstudio.errors import ContractError, FtstudioError, InputError, PluginError, UnknownNameError
from ftstudio.hushed import hushed
from ftstudio.options import parse
from ftstudio.probe import collect, failed, load, why
from ftstudio.remarks import clashes, habits, told_apart, told_apart_by
from ftstudio.settings import disabled_plugins, edit_settings, read_settings
from ftstudio.text import nearest, quote, sentence

Status = Literal["active", "disabled", "failed"]
_MISSING = re.compile(r"No module named '([A-Za-z0-9_.]+)'")
NEAR = 0.65
"""How like the name of a component must be to be meant: most that are not there are not mistyped but not installed."""
NOTHING = "It describes no component. Yield one from a function marked @hookimpl."
OWN = "ftstudio"
"""The distribution whose components' bare names nobody can take."""
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Described:
    """A component as the probe saw it."""

    kind: str
    name: str
    summary: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """One installed plugin."""

    name: str
    """Of the entry point."""
    value: str
    distribution: str
    version: str
    status: Status
    reason: str = ""
    alone: str = ""
    """What names it and no other that is installed: its name, else its distribution, else both."""
    components: tuple[Described, ...] = ()
    heavy: tuple[str, ...] = ()
    printed: bool = False
    threads: tuple[str, ...] = ()
    """What it leaves running once it is described."""
    folder: str = ""
    """The metadata of its distribution, where these are broken."""

    @property
    def title(self) -> str:
        """How sentences call it: "plugin gguf (ftstudio-gguf 1.2)"."""
        return f"plugin {self.name} ({self.distribution} {self.version})"

    @property
    def key(self) -> str:
        """Which one it is among all that are installed: distribution and name."""
        return f"{self.distribution}/{self.name}"

    @property
    def announced(self) -> Announced:
        """As its distribution announces it."""
        return Announced(name=self.name, value=self.value, distribution=self.distribution, version=self.version)

    @property
    def names(self) -> frozenset[str]:
        """What it may be called in `disabled_plugins`."""
        return frozenset({self.name, self.distribution, self.key})

    @property
    def mend(self) -> str:
        """What to do about a plugin that does not work; "" for one that does."""
        if self.status == "disabled":
            return f"Enable it: ftstudio plugins enable {self.alone or self.name}"
        if self.status == "active":
            return ""
        if self.folder:
            return f"Delete {quote(self.folder, 200)}, then install it again."
        if self.missing:
            return f"Install {self.missing} into this environment, or disable the plugin."
        named = self.alone or self.name
        return f"Update it (pip install -U {self.distribution}), or disable it: ftstudio plugins disable {named}"

    @property
    def missing(self) -> str:
        """The module that it failed for want of; "" where that was not the reason."""
        found = _MISSING.search(self.reason)
        return found[1] if found else ""

    @property
    def state(self) -> str:
        """Its status in a sentence, behind its title."""
        return "failed" if self.status == "failed" else f"is {self.status}"


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A component together with the plugin that offers it."""

    kind: str
    component: Component
    record: Record

    @property
    def title(self) -> str:
        """How sentences call it: "dataset text"; a stranger's with its distribution."""
        place = "" if self.record.distribution == OWN else f" of {self.record.distribution} {self.record.version}"
        return f"{self.kind} {self.component.name}{place}"

    def parse(self, table: Mapping[str, Any]) -> tuple[Any | None, list[Problem]]:
        """Its options from a table, or None and every problem. Raises PluginError where its own check of them fails."""
        with self.blamed("reading its options", leaving=True):
            return parse(self.component.options, table)

    def build(self, options: object) -> Any:
        """Import the target and build it. Raises PluginError when it cannot be imported or built."""
        target = self._resolve(self.component.target)
        with self.blamed("building it", leaving=True):
            return target(options)

    @hushed()
    def light(self, which: Light, *arguments: Any) -> Any:
        """Call the light function with as many of the arguments as it takes: what is passed may grow.

        Returns None when the component has none. Raises PluginError, also for an answer of the wrong type.
        """
        name = getattr(self.component, which)
        if not name:
            return None
        function = self._resolve(name)
        with self.blamed(f"its {which} function", leaving=True):
            return held(which, function(*arguments[: taken(function)]), self.title)

    def _resolve(self, target: str) -> Callable[..., Any]:
        module, _, attribute = target.partition(":")
        if not attribute:
            raise ContractError(f"{self.title} names no target.", "Write target='package.module:Class'.")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except BaseException as error:
            if not _is_plugins(error):
                raise
            hint = self.component.install_hint or f"Its target is {target}."
            raise PluginError(sentence(f"{self.title} cannot be imported: {why(error)}"), hint) from error
        if not callable(found):
            raise ContractError(f"{self.title}: {target} is not callable.")
        return found  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def blamed(self, what: str, *, leaving: bool = False) -> Iterator[None]:
        """Turn an exception of the component inside into a PluginError that names it and what it was asked.

        `leaving`: sys.exit() and the like too, where that would end a process that is not this component's alone.
        """
        try:
            yield
        except FtstudioError:
            raise
        except BaseException as error:
            if not (isinstance(error, Exception) or (leaving and _is_plugins(error))):
                raise
            raise PluginError(
                sentence(f"{self.title} failed in {what}: {why(error)}"), f"It is offered by {self.record.title}."
            ) from error


@dataclass(frozen=True)
class Registry:
    """All installed plugins, and the way to their components."""

    records: tuple[Record, ...]
    _loaded: dict[str, Mapping[str, tuple[Component, ...]]] = field(default_factory=dict, compare=False, repr=False)

    def names(self, kind: str) -> dict[str, list[Record]]:
        """Each name that may stand behind `use` for a kind -> the plugins that answer to it."""
        names: dict[str, list[Record]] = {}
        for record in self.records:
            for described in record.components:
                if described.kind == kind and record.status == "active":
                    names.setdefault(described.name, []).append(record)
                    names.setdefault(f"{record.distribution}/{described.name}", []).append(record)
        for name, records in names.items():
            own = [r for r in records if r.distribution == OWN]
            if own and "/" not in name:
                names[name] = own
        return names

    def find(self, kind: str, name: str) -> Offer:
        """The component that `use = name` means. Raises UnknownNameError or PluginError with what to do."""
        names = self.names(kind)
        records = names.get(name, [])
        if not records:
            raise self._unknown(kind, name, names)
        bare = name.rpartition("/")[2]
        if len(records) > 1:
            many = "Two" if len(records) == 2 else f"{len(records)}"
            raise UnknownNameError(f"{many} plugins offer the {kind} {quote(bare)}.", told_apart_by(records, bare))
        return self.offered(records[0], kind, bare)

    def offered(self, record: Record, kind: str, name: str) -> Offer:
        """What one plugin offers under a name, whoever else does. Raises PluginError."""
        for component in self._components(record).get(kind, ()):
            if component.name == name:
                return Offer(kind=kind, component=component, record=record)
        raise PluginError(f"{record.title} no longer offers the {kind} {quote(name)}.", "Install it again.")

    def offers(self, kind: str) -> list[Offer]:
        """Every usable component of a kind, for pickers; plugins that fail to load here are left out."""
        found = []
        for name in self.names(kind):
            with contextlib.suppress(FtstudioError):
                if "/" not in name:
                    found.append(self.find(kind, name))
        return found

    def remarks(self, record: Record) -> list[str]:
        """What is to be known of a plugin though it works: sentences, each with what can be done."""
        names = {one.kind: self.names(one.kind) for one in record.components if record.status == "active"}
        return [*clashes(record, names), *habits(record)]

    def _unknown(self, kind: str, name: str, names: Mapping[str, Any]) -> UnknownNameError:
        for record in self.records:
            if record.status != "active" and name.partition("/")[0] in {
                record.name,
                record.distribution,
                *_words(record),
            }:
                return UnknownNameError(
                    f"There is no {kind} {quote(name)}: {record.title} {record.state}.", record.reason
                )
        near = nearest(name, names, NEAR)
        bare = sorted(n for n in names if "/" not in n)
        hint = f"Did you mean {near}?" if near else f"Installed: {', '.join(bare) or 'none'}."
        broken = [f"{r.title} {r.state}" for r in self.records if r.status != "active"]
        if broken:  # what it offers nobody knows, so it may be this
            more = f", and {len(broken) - 3} more" if len(broken) > 3 else ""
            way = f"Or {', '.join(broken[:3])}{more}: see 'ftstudio plugins list'."
        else:
            way = "A plugin may offer it: pip install it, then 'ftstudio plugins list'."
        return UnknownNameError(f"There is no {kind} {quote(name)}.", f"{hint} {way}")

    def _components(self, record: Record) -> Mapping[str, tuple[Component, ...]]:
        if record.key not in self._loaded:
            try:
                with hushed():
                    self._loaded[record.key] = collect(load(record.value), record.value)
            except BaseException as error:
                if not _is_plugins(error):
                    raise
                forget(record.announced)  # what was found once does not hold any more, whatever changed
                raise PluginError(
                    sentence(f"{record.title} cannot be loaded: {why(error)}"), "See 'ftstudio plugins list'."
                ) from error
        return self._loaded[record.key]


def _is_plugins(error: BaseException) -> bool:
    """Whether it is of the plugin's own making, and no person's Ctrl+C: that one only the main thread hears."""
    return not isinstance(error, KeyboardInterrupt) or threading.current_thread() is not threading.main_thread()


def _words(record: Record) -> set[str]:
    return {c.name for c in record.components}


# ------------------------------------------------------------------------------------- enable and disable


def switch(record: Record, *, on: bool) -> str:
    """Enable or disable a plugin in the settings, and return what that means as a sentence.

    Who asks for the registry next discovers again. Raises InputError when the settings cannot be edited, or when
    FTSTUDIO_DISABLE_PLUGINS blocks the plugin, which no setting can lift.
    """
    listed = read_settings().disabled_plugins
    if on:
        if record.names & {name.strip() for name in os.environ.get("FTSTUDIO_DISABLE_PLUGINS", "").split(",")}:
            raise InputError(f"FTSTUDIO_DISABLE_PLUGINS blocks {record.title}.", "Take it out of that variable.")
        wanted = tuple(name for name in listed if name not in record.names)
    else:
        wanted = listed if record.names & set(listed) else (*listed, record.alone or record.name)
    if wanted == listed:
        return f"{record.title} is {'enabled' if on else 'disabled'} already."
    edit_settings({"disabled_plugins": wanted or None})
    registry.cache_clear()
    return f"{record.title} is {'enabled' if on else 'disabled'} from now on. Runs that are going go on as they are."


# ---------------------------------------------------------------------------------------------- discovery


@lru_cache(maxsize=1)
def registry() -> Registry:
    """What is installed, discovered once a process."""
    with _ONE_AT_A_TIME:  # who comes second finds all in the cache, where he would probe the same plugins again
        return discover(announced(), disabled_plugins())


def look_again() -> Registry:
    """What is installed; plugins that failed are tried anew, and are as they were for all others until that is done."""
    found = discover(announced(), disabled_plugins(), anew=True)
    registry.cache_clear()
    return found


def discover(entries: Iterable[Announced], disabled: frozenset[str], *, anew: bool = False) -> Registry:
    """Records of these entries; strangers are probed, several at a time, unless the cache knows them.

    `anew`: what the cache knows to have failed is probed again, and what may have failed since.
    """
    ordered = sorted(entries, key=lambda e: (e.distribution != OWN, e.distribution, e.name))
    with ThreadPoolExecutor(max_workers=4) as pool:
        try:
            return Registry(told_apart(list(pool.map(lambda e: _record(e, disabled, anew=anew), ordered))))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            end_probes()
            raise


def _record(entry: Announced, disabled: frozenset[str], *, anew: bool) -> Record:
    record = Record(
        name=entry.name, value=entry.value, distribution=entry.distribution, version=entry.version, status="failed",
        reason=entry.reason, folder=entry.folder,
    )  # fmt: skip
    if record.names & disabled:
        return replace(record, status="disabled", reason="Blocked by FTSTUDIO_DISABLE_PLUGINS or the settings.")
    if entry.reason:
        return record
    described = _describe_here(entry) if entry.distribution == OWN else describe_apart(entry, anew=anew)
    return judged(described_as(record, described))


def described_as(record: Record, described: Mapping[str, Any]) -> Record:
    """The record with what the probe said."""
    return replace(
        record,
        status="failed" if described["reason"] else "active",
        reason=described["reason"],
        components=tuple(Described(**c) for c in described["components"]),
        heavy=tuple(described["heavy"]),
        printed=described["printed"] > 0,
        threads=tuple(described["threads"]),
    )


def judged(record: Record) -> Record:
    """The record of what was described: failed where that is nothing; its reason a whole sentence."""
    if record.status == "active" and not record.components:
        return replace(record, status="failed", reason=NOTHING)
    return replace(record, reason=sentence(record.reason))


def _describe_here(entry: Announced) -> dict[str, Any]:
    """Our own plugins: the tests hold them to what the probe would find, so a process is saved."""
    try:
        components = [
            {"kind": kind, "name": c.name, "summary": c.summary}
            for kind, described in collect(load(entry.value), entry.value).items()
            for c in described
        ]
    except Exception as error:  # noqa: BLE001 - a broken built-in is a row with a reason as well
        return failed(why(error))
    return {"reason": "", "components": components, "heavy": [], "printed": 0, "threads": []}
