"""Whatever a project.toml holds, reading it ends in a project or in sentences, and soon."""

import contextlib
import gc
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftstudio.errors import FtstudioError, ProblemsError
from ftstudio.plugins import registry
from ftstudio.project import interpret
from ftstudio.source import Source, parse_value, read_source

CPU_SECONDS = 0.5

fragments = st.sampled_from([
    "[", "]", "[[", "]]", "{", "}", "=", ".", ",", '"', "'", '"""', "'''", "#", "\n", "\r\n", "\\", "\\u0000", " ", "\t",
    "[model]\n", "[dataset]\n", "[trainer]\n", "[generator]\n", "[tokenizer]\n", "[[observers]]\n", 'use = "native"\n',
    'use = "inline"\n', "format = 1\n", "seed = ", "nan", "inf", "-", "+", "_", "1", "1e400", "0x", "1979-05-27", "true",
    "a.b.c", "learning_rate", "max_length = ", "\ufeff", "\u202e", "\x1b[31m", "\x00", "prompts = ", "texts = ", "é", "\U0001f600",
])  # fmt: skip
texts = st.one_of(st.lists(fragments, max_size=60).map("".join), st.text(max_size=200))
bodies = st.one_of(
    texts.map(lambda t: t.encode("utf-8", "surrogatepass")),
    st.binary(max_size=300),
    st.tuples(fragments, st.integers(1, 3000)).map(lambda p: (p[0] * p[1])[:20_000].encode("utf-8", "surrogatepass")),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.dates(), st.times()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=10), inner, max_size=4)),
    max_leaves=12,
)
keys = st.sampled_from([
    "use", "name", "path", "texts", "split_by", "max_length", "learning_rate", "warmup_steps", "num_train_epochs", "limit",
    "validation_fraction", "validation_count", "shuffle_seed", "dedupe", "prompts", "temperature", "lora_rank", "odd",
])  # fmt: skip
tables = st.dictionaries(
    st.sampled_from(["format", "name", "seed", "model", "dataset", "tokenizer", "trainer", "generator", "observers", "evaluators", "x"]),
    st.one_of(
        values,
        st.dictionaries(keys, values, max_size=6),
        st.tuples(st.sampled_from(["native", "hf", "inline", "text", "table", "hub", "pretrained", "bpe", "sample", "starter", "scratch"]), st.dictionaries(keys, values, max_size=6)).map(lambda p: {**p[1], "use": p[0]}),
    ),
    max_size=8,
)  # fmt: skip


@pytest.fixture
def limits(request):
    return settings(
        max_examples=request.config.getoption("--examples") // 2, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), print_blob=True,
    )  # fmt: skip


@contextlib.contextmanager
def soon():
    """The CPU time of this thread, without collections of what the process's other tests left on the heap: with torch
    imported one of those takes longer than the limit.
    """
    gc.disable()
    started = time.thread_time()
    try:
        yield
        assert time.thread_time() - started < CPU_SECONDS
    finally:
        gc.enable()


def test_any_bytes_are_a_file_or_a_sentence(tmp_path, limits):
    path = tmp_path / "project.toml"

    @limits
    @given(bodies)
    def read(body):
        path.write_bytes(body)
        with soon():
            try:
                source = read_source(path)
            except ProblemsError as error:
                assert error.problems[0].message
            else:
                interpret(tmp_path, source, [], registry())

    read()


def test_any_tables_are_a_project_with_problems(tmp_path, limits):
    source_path = tmp_path / "project.toml"

    @limits
    @given(
        tables,
        st.lists(
            st.tuples(st.sampled_from(["a", "trainer.x", "trainer.learning_rate", "dataset.use"]), texts), max_size=2
        ),
    )
    def understand(table, overrides):
        with soon():
            try:
                parsed = [(key, parse_value(value)) for key, value in overrides]
                project = interpret(tmp_path, Source(source_path, "", table), parsed, registry())
            except FtstudioError as error:
                assert str(error)
            else:
                assert project.errors or set(project.parts) == {"model", "dataset", "tokenizer", "trainer", "generator"}
                for problem in project.problems:
                    assert problem.message

    understand()
