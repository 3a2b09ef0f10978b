"""Long texts and large tables: cut where no token changes, written batch by batch, hashed by what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import save_model, save_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ftstudio.api import ComponentError, ModelRef
from ftstudio.testing import FakeRun
from ftstudio_tokenizers import rows
from ftstudio_tokenizers.options import PretrainedOptions
from ftstudio_tokenizers.pretrained import Pretrained
from ftstudio_tokenizers.rows import split_text
from ftstudio_tokenizers.store import batches, content_hash

END = 256
PLAYS = Path(__file__).parents[2] / "projects" / "shakespeare" / "plays.txt"


@pytest.fixture
def model(tmp_path: Path) -> ModelRef:
    found = save_model(tmp_path / "model")
    save_tokenizer(found.path)
    return found


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path / "run")


def encode(model: ModelRef, run: FakeRun, columns: dict[str, list[Any]], **options: Any) -> Any:
    return Pretrained(PretrainedOptions(**options)).encode({"train": datasets.Dataset.from_dict(columns)}, model, run)


def lengths(table: Any) -> list[int]:
    return [len(row["input_ids"]) for row in table]


@settings(max_examples=200, deadline=None)
@given(st.text("ab \n\t.,", max_size=200), st.integers(2, 50))
def test_the_pieces_of_a_text_are_the_text(text: str, size: int) -> None:
    pieces = list(split_text(text, size))
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= size for piece in pieces) or not text


def test_cutting_a_text_into_pieces_changes_no_token() -> None:
    text = PLAYS.read_text("utf-8")[:200_000]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(vocab_size=1000, show_progress=False))
    pieces = [i for piece in split_text(text, 1000) for i in tokenizer.encode(piece).ids]
    assert pieces == tokenizer.encode(text).ids


def test_a_text_of_several_pieces_becomes_the_rows_that_it_would_in_one(
    model: ModelRef, run: FakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["short", "a b\ncd " * 100, "", "x" * 500, "end"]
    whole = encode(model, run, {"text": texts})
    monkeypatch.setattr(rows, "PIECE", 50)
    parts = encode(model, FakeRun(tmp_path / "again"), {"text": texts})
    assert list(parts.train) == list(whole.train)
    assert parts.counts == whole.counts
    assert whole.counts["empty_rows"] == 1
    assert "Left out: 1 row of train without a token." in run.warnings


@pytest.mark.parametrize("characters", range(1, 30))
def test_no_row_of_one_token_is_made_and_none_is_too_long(model: ModelRef, run: FakeRun, characters: int) -> None:
    encoded = encode(model, run, {"text": ["a" * characters]}, max_length=8)
    assert sum(lengths(encoded.train)) == characters + 1
    assert all(2 <= n <= 8 for n in lengths(encoded.train))


@pytest.mark.parametrize("characters", [6, 7, 8, 9, 30])
def test_truncation_keeps_one_row_and_counts_the_rest(
    model: ModelRef, run: FakeRun, characters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for piece in (5, 1000):
        monkeypatch.setattr(rows, "PIECE", piece)
        counts = encode(
            model, FakeRun(run.root / str(piece)), {"text": ["a" * characters]}, max_length=8, truncation=True
        ).counts
        cut = max(0, characters + 1 - 8)
        assert (counts["rows"], counts["tokens"]) == (1, characters + 1 - cut)
        assert (counts.get("truncated_tokens", 0), counts.get("truncated_rows", 0)) == (cut, int(cut > 0))


def test_a_begin_of_text_token_stands_before_each_text_once(
    model: ModelRef, run: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|end|> $A", special_tokens=[("<|end|>", END)]
    )
    tokenizer.save_pretrained(model.path)
    monkeypatch.setattr(rows, "PIECE", 10)
    encoded = encode(model, run, {"text": ["ab", "abc " * 10]})
    ids = [row["input_ids"] for row in encoded.train]
    assert [row.count(END) for row in ids] == [2, 2]
    assert all(row[0] == row[-1] == END for row in ids)


def test_a_text_is_tokenised_as_transformers_does(model: ModelRef, run: FakeRun) -> None:
    texts = PLAYS.read_text("utf-8")[:5000].split("\n")
    encoded = encode(model, run, {"text": texts}, add_eos=False, max_length=64)
    joined = [i for row in encoded.train for i in row["input_ids"]]
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    assert joined == [i for ids in tokenizer(texts)["input_ids"] for i in ids]


def test_a_tokenizer_file_that_asks_for_truncation_and_padding_is_not_heard(model: ModelRef, run: FakeRun) -> None:
    tokenizer = Tokenizer.from_file(str(model.path / "tokenizer.json"))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=10, pad_id=END)
    tokenizer.save(str(model.path / "tokenizer.json"))
    assert lengths(encode(model, run, {"text": ["abcdefgh", "a"]}).train) == [9, 2]


def test_batches_are_bounded_in_bytes_and_keep_the_order() -> None:
    texts = [str(i) * 100_000 for i in range(30)] + ["x"] * 2000
    found = [batch["text"] for batch in batches(datasets.Dataset.from_dict({"text": texts, "other": texts}))]
    assert [text for batch in found for text in batch] == texts
    assert max(sum(map(len, batch)) for batch in found) < 2**21


def test_rows_are_known_by_what_they_say_not_by_where_they_lie(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(500)]
    here = datasets.Dataset.from_dict({"text": texts})
    datasets.disable_progress_bars()
    here.save_to_disk(tmp_path / "there")
    there = datasets.Dataset.load_from_disk(tmp_path / "there")
    assert content_hash(here) == content_hash(there) == content_hash(here.add_column("more", texts))
    assert content_hash(here.select(range(10, 20))) == content_hash(datasets.Dataset.from_dict({"text": texts[10:20]}))
    shuffled = here.shuffle(seed=1)
    assert content_hash(shuffled) == content_hash(datasets.Dataset.from_dict({"text": list(shuffled["text"])}))
    others = [texts[::-1], texts[:-1], ["text 0text 1", ""], ["text 0", "text 1"]]
    hashes = [content_hash(datasets.Dataset.from_dict({"text": other})) for other in others]
    assert len({*hashes, content_hash(here)}) == 5


def test_validation_rows_are_encoded_beside_and_counted(model: ModelRef, run: FakeRun) -> None:
    data = {name: datasets.Dataset.from_dict({"text": ["ab"] * n}) for name, n in (("train", 3), ("validation", 2))}
    encoded = Pretrained(PretrainedOptions()).encode(data, model, run)
    assert encoded.validation is not None
    assert (len(encoded.train), len(encoded.validation)) == (3, 2)
    assert (encoded.counts["validation_rows"], encoded.counts["validation_tokens"]) == (2, 6)


def test_no_word_of_transformers_reaches_the_terminal(
    model: ModelRef, run: FakeRun, capfd: pytest.CaptureFixture[str]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    tokenizer.model_max_length = 4
    tokenizer.save_pretrained(model.path)
    talk = [{"role": "user", "content": "a" * 20}, {"role": "assistant", "content": "b" * 20}]
    encode(model, run, {"text": ["a" * 50]})
    encode(model, run, {"prompt": ["a" * 50], "completion": ["b"]})
    for only in (True, False):
        encode(model, run, {"messages": [talk]}, assistant_only_loss=only)
    assert capfd.readouterr() == ("", "")


# ----------------------------------------------------------------------------------------------- bad input


def refused(
    model: ModelRef, run: FakeRun, columns: dict[str, list[Any]] | None = None, **options: Any
) -> ComponentError:
    with pytest.raises(ComponentError) as caught:
        encode(model, run, columns or {"text": ["ab"]}, **options)
    return caught.value


def test_max_length_beyond_the_context(model: ModelRef, run: FakeRun) -> None:
    assert "max_length = 65 is beyond the 64 positions" in refused(model, run, max_length=65).message


def test_nothing_that_can_be_trained_is_left(model: ModelRef, run: FakeRun) -> None:
    error = refused(model, run, {"prompt": ["p" * 50], "completion": ["c"]}, max_length=8)
    assert error.message == "No row of train is left that has a token to train on."
    assert error.hint == "Give a larger max_length."
    assert "its texts are empty" in refused(model, run, {"text": [""]}).hint


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is no JSON, not a tokenizer"),
        ("{}", "cannot be opened: it lacks 'added_tokens'."),
        ("[]", "holds no table of settings"),
        ('{"version": "9"}', "cannot be opened"),
    ],
)
def test_a_damaged_tokenizer(model: ModelRef, run: FakeRun, content: str, sentence: str) -> None:
    (model.path / "tokenizer.json").write_text(content)
    assert sentence in refused(model, run).message


def test_a_tokenizer_that_wants_to_run_code(model: ModelRef, run: FakeRun) -> None:
    (model.path / "tokenizer_config.json").write_text(
        '{"auto_map": {"AutoTokenizer": ["evil.Tokenizer", null]}, "tokenizer_class": "Evil"}'
    )
    (model.path / "evil.py").write_text(f"open({str(model.path / 'ran')!r}, 'w')")
    try:
        encode(model, run, {"text": ["ab"]})
    except ComponentError as error:
        assert "run code" in error.message
    assert not (model.path / "ran").exists()


def test_a_tokenizer_without_an_end_of_text_takes_the_models_or_is_refused(model: ModelRef, run: FakeRun) -> None:
    backend = Tokenizer.from_file(str(model.path / "tokenizer.json"))
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(model.path)
    encoded = encode(model, run, {"text": ["ab"]})
    assert encoded.pad_token_id == END
    config = (model.path / "config.json").read_text().replace(f'"eos_token_id": {END}', '"eos_token_id": null')
    (model.path / "config.json").write_text(config)
    assert "no end-of-text token" in refused(model, run).message


def test_a_conversation_that_the_template_refuses_is_named_by_its_row(model: ModelRef, run: FakeRun) -> None:
    template = (
        "{% for m in messages %}{% if m['content'] == 'bad' %}{{ raise_exception('no') }}{% endif %}{% endfor %}ok"
    )
    talks = [[{"role": "user", "content": text}] for text in ("good", "bad", "good")]
    assert refused(model, run, {"messages": talks}, chat_template=template).message.startswith(
        "Row 2: The chat template"
    )


def test_a_template_file(model: ModelRef, run: FakeRun) -> None:
    talk = {"messages": [[{"role": "user", "content": "Hi"}]]}
    assert "cannot be read: No such file" in refused(model, run, talk, chat_template="gone.jinja").message
    (run.project / "talk.jinja").write_text("{{ messages[0]['content'] }}!")
    encoded = encode(model, run, talk, chat_template="talk.jinja")
    (row,) = encoded.train
    assert AutoTokenizer.from_pretrained(encoded.tokenizer).decode(row["input_ids"]) == "Hi!<|end|>"
    assert "no Jinja template" in refused(model, run, talk, chat_template="{{ x").message


def test_another_vocabulary_than_the_models_is_warned_of(model: ModelRef, run: FakeRun, tmp_path: Path) -> None:
    letters = {letter: i for i, letter in enumerate("abc")} | {"<|end|>": 3}
    backend = Tokenizer(models.BPE(vocab=letters, merges=[]))
    backend.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>").save_pretrained(tmp_path / "other")
    encoded = encode(model, run, {"text": ["ab"]}, name=str(tmp_path / "other"))
    assert encoded.vocab_size == 4
    assert run.warnings == [
        f"The model 'tiny-gpt2' was trained with another vocabulary than that of '{tmp_path / 'other'}'."
    ]
    assert "holds no tokenizer" in refused(model, run, name=str(tmp_path)).message
    assert "is not in the cache" in refused(model, run, name="nobody/nothing").message


def test_a_model_from_scratch_is_as_large_as_it_asked_to_be(tmp_path: Path, run: FakeRun) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    other = str(save_tokenizer(tmp_path / "tokenizer"))
    scratch = ModelRef(folder, weights=False, name="scratch")
    for asked, got in ((None, 257), (320, 320)):
        (folder / "config.json").write_text(
            '{"model_type": "gpt2"' + (f', "vocab_size": {asked}' if asked else "") + "}"
        )
        assert encode(scratch, run, {"text": ["ab"]}, name=other).vocab_size == got
    (folder / "config.json").write_text('{"model_type": "gpt2", "vocab_size": 100}')
    assert refused(scratch, run, name=other).hint == "Set vocab_size = 257 in [model], or drop it."
    assert "brings no tokenizer along" in refused(scratch, run).message
