"""Train shows a run as it goes: tiles, charts, words; several runs over each other; what waits, and what went wrong."""

import json
import re
import shutil
import time
from pathlib import Path

import pytest
from studio import session

from ftstudio.api import Metric
from ftstudio.files import state_dir, write_toml
from ftstudio.project import load
from ftstudio.runs.events import iter_events
from ftstudio.runs.observers import Cursor, ObserverFiles
from ftstudio.runs.record import create_run
from ftstudio.runs.status import Status
from ftstudio.tui.look import Look
from ftstudio.tui.samples import Samples
from ftstudio.tui.tiles import tiles

pytestmark = pytest.mark.usefixtures("fakes")


def made(folder, state="finished", steps=30, reason="", loss=lambda step: 4.0 / step, **more):
    run = create_run(load(folder), ["test"])
    write_toml(run.state, {"state": state, "reason": reason, "attempt": 1, "host": "gpu03", "boot_id": "b"})
    lines = []
    for step in range(1, steps + 1):
        values = {"loss": loss(step), **{name: value * step for name, value in more.items()}}
        lines.append({"t": 1.0 + step, "attempt": 1, "kind": "metrics", "step": step, "metrics": values})
    lines.append(
        {"t": 90.0, "attempt": 1, "kind": "progress", "step": None, "done": steps, "total": 40, "unit": "step"}
    )
    lines.append({"t": 91.0, "attempt": 1, "kind": "warning", "step": None, "text": "a word \x1b[31m of warning"})
    lines.append({"t": 92.0, "attempt": 1, "kind": "sample", "step": 30, "prompt": "The river", "text": " bends"})
    run.events.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    return run


def test_tiles_charts_and_words_of_a_run(tmp_path, make_project):
    made(make_project(), eval_loss=0.1)

    async def script(driver):
        await driver.press("enter")
        await driver.until("30/40")
        await driver.until("eval_loss")
        assert "loss 0.1333" in driver.text
        assert "The river" in driver.text
        assert "bends" in driver.text
        assert "! a word \\x1b[31m of warning" in driver.text
        charts = driver.app.screen.pane._charts
        assert {name for name, chart in charts.items() if chart.display} == {"loss", "eval_loss"}

    session(tmp_path, script)


def test_the_tiles_tell_time_and_memory_and_drop_what_tells_least_where_it_is_narrow(tmp_path, make_project):
    run = made(make_project(), "running", eval_loss=0.1, learning_rate=1e-6, perplexity=0.04, peak_memory_bytes=1e8)
    with run.events.open("a") as file:
        file.write(
            json.dumps({"t": time.time() - 5, "attempt": 1, "kind": "message", "step": None, "text": "x"}) + "\n"
        )

    async def script(driver):
        await driver.press("enter")
        await driver.until("30/40   ")
        await driver.until("so far 90 s" if driver.app.size.width > 80 else "loss 0.1333")
        return driver.text.splitlines()[1]

    wide = session(tmp_path, script, size=(140, 36))
    assert " running   loss 0.1333   eval_loss 3   ppl 1.2   lr 3e-05   30/40   so far 90 s   3.0 GB   on gpu03" in wide
    narrow = session(tmp_path, script)
    assert " running   loss 0.1333   eval_loss 3" in narrow
    assert re.search(r"30/40 .*on gpu03, last event \d+ s ago", narrow)
    assert "GB" not in narrow


def test_a_run_of_this_machine_tells_its_last_event_beside_what_is_left():
    status = Status(
        project="lab", run="0001", path=Path("0001"), state="running", reason="", attempt=1, host="here", device="cpu",
        step=3, total_steps=9, metrics={"loss": 2.0}, eta_s=60.0, last_event_t=time.time() - 1,
    )  # fmt: skip
    assert tiles(status, Look(), "lo", 5.0, 100).plain.endswith(
        " running   /lo   loss 2   3/9   60 s left   so far 5 s   last event 1 s ago"
    )


def test_a_resumed_run_that_waits_says_behind_what():
    status = Status(
        project="b", run="0002", path=Path("0002"), state="queued", reason="Waits for cpu, behind b:0003.", attempt=2,
        host="here", device="", step=7, total_steps=9, metrics={"loss": 2.0}, last_event_t=time.time() - 700,
    )  # fmt: skip
    assert tiles(status, Look(), "", 5.0, 80).plain.endswith(
        " queued   loss 2   7/9   so far 5 s   Waits for cpu, behind b:0003."
    )


def test_the_tiles_of_a_stranger_s_trainer_stand_behind_everybody_s_losses():
    status = Status(
        project="lab", run="0001", path=Path("0001"), state="finished", reason="", attempt=1, host="here", device="cpu",
        step=9, total_steps=9, metrics={"loss": 2.0, "rewards/margins": 1.5, "perplexity": 3.0}, eta_s=None,
        last_event_t=None,
    )  # fmt: skip
    own = [Metric(name="rewards/margins", label="mar\x1bgin", unit="nats", tile=True), Metric(name="unseen", tile=True)]
    line = tiles(status, Look(), "", 0.0, 100, own).plain
    assert " finished   loss 2   mar" in line
    assert "gin 1.5 nats   ppl 3   9/9" in line
    assert "\x1b" not in line
    assert "unseen" not in line


def test_a_run_without_a_metric_says_why(tmp_path, make_project):
    run = made(make_project(), "queued", steps=0, reason="Waits for cpu, behind poetry:0007.")
    run.events.unlink()

    async def script(driver):
        await driver.press("enter")
        await driver.until("Waits for cpu, behind poetry:0007.")
        assert "last event" not in driver.text, "there is none yet"
        assert "Q shows the queue." in driver.text

    session(tmp_path, script)


def test_without_a_chart_every_key_is_a_key_and_none_is_typed(tmp_path, make_project):
    folder = make_project()
    made(folder)
    made(folder, "queued", steps=0, reason="Waits for cpu.")

    async def script(driver):
        await driver.press("enter")
        await driver.until("Waits for cpu.")
        await driver.press("o")
        await driver.until("Lay over this run")
        await driver.press("escape", "question_mark")
        await driver.until("Help")
        await driver.press("escape", "less_than_sign")
        await driver.until(lambda: "loss" in shown(driver))
        assert driver.app.screen.pane.focused_chart is not None

    session(tmp_path, script)


def test_a_project_without_a_run_says_the_next_step(tmp_path, make_project):
    folder = make_project()

    async def script(driver):
        driver.app.open_project(folder, "train")
        await driver.until("S starts one")

    session(tmp_path, script)


def test_a_metric_is_found_by_an_expression_with_a_look_at_each_keystroke(tmp_path, make_project):
    made(make_project(), grad_norm=2.0, tokens_per_second=9.0)

    async def script(driver):
        await driver.press("enter")
        await driver.until("grad_norm")
        await driver.press("slash")
        await driver.type("tok")
        await driver.until(lambda: shown(driver) == {"tokens_per_second"})
        await driver.press("backspace", "backspace", "backspace")
        await driver.type("[")  # no expression yet: nothing is found, and nothing breaks
        await driver.until(lambda: shown(driver) == set())
        await driver.press("backspace", "enter")
        await driver.until(lambda: "loss" in shown(driver))

    session(tmp_path, script)


def test_a_filter_that_finds_nothing_says_so_and_can_be_changed(tmp_path, make_project):
    made(make_project())

    async def script(driver):
        await driver.press("enter")
        await driver.until(lambda: shown(driver) == {"loss"})
        await driver.press("slash")
        await driver.type("zzz")
        await driver.press("enter")
        await driver.until("No metric's name holds 'zzz'.")
        assert "/zzz" in driver.text.splitlines()[1]
        await driver.press("slash", "backspace", "backspace", "backspace")
        await driver.type("tok(")
        await driver.press("enter")
        await driver.until("'tok(' is no expression: missing )")
        await driver.press("slash", *["backspace"] * 4, "enter")
        await driver.until(lambda: shown(driver) == {"loss"})
        assert driver.app.screen.pane.focused_chart is not None
        await driver.press("slash")
        await driver.type("zzz")
        await driver.until("No metric's name holds 'zzz'.")
        await driver.press("escape")  # out of the field, and the filter with it; the project stays open
        await driver.until(lambda: shown(driver) == {"loss"})
        assert driver.app.screen.pane.focused_chart is not None
        await driver.press("escape")
        await driver.until(lambda: driver.app.screen.query("HomeScreen #filter, #filter"))

    session(tmp_path, script)


def test_a_filter_that_would_take_for_ever_is_given_up_with_a_sentence(tmp_path, make_project):
    made(make_project(), **{"a" * 60 + ".b": 1.0})

    async def script(driver):
        await driver.press("enter")
        await driver.until(lambda: "loss" in shown(driver))
        await driver.press("slash")
        driver.app.screen.query_one("#metrics").value = "(a+)+$"
        await driver.until("takes too long")
        driver.app.screen.query_one("#metrics").value = "los+"
        await driver.until(lambda: shown(driver) == {"loss"})

    session(tmp_path, script)


def shown(driver):
    return {name for name, chart in driver.app.screen.pane._charts.items() if chart.display}


def test_another_run_is_laid_over_and_taken_away(tmp_path, make_project):
    folder = make_project()
    made(folder)
    made(folder, loss=lambda step: 2.0)

    async def script(driver):
        await driver.press("enter")
        await driver.until(lambda: "loss" in shown(driver))
        chart = driver.app.screen.pane._charts["loss"]
        assert len(chart._series) == 1
        await driver.press("o", "enter")
        await driver.until(lambda: len(chart._series) == 2)
        await driver.press("o", "enter")
        await driver.until(lambda: len(chart._series) == 1)

    session(tmp_path, script)


def test_one_cursor_over_all_charts_and_one_chart_alone(tmp_path, make_project):
    made(make_project(), eval_loss=0.1)

    async def script(driver):
        await driver.press("enter")
        await driver.until(lambda: shown(driver) == {"loss", "eval_loss"})
        await driver.press("left")
        charts = driver.app.screen.pane._charts
        await driver.until(lambda: charts["loss"].view.cursor == charts["eval_loss"].view.cursor == 30)
        assert driver.app.screen.step_at_cursor == 30
        await driver.press("escape", "enter")
        await driver.until(lambda: len(shown(driver)) == 1)
        await driver.press("enter")
        await driver.until(lambda: len(shown(driver)) == 2)

    session(tmp_path, script)


@pytest.mark.parametrize("before", ["2", "6"])
def test_a_chart_has_the_focus_whatever_pane_was_shown_before(tmp_path, make_project, before):
    folder = make_project()
    made(folder)

    async def script(driver):
        driver.app.open_project(folder, {"2": "data", "6": "compare"}[before])
        await driver.until(lambda: getattr(driver.app.screen, "pane", None) and driver.app.screen.focused)
        driver.app.screen.pane.query_one("Lines").focus()
        await driver.press("3")
        await driver.until(lambda: driver.app.screen.shown == "train" and "loss" in shown(driver))
        await driver.press("left")
        await driver.until(lambda: driver.app.screen.step_at_cursor == 30)
        await driver.press(before)
        await driver.until(lambda: driver.app.screen.shown != "train")
        assert driver.app.screen.pane in driver.app.screen.focused.ancestors, "and Train takes it from no other pane"

    session(tmp_path, script)


def test_the_keys_of_a_chart_are_in_help_and_in_the_palette(tmp_path, make_project):
    made(make_project())

    async def script(driver):
        await driver.press("enter")
        await driver.until(lambda: "loss" in shown(driver))
        chart = driver.app.screen.pane._charts["loss"]
        await driver.press("question_mark")
        await driver.until("Smooth the curve more.")
        assert "]" in next(line for line in driver.text.splitlines() if "Smooth the curve more." in line)
        await driver.press("escape", "colon")
        await driver.type("smoother")
        await driver.until(lambda: "Smooth the curve more." in driver.text and "zoom out" not in driver.text)
        await driver.press("enter")
        await driver.until(lambda: chart.view.smoothing > 0)

    session(tmp_path, script, size=(120, 60))


def test_help_explains_the_metric_of_the_chart_a_strangers_by_what_it_declares(tmp_path, make_project):
    made(make_project(), walked=2.0, odd=1.0)

    async def script(driver):
        await driver.press("enter")
        await driver.until(lambda: shown(driver) == {"loss", "odd", "walked"})
        for words in ("how badly the model foresees", "declares nothing of it", "'way so far', in metres"):
            await driver.press("question_mark")
            await driver.until(words)
            assert "lr the learning rate" in driver.text
            await driver.press("escape", "n")

    session(tmp_path, script, size=(120, 60))


def test_a_chart_is_exported_and_the_path_is_said(tmp_path, make_project):
    made(make_project())

    async def script(driver):
        await driver.press("enter")
        await driver.until(lambda: "loss" in shown(driver))
        await driver.press("e")
        await driver.until((state_dir() / "exports" / "lab-0001-loss.svg").exists)
        text = (state_dir() / "exports" / "lab-0001-loss.csv").read_text()
        assert len(text.splitlines()) == 31

    session(tmp_path, script)


def test_readonly_exports_no_chart(tmp_path, make_project):
    made(make_project())

    async def script(driver):
        await driver.press("enter")
        await driver.until(lambda: "loss" in shown(driver))
        await driver.press("e")
        await driver.until("--readonly")

    session(tmp_path, script, readonly=True)
    assert not (state_dir() / "exports").exists()


def test_y_copies_the_last_values_and_where_those_of_the_chart_are(tmp_path, make_project):
    made(make_project())
    table = state_dir() / "exports" / "lab-0001-loss.csv"

    async def script(driver):
        await driver.press("enter")
        await driver.until(lambda: "loss" in shown(driver))
        await driver.press("y")
        await driver.until((state_dir() / "copied.txt").exists)
        first, second, last = (state_dir() / "copied.txt").read_text().splitlines()
        assert first.startswith("lab:0001  ")
        assert "finished" in first
        assert (second, last) == ("loss 0.133333", f"loss: {table}")
        assert len(table.read_text().splitlines()) == 31

    session(tmp_path, script)


def test_observers_that_are_not_well_are_said_in_one_line_with_the_next_step(tmp_path, make_project, monkeypatch):
    monkeypatch.setenv("FTSTUDIO_PROJECTS", str(tmp_path))
    folder = make_project(observers=[{"use": "fake-watch"}, {"use": "fake-watch", "at": 3}])
    run = made(folder)
    run.observers.mkdir()
    ObserverFiles(run, "fake-watch").write(Cursor(state="failed", reason="Its server \x1b[31m is away."))

    async def script(driver):
        await driver.press("enter")
        await driver.until("! observer fake-watch failed (and 1 more): ftstudio replay lab:0001 --to")
        for name in ("fake-watch", "fake-watch-2"):
            ObserverFiles(run, name).write(Cursor(state="done"))
        await driver.press("2", "3")
        await driver.until(lambda: "observer" not in driver.text)

    session(tmp_path, script)


def test_a_hidden_pane_reads_nothing(tmp_path, make_project):
    made(make_project())

    async def script(driver):
        await driver.press("enter")
        await driver.until(lambda: "loss" in shown(driver))
        pane = driver.app.screen.pane
        await driver.press("4")
        await driver.until("events.jsonl")
        assert pane._timer is None
        assert not pane.display

    session(tmp_path, script)


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60), (61, 17)])
def test_it_fits_any_size_in_ascii_too(tmp_path, make_project, size):
    made(make_project(), eval_loss=0.1)

    async def script(driver):
        await driver.press("enter")
        await driver.until("loss")
        return driver.text

    assert session(tmp_path, script, size=size, ascii=True).isascii()


def test_of_two_keys_pressed_at_once_the_last_pane_is_shown(tmp_path, make_project):
    folder = make_project()
    made(folder)

    async def script(driver):
        driver.app.open_project(folder, "train")
        await driver.pilot.press("4", "7", "4")
        await driver.until("events.jsonl")
        assert driver.app.screen.shown == "logs"
        assert [pane for pane in driver.app.screen._panes.values() if pane.display] == [driver.app.screen.pane]

    session(tmp_path, script)


# --------------------------------------------------------------------------------------------- samples


def sampled(run, *samples, attempt=1, t=95.0):
    with run.events.open("a") as file:
        for step, prompt, text, model in samples:
            of = {"model": model} if model else {}
            event = {"t": t, "attempt": attempt, "kind": "sample", "step": step, "prompt": prompt, "text": text, **of}
            file.write(json.dumps(event) + "\n")


def resumed(run, attempt, step):
    with run.events.open("a") as file:
        event = {"t": 96.0, "attempt": attempt, "kind": "state", "step": None, "state": "running", "resumed_from": step}
        file.write(json.dumps(event) + "\n")


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
def test_all_samples_so_far_can_be_looked_through_and_of_one_prompt_alone(tmp_path, make_project, size):
    run = made(make_project(), "running", steps=1)
    river, sea = "The river", [{"role": "user", "content": "The sea?"}]
    sampled(run, (0, river, " is old\nand \x1b[31mcold", "base"), (10, river, " ten", ""), (10, sea, "Ten!", ""),
            (20, river, " twenty", ""), (20, sea, "Twenty!", ""))  # fmt: skip

    async def script(driver):
        await driver.press("enter")
        await driver.until("s samples")
        await driver.press("s")
        await driver.until("lab:0001 · 6 samples")
        lines = driver.app.screen.query_one("Lines")
        whens = [row.text.plain.split()[0] for row in lines.rows]
        assert whens == ["20", "20", "10", "10", "before", "30"]
        assert "The sea? → Twenty!" in driver.text
        await driver.press("down", "down")
        await driver.until("Step 10")
        await driver.press("end", "up")
        await driver.until("The model before fine-tuning")
        assert "and \\x1b[31mcold" in driver.text  # whole, on lines of its own, and harmless
        sampled(run, (20, river, " the end", "final"), t=97.0)
        await driver.until("7 samples")  # what comes is shown, and the cursor stays
        assert lines.rows[0].text.plain.split()[0] == "final"
        assert "The model before fine-tuning" in driver.text
        await driver.press("p")
        await driver.until("5 samples · prompt 1 of 2")
        assert "The sea" not in driver.text
        await driver.press("p")
        await driver.until("2 samples · prompt 2 of 2")
        await driver.press("p")
        await driver.until("lab:0001 · 7 samples")
        assert "> The sea?" in driver.text  # a question and its answer do not run into each other
        await driver.press("end", "up", "y")
        await driver.until("Copied")
        await driver.press("escape")
        await driver.until("3 Train")

    session(tmp_path, script, size=size)
    assert "is old\n" in (state_dir() / "copied.txt").read_text()


def test_samples_behind_which_a_resume_went_back_are_left_out(tmp_path, make_project):
    run = made(make_project(), steps=1)
    sampled(run, (10, "a", " kept", ""), (20, "a", " lost", ""))
    resumed(run, 2, 10)
    sampled(run, (20, "a", " again", ""), attempt=2)
    samples = Samples()
    samples.add(iter_events(run.events))
    assert [(s.when, s.text) for s in samples.newest_first("a")] == [("20", " again"), ("10", " kept")]


def test_samples_of_a_deleted_run_are_not_shown_as_those_of_the_one_that_has_its_number_now(tmp_path, make_project):
    folder = make_project()
    run = made(folder, "running", steps=1)
    sampled(run, (20, "The river", " of before", ""))

    async def script(driver):
        await driver.press("enter")
        await driver.until("s samples")
        await driver.press("s")
        await driver.until("2 samples")
        shutil.rmtree(run.path)
        again = made(folder, "running", steps=3)  # more events than the other one had
        assert again.path == run.path
        sampled(again, (40, "The sea", " of now", ""), (50, "The sea", " of now", ""))
        await driver.until("3 samples")
        assert "of before" not in driver.text

    session(tmp_path, script)


def test_of_a_sample_of_a_megabyte_the_beginning_is_shown_at_once(tmp_path, make_project):
    run = made(make_project(), steps=1)
    sampled(run, (40, "The river", " long" * 200_000, ""))

    async def script(driver):
        await driver.press("enter")
        await driver.until("s samples")
        await driver.press("s")
        await driver.until("long long")
        assert str(driver.app.screen.query_one("#words Static").render()).endswith("The log has the rest.")

    session(tmp_path, script)


def test_without_a_sample_it_says_what_makes_some(tmp_path, make_project):
    run = made(make_project(), steps=1)
    run.events.write_text(run.events.read_text().replace('"kind":"sample"', '"kind":"message"'))

    async def script(driver):
        await driver.press("enter")
        await driver.until("s samples")
        await driver.press("s")
        await driver.until("sample_steps")
        await driver.press("p")
        await driver.until("There is only one prompt.")

    session(tmp_path, script)


def test_a_run_that_got_the_number_of_a_deleted_one_shows_nothing_of_that(tmp_path, make_project):
    folder = make_project()
    gone = made(folder, steps=30, loss=lambda step: 9.0)

    async def script(driver):
        await driver.press("enter")
        await driver.until("a word")
        pane = driver.app.screen.pane
        shutil.rmtree(gone.path)
        again = create_run(load(folder), ["test"])
        assert again.path == gone.path
        write_toml(again.state, {"state": "finished", "attempt": 1, "host": "gpu03", "boot_id": "b"})
        lines = [
            {"t": 100.0 + step, "attempt": 1, "kind": "metrics", "step": step, "metrics": {"loss": 1.0}}
            for step in range(1, 4000)  # longer than the deleted one's
        ]
        again.events.write_text("".join(json.dumps(line) + "\n" for line in lines))
        await driver.until(lambda: "loss" in pane._charts and len(pane._feeds.best([again.path])) == 1)
        await driver.until(lambda: "a word" not in driver.text)
        await driver.until(lambda: len(pane._feeds.best([again.path])[0].series["loss"].steps) == 3999)
        (feed,) = pane._feeds.best([again.path])
        assert set(feed.series["loss"].raw.values) == {1.0}
        assert "The river" not in driver.text

    session(tmp_path, script)


def test_when_the_only_run_is_deleted_there_is_none(tmp_path, make_project):
    run = made(make_project())

    async def script(driver):
        await driver.press("enter")
        await driver.until("a word")
        shutil.rmtree(run.path)
        await driver.until("No run yet.")
        assert "a word" not in driver.text
        assert not [chart for chart in driver.app.screen.pane._charts.values() if chart.display]

    session(tmp_path, script)
