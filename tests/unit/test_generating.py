"""What a generator may do to the process while its pieces are taken one by one."""

import os
import random
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from ftstudio.api import Checkpoint, Chunk
from ftstudio.errors import PluginError
from ftstudio.process.stages import chunks

OFFER = SimpleNamespace(title="generator dice", record=SimpleNamespace(title="plugin dice (dice 1.0)"))
PIECES = 50


def take(generate, tmp_path):
    warned = []
    pieces = chunks(
        OFFER, SimpleNamespace(generate=generate), Checkpoint(tmp_path, 0), ["Hi"], SimpleNamespace(warn=warned.append)
    )
    return [piece.text for piece in pieces], warned


def test_random_numbers_go_on_from_piece_to_piece(tmp_path):
    """Drawn in the caller's thread, and by a thread of the generator's own, as a streamed generate() does it."""

    def here(checkpoint, prompts, run):
        yield from (Chunk(0, str(random.random())) for _ in range(PIECES))

    def apart(checkpoint, prompts, run):
        for _ in range(PIECES):
            drawn = []
            thread = threading.Thread(target=lambda drawn=drawn: drawn.append(random.random()))
            thread.start()
            thread.join()
            yield Chunk(0, str(drawn[0]))

    for generate in (here, apart):
        random.seed(1)
        texts, _ = take(generate, tmp_path)
        assert len(set(texts)) == PIECES


def test_the_process_is_as_it_was_when_the_last_piece_was_taken(tmp_path):
    def rude(checkpoint, prompts, run):
        os.chdir("/")
        random.random()
        yield Chunk(0, "a")

    random.seed(1)
    before, folder = random.getstate(), Path.cwd()
    texts, warned = take(rude, tmp_path)
    assert (texts, random.getstate(), Path.cwd()) == (["a"], before, folder)
    assert warned == ["generator dice changed the working directory of the worker: it was put back."]


def test_an_error_between_two_pieces_names_the_plugin(tmp_path):
    def breaks(checkpoint, prompts, run):
        yield Chunk(0, "a")
        raise ValueError("no more")

    with pytest.raises(PluginError, match=r"generator dice failed in generate\(\): ValueError: no more"):
        take(breaks, tmp_path)
