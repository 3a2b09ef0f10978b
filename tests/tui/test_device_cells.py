"""Home's title and the tiles of Train say who computes where, as far as there is room."""

import pytest
from hand_made import made
from studio import session

from ftstudio.process import devices
from ftstudio.process.devices import Gauge, Tenant
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.queue import take_slot
from ftstudio.tui.widgets import device_cells
from ftstudio.tui.widgets.device_cells import Cell, CpuShare, read_cells

GPU = Cell("gpu0", ("poetry",), 96, 31 * 10**9, 80 * 10**9)


@pytest.mark.parametrize(
    ("cell", "full", "short"),
    [
        (GPU, "gpu0 poetry 96 % 31/80 GB", "gpu0 96 %"),
        (Cell("gpu2", ("alice",), None, 38 * 10**9, 80 * 10**9), "gpu2 alice 38/80 GB", "gpu2 alice"),
        (Cell("cpu", ("letters",), 12), "cpu letters 12 %", "cpu 12 %"),
    ],
)
def test_a_cell_names_place_owner_share_and_memory(cell, full, short):
    assert (cell.words(short=False), cell.words(short=True)) == (full, short)


def test_runs_are_named_by_project_and_strangers_by_user(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "gauges", lambda: {f"gpu{i}": Gauge(9 * i, 0, 10**9) for i in range(3)})
    monkeypatch.setattr(devices, "tenants", lambda: {"gpu1": [Tenant(1, "alice", 5)], "gpu0": [Tenant(2, "me", 5)]})
    monkeypatch.setattr(device_cells.Path, "glob", lambda self, pattern: iter(["nvidia0"]))
    slot = take_slot(RunFolder(tmp_path / "poetry" / "runs" / "0001"), "gpu0", {})
    cpu = take_slot(RunFolder(tmp_path / "letters" / "runs" / "0001"), "cpu", {})
    cells = read_cells(lambda: 12)
    slot.release()
    cpu.release()
    assert [(c.place, c.owners, c.percent) for c in cells] == [
        ("cpu", ("letters",), 12), ("gpu0", ("poetry",), 0), ("gpu1", ("alice",), 9),
    ]  # fmt: skip
    assert [c.place for c in read_cells(lambda: 12)] == ["gpu0", "gpu1"]  # by their tenants alone


def test_the_share_of_the_cpus_is_that_of_the_time_between_two_looks(monkeypatch):
    texts = iter(["cpu 10 0 10 80 0 0 0 0\n", "cpu 20 0 20 160 0 0 0 0\n", "cpu 120 0 20 160 0 0 0 0\n", "nonsense\n"])
    monkeypatch.setattr(device_cells.Path, "read_text", lambda self, encoding: next(texts))
    share = CpuShare()
    assert [share(), share(), share(), share()] == [None, 20, 100, None]


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize(("width", "shown"), [(120, "gpu0 poetry 96 % 31/80 GB"), (80, "gpu0 96 %"), (60, None)])
def test_home_shows_as_much_as_fits_beside_its_title(make_project, tmp_path, monkeypatch, width, shown):
    made(make_project())
    cells = [GPU] if width > 60 else [GPU] * 4
    monkeypatch.setattr(device_cells, "read_cells", lambda share: cells * (2 if width == 80 else 1))

    async def script(driver):
        if shown:
            await driver.until(shown)
        title = driver.text.splitlines()[0]
        assert title.startswith(" ftstudio")
        assert "1 project" in title
        assert len(title) <= width
        return title

    title = session(tmp_path, script, size=(width, 24))
    assert ("gpu0" in title) == bool(shown)


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize(("width", "shown"), [(140, "gpu0 poetry 96 % 31/80 GB"), (110, "gpu0 96 %"), (80, "")])
def test_train_shows_them_where_its_tiles_leave_room(make_project, tmp_path, monkeypatch, width, shown):
    made(make_project())
    monkeypatch.setattr(device_cells, "read_cells", lambda share: [GPU])

    async def script(driver):
        await driver.press("enter", "3")
        await driver.until(lambda: driver.app.screen.query("TrainPane DeviceCells"))
        cells = driver.app.screen.query_one("TrainPane DeviceCells")
        await driver.until(lambda: cells.cells)
        await driver.until(lambda: shown in driver.text.splitlines()[1])
        return driver.text.splitlines()[1]

    assert ("gpu0" in session(tmp_path, script, size=(width, 36))) == bool(shown)


def test_without_anybody_computing_there_is_no_cell(tmp_path):
    async def script(driver):
        return driver.text

    assert "cpu" not in session(tmp_path, script).splitlines()[0]
