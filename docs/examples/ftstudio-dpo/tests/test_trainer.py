import dataclasses
import math

import pytest
import torch
from safetensors.torch import load_file
from toys import preferences, save_model
from transformers import AutoModelForCausalLM

from ftstudio.api import Checkpoint, ComponentError, TrainingError
from ftstudio.testing import FakeRun
from ftstudio_dpo.loss import answer_logps, judge
from ftstudio_dpo.options import DpoOptions, PairsOptions
from ftstudio_dpo.tokenizer import Pairs
from ftstudio_dpo.trainer import Dpo

QUICK = {"learning_rate": 2e-3, "logging_steps": 4, "max_steps": 12, "save_steps": 100}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"))


def encode(run, base, count=16, validation=0):
    data = {"train": preferences(count)} | ({"validation": preferences(validation)} if validation else {})
    return Pairs(PairsOptions()).encode(data, base, run)


def train(folder, base, run=None, *, count=16, validation=0, **options):
    run = run or FakeRun(folder)
    data = encode(run, base, count, validation)
    return run, Dpo(DpoOptions(**{**QUICK, **options})).train(data, base, run)


def weights(checkpoint):
    name = (
        "adapter_model.safetensors"
        if (checkpoint.path / "adapter_model.safetensors").is_file()
        else "model.safetensors"
    )
    return load_file(checkpoint.path / name)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class StopsAt:
    """Asks for a stop after so many looks, one a step."""

    checkpoint = False

    def __init__(self, steps):
        self.left = steps

    @property
    def stop(self):
        self.left -= 1
        return self.left <= 0


# ------------------------------------------------------------------------------------------------- the loss


def test_the_loss_is_the_papers_by_hand():
    logps, reference = torch.tensor([-1.0, -2.0]), torch.tensor([-1.5, -1.0])
    judged = judge(logps, reference, beta=0.1)
    assert judged.chosen.item() == pytest.approx(0.05)
    assert judged.rejected.item() == pytest.approx(-0.1)
    assert judged.loss.item() == pytest.approx(-math.log(1 / (1 + math.exp(-0.15))))
    smooth = judge(logps, reference, beta=0.1, label_smoothing=0.25).loss.item()
    assert smooth == pytest.approx(0.75 * judged.loss.item() + 0.25 * -math.log(1 / (1 + math.exp(0.15))))


def test_an_answers_log_probability_is_that_of_its_trained_tokens():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 4, 5), torch.tensor([[-100, -100, 3, 1], [-100, 2, 4, -100]])
    table = logits.log_softmax(-1)
    assert answer_logps(logits, labels)[0].item() == pytest.approx((table[0, 1, 3] + table[0, 2, 1]).item())
    assert answer_logps(logits, labels)[1].item() == pytest.approx((table[1, 0, 2] + table[1, 1, 4]).item())


# ---------------------------------------------------------------------------------------------- the trainer


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_the_chosen_answers_rise_above_the_rejected_ones(tmp_path, base, lora_rank):
    more = {"learning_rate": 2e-2} if lora_rank else {}
    run, result = train(tmp_path, base, beta=0.5, max_steps=24, lora_rank=lora_rank, validation=8, **more)
    logged = [metrics for _, metrics in run.metrics if "loss" in metrics]
    first, last = logged[0], logged[-1]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-4)  # step 1 sees the base model itself
    assert first["rewards/margins"] == pytest.approx(0.0, abs=1e-4)
    assert last["rewards/accuracies"] == 1.0
    assert last["rewards/chosen"] - last["rewards/rejected"] == pytest.approx(last["rewards/margins"], abs=1e-4)
    assert last["rewards/margins"] > 0.5
    assert last["loss"] < first["loss"] / 2
    evaluated = [(step, m["eval_rewards/accuracies"]) for step, m in run.metrics if "eval_loss" in m]
    assert evaluated[0][0] == 0
    assert evaluated[-1] == (24, 1.0)
    assert result.metrics["eval_rewards/accuracies"] == 1.0


def test_the_same_seed_gives_the_same_weights_and_another_one_other_weights(tmp_path, base):
    first = weights(train(tmp_path / "a", base, dropout=0.1)[1])
    again = weights(train(tmp_path / "b", base, dropout=0.1)[1])
    other = weights(train(tmp_path / "c", base, FakeRun(tmp_path / "c", seed=7), dropout=0.1)[1])
    assert same(first, again)
    assert not same(first, other)


@pytest.mark.parametrize(("lora_rank", "stop_at"), [(0, 7), (4, 7), (0, 5)])  # 5 is a step that is evaluated
def test_a_stopped_and_resumed_run_ends_with_the_same_bits(tmp_path, base, lora_rank, stop_at):
    options = {"dropout": 0.1, "lora_rank": lora_rank, "validation": 4, "eval_steps": 5}
    whole, result = train(tmp_path / "whole", base, **options)
    stopped = FakeRun(tmp_path / "parts", requests=StopsAt(stop_at))
    _, half = train(tmp_path / "parts", base, stopped, **options)
    assert half.step == stop_at
    resumed = FakeRun(tmp_path / "rest", resume_from=dataclasses.replace(half))
    _, end = train(tmp_path / "rest", base, resumed, **options)
    assert same(weights(result), weights(end))

    def points(*runs):
        kept = ("loss", "rewards/margins", "eval_loss")
        return [(s, {k: v for k, v in m.items() if k in kept}) for run in runs for s, m in run.metrics]

    assert points(whole) == points(stopped, resumed)
    assert "asking the base model" not in resumed.phases


def test_reference_values_are_asked_again_when_the_pairs_changed(tmp_path, base):
    _, half = train(tmp_path / "a", base, FakeRun(tmp_path / "a", requests=StopsAt(3)))
    resumed = FakeRun(tmp_path / "b", resume_from=half)
    train(tmp_path / "b", base, resumed, count=12)
    assert "asking the base model" in resumed.phases
    assert any("pairs 16 -> 12" in warning for warning in resumed.warnings)


def test_a_resume_with_other_lora_options_is_refused(tmp_path, base):
    _, half = train(tmp_path / "a", base, FakeRun(tmp_path / "a", requests=StopsAt(2)), lora_rank=4)
    with pytest.raises(ComponentError, match="holds an adapter"):
        train(tmp_path / "b", base, FakeRun(tmp_path / "b", resume_from=half))


def test_a_checkpoint_is_committed_when_asked_for_and_at_each_interval(tmp_path, base):
    run, _ = train(tmp_path, base, save_steps=5)
    assert [c.step for c in run.checkpoints] == [5, 10, 12]
    asked = FakeRun(tmp_path / "asked")
    asked.requests.checkpoint = True
    train(tmp_path / "asked", base, asked)
    assert [c.step for c in asked.checkpoints] == [1, 12]


def test_an_adapter_is_exported_merged(tmp_path, base):
    run = FakeRun(tmp_path)
    trainer = Dpo(DpoOptions(**QUICK, lora_rank=4))
    result = trainer.train(encode(run, base), base, run)
    trainer.export(Checkpoint(result.path, result.step, base=base), tmp_path / "final", run)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "final").state_dict()
    before = AutoModelForCausalLM.from_pretrained(base.path).state_dict()
    assert any(not torch.equal(merged[name], before[name]) for name in before)


def test_a_loss_that_is_no_number_ends_the_run_and_nothing_is_saved(tmp_path, base):
    run = FakeRun(tmp_path)
    with pytest.raises(TrainingError, match="was not finite in step"):
        train(tmp_path, base, run, learning_rate=1e30, max_grad_norm=0.0)
    assert not run.checkpoints


def test_rows_of_another_tokenizer_and_rows_too_long_are_refused(tmp_path, base):
    run = FakeRun(tmp_path)
    data = encode(run, base)
    plain = dataclasses.replace(data, train=data.train.remove_columns("chosen_tokens"))
    with pytest.raises(ComponentError, match="where the chosen answer ends"):
        Dpo(DpoOptions(**QUICK)).train(plain, base, run)
    short = save_model(tmp_path / "short", positions=8)
    with pytest.raises(ComponentError, match="has 8 positions"):
        Dpo(DpoOptions(**QUICK)).train(data, short, run)
