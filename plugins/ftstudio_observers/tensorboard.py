"""Files for TensorBoard: scalars by the name of the metric, samples as texts, in tensorboard/ of the run's folder.

Each process writes a file of its own, which sorts behind those before it. A resume from step S is written as the mark
that TensorBoard has for a restart, which makes it drop what it read of steps beyond S; a replay from the start as well.
What an earlier process wrote after its last cursor is told again and is recognised by name, step and time.

No TensorFlow, and no torch: the records and their protocol buffers come with the package `tensorboard`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.compat.proto.event_pb2 import SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.record_writer import RecordWriter

from ftstudio.api import ComponentError, Event, RunInfo
from ftstudio_observers.metrics import metrics_of, resumed_from
from ftstudio_observers.options import TensorBoardOptions

FOLDER = "tensorboard"
REMEMBERED = 100_000
"""Records of earlier files that what is told again is compared with: many times what comes in a second."""
Key = tuple[str, int, float]


class TensorBoard:
    """Writes what TensorBoard shows of a run."""

    def __init__(self, options: TensorBoardOptions) -> None:
        self.options = options

    def open(self, run: RunInfo, after_seq: int) -> None:
        """Begin a file behind those that are there. Raises ComponentError for a folder that is none."""
        folder = run.dir / FOLDER
        if folder.is_symlink():
            raise ComponentError(f"{folder} is a symbolic link; nothing is written through one.", "Remove it.")
        folder.mkdir(exist_ok=True)
        before = sorted(folder.glob("events.out.tfevents.*"))
        self._written = _keys(before) if after_seq else frozenset()
        self._heard = after_seq
        path = folder / f"events.out.tfevents.{_number(before):010d}.{run.host}"
        self._file = path.open("xb", buffering=0)
        self._writer = RecordWriter(self._file)
        self._write(Record(wall_time=time.time(), file_version="brain.Event:2"))
        if before and not after_seq:
            self._restart(0, time.time())

    def on_event(self, event: Event) -> None:
        """Metrics, a sample, or a resume."""
        if event.seq <= self._heard:
            return  # a repeat
        self._heard = event.seq
        beyond = resumed_from(event)
        if beyond is not None:
            self._restart(beyond + 1, event.t)
        elif event.kind == "metrics" and event.step is not None:
            self._add(event, [Summary.Value(tag=n, simple_value=v) for n, v in metrics_of(event).items()])
        elif event.kind == "sample" and event.step is not None and self.options.samples:
            self._add(event, [_sample(event)])

    def close(self) -> None:
        """Everything is written already."""
        self._file.close()

    def _add(self, event: Event, values: list[Any]) -> None:
        new = [value for value in values if (value.tag, event.step, event.t) not in self._written]
        if new:
            self._write(Record(wall_time=event.t, step=event.step, summary=Summary(value=new)))

    def _restart(self, step: int, t: float) -> None:
        """What was written of this step and those after it is void."""
        if ("", step, t) not in self._written:
            self._write(Record(wall_time=t, step=step, session_log=SessionLog(status=SessionLog.START)))

    def _write(self, record: Any) -> None:
        self._writer.write(record.SerializeToString())
        self._writer.flush()


def _number(before: list[Path]) -> int:
    """The time in seconds, as such files are named, but always behind the last one: they are read in that order."""
    numbers = [int(p.name.split(".")[3]) for p in before if p.name.split(".")[3].isdigit()]
    return max(int(time.time()), *(number + 1 for number in numbers), 0)


def _keys(files: list[Path]) -> frozenset[Key]:
    """Tag, step and time of the last records of these files; a mark of a restart has no tag."""
    return frozenset(deque((key for path in files for key in _keys_of(path)), maxlen=REMEMBERED))


def _keys_of(path: Path) -> Iterator[Key]:
    for data in RawEventFileLoader(str(path)).Load():
        record = Record.FromString(data)
        if record.HasField("session_log"):
            yield "", record.step, record.wall_time
        for value in record.summary.value:
            yield value.tag, record.step, record.wall_time


def _sample(event: Event) -> Any:
    """A sample as TensorBoard's own text plugin wants it, under its prompt and whose it is (the base model's, say)."""
    prompt = event.data.get("prompt", "")
    words = prompt if isinstance(prompt, str) else "\n".join(str(turn.get("content", "")) for turn in prompt)
    tag = _whole("/".join(filter(None, ["sample", str(event.data.get("model", "")), words[:60]])))
    text = _whole(f"{words}{event.data.get('text', '')}")
    return Summary.Value(
        tag=tag,
        metadata=SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text")),
        tensor=TensorProto(
            dtype=DT_STRING,
            string_val=[text.encode()],
            tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
        ),
    )


def _whole(text: str) -> str:
    """Half a character, which a model's bytes may come out as, is written as its escape: UTF-8 has none for it."""
    return text.encode("utf-8", "backslashreplace").decode()
