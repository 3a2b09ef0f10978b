import pytest
from toys import Rows, preferences, save_model

from ftstudio.api import ComponentError
from ftstudio.testing import FakeRun
from ftstudio_dpo.options import PairsOptions
from ftstudio_dpo.tokenizer import Pairs


def encode(tmp_path, rows, **options):
    run = FakeRun(tmp_path)
    return Pairs(PairsOptions(**options)).encode({"train": rows}, save_model(tmp_path / "model"), run), run


def test_a_pair_is_one_row_with_both_answers_and_only_the_answers_are_trained(tmp_path):
    rows = Rows([{"prompt": "ab", "chosen": "yes", "rejected": "n"}])
    encoded, _ = encode(tmp_path, rows)
    row = encoded.train[0]
    assert row["chosen_tokens"] == len("abyes") + 1
    trained = [label != -100 for label in row["labels"]]
    assert trained == [False] * 2 + [True] * 4 + [False] * 2 + [True] * 2
    assert len(row["input_ids"]) == len(row["labels"]) == 10
    assert row["input_ids"][:2] == row["input_ids"][6:8]
    assert row["input_ids"][5] == row["input_ids"][9] == 256
    assert (encoded.shape, encoded.pad_token_id) == ("preference", 256)
    assert encoded.counts["trained_tokens"] == 6


def test_answers_are_cut_at_max_length_and_it_is_said(tmp_path):
    rows = Rows([{"prompt": "ab", "chosen": "yes indeed", "rejected": "no"}])
    encoded, run = encode(tmp_path, rows, max_length=6)
    assert encoded.train[0]["chosen_tokens"] == 6
    assert encoded.cut == {0: 7}
    assert "Cut at max_length = 6: 1 pairs of train lost tokens." in run.warnings


@pytest.mark.parametrize(
    ("chosen", "rejected", "limit"), [("same", "same", None), ("abcX", "abcY", 5), ("yes", "no", 2)]
)
def test_pairs_that_do_not_differ_are_left_out_with_a_warning(tmp_path, chosen, rejected, limit):
    rows = Rows(
        [{"prompt": "ab", "chosen": chosen, "rejected": rejected}, {"prompt": "", "chosen": "x", "rejected": "y"}]
    )
    encoded, run = encode(tmp_path, rows, max_length=limit)
    assert len(encoded.train) == 1
    assert any("whose answers are the same" in warning for warning in run.warnings)


def test_data_without_any_difference_is_an_error(tmp_path):
    with pytest.raises(ComponentError, match="No pair of train is left whose answers differ"):
        encode(tmp_path, Rows([{"prompt": "a", "chosen": "b", "rejected": "b"}]))


def test_validation_pairs_are_encoded_too(tmp_path):
    run = FakeRun(tmp_path)
    data = {"train": preferences(4), "validation": preferences(2)}
    encoded = Pairs(PairsOptions()).encode(data, save_model(tmp_path / "model"), run)
    assert (len(encoded.train), len(encoded.validation)) == (4, 2)
