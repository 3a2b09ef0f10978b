"""Faults are injected for real: a preloaded shim, small file systems, other users."""

import math
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from operations import commit
from shim import Shim, build, server_environment

FAKE_PLUGIN = Path(__file__).parent.parent / "fake_plugin"


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("shim")
    library, reason = build(scratch)
    if library is None:
        pytest.skip(reason)
    started = Shim(library, scratch, server_environment(scratch, FAKE_PLUGIN))
    yield started
    started.close()


@pytest.fixture
def points(request):
    """The points to try of `total`, from 1: all with --faults=full, else so many, spread, the first and last among them."""
    wanted = request.config.getoption("--faults")

    def choose(total):
        assert total > 0, "nothing was counted"
        if wanted == "full" or int(wanted) >= total:
            return range(1, total + 1)
        count = max(2, int(wanted))
        return sorted({1 + math.floor(i * (total - 1) / (count - 1)) for i in range(count)})

    return choose


@pytest.fixture
def run(make_project):
    """A run folder with two committed checkpoints."""
    path = make_project() / "runs" / "0001"
    path.mkdir(parents=True)
    commit(path, 1, 2)
    return path


@pytest.fixture
def fresh(tmp_path):
    """Copies of a folder, each in a project folder of its own."""
    count = 0

    def copy(folder):
        nonlocal count
        count += 1
        target = tmp_path / f"copy-{count}" / "runs" / folder.name
        shutil.copytree(folder, target, symlinks=True)
        return target

    return copy


@pytest.fixture
def open_folder():
    """A folder that other users reach."""
    folder = Path(tempfile.mkdtemp(prefix="ftstudio-faults-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def namespaces():
    """Skip where no private mount namespace may be made."""
    try:
        done = subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if done.returncode:
        pytest.skip(f"a private mount namespace is not permitted: {done.stderr.strip()}")
