"""The harness of the benchmarks: turns, medians, goals."""

import json
import subprocess
from types import SimpleNamespace

import pytest

from ftstudio.runs.find import list_runs
from ftstudio.runs.status import read_status
from tests.benchmarks.__main__ import known, main
from tests.benchmarks.folders import make_projects
from tests.benchmarks.harness import Benchmark, Goal, machine, measure, outcome, program, table


def test_variants_take_turns_and_the_first_round_does_not_count(tmp_path):
    order = []

    def variant(name, values):
        return lambda: order.append(name) or next(values)

    benchmark = Benchmark(lambda folder: {"a": variant("a", iter([9, 1, 2, 3])), "b": variant("b", iter([9, 5, 4, 6]))})
    values = measure(benchmark, tmp_path, rounds=3)
    assert order == ["a", "b"] * 4
    assert values == {"a": [1, 2, 3], "b": [5, 4, 6]}
    found = outcome("A title", benchmark, values)
    assert found["results"]["b"] == {"median": 5, "ratio": 2.5, "lowest": 4, "highest": 6, "rounds": 3}


@pytest.mark.parametrize(
    ("value", "limit", "at_least", "met"),
    [(1, 2, False, True), (2, 2, False, False), (2, 2, True, True), (1, 2, True, False)],
)
def test_a_goal_is_met_or_said_to_be_missed(tmp_path, value, limit, at_least, met):
    benchmark = Benchmark(
        lambda folder: {"a": lambda: {"x": 1.0, "y": 2.0}, "b": lambda: {"x": 3.0, "y": 8.0}},
        lambda m: [Goal("So", m["a: x"] * value, limit, at_least)],
    )
    found = outcome("T", benchmark, measure(benchmark, tmp_path, rounds=2))
    assert found["goals"][0]["met"] is met
    text = table({"name": {**found, "machine": machine()}})
    assert ("**met**" if met else "**MISSED**") in text
    assert "| b: y | 8 | 4.00 | 8 to 8 | 2 |" in text, "compared with the first that measures the same"


def test_a_program_that_fails_fails_the_benchmark():
    with pytest.raises(subprocess.CalledProcessError):
        program("-c", "raise SystemExit(3)")()
    assert 0 < program("-c", "pass")()["CPU"] < 30


def test_the_command_line_names_what_there_is_and_writes_both_results(tmp_path, capsys):
    goal = Goal("So", 3.0, 2.0)
    fake = SimpleNamespace(
        __doc__="A title.\n\nMore.", BENCHMARK=Benchmark(lambda _: {"a": lambda: 1.5}, lambda _: [goal])
    )
    with pytest.raises(SystemExit, match="2"):
        main(["fastest"], {"fake": fake})
    assert "there is no benchmark fastest; there are fake" in capsys.readouterr().err
    page = tmp_path / "page.md"
    asked = ["fake", "--rounds", "2", "--out", str(tmp_path / "out"), "--page", str(page)]
    assert main(asked, {"fake": fake}) == 1, "a goal was missed"
    assert page.read_text().startswith("# Benchmarks\n")
    assert "### fake: A title." in page.read_text()
    assert "\nMore.\n" in page.read_text()
    found = json.loads((tmp_path / "out" / "results.json").read_text())["fake"]
    assert (found["title"], found["results"]["a"]["median"]) == ("A title.", 1.5)
    assert (tmp_path / "out" / "results.md").read_text() == capsys.readouterr().out


def test_results_are_kept_until_their_benchmark_runs_again_and_a_page_is_made_of_all(tmp_path, capsys):
    values = iter([1.0, 2.0, 3.0])
    some = {
        name: SimpleNamespace(
            __doc__=f"{name}.", BENCHMARK=Benchmark(lambda _: {"a": lambda: next(values)}, warm=False, rounds=1)
        )
        for name in ("one", "two")
    }
    out = ["--out", str(tmp_path)]
    assert main(["one", *out], some) == 0
    assert main(["two", *out], some) == 0
    assert main(["one", *out], some) == 0
    capsys.readouterr()
    assert main([*out, "--page", str(tmp_path / "page.md")], some) == 0
    assert capsys.readouterr().out == "", "nothing ran"
    page = (tmp_path / "page.md").read_text()
    assert page.index("| a | 3 |") < page.index("| a | 2 |")
    assert "| a | 1 |" not in page
    elsewhere = ["--out", str(tmp_path / "empty"), "--page", str(tmp_path / "page.md")]
    assert main(elsewhere, some) == 0
    assert (tmp_path / "page.md").read_text() == page, "what lies beside it as JSON is enough"
    values = iter([5.0])
    assert main(["two", *elsewhere], some) == 0
    page = (tmp_path / "page.md").read_text()
    assert page.index("| a | 3 |") < page.index("| a | 5 |")


def test_a_benchmark_that_fails_takes_no_other_along(tmp_path, capsys):
    good = SimpleNamespace(__doc__="Good.", BENCHMARK=Benchmark(lambda _: {"a": lambda: 1.5}))
    bad = SimpleNamespace(__doc__="Bad.", BENCHMARK=Benchmark(lambda _: {"a": program("-c", "raise SystemExit(3)")}))
    assert main(["--rounds", "1", "--out", str(tmp_path)], {"bad": bad, "good": good}) == 1
    said = capsys.readouterr()
    assert "bad failed: " in said.err
    assert "### good: Good." in said.out


def test_every_module_with_a_benchmark_is_known():
    assert {"first_picture", "status_of_1000_runs"} <= set(known())


@pytest.mark.parametrize(
    ("name", "smallest"),
    [
        ("first_frame", {"projects": 1, "runs": 1}),
        ("key_to_paint", {"projects": 1, "runs": 1, "keys": 3}),
        ("large_log", {"size": 100_000, "watched": 0.1}),
        ("attached", {"projects": 1, "runs": 1, "seconds": 0.2, "settle": 0.1}),
        ("stalled_terminal", {"seconds": 0.5}),
    ],
)
def test_benchmarks_of_the_studio_run_at_their_smallest(tmp_path, name, smallest):
    module = known()[name]
    values = {}
    for variant, run in module.prepare(tmp_path, **smallest).items():
        for what, value in run().items():
            assert value >= 0
            values[f"{variant}: {what}"] = value
    assert all(goal.says for goal in module.BENCHMARK.goals(values))


def test_folders_are_made_as_the_program_reads_them(tmp_path):
    (run,) = list_runs(make_projects(tmp_path, projects=1, runs=1, steps=30) / "project-000")
    status = read_status(run)
    assert (status.state, status.step, status.total_steps) == ("finished", 30, 30)
    assert {"loss", "eval_loss"} <= set(status.metrics)
