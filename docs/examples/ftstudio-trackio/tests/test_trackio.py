import json
import subprocess
import sys

import pytest
from told import POINTS, forget, make_run, replay

READ = (
    "from trackio.sqlite_storage import SQLiteStorage as S; import json; print(json.dumps(S.get_logs('poems', '0007')))"
)


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    for name in ("CONFIG", "STATE", "CACHE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))


def rows():
    """(step, metrics) as Trackio reads them."""
    done = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return [(row["step"], {k: v for k, v in row.items() if k in {"loss", "eval_loss"}}) for row in found]


def test_the_metrics_of_a_run_are_in_the_database_once(tmp_path):
    run = make_run(tmp_path)
    replay(run, "trackio")
    assert rows() == POINTS
    forget(run, "trackio")
    replay(run, "trackio")
    assert rows() == POINTS
