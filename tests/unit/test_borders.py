"""The checks between components look at rows of every shape."""

import pytest

from ftstudio.api import SHAPES, Component, Encoded
from ftstudio.errors import ContractError
from ftstudio.plugins import Offer, Record
from ftstudio.process.borders import check_encoded


class Rows:
    column_names = ("input_ids", "labels", "chosen_tokens")

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows)


RECORD = Record(name="p", value="p", distribution="d", version="1", status="active")


def offer(kind):
    return Offer(kind=kind, component=Component(name="x", summary="", target="a:b", options=object), record=RECORD)


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_every_shape_are_checked(tmp_path, shape):
    def checked(**row):
        rows = Rows([{"chosen_tokens": 1, **row}])
        return check_encoded(Encoded(rows, None, tmp_path, 256, 0, shape), offer("tokenizer"), offer("trainer"))

    assert checked(input_ids=[1, 2], labels=[-100, 2]).shape == shape
    for row, sentence in (
        ({"input_ids": [1, 2], "labels": [1]}, "has 2 input_ids and 1 labels"),
        ({"input_ids": [1, 256], "labels": [1, 256]}, "a token id outside 0 to 255"),
        ({"input_ids": [1, 2], "labels": [-100, -100]}, "every label of train is -100"),
    ):
        with pytest.raises(ContractError, match=sentence):
            checked(**row)


@pytest.mark.parametrize("said", [{}, {"chosen_tokens": 0}, {"chosen_tokens": 2}])
def test_a_pair_says_where_its_second_answer_begins(tmp_path, said):
    rows = Rows([{"input_ids": [1, 2], "labels": [1, 2], **said}])
    with pytest.raises(ContractError, match="row 0 of train does not say in chosen_tokens"):
        check_encoded(Encoded(rows, None, tmp_path, 256, 0, "preference"), offer("tokenizer"), offer("trainer"))
