import subprocess
import sys

import pytest

from ftstudio.api import ComponentError, OptionError, ProjectInfo
from ftstudio.testing import FakeRun
from ftstudio_markdown import light
from ftstudio_markdown.options import MarkdownOptions
from ftstudio_markdown.source import Markdown

POEM = """---
title: "The river: a poem"
tags: [poem, water]
draft: no
---
The river bends.

It does not ask.
"""
GUIDE = """# Guide

## Start

Read this.

```python
# not a heading
print("code")
```

### Detail

A detail.

## Empty

## End
The end.
"""


@pytest.fixture
def run(tmp_path):
    run = FakeRun(tmp_path)
    put(run, "notes/poem.md", POEM)
    put(run, "notes/deep/guide.markdown", GUIDE)
    put(run, "notes/.hidden/x.md", "hidden")
    put(run, "notes/data.txt", "no Markdown")
    return run


def put(run, name, text):
    path = run.project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def options(path="notes", **more):
    return MarkdownOptions(path=(path,) if isinstance(path, str) else path, **more)


def load(run, **more):
    return [row["text"] for row in Markdown(options(**more)).load(run)["train"]]


def test_a_folder_is_read_with_its_folders_and_front_matter_is_no_text(run):
    guide, poem = load(run)
    assert poem == "The river bends.\n\nIt does not ask."
    assert guide == GUIDE.strip("\n")


def test_sections_begin_at_headings_outside_code_and_empty_ones_are_left_out(run):
    sections = load(run, path="notes/deep/*.markdown", split_by="heading")
    assert [s.splitlines()[0] for s in sections] == ["## Start", "## End"]
    assert "# not a heading" in sections[0]
    assert "### Detail" in sections[0]
    assert len(load(run, path="notes/deep/*", split_by="heading", heading_level=3)) == 3
    assert len(load(run, path="notes/deep/*", split_by="heading", heading_level=1)) == 1


def test_code_blocks_are_dropped_whole_however_they_are_fenced(run):
    put(run, "code/a.md", "one\n~~~~ sh\n```\n~~~\n~~~~\ntwo\n   ````\nx\n````\nthree\n``` \nnever closed")
    assert load(run, path="code", drop_code=True) == ["one\ntwo\nthree"]
    assert "print" not in load(run, path="notes/deep/guide.markdown", drop_code=True)[0]


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ({"tags": "poem"}, 1),
        ({"tags": "prose"}, 0),
        ({"draft": False}, 2),
        ({"draft": True}, 0),
        ({"draft": "no"}, 1),
        ({"tags": "water", "title": "The river: a poem"}, 1),
    ],
)
def test_front_matter_chooses_documents(run, where, count):
    if count:
        assert len(load(run, where=where)) == count
    else:
        with pytest.raises(ComponentError, match="where chooses none of them"):
            load(run, where=where)


def test_values_stay_as_they_are_written(run):
    put(run, "dates/a.md", "---\ndate: 2024-01-01\nnumber: 007\nbuilt: !!python/object:os.system x\n---\ntext")
    for where in ({"date": "2024-01-01"}, {"number": "007"}):
        assert load(run, path="dates", where=where) == ["text"]


def test_the_title_may_stand_above_the_text(run):
    assert load(run, path="notes/*.md", text="title_and_body")[0].startswith("# The river: a poem\n\nThe river")
    put(run, "half/a.md", '---\ntitle: "half \\uD800"\n---\ntext')
    assert load(run, path="half", text="title_and_body") == ["# half ?\n\ntext"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"one\ntwo\n\xff\xfe", "'bad.md', line 3: not UTF-8."),
        ("---\na: 1\nb: [1, 2\nc: 3\n---\ntext", "'bad.md', line 4: the front matter cannot be read:"),
        ("---\na: 'open\n---\ntext", "the front matter cannot be read:"),
        ("---\njust words\n---\ntext", "'bad.md', line 2: what stands between the --- is no front matter"),
        ("---\n" + "[" * 5000 + "\n---\ntext", "'bad.md', line 1: the front matter cannot be read."),
        ("---\na: " + "x" * 70_000 + "\n---\ntext", "has more than 64 KiB"),
    ],
)
def test_errors_name_the_file_and_the_line(run, text, sentence):
    put(run, "bad.md", text)
    with pytest.raises(ComponentError) as caught:
        load(run, path="bad.md")
    assert sentence in caught.value.message
    info = ProjectInfo(folder=run.project, name="p", seed=1, uses={}, options={})
    (problem,) = light.check(options("bad.md"), info, light.facts(options("bad.md"), run.project))
    assert (problem.level, problem.option, problem.message) == ("error", "path", caught.value.message)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("---\na rule that is not closed", "---\na rule that is not closed"),
        ("---\n---\ntext", "text"),
        ("\ufefftext", "text"),
        ("---\r\na: 1\r\n...\r\ntext\rmore", "text\nmore"),
        ("text \x1b[31m [b] \u202e", "text \x1b[31m [b] \u202e"),
    ],
)
def test_odd_files_are_read_as_they_are_meant(run, text, row):
    put(run, "odd.md", text)
    assert load(run, path="odd.md") == [row]


def test_what_is_not_there_is_named(run):
    for path in ("nothing", "notes/*.rst", "notes/data.txt/x", "\0"):
        with pytest.raises(ComponentError, match="names no Markdown file"):
            load(run, path=path)
    put(run, "blank/a.md", "---\na: 1\n---\n\n  \n")
    with pytest.raises(ComponentError, match="they hold no text"):
        load(run, path="blank")
    with pytest.raises(OptionError, match="path names no folder"):
        options("")


def test_validation_documents_are_a_table_of_their_own(run):
    tables = Markdown(options("notes/*.md", validation_path=("notes/deep",))).load(run)
    assert {name: len(table) for name, table in tables.items()} == {"train": 1, "validation": 1}
    assert light.facts(options("notes/*.md", validation_path=("notes/deep",)), run.project).validation_rows == 1


def test_a_preview_reads_no_further_than_it_shows(run):
    put(run, "some/a.md", "first")
    put(run, "some/b.md", b"\xff")
    assert list(Markdown(options("some")).preview(run, 1)) == [{"text": "first"}]


def test_the_fingerprint_is_that_of_content_and_options(run):
    first = Markdown(options()).fingerprint(run)
    (run.project / "notes/poem.md").touch()
    assert Markdown(options()).fingerprint(run) == first
    assert Markdown(options(drop_code=True)).fingerprint(run) != first
    put(run, "notes/poem.md", POEM + "more")
    assert Markdown(options()).fingerprint(run) != first


def test_facts_are_what_a_load_gives(run):
    found = light.facts(options(split_by="heading"), run.project)
    rows = load(run, split_by="heading")
    assert (found.shape, found.rows, found.validation_rows) == ("text", len(rows), 0)
    assert found.characters == sum(map(len, rows))
    assert found.longest_characters == max(map(len, rows))
    assert found.sample == tuple(rows)
    assert not found.estimated


def test_facts_of_much_are_an_estimate_and_say_so(run):
    for i in range(30):
        put(run, f"many/{i:02}.md", "word " * 20_000)
    found = light.facts(options("many"), run.project)
    assert found.rows == 30
    assert {"rows", "characters"} <= found.estimated


def test_a_folder_is_sniffed_and_other_things_are_not(run):
    found = light.sniff(run.project / "notes")
    assert found["options"] == {"path": str(run.project / "notes")}
    assert found["says"] == "Markdown, 2 documents"
    assert light.sniff(run.project / "notes/poem.md") is None
    assert light.sniff(run.project / "runs") is None


def test_describing_and_loading_need_no_torch():
    code = (
        "import sys, ftstudio_markdown, ftstudio_markdown.light, ftstudio_markdown.source\n"
        "heavy = {'torch', 'transformers', 'datasets'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
