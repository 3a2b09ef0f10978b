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
    """What a run comes to that nobody disturbs, computed once a session for each variant."""

    def wanted(variant="padded"):
        if variant not in OUTCOMES:
            run = started(make_project("undisturbed", base=PROJECT, trainer=VARIANTS[variant]))
            assert ended(run).state == "finished", read_state(run)
            OUTCOMES[variant] = outcome(run)
        return OUTCOMES[variant]

    return wanted


VARIANTS = {"padded": {}, "packed": {"packing": True, "dropout": 0.0}}
OUTCOMES = {}


@pytest.mark.alone
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.timeout(3000)
def test_twenty_kills_and_not_a_bit_of_difference(make_project, rounds, undisturbed, variant):
    """Up to two kills a run, so that what was resumed is killed and resumed too."""
    assert undisturbed(variant)[2].keys() == {"loss", "eval_loss", "learning_rate", "grad_norm"}
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
        assert outcome(run) == undisturbed(variant)


def test_stopped_between_two_logs_the_curve_is_the_undisturbed_one(make_project, undisturbed):
    run = started(make_project("disturbed", base=PROJECT))
    until(lambda: _trains(run), "the training")
    ask(run, "stop", 1)
    assert ended(run).state == "stopped"
    attempt = resumed(run)
    assert ended(run).attempt == attempt
    assert read_state(run).state == "finished"
    assert outcome(run) == undisturbed()


def test_a_fork_goes_on_with_another_rate_and_leaves_its_parent_alone(make_project, one_thread):
    from ftstudio.runs.fork import find_parent

    project = make_project(base=PROJECT, trainer={"max_steps": 20})
    parent = started(project)
    assert ended(parent).state == "finished"
    before = outcome(parent)
    origin = find_parent(f"{parent.path}:16", project.parent)
    fork = started(project, parent=origin, overrides=("trainer.learning_rate=1e-4", "trainer.max_steps=24"))
    assert ended(fork).state == "finished", read_state(fork)
    assert [int(p.name) for p in list_checkpoints(fork.checkpoints)][-1] == 24
    steps = [e.step for e in read_events(fork.events) if e.kind == "metrics" and "loss" in e.data["metrics"]]
    assert min(steps) == 18
    rates = [
        e.data["metrics"]["learning_rate"]
        for e in read_events(fork.events)
        if "learning_rate" in e.data.get("metrics", {})
    ]
    assert max(rates) < 1e-4
    assert outcome(parent) == before


def test_a_resume_with_another_number_of_threads_says_first_that_it_will_differ(make_project, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    few = {"max_steps": 20, "sample_prompts": [], "eval_steps": 20}
    run = started(make_project(base=PROJECT, trainer=few))
    until(lambda: _trains(run), "the training")
    ask(run, "stop", 1)
    assert ended(run).state == "stopped"
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    resumed(run)
    assert ended(run).state == "finished"
    later = [e for e in read_events(run.events) if e.attempt == 2]
    kinds = [e.kind for e in later]
    said = next(i for i, e in enumerate(later) if e.kind == "warning" and "threads 1 is now 2" in e.data["text"])
    assert said < kinds.index("metrics")


def _trains(run, attempt=1):
    """Whether an attempt has logged a step, or has ended before it was seen to."""
    logged = any(e.kind == "metrics" and (e.step or 0) > 0 and e.attempt == attempt for e in read_events(run.events))
    return logged or read_state(run).state not in LIVE
