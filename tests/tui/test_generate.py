"""Generate: one prompt, the model before and after, one seed; nothing of it touches the project."""

import subprocess
import sys

import pytest
from studio import session
from textual import events

from ftstudio.files import write_toml
from ftstudio.project import load
from ftstudio.runs import checkpoints
from ftstudio.runs.queue import slot_paths
from ftstudio.runs.record import create_run
from ftstudio.tui.memory import Memory

pytestmark = pytest.mark.usefixtures("fakes")


HOLDER = """
import sys, time
from pathlib import Path
from ftstudio.locks import RecordLock
lock = RecordLock(Path(sys.argv[1]))
assert lock.acquire()
lock.note(sys.argv[2])
print("held", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def trained(make_project):
    """A project with a run that committed checkpoints, as a worker would leave it."""

    def make(*steps, shape="text", final=False, name="lab", **tables):
        folder = make_project(name, **({"generator": {"tell": True}} | tables))
        run_of(folder, *steps, shape=shape, final=final)
        return folder

    return make


def run_of(folder, *steps, shape, final=False):
    """One more run of the project, with checkpoints at these steps."""
    run = create_run(load(folder), ["test"])
    write_toml(run.state, {"state": "finished", "attempt": 1, "host": "gpu03", "boot_id": "b"})
    write_toml(run.inputs, {"data": {"shape": shape}})
    run.events.write_text("")
    for step in steps:
        draft = checkpoints.stage(run.checkpoints, step)
        (draft.path / "config.json").write_text("{}")
        (draft.path / "model.safetensors").write_bytes(b"weights")
        checkpoints.commit(draft, step, metrics={}, best=step == steps[0], shape=shape, base=None)
    if final:
        run.final.mkdir()
        (run.final / "config.json").write_text("{}")


@pytest.fixture
def open_generate(tmp_path):
    def run(script, folder, size=(80, 24), **manners):
        Memory().showed(folder, "generate")
        return session(tmp_path, script, size, **manners)

    return run


async def ask(driver, prompt=""):
    """Go into the prompt, replace it where one is given, generate, and leave it."""
    await driver.until("before")
    await driver.press("enter")
    if prompt:
        driver.app.screen.query_one("PromptLine").value = ""
        await driver.type(prompt)
    await driver.press("enter")


def columns(driver):
    return [a for a in driver.app.screen.query("Answer") if a.display]


async def answered(driver):
    await driver.until(lambda: all(a.note == "ended by itself" for a in columns(driver)))


def test_the_base_model_and_the_newest_checkpoint_answer_with_the_same_seed(open_generate, trained):
    async def script(driver):
        await ask(driver)
        await answered(driver)
        base, tuned = columns(driver)
        assert base.title == "fake-model, before"
        assert tuned.title == "lab:0001 at 8"
        assert base.answer.startswith(" step 0 built 1")
        assert tuned.answer.startswith(" step 8 built 2")
        assert base.answer.endswith("seed 42")
        assert tuned.answer.endswith("seed 42")
        assert base.before == [("dim", "Hello")]  # the project's own prompt

    open_generate(script, trained(4, 8))


def test_the_columns_stand_side_by_side_from_100_columns(open_generate, trained):
    async def script(driver):
        await ask(driver)
        await answered(driver)
        (line,) = [line for line in driver.text.splitlines() if "fake-model, before" in line]
        return "lab:0001 at 8" in line

    folder = trained(8)
    assert open_generate(script, folder, size=(100, 30))
    assert not open_generate(script, folder, size=(99, 30))


def test_a_finished_model_is_taken_before_checkpoints(open_generate, trained):
    async def script(driver):
        await driver.until("lab:0001, finished")

    open_generate(script, trained(8, final=True))


def test_it_says_that_a_model_of_texts_continues_them(open_generate, trained):
    async def script(driver):
        await driver.until("this model continues text")
        await driver.press("n")
        await driver.until("each prompt stands for itself")

    open_generate(script, trained(8))


def test_models_of_messages_answer_in_a_conversation_until_a_new_one_is_begun(open_generate, trained):
    async def script(driver):
        await driver.until("a conversation")
        await ask(driver, "one")
        await answered(driver)
        assert "after 1 turns: one" in columns(driver)[0].answer
        await driver.type("two")
        await driver.press("enter")
        await driver.until(lambda: "after 3 turns: two" in columns(driver)[0].answer)
        await answered(driver)
        assert "> one" in columns(driver)[1].plain
        assert "step 8" in columns(driver)[1].plain.split("> two")[0]  # each model's own answer
        await driver.press("escape", "n")
        await ask(driver, "three")
        await driver.until(lambda: "after 1 turns: three" in columns(driver)[0].answer)

    open_generate(script, trained(8, shape="messages"))


def test_a_conversation_is_with_the_models_of_one_run(open_generate, trained):
    async def script(driver):
        await driver.until("lab:0002 at 6")
        await ask(driver, "one")
        await answered(driver)
        await driver.press("escape", "less_than_sign")
        await driver.until("lab:0001 at 8")
        assert [a.answer for a in columns(driver)] == ["", ""]
        await ask(driver, "two")
        await driver.until(lambda: all("after 1 turns: two" in a.answer for a in columns(driver)))

    folder = trained(8, shape="messages")
    run_of(folder, 6, shape="messages")
    open_generate(script, folder)


def keys_at_once(driver, text):
    """Keys as a slow link brings them: all before the first is taken."""
    for c in text:
        name = {"\n": "enter", " ": "space"}.get(c, c)
        driver.app.post_message(events.Key(name, "\r" if c == "\n" else c))


@pytest.mark.parametrize("shape", ["text", "messages"])
def test_what_is_typed_right_after_a_prompt_begins_the_next_one_in_its_order(open_generate, trained, shape):
    async def script(driver):
        await driver.until("before")
        await driver.press("enter")
        keys_at_once(driver, "one\nbgm 2")
        line = driver.app.screen.query_one("PromptLine")
        await driver.until(lambda: line.value == "bgm 2")
        assert columns(driver)[0].before[-1][1].strip("> \n") == "one"
        assert driver.app.focused is line
        await driver.press("x", "enter")
        await driver.until(lambda: columns(driver)[0].before[-1][1].strip("> \n") == "bgm 2x")
        await answered(driver)

    open_generate(script, trained(8, shape=shape))


@pytest.mark.parametrize("shape", ["text", "messages"])
def test_typing_takes_the_place_of_a_prompt_that_is_only_proposed_and_an_arrow_goes_into_it(
    open_generate, trained, shape
):
    async def script(driver):
        await driver.until("before")
        line = driver.app.screen.query_one("PromptLine")
        await driver.press("enter", "end")
        await driver.type(" you")
        assert line.value == "Hello you"
        await driver.press("enter")
        await answered(driver)
        if line.has_focus:  # a conversation goes on
            await driver.press("escape")
        await driver.press("m")  # another model begins a new talk, and the project's prompt is proposed again
        await driver.until("The first model")
        await driver.press("end", "enter")
        await driver.until(lambda: columns(driver)[0].title == "lab:0001 at 8, best")
        await driver.until(lambda: line.value in {"Hello", "Hello you"})
        await driver.press("enter")
        await driver.type("one")
        assert line.value == "one"

    open_generate(script, trained(8, shape=shape))


def test_esc_cancels_at_once_and_what_comes_late_is_not_shown(open_generate, trained):
    async def script(driver):
        await ask(driver)
        await driver.until(lambda: " 3" in columns(driver)[0].answer)
        await driver.press("escape")
        assert [a.note for a in columns(driver)] == ["cancelled", "cancelled"]
        text = columns(driver)[0].answer
        await driver.pilot.pause(0.5)
        assert columns(driver)[0].answer == text
        await driver.press("2")  # out of the prompt: keys act again
        await driver.until("rows 1 to")

    open_generate(script, trained(8, generator={"words": 10_000, "word_seconds": 0.05, "deaf": True}))


def test_up_and_down_go_through_the_prompts_of_before_and_outlive_the_studio(open_generate, trained):
    async def first(driver):
        await ask(driver, "alpha")
        await answered(driver)
        await ask(driver, "beta")
        await answered(driver)

    async def second(driver):
        await driver.until("before")
        await driver.press("enter")
        line = driver.app.screen.query_one("PromptLine")
        line.value = "draft"
        seen = []
        for key in ("up", "up", "up", "down", "down"):
            await driver.press(key)
            seen.append(line.value)
        assert seen == ["beta", "alpha", "alpha", "beta", "draft"]

    folder = trained(8)
    open_generate(first, folder)
    open_generate(second, folder)


def test_an_option_is_changed_for_this_once_and_the_project_stays_as_it_is(open_generate, trained):
    folder = trained(8)
    before = (folder / "project.toml").read_bytes()

    async def set_option(driver, downs, value):
        await driver.press("o")
        await driver.until("Options, for this once")
        await driver.press(*["down"] * downs, "enter")
        await driver.until("Empty: as")
        for _ in range(6):
            await driver.press("backspace")
        await driver.type(value)
        await driver.press("enter")

    async def script(driver):
        await driver.until("seed 42")
        await set_option(driver, 0, "7")
        await driver.until("seed 7")
        await set_option(driver, 2, "many")
        await driver.until("must be a whole number")
        await driver.press("escape")
        await ask(driver)
        await answered(driver)
        assert columns(driver)[1].answer.endswith("seed 7")

    open_generate(script, folder)
    assert (folder / "project.toml").read_bytes() == before


def test_any_checkpoint_of_any_run_can_stand_beside_any_other(open_generate, trained):
    other = trained(6, name="other")
    assert other.name == "other"

    async def script(driver):
        await driver.until("lab:0001 at 8")
        await driver.press("m")
        await driver.until("The first model")
        titles = [str(row.text).strip() for row in driver.app.screen.query_one("Lines").rows]
        assert titles == ["fake-model, before", "lab:0001 at 8", "lab:0001 at 4, best", "other:0001 at 6, best"]
        await driver.press("down", "down", "enter")
        await driver.until("lab:0001 at 4, best")
        await driver.press("b")
        await driver.until("The model beside it")
        await driver.press("end", "up", "enter")
        await driver.until("other:0001 at 6, best   g generates")
        await driver.press("g")
        await answered(driver)
        assert [a.answer.split()[1] for a in columns(driver)] == ["4", "6"]
        await driver.press("b")
        await driver.until("nothing beside it")
        await driver.press("end", "enter")
        await driver.until(lambda: len(columns(driver)) == 1)

    open_generate(script, trained(4, 8))


@pytest.mark.parametrize("shape", ["text", "messages"])
def test_with_another_model_the_last_prompt_stands_there_to_be_asked_again(open_generate, trained, shape):
    async def script(driver):
        await ask(driver, "once more")
        await answered(driver)
        await driver.press("escape") if shape == "messages" else None
        for column in ("m", "b"):
            await driver.press(column)
            await driver.until("nothing beside it" if column == "b" else "The first model")
            await driver.press("home", "down", "down", "enter")
            await driver.until("lab:0001 at 4, best   g generates")
        assert [a.plain for a in columns(driver)] == ["", ""]
        await driver.press("g")
        await answered(driver)
        assert all("once more" in a.plain for a in columns(driver))

    open_generate(script, trained(4, 8, shape=shape))


def test_a_project_without_a_run_samples_the_base_model_alone(open_generate, make_project):
    async def script(driver):
        await ask(driver)
        await answered(driver)
        (base,) = columns(driver)
        assert base.answer == " step 0"

    open_generate(script, make_project())


def test_it_says_why_it_computes_where_it_does_when_a_run_holds_the_device(open_generate, trained):
    folder = trained(8)
    run = folder / "runs" / "0007"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(slot_paths("cpu", {})[0]), str(run)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"

    async def script(driver):
        await ask(driver)
        await driver.until("lab:0007 computes on it")
        assert "On the CPU, though" in driver.text

    try:
        open_generate(script, folder, size=(120, 36))
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_a_plugin_that_ends_the_process_is_said_in_its_column(open_generate, trained):
    async def script(driver):
        await ask(driver)
        await driver.until("The workbench ended with exit code 0")
        assert "the last words of the plugin" in driver.text

    open_generate(script, trained(8, generator={"ending": "exit"}))


def test_text_of_a_model_is_shown_escaped(open_generate, trained):
    async def script(driver):
        await ask(driver)
        await answered(driver)
        assert "\x1b" not in driver.text
        assert "\\x1b]0;title" in driver.text

    open_generate(script, trained(8, generator={"say": "\x1b]0;title\x07 [/b]"}))


def test_an_empty_prompt_is_refused_in_words(open_generate, trained):
    async def script(driver):
        await ask(driver, " ")
        await driver.until("There is no prompt yet.")

    open_generate(script, trained(8))


def test_y_copies_both_texts_into_a_file_that_is_named(open_generate, trained, own_folders):
    async def script(driver):
        await ask(driver)
        await answered(driver)
        await driver.press("tab", "y")
        await driver.until("Copied, and written to")

    open_generate(script, trained(8))
    text = (own_folders / "state" / "ftstudio" / "copied.txt").read_text()
    assert text.startswith("Hello step 8")


def test_in_ascii_nothing_else_is_shown(open_generate, trained):
    async def script(driver):
        await ask(driver)
        await answered(driver)
        return driver.text

    assert open_generate(script, trained(8), ascii=True).isascii()


def test_after_enter_the_keys_that_the_key_line_names_hold(open_generate, trained):
    async def script(driver):
        await driver.until("before")
        await driver.press("enter")
        assert driver.text.splitlines()[-1].split() == ["enter", "generate", "esc", "leave"]
        await driver.press("enter")
        await answered(driver)
        assert "m model" in driver.text.splitlines()[-1]
        await driver.press("m")
        await driver.until("The first model")

    open_generate(script, trained(8))


def test_within_a_conversation_the_key_line_is_the_prompts(open_generate, trained):
    async def script(driver):
        await driver.until("a conversation")
        await ask(driver, "one")
        await answered(driver)
        assert "enter generate   esc leave" in driver.text.splitlines()[-1]

    open_generate(script, trained(8, shape="messages"))


def test_what_is_wrong_with_the_project_is_said_in_the_column_with_its_fix(open_generate, trained):
    folder = trained(8)
    file = folder / "project.toml"
    text = file.read_text()

    async def script(driver):
        await driver.until("before")
        file.write_text(text.replace('use = "fake-walk"', 'use = "fake-wolk"'))
        await driver.press("g")
        await driver.until("fake-wolk")
        assert "Did you mean" in driver.text

    open_generate(script, folder)


def test_the_line_of_settings_follows_the_projects_file(open_generate, trained):
    folder = trained(8, generator={"ending": "garbage"})
    file = folder / "project.toml"

    def change(before, after):
        file.write_text(file.read_text().replace(before, after))

    async def script(driver):
        await driver.until("ending garbage")
        change('"garbage"', '"exit"')
        await driver.press("1")
        await driver.until("What this means")
        await driver.press("5")
        await driver.until("ending exit", seconds=4)
        change('"exit"', '"raise"')
        await driver.until("ending raise", seconds=4)

    open_generate(script, folder, size=(120, 36))
