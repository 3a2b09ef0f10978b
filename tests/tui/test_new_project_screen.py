"""A new project is made from what is typed, by the function of the command line, and opens on Setup."""

import json

import pytest
from studio import session

from ftstudio.project import load

QUESTIONS = "".join(json.dumps({"question": f"What is {i}?", "answer": f"It is {i}."}) + "\n" for i in range(40))


@pytest.fixture
def data(tmp_path):
    file = tmp_path / "poems.jsonl"
    file.write_text(QUESTIONS)
    return file


def at(root, script, **more):
    async def in_the_form(driver):
        await driver.press("n")
        await driver.until("New project")
        await driver.until("sentences to replace")
        return await script(driver)

    return session(root, in_the_form, size=(100, 30), **more)


def put(driver, **values):
    for name, value in values.items():
        driver.app.screen.query_one(f"#{name}").value = value


def test_a_project_from_a_jsonl_file_says_what_it_found_and_opens_on_setup(tmp_path, data):
    root = tmp_path / "root"

    async def script(driver):
        await driver.press("tab")
        await driver.type(str(data))
        await driver.until("JSONL, 40 rows")
        assert "'question', 'answer' read as" in driver.text
        assert driver.app.screen.query_one("#name").value == "poems"  # proposed from the file
        await driver.press("enter")
        await driver.until("1 Setup")
        await driver.until("Dataset    table")
        await driver.until("poems.jsonl")

    at(root, script)
    project = load(root / "poems")
    assert not project.errors
    assert project.source.table["dataset"] == {"use": "table", "path": str(data), "validation_fraction": 0.1}


def test_a_name_is_checked_at_each_keystroke(tmp_path):
    (tmp_path / "taken").mkdir()

    async def script(driver):
        await driver.type("a/b")
        await driver.until("'a/b' is no project name")
        put(driver, name="taken")
        await driver.until("'taken' exists already")
        await driver.press("enter")
        await driver.until("Choose another name")
        put(driver, name="free")
        await driver.until(lambda: "exists already" not in driver.text)
        await driver.press("enter")
        await driver.until("1 Setup")

    at(tmp_path, script)
    assert load(tmp_path / "free").parts["dataset"].use == "inline"


def test_a_file_that_nobody_reads_is_said_and_nothing_is_made(tmp_path):
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")

    async def script(driver):
        put(driver, name="mine", data=str(photo))
        await driver.until("No dataset source reads 'photo.png'")
        await driver.press("enter")
        await driver.until("enter make it")
        await driver.press("escape")
        await driver.until(lambda: "New project" not in driver.text)

    root = tmp_path / "root"
    at(root, script)
    assert not (root / "mine").exists()


def test_columns_that_cannot_be_guessed_are_said_and_chosen_in_setup(tmp_path):
    (tmp_path / "odd.jsonl").write_text('{"a": "x", "b": "y"}\n' * 30)

    async def script(driver):
        put(driver, data=str(tmp_path))
        await driver.until("a folder: what it holds is looked at when the project is made")
        put(driver, name="mine", data=str(tmp_path / "odd.jsonl"))
        await driver.until("text_column, or prompt_column and completion_column")
        await driver.until("That can be done in Setup")
        assert "ftstudio new" not in driver.text
        await driver.press("enter")
        await driver.until("1 Setup")
        await driver.until("is plainly usable; it has")

    at(tmp_path / "root", script)


def test_an_example_is_copied_by_its_name(tmp_path):
    async def script(driver):
        put(driver, data="quickstart")
        await driver.until("the example quickstart, copied")
        await driver.until("the example names its own")
        await driver.press("enter")
        await driver.until("1 Setup")

    at(tmp_path / "root", script)
    assert load(tmp_path / "root" / "quickstart").head.name == "quickstart"


def test_the_model_is_a_component_a_hub_id_or_a_folder_by_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()

    async def script(driver):
        put(driver, model="org/name")
        await driver.until("a model of the Hugging Face Hub")
        put(driver, name="mine", model="weights")
        await driver.until("a folder on this machine")
        await driver.press("enter")
        await driver.until("1 Setup")

    at(tmp_path / "root", script)
    assert load(tmp_path / "root" / "mine").source.table["model"] == {"use": "hub", "name": str(tmp_path / "weights")}


def test_down_offers_examples_and_esc_makes_nothing(tmp_path):
    async def script(driver):
        await driver.press("tab", "down")
        await driver.until("the example quickstart, copied")
        await driver.press("escape")
        await driver.until(lambda: "New project" not in driver.text)

    at(tmp_path / "root", script)
    assert not (tmp_path / "root").exists()


def test_t_makes_the_tutorial_once_after_a_yes_and_opens_it(tmp_path):
    async def script(driver):
        await driver.press("t")
        await driver.until("Make the tutorial's project?")
        await driver.press("n")
        await driver.until("No projects here yet.")
        assert not list(tmp_path.iterdir())
        await driver.press("t")
        await driver.until("Make the tutorial's project?")
        await driver.press("y")
        await driver.until("1 Setup")
        await driver.until("warmup_steps")
        await driver.press("escape")
        await driver.until(lambda: "1 Setup" not in driver.text)
        await driver.press("t")
        await driver.until("1 Setup")

    session(tmp_path, script, size=(100, 30))
    assert [p.name for p in tmp_path.iterdir()] == ["tutorial"]


def test_readonly_makes_no_project(tmp_path):
    async def script(driver):
        await driver.press("n")
        await driver.until("--readonly")
        await driver.press("t")

    session(tmp_path, script, readonly=True)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_looked_at_is_said_while_one_types(tmp_path, monkeypatch, closed):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "link").symlink_to(closed)  # is looked at for what is offered

    async def script(driver):
        for text, said in (
            (str(closed), "No permission for"),
            ("x" * 300, "is too long"),
            ("loop", "loop of symbolic links"),
        ):
            put(driver, data=text)
            await driver.until(said)
        put(driver, data="beside/")
        offered = driver.app.screen.query_one("#data")
        await driver.until(lambda: offered.offers == ["beside/link"])
        put(driver, model=str(closed))
        await driver.until("No permission for")
        for text in ("x" * 300, str(tmp_path / "loop"), "./gone", "a/b/c"):
            put(driver, name="fine", data="", model=text)
            await driver.until("There is no model folder")
            said = str(driver.app.screen.query_one("#data-said").render())
            await driver.press("enter")
            assert driver.app.screen.query_one("#model").has_focus
            assert "There is no model folder" not in said + str(driver.app.screen.query_one("#data-said").render())
        await driver.press("escape")
        await driver.until(lambda: "New project" not in driver.text)

    at(tmp_path / "root", script)
