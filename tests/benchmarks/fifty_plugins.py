"""What 50 installed plugins of strangers add to `--version`, and to a command that looks what is installed."""

import os

from tests.benchmarks.harness import Benchmark, Goal, program

COUNT = 50
VERSION, VERSION_50 = "--version", "--version, 50 plugins"
LIST, LIST_50 = "plugins list", "plugins list, 50 plugins"
DESCRIBED = """
from dataclasses import dataclass
from ftstudio.api import Component, hookimpl, option

@dataclass(frozen=True, kw_only=True)
class Options:
    size: int = option(1, help="A size.")

@hookimpl
def ftstudio_models():
    yield Component(name="{name}", summary="a model", target="{name}.work:Model", options=Options)
"""


def prepare(folder):
    site = folder / "site"
    for number in range(COUNT):
        make_plugin(site, f"stranger{number:02}")
    own = {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}
    path = os.environ.get("PYTHONPATH", "")
    many = {**own, "PYTHONPATH": os.pathsep.join(filter(None, [str(site), path]))}
    return {
        VERSION: program("-m", "ftstudio", "--version", env=own),
        VERSION_50: program("-m", "ftstudio", "--version", env=many),
        LIST: program("-m", "ftstudio", "plugins", "list", env=own),
        LIST_50: program("-m", "ftstudio", "plugins", "list", env=many),
    }


def make_plugin(site, name, modules=6):
    """A package of some modules, with its dist-info, as pip would have left them."""
    package, info = site / name, site / f"{name}-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text(DESCRIBED.format(name=name))
    for number in range(modules):
        (package / f"module{number}.py").write_text("x = 1\n" * 200)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + "\nwords\n" * 100)
    (info / "entry_points.txt").write_text(f"[ftstudio]\n{name} = {name}\n")


def goals(medians):
    version, listed = (
        medians[f"{many}: CPU"] - medians[f"{none}: CPU"] for many, none in ((VERSION_50, VERSION), (LIST_50, LIST))
    )
    yield Goal("50 plugins where discovery is needed, CPU seconds added", listed, 0.1)
    yield Goal("50 plugins, CPU seconds added to --version", version, 0.005)


BENCHMARK = Benchmark(prepare, goals, rounds=9)
