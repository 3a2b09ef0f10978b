"""What the conformance kit finds: each of these components does one thing wrong, and one check says so."""

import base64
from dataclasses import replace

import pytest
from bad_components import (
    Changing,
    Fragile,
    Misnaming,
    Required,
    described,
)

from ftstudio.plugins import Offer, Record
from ftstudio.testing import CHECKS, CheckFailed, CheckSkipped, Subject, Supplies, checks_of
from ftstudio.testing.about_descriptions import project_info
from ftstudio.testing.about_work import forms_of
from ftstudio.testing.subject import place_of

WRONG = [
    # description and options
    ("model", {"summary": "two\nlines"}, "Its name, its summary", "Its summary must be one line"),
    ("model", {"options": Fragile}, "A wrong value", "path = "),
    ("model", {"options": Misnaming}, "A wrong value", "an OptionError of 'pth', which is no option of it"),
    ("model", {"target": "not_there:X"}, "Its target", "say in install_hint what to install"),
    ("model", {"target": "bad_components:described", "options": Misnaming}, "Its target", "failed in building it"),
    # light functions
    ("dataset", {"facts": "bad_components:heavy_facts"}, "Its facts are light", "Its facts function imports textual"),
    ("dataset", {"facts": "bad_components:no_facts"}, "Its facts are light", "returned dict; expected Facts"),
    ("dataset", {"facts": "bad_components:negative_facts"}, "Its facts are light", "rows = -4; None means unknown"),
    ("dataset", {"facts": "bad_components:wrong_facts"}, "Its facts agree with the rows", "rows = 99, but load() gave 4"),
    ("dataset", {"facts": "bad_components:gone"}, "Its facts are light", "has no attribute 'gone'"),
    ("dataset", {"check": "bad_components:wrong_problems"}, "Its checks are light", "gave str; expected Problem"),
    ("dataset", {"check": "bad_components:stray_problems"}, "Its checks are light", "option 'nothing', which is none of its own"),
    ("dataset", {"check": "bad_components:refusing"}, "Its checks are light", "refuses the example options: Never good enough."),
    ("dataset", {"sniff": "bad_components:odd_sniff"}, "sniff()", "expected None, or use and options"),
    ("dataset", {"sniff": "bad_components:every_sniff"}, "sniff()", "says yes to a file of all 256 bytes in turn"),
    ("dataset", {"sniff": "bad_components:other_sniff"}, "sniff()", "expected use = 'bad'"),
    ("dataset", {"sniff": "bad_components:refused_sniff"}, "sniff()", "whose options are refused: 'no_such_option' is not an option"),
    ("dataset", {"sniff": "bad_components:telling_sniff"}, "sniff()", "prints 'looking at it', which nobody sees"),
    ("dataset", {"facts": "bad_components:telling_facts"}, "Its facts are light", "prints '\\x1b[31mlooking', which nobody sees"),
    ("model", {"facts": "bad_components:other_context"}, "Its facts agree with the config", "context = 1, its config 64"),
    ("trainer", {"plan": "bad_components:five_steps"}, "Its plan", "says 5 steps, but it ended at step 10"),
    ("trainer", {"plan": "bad_components:odd_checkpoints"}, "Its plan", "a checkpoint at step 3, and none was committed"),
    # sources
    ("dataset", "Raising", "It does its work", "ZeroDivisionError: a bug (bad_components.py, line"),
    ("dataset", "Lists", "It does its work", "load() returned list; expected a mapping with 'train'"),
    ("dataset", "Short", "It does its work", "train says that it has 9 rows, but gave 1"),
    ("dataset", "Lacking", "It does its work", "Row 0 of train lacks the column 'title'"),
    ("dataset", {"gives": ("messages",)}, "It does its work", "It gave rows of text, but its description says"),
    ("dataset", "Numbers", "The values of its rows", "Row 0 of train: text is int; expected a text"),
    ("dataset", "Messages", "The values of its rows", "expected role and content"),
    ("dataset", "HalfCharacter", "The values of its rows", "Row 1 of train holds 'half \\ud800 of one', with a lone surrogate at character 5"),
    ("dataset", "HalfColumn", "The values of its rows", "Row 0 of train holds 'x\\ud800', with a lone surrogate at character 1"),
    ("dataset", "UsedUp", "The rows are the same", "A second pass over train gave 0 rows where the first gave 2"),
    ("dataset", "Drawn", "The same seed gives the same result, whatever", "Two pieces of work with the same seed gave different results"),
    ("dataset", "Unordered", "The same seed gives the same result in a process", "Sort what comes out of a set"),
    ("trainer", "Hashing", "The same seed gives the same result in a process", "use no hash() of a text"),
    ("dataset", "Chdir", "It leaves", "changed the working directory"),
    ("dataset", "Deaf", "It leaves", "the handler of SIGTERM"),
    ("dataset", "Silencer", "It leaves", "sys.stdout"),
    ("dataset", "Litter", "It writes only", "index.json"),
    ("dataset", "Temporary", "It writes only", "temporary files too"),
    ("dataset", "OtherPreview", "preview()", "gives other rows than load() begins with"),
    ("dataset", "LongPreview", "preview()", "asked for 3 rows and gave more"),
    ("dataset", "UnsteadyPrint", "fingerprint()", "another one for the same data"),
    ("dataset", "Telling", "Its secrets", "The value of KIT_TOKEN was printed or said"),
    ("dataset", "Printing", "Its secrets", "The value of KIT_TOKEN was printed or said"),
    ("dataset", "Encoding", "Its secrets", "The value of KIT_TOKEN was written into cache/answer in base64"),
    ("dataset", "Spelling", "Its secrets", "The value of KIT_TOKEN was printed or said as hexadecimal digits"),
    ("dataset", "Blaming", "Its secrets", "The value of KIT_TOKEN was printed or said"),
    ("dataset", "Keeping", "Its secrets", "The value of KIT_TOKEN was written into cache/answer"),
    # models
    ("model", "NoConfig", "It does its work", "which has no config.json"),
    ("model", "BadConfig", "The folder holds", "config.json of its model cannot be read"),
    ("model", "Pickled", "The folder holds", "pytorch_model.bin is a pickle"),
    ("model", "Untold", "The folder holds", "which would be left unused"),
    # tokenizers
    ("tokenizer", "AllMasked", "It does its work", "every label of train is -100"),
    ("tokenizer", "Outside", "It does its work", "a token id outside 0 to 9"),
    ("tokenizer", "NoValidation", "The validation rows", "its Encoded has validation=None"),
    ("tokenizer", "AlwaysText", "It encodes rows of every shape", "Of rows of prompt_completion it made an Encoded of shape text"),
    ("tokenizer", "NoFolder", "AutoTokenizer opens", "AutoTokenizer does not open its folder"),
    ("tokenizer", "TooLong", "No row is longer", "With max_length = 8 it gave a row of"),
    ("tokenizer", "Miscounting", "What it counts", "It counts tokens = 3, but the rows have"),
    ("tokenizer", "Strict", "Hostile texts", "Hostile text rows broke it: UnicodeEncodeError"),
    # trainers
    ("trainer", "Quiet", "It logs a loss", "It never logged a loss"),
    ("trainer", "Backwards", "It logs a loss", "each step once, in order"),
    ("trainer", "NotANumber", "It logs a loss", "It logged"),
    ("trainer", "Speechless", "It tells its progress", "Its last word on progress is none, but it ended at step 10"),
    ("trainer", "Vandal", "The base model", "It changed config.json of the base model's folder"),
    ("trainer", "DeafTrainer", "A stop is heard", "A stop was asked for at step 2, and it went on to step 10"),
    ("trainer", "NoCheckpoint", "A checkpoint that is asked for", "none came by step 7"),
    ("trainer", "Uncommitted", "It does its work", "wrote a checkpoint without config.json"),
    ("trainer", "NoWeights", "It does its work", "without model.safetensors"),
    ("trainer", "FromTheStart", "A run that was stopped", "it logged step 1 again"),
    ("trainer", "Drifting", "A run that was stopped", "It says exact_resume, but ends with other weights"),
    ("trainer", "BaseAgain", "A run that was stopped", "it began with the base model again"),
    ("trainer", "LeavingOut", "A run that was stopped", "came at step 9, and at step 1 where it began: steps are left out"),
    ("trainer", "NotReproducible", "The same seed gives the same result, whatever", "Two pieces of work with the same seed"),
    ("trainer", "EmptyExport", "export()", "export() left README; expected config.json"),
    # generators
    ("generator", "Strings", "It does its work", "expected pieces that are a Chunk"),
    ("generator", "WrongPrompt", "It does its work", "a piece for prompt 7 of 3"),
    ("generator", "NeverDone", "It does its work", "Prompt 0 of 3 never got a piece with done=True"),
    ("generator", "Parrot", "A text does not begin", "begins with the prompt itself"),
    ("generator", "OnceOnly", "It begins again", "Asked a second time it failed: RuntimeError: used up"),
    ("generator", "Counting", "The text of a prompt", "another text when it was asked alone"),
    ("generator", "Endless", "A stop is heard", "more than 20 pieces came"),
    ("generator", "Unclosable", "It may be left", "Left in the middle of a text it failed: RuntimeError: left alone"),
    ("generator", "BrokenChange", "change()", "After change() it failed"),
    ("generator", "StrictPrompts", "Hostile prompts", "broke it: UnicodeEncodeError"),
    # observers
    ("observer", "RaisingObserver", "It does its work", "ZeroDivisionError: a bug"),
    ("observer", "NoRepeats", "An event may come twice", "ValueError: seen before"),
    ("observer", "Doubling", "An event may come twice", "its file 'heard.txt' has 305 bytes, and 138 of the same events once"),
    ("observer", "Emptying", "It may begin in the middle", "its file 'log.txt' ends with"),
    ("observer", "Appending", "Told everything again", "after_seq=0 voids what an earlier instance wrote"),
    ("observer", "FromOne", "It may begin in the middle", "KeyError: 1"),
    ("observer", "NeedsEvents", "It may be closed", "ValueError"),
    ("observer", "OnlyFinished", "A run that failed", "When the run failed, its on_event() of a state event failed"),
    ("observer", "Latin", "Hostile texts in events", "UnicodeEncodeError"),
    ("observer", "Scribbling", "It writes only", "observed.txt"),
]  # fmt: skip


def subject(kind, how, root, **more):
    """A component that is wrong in its class (a name) or in its description (keywords)."""
    described_so = {"exact_resume": True} if how == "Drifting" else {}
    if isinstance(how, str) and how in {"Telling", "Printing", "Blaming", "Keeping", "Encoding", "Spelling"}:
        described_so["secrets"] = ("KIT_TOKEN",)
    component = described(kind, **how) if isinstance(how, dict) else described(kind, how, **described_so)
    record = Record(name="tests", value="", distribution="tests", version="0", status="active")
    return Subject(Offer(kind=kind, component=component, record=record), root, **more)


@pytest.mark.parametrize(("kind", "how", "check", "says"), WRONG, ids=[f"{k}-{h if isinstance(h, str) else next(iter(h.values()))}-{c}"[:70].replace("/", "") for k, h, c, _ in WRONG])  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(kind, how, check, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (one,) = [c for c in checks_of(kind) if c.name.startswith(check)]
    result, sentence = one.tried(subject(kind, how, tmp_path))
    assert result == "failed", sentence
    assert says in sentence
    assert "\n" not in sentence


def test_every_check_has_a_component_that_it_finds_fault_with():
    found = {(c.name, kind) for kind, _, check, _ in WRONG for c in checks_of(kind) if c.name.startswith(check)}
    never = [c.name for c in CHECKS if not any(name == c.name for name, _ in found)]
    elsewhere = [
        "Describing it imports nothing heavy",  # tests of the command line: it needs an installed plugin
        "Its options survive the way into TOML and back",  # below: it needs an example
        "Other rows have another fingerprint()",  # below: it needs a file
        "Hostile texts come through, or are refused in a sentence",  # below: it needs a way to write texts
    ]
    assert never == elsewhere


def test_options_that_toml_cannot_hold_are_found(tmp_path):
    (one,) = [c for c in checks_of("model") if c.name.startswith("Its options survive")]
    changing = subject("model", {"options": Changing}, tmp_path, table={"size": 0})
    assert one.tried(changing) == ("failed", "Written to TOML and read again, option 'size' is another value.")


def test_hostile_texts_that_break_a_source_are_found(tmp_path):
    class WriteTexts(Supplies):
        def write_texts(self, texts, project):
            return {"texts": list(texts)}

    (one,) = [c for c in checks_of("dataset") if c.name.startswith("Hostile texts")]
    assert one.tried(subject("dataset", "FakeSource", tmp_path, supplies=WriteTexts()))[0] == "passed"
    result, sentence = one.tried(subject("dataset", "EncodingSource", tmp_path / "b", supplies=WriteTexts()))
    assert result == "failed"
    assert "Hostile texts broke it: UnicodeEncodeError" in sentence


def test_a_way_to_write_texts_that_is_itself_wrong_is_found(tmp_path):
    class Mistyped(Supplies):
        def write_texts(self, texts, project):
            return {"txts": list(texts)}

    class Refused(Supplies):
        def write_texts(self, texts, project):
            return {"texts": 3}

    (one,) = [c for c in checks_of("dataset") if c.name.startswith("Hostile texts")]
    mistyped = one.tried(subject("dataset", "FakeSource", tmp_path / "a", supplies=Mistyped()))
    assert mistyped == ("failed", "write_texts() of the test class returned 'txts', which is no option of it.")
    result, sentence = one.tried(subject("dataset", "FakeSource", tmp_path / "b", supplies=Refused()))
    assert result == "failed"
    assert sentence.startswith("It refuses plain texts as well: texts[0] must be a text")


def test_a_fingerprint_that_does_not_follow_the_data_is_found_and_one_that_does_is_not(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "lines.txt").write_text("one\ntwo\nthree\n")
    (one,) = [c for c in checks_of("dataset") if c.name.startswith("Other rows")]

    def tried(how):
        return one.tried(subject("dataset", how, tmp_path / how, files=tmp_path / "files"))

    assert tried("Lines") == ("passed", "")
    result, sentence = tried("SamePrint")
    assert result == "failed"
    assert "fingerprint() is the same for a file that gives other rows" in sentence
    assert tried("FakeSource")[0] == "skipped"


@pytest.mark.parametrize("honest", ["Logging", "Summing"])
def test_an_observer_that_goes_on_or_begins_anew_as_it_should_passes(honest, tmp_path):
    results = {c.name: c.tried(subject("observer", honest, tmp_path)) for c in checks_of("observer")}
    assert {name: says for name, (result, says) in results.items() if result == "failed"} == {}


def test_a_check_function_hears_of_the_validation_rows_that_its_trainer_gets(tmp_path):
    class Without(Supplies):
        def encoded(self, run, shape):
            return replace(super().encoded(run, shape), validation=None)

    with_rows = subject("trainer", "FakeTrainer", tmp_path / "a")
    assert with_rows.encoded().validation is not None
    assert project_info(with_rows, tmp_path).validation
    assert not project_info(subject("trainer", "FakeTrainer", tmp_path / "b", supplies=Without()), tmp_path).validation


def test_options_that_lack_a_value_are_named_with_the_place_to_give_it(tmp_path):
    (one,) = [c for c in checks_of("dataset") if c.name.startswith("It does its work")]
    result, sentence = one.tried(subject("dataset", {"options": Required}, tmp_path))
    assert result == "skipped"
    assert "It requires path, and no example gives a value" in sentence
    assert "[tool.ftstudio.check.dataset.bad]" in sentence


def test_a_secret_that_is_not_set_leaves_out_what_cannot_be_tried_and_the_persons_own_is_used(tmp_path, monkeypatch):
    (work,) = [c for c in checks_of("dataset") if c.name.startswith("It does its work")]
    result, sentence = work.tried(subject("dataset", "Blaming", tmp_path))
    assert result == "skipped"
    assert "It needs 'KIT_TOKEN' to work: set it." in sentence
    monkeypatch.setenv("KIT_TOKEN", "mine")
    assert work.tried(subject("dataset", "Blaming", tmp_path / "b"))[0] == "failed"


def test_what_needs_an_installation_and_says_so_is_left_out(tmp_path):
    hinted = {"target": "not_there:X", "install_hint": "pip install not-there"}
    results = {c.name: c.tried(subject("model", hinted, tmp_path)) for c in checks_of("model")}
    assert "failed" not in {result for result, _ in results.values()}
    assert "pip install not-there" in results["It does its work, and what it gives keeps the contract"][1]


def test_a_file_of_the_person_that_is_removed_is_found_whoever_removed_it(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "lines.txt").write_text("mine")
    (one,) = [c for c in checks_of("dataset") if c.name.startswith("It writes only")]
    result, sentence = one.tried(subject("dataset", "Clearing", tmp_path / "a", files=tmp_path / "files"))
    assert result == "failed"
    assert "lines.txt'. What lies in the project's folder is the person's." in sentence


@pytest.mark.parametrize("before", ["", "u", "us", "use"])
@pytest.mark.parametrize("value", ["a-secret", "a-secret-of-13", "ein Schlüssel"])
def test_a_secret_is_found_in_base64_wherever_it_begins(before, value):
    said = base64.b64encode(f"{before}{value} and more".encode())
    assert any(form in said for how, form in forms_of(value) if how == " in base64")
    other = base64.b64encode(f"{before}{value[:-3]}... and more".encode())
    assert not any(form in other for _, form in forms_of(value))


def test_findings_are_assertions_and_skips_are_not():
    assert issubclass(CheckFailed, AssertionError)
    assert not issubclass(CheckSkipped, AssertionError)


def test_the_place_of_an_error_is_a_line_of_the_plugin_also_where_a_library_raised(tmp_path):
    site = tmp_path / "site-packages"
    (site / "my_plugin").mkdir(parents=True)
    (site / "library").mkdir()
    (site / "library" / "inner.py").write_text("import json\ndef read(text):\n    return json.loads(text)\n")
    (site / "my_plugin" / "deep.py").write_text("def ask(read):\n    return read('{')\n")
    (site / "my_plugin" / "source.py").write_text("def load(ask, read):\n    return ask(read)\n")
    names = {}
    for file in site.rglob("*.py"):
        exec(compile(file.read_text(), str(file), "exec"), names)
    with pytest.raises(ValueError, match="Expecting") as raised:
        names["load"](names["ask"], names["read"])
    assert place_of(raised.value.with_traceback(raised.tb.tb_next)) == " (deep.py, line 2)"
