import pytest
from mlflow import MlflowClient
from told import POINTS, forget, make_run, replay


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    for name in ("CONFIG", "STATE", "CACHE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    settings = tmp_path / "CONFIG" / "ftstudio" / "settings.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("observer_seconds = 120\n")  # a new database takes MLflow some seconds


def points(run):
    """Step -> metrics as MLflow reads them, and how the run ended there."""
    client = MlflowClient(f"sqlite:///{run / 'mlflow.db'}")
    where = client.get_experiment_by_name("poems").experiment_id
    (found,) = client.search_runs([where])
    history = [m for name in ("loss", "eval_loss") for m in client.get_metric_history(found.info.run_id, name)]
    rows = {}
    for metric in history:
        assert metric.key not in rows.setdefault(metric.step, {}), "a point is there twice"
        rows[metric.step][metric.key] = metric.value
    return sorted(rows.items()), found.info.status


def test_the_metrics_of_a_run_are_in_the_store_once(tmp_path):
    run = make_run(tmp_path)
    replay(run, "mlflow")
    assert points(run) == (POINTS, "FINISHED")
    forget(run, "mlflow")
    replay(run, "mlflow")
    assert points(run) == (POINTS, "FINISHED")
