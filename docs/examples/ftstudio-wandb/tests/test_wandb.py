"""What `wandb sync` would send is read from the file itself: blocks of 32 KiB, records of checksum, length and type."""

import json
import struct

import pytest
from told import POINTS, forget, make_run, replay
from wandb.proto import wandb_internal_pb2


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    for name in ("CONFIG", "STATE", "CACHE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))


BLOCK = 32 << 10
HEADER = 7


def records(data):
    """The payloads of a .wandb file."""
    at, parts = HEADER, b""
    while at + HEADER <= len(data):
        left = BLOCK - at % BLOCK
        if left < HEADER:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in {1, 4}:  # whole, or the last part
            yield parts
            parts = b""


def rows(run):
    """(wandb's step, values) of each row of each file that would be synced."""
    found = []
    for path in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        for data in records(path.read_bytes()):
            record = wandb_internal_pb2.Record.FromString(data)
            if record.WhichOneof("record_type") == "history":
                items = {(i.key or i.nested_key[0]): json.loads(i.value_json) for i in record.history.item}
                found.append((record.history.step.num, {k: v for k, v in items.items() if not k.startswith("_")}))
    return found


def test_the_metrics_of_a_run_are_in_the_file_that_is_synced(tmp_path):
    run = make_run(tmp_path)
    replay(run, "wandb")
    wanted = [(seq, {**metrics, "step": step}) for seq, (step, metrics) in enumerate(POINTS, start=2)]
    assert rows(run) == wanted
    forget(run, "wandb")
    replay(run, "wandb")
    assert dict(rows(run)) == dict(wanted)  # told again under the same number, of which the server keeps one
