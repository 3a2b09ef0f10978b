"""The studio's Home: it shows what the files say, and leaves on q."""

import asyncio

import pytest
from textual.widgets import DataTable, Static

from ftstudio.project import load
from ftstudio.runs.record import create_run
from ftstudio.tui.app import StudioApp

pytestmark = pytest.mark.usefixtures("fakes")


def look(root, size=(80, 24)):
    """Title, rows and hint of Home once it has read the folder, and that q leaves."""

    async def session():
        app = StudioApp(root)
        async with app.run_test(size=size) as pilot:
            for _ in range(100):
                await pilot.pause(0.05)
                if str(app.query_one("#title", Static).content):
                    break
            table = app.query_one("#runs", DataTable)
            rows = [[str(c) for c in table.get_row_at(i)] for i in range(table.row_count)]
            found = str(app.query_one("#title", Static).content), rows, str(app.query_one("#hint", Static).content)
            await pilot.press("q")
            await pilot.pause(0.05)
            assert not app.is_running
            return found

    return asyncio.run(session())


def test_an_empty_folder_says_the_next_step(tmp_path):
    title, rows, hint = look(tmp_path)
    assert "0 projects" in title
    assert rows == []
    assert "ftstudio new NAME" in hint


def test_runs_are_listed_with_state_and_reason(tmp_path, make_project):
    create_run(load(make_project()), ["ftstudio"])
    title, rows, hint = look(tmp_path)
    assert "1 project" in title
    assert rows[0][0] == "✗ lab:0001"
    assert "It never started." in rows[0][1]
    assert hint == ""


@pytest.mark.parametrize("size", [(80, 24), (20, 5), (200, 60)])
def test_it_opens_at_any_size(tmp_path, make_project, size):
    make_project()
    _, rows, hint = look(tmp_path, size)
    assert rows == []
    assert "No runs yet" in hint
