"""Tokenizers of other kinds, edges of the data, and the cache of tokens."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import save_model, save_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import ftstudio_tokenizers
from ftstudio.api import Component, ComponentError, Encoded, Facts, ModelRef, ProjectInfo
from ftstudio.options import check_reserved, describe
from ftstudio.testing import FakeRun
from ftstudio_kit.chat import encode_prompt
from ftstudio_tokenizers import encode as encoding
from ftstudio_tokenizers import light, store
from ftstudio_tokenizers.options import BpeOptions, BytesOptions, PretrainedOptions
from ftstudio_tokenizers.own import Bpe, Bytes
from ftstudio_tokenizers.pretrained import Pretrained
from ftstudio_tokenizers.rows import RowEncoder, split_text

EOS = 256
TALK = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Yo"},
    {"role": "user", "content": "So"},
    {"role": "assistant", "content": "Bye"},
]
CHATML = (
    "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] + eos_token + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)
MARKED = (
    "{% for m in messages %}{{ '<' + m['role'] + '>' }}{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ m['content'] + eos_token }}{% endif %}{{ '\\n' }}{% endfor %}"
)


@pytest.fixture
def model(tmp_path: Path) -> ModelRef:
    ref = save_model(tmp_path / "model")
    save_tokenizer(ref.path)
    return ref


@pytest.fixture
def scratch(tmp_path: Path) -> ModelRef:
    folder = tmp_path / "scratch"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_positions": 64}))
    return ModelRef(folder, weights=False, name="scratch")


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path / "run")


class Rows:
    """A table that is no `datasets.Dataset`, with a column that belongs to no shape."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows, self.column_names = rows, [*rows[0], "id"]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter({**row, "id": number} for number, row in enumerate(self.rows))


def encode(model: ModelRef, run: FakeRun, *rows: dict[str, Any], **options: Any) -> Encoded:
    return Pretrained(PretrainedOptions(**options)).encode(
        {"train": datasets.Dataset.from_list(list(rows))}, model, run
    )


def ids_of(encoded: Encoded) -> list[list[int]]:
    return [row["input_ids"] for row in encoded.train]


def trained_text(encoded: Encoded) -> list[str]:
    tokenizer = AutoTokenizer.from_pretrained(encoded.tokenizer)
    return [tokenizer.decode([i for i in row["labels"] if i != -100]) for row in encoded.train]


def save_words(folder: Path, *, bos: bool = False, eos: bool = False) -> None:
    """A tokenizer of whole words, in a Llama's manner with a token before, or after, each text."""
    words = [
        "<s>",
        "</s>",
        "?",
        *["The", "river", "runs", "to", "the", "sea", "and", "on", "."],
        "\n",
        "ab",
        "abc",
        "c",
    ]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.Fuse()
    single = [*(["<s>"] if bos else []), "$A", *(["</s>"] if eos else [])]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 0), ("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="?")
    fast.save_pretrained(folder)


# ------------------------------------------------------------------------------ beginnings, ends, padding


def test_a_beginning_that_the_tokenizer_gives_stands_once_before_a_text(run: FakeRun, tmp_path: Path) -> None:
    model = save_model(tmp_path / "llama", "llama")
    save_words(model.path, bos=True)
    (text,) = ids_of(encode(model, run, {"text": "The river runs"}))
    assert text == [0, 3, 4, 5, 1]
    encoded = encode(model, run, {"prompt": "The river ", "completion": "runs"})
    assert next(iter(encoded.train)) == {"input_ids": [0, 3, 4, 5, 1], "labels": [-100, -100, -100, 5, 1]}
    (talk,) = ids_of(encode(model, run, {"messages": [{"role": "user", "content": "river"}]}))
    assert talk.count(0) <= 1


def test_an_end_that_the_tokenizer_appends_itself_stands_once_and_only_when_wanted(
    run: FakeRun, tmp_path: Path
) -> None:
    model = save_model(tmp_path / "llama", "llama")
    save_words(model.path, eos=True)
    rows: list[dict[str, Any]] = [{"text": "The river runs"}]
    assert ids_of(encode(model, run, *rows)) == [[3, 4, 5, 1]]
    assert ids_of(encode(model, run, *rows, add_eos=False)) == [[3, 4, 5]]
    encoded = encode(model, run, {"prompt": "The river ", "completion": "runs"})
    assert next(iter(encoded.train)) == {"input_ids": [3, 4, 5, 1], "labels": [-100, -100, 5, 1]}
    tokenizer = AutoTokenizer.from_pretrained(encoded.tokenizer)
    assert encode_prompt(tokenizer, "The river", "text") == [3, 4]


def test_padding_falls_back_to_the_end_without_a_new_token_and_ends_are_trained(run: FakeRun, tmp_path: Path) -> None:
    model = save_model(tmp_path / "llama", "llama")
    save_words(model.path)
    encoded = encode(model, run, {"text": "The river"})
    tokenizer = AutoTokenizer.from_pretrained(encoded.tokenizer)
    assert (encoded.pad_token_id, tokenizer.pad_token) == (1, "</s>")
    assert encoded.vocab_size == len(tokenizer) == len(AutoTokenizer.from_pretrained(model.path))
    assert next(iter(encoded.train))["labels"][-1] == 1


def test_an_end_that_the_text_says_itself_is_not_doubled(model: ModelRef, run: FakeRun) -> None:
    assert [row.count(EOS) for row in ids_of(encode(model, run, {"text": "ab<|end|>"}))] == [1]
    assert [row.count(EOS) for row in ids_of(encode(model, run, {"text": "ab<|end|>"}, add_eos=False))] == [1]


def test_without_an_end_of_text_anywhere_it_is_said(run: FakeRun, tmp_path: Path) -> None:
    model = save_model(tmp_path / "m")
    save_words(model.path)
    path = model.path / "tokenizer_config.json"
    settings_ = json.loads(path.read_text())
    settings_.pop("eos_token")
    path.write_text(json.dumps(settings_))
    config = model.path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "eos_token_id": None}))
    with pytest.raises(ComponentError, match="no end-of-text token"):
        encode(model, run, {"text": "ab"})


# ---------------------------------------------------------------------------------------- rows of a length


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(any),
    limit=st.integers(2, 12),
    truncation=st.booleans(),
)
def test_rows_hold_all_of_a_text_within_the_limit_and_the_counts_are_right(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], limit: int, truncation: bool
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(save_tokenizer(tmp_path_factory.getbasetemp() / "shared"))
    options = PretrainedOptions(max_length=limit, truncation=truncation)
    encoder = RowEncoder(tokenizer, options, limit, "text")
    texts = ["abcdefghij" * 4 for _ in lengths]
    batch = {"text": [t[:n] for t, n in zip(texts, lengths, strict=True)]}
    rows = [row.tolist() for part in encoder.encode(batch) for row in np.split(part.ids, np.cumsum(part.lengths)[:-1])]
    whole = [[*tokenizer(t[:n])["input_ids"], EOS] for t, n in zip(texts, lengths, strict=True) if n]
    kept = [ids[:limit] for ids in whole] if truncation else whole
    assert [i for row in rows for i in row] == [i for ids in kept for i in ids]
    assert all(len(row) <= limit for row in rows)
    counts = encoder.counts
    assert counts["documents"] == len(lengths)
    assert counts["empty_rows"] == lengths.count(0)
    assert counts["rows"] == len(rows)
    assert counts["tokens"] == counts["trained_tokens"] == sum(map(len, rows))
    assert counts["longest"] == max(map(len, rows))
    assert counts["truncated_rows"] == (sum(len(ids) > limit for ids in whole) if truncation else 0)
    assert counts["truncated_tokens"] == (sum(max(0, len(ids) - limit) for ids in whole) if truncation else 0)


def test_no_rest_of_a_text_is_a_single_token_that_nothing_predicts(model: ModelRef, run: FakeRun) -> None:
    assert [len(row) for row in ids_of(encode(model, run, {"text": "a" * 20}, max_length=10))] == [10, 9, 2]


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="ab \n\t", max_size=200), size=st.integers(4, 20))
def test_a_text_is_cut_into_pieces_that_make_it_up(text: str, size: int) -> None:
    pieces = list(split_text(text, size))
    assert "".join(pieces) == text
    assert all(len(piece) <= size for piece in pieces)


def test_a_text_of_many_pieces_has_the_tokens_that_it_has_as_a_whole(
    run: FakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_model(tmp_path / "llama", "llama")
    save_words(model.path, bos=True)
    text = "The river runs to the sea and on . " * 40
    whole = ids_of(encode(model, run, {"text": text}))
    monkeypatch.setattr("ftstudio_tokenizers.rows.PIECE", 50)
    monkeypatch.setattr("ftstudio_tokenizers.rows.split_text.__defaults__", (50,))
    assert ids_of(encode(model, FakeRun(tmp_path / "other"), {"text": text})) == whole


def test_empty_texts_are_left_out_and_said(model: ModelRef, run: FakeRun) -> None:
    encoded = encode(model, run, {"text": ""}, {"text": "a"}, {"text": ""})
    assert (encoded.counts["documents"], encoded.counts["rows"], encoded.counts["empty_rows"]) == (3, 1, 2)
    assert run.warnings == ["Left out: 2 rows of train without a token."]


@pytest.mark.parametrize(
    ("row", "options", "hint"),
    [
        ({"text": ""}, {}, "its texts are empty"),
        ({"prompt": "a" * 60, "completion": "b"}, {"max_length": 30}, "Give a larger max_length."),
        ({"prompt": "", "completion": ""}, {}, "its texts are empty"),
    ],
)
def test_data_that_leave_nothing_to_train_are_an_error(
    model: ModelRef, run: FakeRun, row: dict[str, str], options: dict[str, Any], hint: str
) -> None:
    with pytest.raises(ComponentError, match="No row of train is left") as caught:
        encode(model, run, row, **options)
    assert hint in caught.value.hint


def test_warnings_are_said_again_when_the_tokens_come_from_the_cache(model: ModelRef, run: FakeRun) -> None:
    for _ in range(2):
        encode(model, run, {"text": "a" * 30}, max_length=10, truncation=True)
    assert run.warnings == ["Cut at max_length = 10: 1 row of train lost 21 tokens at the end."] * 2


# ----------------------------------------------------------------------------------- prompt and completion


@pytest.mark.parametrize("loss_on_all", [False, True])
@pytest.mark.parametrize(("prompt", "completion"), [("Q: why?\n", "so"), ("", "so"), ("Q", ""), ("ü", "😀\x00")])
def test_prompts_and_completions_are_joined_and_masked_as_trl_does(
    model: ModelRef, run: FakeRun, prompt: str, completion: str, loss_on_all: bool
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    head = tokenizer(prompt)["input_ids"]
    ids = tokenizer(prompt + completion + tokenizer.eos_token)["input_ids"]  # SFTTrainer, tokenize_fn
    mask = [0] * len(head) + [1] * (len(ids) - len(head))
    rows: list[dict[str, Any]] = [{"prompt": prompt, "completion": completion}]
    (row,) = list(encode(model, run, *rows, completion_only_loss=not loss_on_all).train)
    assert row["input_ids"] == ids
    assert row["labels"] == [i if m or loss_on_all else -100 for i, m in zip(ids, mask, strict=True)]


def test_a_prompt_whose_last_token_goes_on_into_the_completion_is_counted(run: FakeRun, tmp_path: Path) -> None:
    model = save_model(tmp_path / "m")
    save_words(model.path)
    encoded = encode(model, run, {"prompt": "ab", "completion": "c"}, {"prompt": "The ", "completion": "river"})
    assert encoded.counts["split_prompts"] == 1
    assert "In 1 row of train a token spans the end of the prompt" in run.warnings[0]


# ------------------------------------------------------------------------------------------- conversations


@pytest.mark.parametrize("template", [None, CHATML, MARKED])
def test_what_the_assistant_says_is_trained_with_its_ends(model: ModelRef, run: FakeRun, template: str | None) -> None:
    encoded = encode(model, run, {"messages": TALK}, assistant_only_loss=True, chat_template=template)
    assert trained_text(encoded) == ["Yo<|end|>Bye<|end|>"]
    assert encoded.counts["trained_tokens"] == 7
    everything = encode(model, run, {"messages": TALK}, chat_template=template)
    assert [row["labels"] == row["input_ids"] for row in everything.train] == [True]
    assert ids_of(everything) == ids_of(encoded)


@pytest.mark.parametrize("marked", [False, True])
def test_a_template_that_never_says_an_end_gets_one_that_is_trained(
    model: ModelRef, run: FakeRun, marked: bool
) -> None:
    open_, close = ("{% generation %}", "{% endgeneration %}") if marked else ("", "")
    template = (
        "{% for m in messages %}{{ m['role'] + ':' }}{% if m['role'] == 'assistant' %}"
        f"{open_}{{{{ m['content'] }}}}{close}{{% else %}}{{{{ m['content'] }}}}{{% endif %}}{{{{ '\\n' }}}}{{% endfor %}}"
        "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
    )
    encoded = encode(model, run, {"messages": TALK[:2]}, assistant_only_loss=True, chat_template=template)
    assert [row["labels"][-1] for row in encoded.train] == [EOS]


def test_a_template_from_a_file_of_the_project(model: ModelRef, run: FakeRun) -> None:
    (run.project / "chat.jinja").write_text(CHATML)
    encoded = encode(model, run, {"messages": TALK}, chat_template="chat.jinja")
    assert AutoTokenizer.from_pretrained(encoded.tokenizer).chat_template == CHATML
    with pytest.raises(ComponentError, match=r"chat template '.*gone.jinja' cannot be read: No such file"):
        encode(model, run, {"messages": TALK}, chat_template="gone.jinja")


def test_a_template_that_is_no_jinja_is_said(model: ModelRef, run: FakeRun) -> None:
    with pytest.raises(ComponentError, match="chat_template is no Jinja template"):
        encode(model, run, {"messages": TALK}, chat_template="{% for %}")


# ----------------------------------------------------------------------------------------- what comes along


def test_any_table_will_do_and_other_columns_do_not_matter(model: ModelRef, run: FakeRun, tmp_path: Path) -> None:
    for rows in ([{"text": "ab"}, {"text": "ü"}], [{"prompt": "a", "completion": "b"}], [{"messages": TALK}]):
        table: dict[str, Any] = {"train": Rows(rows), "validation": Rows(rows[:1])}
        generic = Pretrained(PretrainedOptions()).encode(table, model, run)
        usual = encode(model, FakeRun(tmp_path / "other"), *rows)
        assert list(generic.train) == list(usual.train)
        assert generic.validation is not None
        assert list(generic.validation) == list(usual.train)[:1]
        assert generic.counts["validation_rows"] == 1
        assert usual.validation is None


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
@pytest.mark.parametrize("row", [{"prompt": "a", "completion": "b"}, {"messages": TALK}])
def test_own_tokenizers_take_every_shape(scratch: ModelRef, run: FakeRun, kind: str, row: dict[str, Any]) -> None:
    own = Bytes(BytesOptions()) if kind == "bytes" else Bpe(BpeOptions(vocab_size=258))
    encoded = own.encode({"train": Rows([row])}, scratch, run)
    tokenizer = AutoTokenizer.from_pretrained(encoded.tokenizer)
    assert encoded.pad_token_id == tokenizer.eos_token_id == encoded.vocab_size - 1
    assert ids_of(encoded)[0]


def test_a_byte_is_its_own_number(scratch: ModelRef, run: FakeRun) -> None:
    encoded = Bytes(BytesOptions()).encode({"train": Rows([{"text": "aü\x00\n"}])}, scratch, run)
    assert ids_of(encoded) == [[*"aü\x00\n".encode(), 256]]


def test_a_damaged_tokenizer_and_one_with_code_are_refused(model: ModelRef, run: FakeRun) -> None:
    path = model.path / "tokenizer.json"
    path.write_text("<html>")
    with pytest.raises(ComponentError, match=r"tokenizer.json' is an HTML page, not a tokenizer"):
        encode(model, run, {"text": "a"})
    path.unlink()
    with pytest.raises(ComponentError, match="brings no tokenizer along"):
        encode(model, run, {"text": "a"})


def test_a_check_says_that_a_tokenizer_is_not_in_the_cache(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    options = PretrainedOptions(name="org/name")
    project = ProjectInfo(folder=run.project, name="x", seed=1, uses={}, options={})
    (problem,) = light.check(options, project, Facts())
    assert (problem.level, problem.option) == ("error", "name")
    assert problem.message == "'org/name' is not in the Hub's cache, and HF_HUB_OFFLINE is set."
    monkeypatch.delenv("HF_HUB_OFFLINE")
    (note,) = light.check(options, project, Facts())
    assert note.level == "note"


def test_a_tokenizer_that_is_not_in_the_cache_is_said_offline(model: ModelRef, run: FakeRun) -> None:
    with pytest.raises(ComponentError, match="The tokenizer 'org/name' is not in the cache"):
        encode(model, run, {"text": "ab"}, name="org/name")


# --------------------------------------------------------------------------------------------------- cache


@pytest.fixture
def encoded_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that were really encoded."""
    sizes: list[int] = []
    original = RowEncoder.encode

    def counting(self: RowEncoder, batch: Any) -> Any:
        sizes.append(len(next(iter(batch.values()))))
        return original(self, batch)

    monkeypatch.setattr(RowEncoder, "encode", counting)
    return sizes


def test_another_run_finds_the_tokens_of_the_same_rows_wherever_they_lie(
    model: ModelRef, tmp_path: Path, encoded_batches: list[int]
) -> None:
    rows = [{"text": f"row {i}"} for i in range(5)]
    usual = datasets.Dataset.from_list(rows)
    upside_down = datasets.Dataset.from_list(rows[::-1]).select(range(4, -1, -1))
    first, second = FakeRun(tmp_path / "a"), FakeRun(tmp_path / "b")
    (second.root / "cache").rmdir()
    (second.root / "cache").symlink_to(first.root / "cache")
    for run, table in ((first, usual), (second, usual), (second, upside_down)):
        Pretrained(PretrainedOptions()).encode({"train": table}, model, run)
    assert encoded_batches == [5]
    Pretrained(PretrainedOptions()).encode({"train": usual.select([1, 0, 2, 3, 4])}, model, first)
    assert encoded_batches == [5, 5]


@pytest.mark.parametrize("option", ["truncation", "completion_only_loss", "assistant_only_loss", "add_eos"])
def test_a_changed_option_finds_no_old_tokens(
    model: ModelRef, run: FakeRun, encoded_batches: list[int], option: str
) -> None:
    for value in (True, False, True, False):
        encode(model, run, {"text": "ab"}, **{option: value})
    assert len(encoded_batches) == 2


def test_what_a_killed_process_left_is_taken_away_after_a_day(tmp_path: Path) -> None:
    old, new = tmp_path / ".staging-old", tmp_path / ".staging-new"
    old.mkdir()
    new.mkdir()
    os.utime(old, (0, 0))
    store.made(tmp_path / "key", lambda folder: (folder / "x").touch())
    assert {p.name for p in tmp_path.iterdir()} == {".staging-new", "key"}


def test_of_two_processes_that_make_the_same_tokens_one_wins(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        store.made(tmp_path / "key", lambda other: (other / "first").touch())
        (folder / "second").touch()

    assert {p.name for p in store.made(tmp_path / "key", make).iterdir()} == {"first", store.FINISHED}
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


def test_batches_are_small_whatever_the_rows_are(encoded_batches: list[int], model: ModelRef, run: FakeRun) -> None:
    rows: list[dict[str, Any]] = [{"text": "a"} for _ in range(2500)]
    encode(model, run, *rows)
    assert encoded_batches == [1000, 1000, 500]
    assert [done for done, _ in groupby(done for done, _, _ in run.progressed)] == [1000, 2000, 2500]
    table = datasets.Dataset.from_list([{"text": "a" * 300_000} for _ in range(12)])
    assert max(len(batch["text"]) for batch in store.batches(table)) <= 4
    generic: Any = Rows([{"text": "a" * 300_000} for _ in range(12)])
    assert max(len(batch["text"]) for batch in store.batches(generic)) <= 4


@pytest.mark.parametrize("row", [{"text": "ab"}, {"prompt": "a", "completion": "b"}])
def test_rows_are_written_many_at_a_time_and_a_stop_is_heard_between(
    row: dict[str, Any], model: ModelRef, run: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a row is: what is held until it is written does not grow with the data."""
    monkeypatch.setattr(encoding, "AT_ONCE", 1000)
    table = encode(model, run, *([row] * 400)).train
    assert table.num_rows == 400
    sizes = [len(batch) for batch in table.with_format("arrow").data.to_batches()]
    assert len(sizes) == (1 if "text" in row else 27)  # a batch of texts is one part, and a pair is one
    assert run.progressed[-1][0] == 400

    long = encode(model, run, {"text": "ab" * 200_000}, max_length=50)
    assert long.counts["rows"] > 3000
    assert [done for done, *_ in run.progressed].count(0) > 100


def test_the_longest_row_is_the_longest_of_all(model: ModelRef, run: FakeRun) -> None:
    counts = encode(model, run, {"text": "ab"}, {"text": "abcdefg"}, {"text": "abc"}).counts
    assert counts["longest"] == 8


# -------------------------------------------------------------------------------------------- descriptions

COMPONENTS = {component.name: component for component in ftstudio_tokenizers.ftstudio_tokenizers()}


@pytest.mark.parametrize("component", COMPONENTS.values(), ids=list(COMPONENTS))
def test_components_can_be_described_and_lead_to_their_targets(component: Component) -> None:
    check_reserved("tokenizer", component.options)
    assert all(field.help for field in describe(component.options))
    assert component.target in {f"{target.__module__}:{target.__name__}" for target in (Pretrained, Bytes, Bpe)}
    assert component.takes == ("text", "prompt_completion", "messages")
    for function in (component.facts, component.check):
        assert callable(getattr(light, function.removeprefix("ftstudio_tokenizers.light:")))
