"""Rows become tokens: nothing is lost, the end is trained, masks are where they should be."""

import json
from types import SimpleNamespace

import pytest
from tiny_models import save_model, save_tokenizer
from transformers import AutoTokenizer

from ftstudio.api import ComponentError, Facts, ModelRef, ProjectInfo
from ftstudio.testing import FakeRun
from ftstudio_kit.chat import encode_prompt
from ftstudio_tokenizers import light
from ftstudio_tokenizers.options import BpeOptions, BytesOptions, PretrainedOptions
from ftstudio_tokenizers.own import Bpe, Bytes
from ftstudio_tokenizers.pretrained import Pretrained

EOS = 256


class Rows:
    """The least that the contract calls a table."""

    def __init__(self, *rows):
        self.rows, self.column_names = rows, list(rows[0])

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows)


@pytest.fixture
def model(tmp_path):
    ref = save_model(tmp_path / "model")
    save_tokenizer(ref.path)
    return ref


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_positions": 64}))
    return ModelRef(folder, weights=False, name="scratch")


@pytest.fixture
def run(tmp_path):
    return FakeRun(tmp_path / "run")


def encode(model, run, *rows, **options):
    return Pretrained(PretrainedOptions(**options)).encode({"train": Rows(*rows)}, model, run)


def ids(text):
    from tokenizers import pre_tokenizers

    order = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    (((shown), _),) = [
        (p, s) for p, s in pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    ]
    return [order[c] for c in shown]


def test_a_text_ends_with_the_end_of_text_and_that_is_trained(model, run):
    encoded = encode(model, run, {"text": "ab"})
    (row,) = list(encoded.train)
    assert row["input_ids"] == [*ids("ab"), EOS]
    assert row["labels"] == row["input_ids"]
    assert encoded.pad_token_id == EOS
    assert encoded.vocab_size == 257
    assert encoded.counts["tokens"] == encoded.counts["trained_tokens"] == 3


def test_a_longer_text_goes_on_in_further_rows_and_nothing_is_lost(model, run):
    text = "abcdefghij" * 20
    rows = list(encode(model, run, {"text": text}, {"text": "x"}, max_length=64).train)
    assert [len(r["input_ids"]) for r in rows] == [64, 64, 64, 9, 2]
    joined = [i for r in rows[:4] for i in r["input_ids"]]
    assert joined == [*ids(text), EOS]


def test_truncation_cuts_only_when_asked_and_is_counted(model, run):
    encoded = encode(model, run, {"text": "a" * 100}, {"text": "b"}, max_length=10, truncation=True)
    assert [len(r["input_ids"]) for r in encoded.train] == [10, 2]
    assert encoded.counts["truncated_rows"] == 1
    assert encoded.counts["truncated_tokens"] == 91
    assert run.warnings == ["Cut at max_length = 10: 1 row of train lost 91 tokens at the end."]
    assert encoded.cut == {0: 91}


def test_rows_that_lost_their_end_are_named_each_with_what_it_lost(model, run):
    pairs = [{"prompt": "Q", "completion": c} for c in ("short", "c" * 30, "s", "d" * 20)]
    left_out = {"prompt": "p" * 50, "completion": "no"}
    encoded = encode(model, run, pairs[0], left_out, *pairs[1:], max_length=10)
    assert encoded.cut == {1: 22, 3: 12}  # by the rows that are left
    assert encode(model, run, pairs[0], left_out, *pairs[1:], max_length=10).cut == encoded.cut  # from the cache


def test_without_max_length_the_context_is_the_limit(model, run):
    assert max(len(r["input_ids"]) for r in encode(model, run, {"text": "a" * 200}).train) == 64


def test_a_prompt_is_masked_and_its_completion_trained(model, run):
    (row,) = list(encode(model, run, {"prompt": "Q: ", "completion": "yes"}).train)
    assert row["input_ids"] == [*ids("Q: yes"), EOS]
    assert row["labels"] == [-100] * 3 + [*ids("yes"), EOS]


def test_the_prompt_is_trained_too_when_asked(model, run):
    (row,) = list(encode(model, run, {"prompt": "Q: ", "completion": "yes"}, completion_only_loss=False).train)
    assert row["labels"] == row["input_ids"]


def test_a_row_that_is_cut_before_anything_trained_is_left_out_and_said(model, run):
    encoded = encode(
        model, run, {"prompt": "p" * 50, "completion": "no"}, {"prompt": "p", "completion": "c"}, max_length=20
    )
    assert len(encoded.train) == 1
    assert encoded.counts["untrained_rows"] == 1
    assert run.warnings[-1].startswith("Left out: 1 row of train without a token to train on.")


def test_without_an_end_of_text_nothing_is_appended(model, run):
    (row,) = list(encode(model, run, {"text": "ab"}, add_eos=False).train)
    assert row["input_ids"] == ids("ab")


def test_a_row_of_one_token_teaches_nothing_and_is_left_out(model, run):
    encoded = encode(model, run, {"text": "a"}, {"text": "bc"}, {"text": "d"}, add_eos=False)
    assert [row["input_ids"] for row in encoded.train] == [ids("bc")]
    assert (encoded.counts["single_rows"], encoded.counts["trained_tokens"]) == (2, 2)
    assert run.warnings == ["Left out: 2 rows of train of a single token, from which nothing can be learnt."]


@pytest.mark.parametrize("row", [{"text": "a"}, {"prompt": "", "completion": "a"}])
def test_rows_of_one_token_alone_are_an_error(model, run, row):
    with pytest.raises(ComponentError, match="No row of train is left") as caught:
        encode(model, run, row, row, add_eos=False)
    assert "set add_eos = true" in caught.value.hint


TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]


def test_of_a_conversation_all_is_trained_or_what_the_assistant_says(model, run):
    (row,) = list(encode(model, run, {"messages": TALK}).train)
    assert row["labels"] == row["input_ids"]
    (row,) = list(encode(model, run, {"messages": TALK}, assistant_only_loss=True).train)
    trained = [i for i in row["labels"] if i != -100]
    assert trained == [*ids("Yo"), EOS]


def test_conversations_in_which_the_assistant_says_nothing_are_not_blamed_on_their_length(model, run):
    asked = {"messages": TALK[:1]}
    encoded = encode(model, run, asked, {"messages": TALK}, assistant_only_loss=True)
    assert (len(encoded.train), encoded.counts["unanswered_rows"]) == (1, 1)
    assert run.warnings == [
        "Left out: 1 row of train in which no token belongs to an answer, and answers alone are trained."
    ]
    with pytest.raises(ComponentError) as caught:
        encode(model, run, asked, assistant_only_loss=True)
    assert caught.value.hint == (
        "Give conversations in which the assistant speaks, or set assistant_only_loss = false."
    )
    assert len(encode(model, run, asked).train) == 1


def test_a_template_of_ones_own_is_used_and_saved(model, run):
    template = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
    encoded = encode(model, run, {"messages": TALK}, chat_template=template)
    (row,) = list(encoded.train)
    assert row["input_ids"][: len(ids("<user>Hi"))] == ids("<user>Hi")
    assert AutoTokenizer.from_pretrained(encoded.tokenizer).chat_template == template


def test_a_template_that_refuses_is_a_sentence(model, run):
    with pytest.raises(ComponentError, match="chat template"):
        encode(model, run, {"messages": TALK}, chat_template="{{ raise_exception('no') }}")


@pytest.mark.parametrize(
    ("row", "prompt", "shape"),
    [
        ({"text": "The river runs"}, "The river", "text"),
        ({"prompt": "Q: why?\n", "completion": "because"}, "Q: why?\n", "prompt_completion"),
        ({"messages": TALK}, "Hi", "messages"),
        ({"messages": TALK}, TALK[:1], "messages"),
    ],
)
def test_a_prompt_begins_as_its_training_row_did(model, run, row, prompt, shape):
    encoded = encode(model, run, row)
    assert encoded.shape == shape
    start = encode_prompt(AutoTokenizer.from_pretrained(encoded.tokenizer), prompt, shape)
    (trained,) = list(encoded.train)
    assert trained["input_ids"][: len(start)] == start


def test_another_tokenizer_by_name(model, run, tmp_path):
    other = save_tokenizer(tmp_path / "other")
    encoded = encode(model, run, {"text": "ab"}, name=str(other))
    assert encoded.vocab_size == 257


def test_a_tokenizer_with_more_tokens_than_the_model_has_embeddings_is_refused(model, run):
    config = json.loads((model.path / "config.json").read_text())
    (model.path / "config.json").write_text(json.dumps({**config, "vocab_size": 100}))
    with pytest.raises(ComponentError, match=r"257 tokens .* 100 embeddings"):
        encode(model, run, {"text": "ab"})


def test_a_model_folder_without_a_tokenizer_is_said(tmp_path, run):
    with pytest.raises(ComponentError, match="tokenizer"):
        encode(save_model(tmp_path / "bare"), run, {"text": "ab"})


ODD = ["plain", "Grüße 漢字 😀", "\x00\x01\x7f", " \t\n ", "\u202e", "a" * 1000]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_own_tokenizers_give_any_text_back(scratch, run, kind, text):
    own = Bytes(BytesOptions()) if kind == "bytes" else Bpe(BpeOptions(vocab_size=300))
    encoded = own.encode({"train": Rows({"text": text}, {"text": "more text, more tokens"})}, scratch, run)
    tokenizer = AutoTokenizer.from_pretrained(encoded.tokenizer)
    back = tokenizer.decode(tokenizer(text)["input_ids"])
    assert back == text
    rows = [i for r in encoded.train for i in r["input_ids"]]
    assert tokenizer.decode(rows[: rows.index(tokenizer.eos_token_id)]) == text


def test_own_tokenizers_have_the_size_that_was_asked_and_the_same_rows_give_the_same_merges(scratch, tmp_path):
    rows = Rows(*({"text": f"the cat {i} sat on the mat {i}"} for i in range(50)))
    saved = []
    for name in "ab":
        encoded = Bpe(BpeOptions(vocab_size=280)).encode({"train": rows}, scratch, FakeRun(tmp_path / name))
        assert encoded.vocab_size == 280
        saved.append((encoded.tokenizer / "tokenizer.json").read_text())
    assert saved[0] == saved[1]
    rare = Bpe(BpeOptions(vocab_size=280, min_frequency=1000)).encode({"train": rows}, scratch, FakeRun(tmp_path / "c"))
    assert rare.vocab_size == 257
    assert Bytes(BytesOptions()).encode({"train": rows}, scratch, FakeRun(tmp_path / "d")).vocab_size == 257


@pytest.mark.parametrize("own", [Bytes(BytesOptions()), Bpe(BpeOptions())])
def test_own_tokenizers_mean_nothing_to_a_pretrained_model(model, run, own):
    with pytest.raises(ComponentError, match="trained with another tokenizer"):
        own.encode({"train": Rows({"text": "a"})}, model, run)


# --------------------------------------------------------------------------------------------------- cache


@pytest.fixture
def counted(monkeypatch):
    """How often rows were really encoded."""
    from ftstudio_tokenizers.rows import RowEncoder

    calls = []
    original = RowEncoder.encode
    monkeypatch.setattr(RowEncoder, "encode", lambda self, batch: calls.append(1) or original(self, batch))
    return calls


def test_the_same_rows_are_encoded_once(model, run, counted, tmp_path):
    first = encode(model, run, {"text": "ab"})
    second = encode(model, run, {"text": "ab"})
    assert len(counted) == 1
    assert list(first.train) == list(second.train)
    assert first.counts == second.counts
    encode(model, run, {"text": "abc"})
    encode(model, run, {"text": "ab"}, max_length=5)
    tokenizer = model.path / "tokenizer_config.json"
    tokenizer.write_text(json.dumps({**json.loads(tokenizer.read_text()), "clean_up_tokenization_spaces": True}))
    encode(model, run, {"text": "ab"})
    assert len(counted) == 4


def test_a_failure_in_the_middle_leaves_no_half_written_tokens(model, run, monkeypatch):
    from ftstudio_tokenizers.rows import RowEncoder

    monkeypatch.setattr(RowEncoder, "encode", lambda self, batch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encode(model, run, {"text": "ab"})
    assert list((run.cache / "tokens").iterdir()) == []


def test_progress_counts_rows(model, run):
    encode(model, run, *({"text": "a"} for _ in range(3)))
    assert run.progressed[-1][:2] == (3, 3)


# -------------------------------------------------------------------------------------------------- checks


def info(tmp_path, **uses):
    return ProjectInfo(folder=tmp_path, name="x", seed=1, uses=uses, options={})


def test_checks_say_what_would_go_wrong(tmp_path):
    (problem,) = light.check(PretrainedOptions(max_length=100), info(tmp_path), Facts(context=64))
    assert (problem.level, problem.option, problem.edit) == ("error", "max_length", {"max_length": 64})
    (problem,) = light.check(PretrainedOptions(assistant_only_loss=True), info(tmp_path), Facts(shape="text"))
    assert problem.level == "warning"
    (problem,) = light.check(PretrainedOptions(name="./gone"), info(tmp_path), Facts())
    assert "gone" in problem.message
    (problem,) = light.check_own(BpeOptions(), info(tmp_path, model="starter"), Facts())
    assert problem.level == "error"
    assert not list(light.check_own(BpeOptions(), info(tmp_path, model="scratch"), Facts(context=64)))
    assert light.facts(PretrainedOptions(max_length=7), tmp_path).max_length == 7


SHOWN_BY = {
    "max_length": test_a_longer_text_goes_on_in_further_rows_and_nothing_is_lost,
    "truncation": test_truncation_cuts_only_when_asked_and_is_counted,
    "completion_only_loss": test_the_prompt_is_trained_too_when_asked,
    "assistant_only_loss": test_of_a_conversation_all_is_trained_or_what_the_assistant_says,
    "add_eos": test_without_an_end_of_text_nothing_is_appended,
    "name": test_another_tokenizer_by_name,
    "chat_template": test_a_template_of_ones_own_is_used_and_saved,
    "vocab_size": test_own_tokenizers_have_the_size_that_was_asked_and_the_same_rows_give_the_same_merges,
    "min_frequency": test_own_tokenizers_have_the_size_that_was_asked_and_the_same_rows_give_the_same_merges,
}


def test_every_option_is_shown_to_change_something():
    import dataclasses

    for options in (PretrainedOptions, BytesOptions, BpeOptions):
        assert {f.name for f in dataclasses.fields(options)} <= SHOWN_BY.keys()


def test_a_model_folder_without_a_tokenizer_is_said_before_the_start(tmp_path):
    (tmp_path / "m").mkdir()
    options = {"model": SimpleNamespace(name="./m")}
    project = ProjectInfo(folder=tmp_path, name="lab", seed=1, uses={"model": "hub"}, options=options)
    (problem,) = light.check(PretrainedOptions(), project, Facts())
    assert "brings no tokenizer along" in problem.message
    (tmp_path / "m" / "tokenizer.json").write_text("{}")
    assert list(light.check(PretrainedOptions(), project, Facts())) == []


@pytest.mark.parametrize("named", [False, True])
def test_a_tokenizer_that_is_a_pointer_is_said_before_the_start_and_by_the_run(model, run, named):
    (model.path / "tokenizer.json").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    options = PretrainedOptions(name=str(model.path) if named else None)
    uses, parts = {"model": "hub"}, {"model": SimpleNamespace(name=str(model.path))}
    project = ProjectInfo(folder=model.path.parent, name="lab", seed=1, uses=uses, options=parts)
    (problem,) = light.check(options, project, Facts())
    assert (problem.level, problem.option) == ("error", "name" if named else "use")
    assert problem.message == f"'{model.path / 'tokenizer.json'}' is a Git LFS pointer, not a tokenizer."
    with pytest.raises(ComponentError) as caught:
        Pretrained(options).encode({"train": Rows({"text": "ab"})}, model, run)
    assert (caught.value.message, caught.value.hint) == (problem.message, problem.fix)
