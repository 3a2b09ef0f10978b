"""The learning rates and step counts that are drawn are those of transformers."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from transformers import TrainingArguments, get_scheduler

from ftstudio_kit.schedule import SCHEDULER_TYPES, Schedule, steps_per_epoch, total_steps, warmup_count

KWARGS = {
    "cosine_with_restarts": {"num_cycles": 3},
    "cosine_with_min_lr": {"min_lr_rate": 0.2},
    "polynomial": {"lr_end": 1e-5, "power": 2.0},
    "inverse_sqrt": {"timescale": 7},
}


def reference(kind: str, warmup: int, total: int, kwargs: dict[str, float]) -> list[float]:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    scheduler = get_scheduler(kind, optimizer, warmup, total, scheduler_specific_kwargs=dict(kwargs))
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("kind", SCHEDULER_TYPES)
@pytest.mark.parametrize(("warmup", "total"), [(0, 20), (5, 20), (1, 3)])
def test_each_step_has_the_learning_rate_of_transformers(kind: str, warmup: int, total: int) -> None:
    kwargs = KWARGS.get(kind, {})
    ours = Schedule(kind, 1e-3, warmup, total, kwargs)
    assert [ours.at(step) for step in range(1, total + 1)] == pytest.approx(reference(kind, warmup, total, kwargs))


@pytest.mark.parametrize("kind", ["linear", "cosine", "polynomial", "inverse_sqrt", "cosine_with_restarts"])
def test_defaults_are_those_of_transformers(kind: str) -> None:
    ours = Schedule(kind, 1e-3, 4, 20)
    assert [ours.at(step) for step in range(1, 21)] == pytest.approx(reference(kind, 4, 20, {}))


def test_a_warm_up_longer_than_the_run_raises_nothing() -> None:
    for kind in SCHEDULER_TYPES:
        assert all(rate >= 0 for _, rate in Schedule(kind, 1e-3, 500, 15).curve())


@pytest.mark.parametrize("total", [1, 2, 150, 200, 201, 100_000])
def test_a_curve_has_at_most_200_exact_points_with_both_ends(total: int) -> None:
    schedule = Schedule("linear", 1e-3, 7, total)
    curve = schedule.curve()
    assert len(curve) <= 200
    assert curve[0][0] == 1
    assert curve[-1][0] == total
    assert all(rate == schedule.at(step) for step, rate in curve)


def test_a_curve_shows_the_peak_of_a_long_run() -> None:
    assert max(rate for _, rate in Schedule("linear", 1e-3, 7, 100_000).curve()) == 1e-3


@pytest.mark.parametrize(("warmup", "total"), [(0, 10), (0.05, 101), (0.5, 3), (1, 9), (7, 9), (500, 15)])
def test_warm_up_counts_as_training_arguments_do(warmup: float, total: int) -> None:
    assert warmup_count(warmup, total) == TrainingArguments(warmup_steps=warmup, use_cpu=True).get_warmup_steps(total)


@pytest.mark.parametrize(
    ("examples", "batch", "accumulation", "epochs", "steps"),
    [(10, 2, 1, 3, 15), (10, 4, 2, 1, 2), (9, 4, 2, 1, 2), (8, 4, 2, 2.5, 3), (1, 8, 8, 1, 1), (100, 8, 3, 0.1, 1)],
)
def test_the_last_smaller_group_of_an_epoch_is_a_step(
    examples: int, batch: int, accumulation: int, epochs: float, steps: int
) -> None:
    assert total_steps(steps_per_epoch(examples, batch, accumulation), epochs, -1) == steps


def test_max_steps_goes_before_epochs() -> None:
    assert total_steps(5, 3, 7) == 7


def test_it_loads_no_torch() -> None:
    code = "import sys, ftstudio_kit.schedule; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
