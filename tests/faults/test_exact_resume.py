"""The native trainer, killed at random moments, ends with the same bits as one that nobody disturbed (on a CPU)."""

import random
import time

import pytest
from lab import ended, kill, outcome, resumed, started, until, worker_of

from ftstudio.runs.checkpoints import list_checkpoints
from ftstudio.runs.control import ask
from ftstudio.runs.events import read_events
from ftstudio.runs.status import LIVE, read_state

WORDS = [
    "the",
    "river",
    "keeps",
    "its",
    "silver",
    "in",
    "the",
    "dark",
    "and",
    "will",
    "not",
    "say",
    "why",
    "it",
    "bends",
    "around",
    "the",
    "stone",
]
PROJECT = {
    "format": 1,
    "model": {"use": "scratch", "n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 64},
    "dataset": {
        "use": "inline",
        "texts": [" ".join(WORDS[i % 7 : i % 7 + 3 + i % 5]) for i in range(40)],
        "validation_count": 4,
    },
    "tokenizer": {"use": "bytes"},
    "trainer": {
        "use": "native",
        "max_steps": 60,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-3,
        "warmup_steps": 5,
        "logging_steps": 3,
        "eval_steps": 10,
        "save_steps": 4,
        "save_strategy": "steps",
        "load_best_model_at_end": True,
        "sample_prompts": ["the river"],
        "sample_steps": 25,
        "sample_max_new_tokens": 3,
    },
    "generator": {"use": "sample", "prompts": ["the"], "max_new_tokens": 3},
}  # fmt: skip


@pytest.fixture
def rounds(request):
    """Random kills: 2, with --faults=full 20, or a quarter of the number on the command line."""
    value = request.config.getoption("--faults")
    return 20 if value == "full" else max(2, int(value) // 4)


@pytest.fixture
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def undisturbed(make_project, one_thread):
    """A run that nobody disturbs and what it came to, once a session for each variant."""

    def wanted(variant="padded"):
        if variant not in UNDISTURBED:
            run = started(make_project("undisturbed", base=PROJECT, trainer=VARIANTS[variant]))
            assert ended(run).state == "finished", read_state(run)
            UNDISTURBED[variant] = run, outcome(run)
        return UNDISTURBED[variant]

    return wanted


VARIANTS = {"padded": {}, "packed": {"packing": True, "dropout": 0.0}}
UNDISTURBED = {}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.timeout(3000)
def test_twenty_kills_and_not_a_bit_of_difference(make_project, rounds, undisturbed, variant):
    """Up to two kills a run, so that what was resumed is killed and resumed too."""
    _, expected = undisturbed(variant)
    assert expected[2].keys() == {"loss", "eval_loss", "learning_rate", "grad_norm"}
    project = make_project("disturbed", base=PROJECT, trainer=VARIANTS[variant])
    chance, killed, kills = random.Random(), 0, rounds if variant == "padded" else max(1, rounds // 4)
    while killed < kills:
        run, attempt = started(project), 1
        while attempt <= 2 and killed < kills:
            pid = worker_of(run, attempt)
            until(lambda run=run, attempt=attempt: _trains(run, attempt), "the training")
            time.sleep(chance.uniform(0.0, 1.0))
            if not kill(pid) or ended(run).state == "finished":
                break
            killed += 1
            assert read_state(run).reason.startswith("The worker was ended by signal 9 (SIGKILL).")
            attempt = resumed(run)
        assert ended(run).state == "finished", read_state(run)
        assert outcome(run) == expected


def test_stopped_between_two_logs_the_curve_is_the_undisturbed_one(make_project, undisturbed):
    """And where another number of threads might change it, that is said first: the file says two, and it has one."""
    _, expected = undisturbed()
    run = started(make_project("disturbed", base=PROJECT))
    until(lambda: _trains(run), "the training")
    ask(run, "stop", 1)
    assert ended(run).state == "stopped"
    recorded = run.inputs.read_text()
    assert "threads = 1\n" in recorded
    run.inputs.write_text(recorded.replace("threads = 1\n", "threads = 2\n"))
    attempt = resumed(run)
    assert ended(run).attempt == attempt
    assert read_state(run).state == "finished"
    assert outcome(run) == expected
    later = [e for e in read_events(run.events) if e.attempt == attempt]
    said = next(i for i, e in enumerate(later) if e.kind == "warning" and "threads 2 is now 1" in e.data["text"])
    assert said < [e.kind for e in later].index("metrics")


def test_a_fork_goes_on_with_another_rate_and_leaves_its_parent_alone(make_project, undisturbed):
    """Its parent ended with a rate near 0."""
    from ftstudio.runs.fork import find_parent

    parent, before = undisturbed()
    project = make_project(base=PROJECT)
    origin = find_parent(f"{parent.path}:56", project.parent)
    fork = started(project, parent=origin, overrides=("trainer.learning_rate=1e-4", "trainer.max_steps=80"))
    assert ended(fork).state == "finished", read_state(fork)
    assert [int(p.name) for p in list_checkpoints(fork.checkpoints)][-1] == 80
    logged = [(e.step, e.data["metrics"]) for e in read_events(fork.events) if e.kind == "metrics"]
    assert min(step for step, metrics in logged if "loss" in metrics) == 57
    rates = [metrics["learning_rate"] for _, metrics in logged if "learning_rate" in metrics]
    assert rates[0] == pytest.approx(1e-4 * (80 - 56) / (80 - 5), rel=0.1)
    assert outcome(parent) == before


def _trains(run, attempt=1):
    """Whether an attempt has logged a step, or has ended before it was seen to."""
    logged = any(e.kind == "metrics" and (e.step or 0) > 0 and e.attempt == attempt for e in read_events(run.events))
    return logged or read_state(run).state not in LIVE
