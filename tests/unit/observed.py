"""What the built-in observers wrote, read as others read it, and a receiver for the webhook."""

import csv
import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ftstudio.runs.events import Series

SECRET = "/hooks/s3cr3t-path"


def as_readers_see(events):
    """Step -> metrics after the rule of resumes."""
    series = Series()
    series.add(events)
    rows = {}
    for name in series.names:
        for step, value in series.values(name):
            rows.setdefault(step, {})[name] = value
    return rows


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


def is_same_table(found, wanted):
    assert list(found) == sorted(wanted)
    for step, values in wanted.items():
        assert found[step].keys() == values.keys()
        assert all(same(found[step][name], value) for name, value in values.items()), step
    return True


def table(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return {int(r.pop("step")): {k: float(v) for k, v in r.items() if v} for r in csv.DictReader(file)}


def accumulated(folder):
    """What TensorBoard itself reads."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    return found


def scalars(folder):
    found, rows = accumulated(folder), {}
    for tag in found.Tags()["scalars"]:
        points = found.Scalars(tag)
        assert len({p.step for p in points}) == len(points), f"{tag} has a step twice"
        for point in points:
            rows.setdefault(point.step, {})[tag] = point.value
    return dict(sorted(rows.items()))


def as_float32(rows):
    """TensorBoard keeps scalars in 32 bits."""
    import numpy as np

    return {step: {n: float(np.float32(v)) for n, v in values.items()} for step, values in rows.items()}


class Receiver(ThreadingHTTPServer):
    """Answers as it is told to, the last answer from then on, and keeps what it got."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.got, self.over = [200], [], threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}{SECRET}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Idempotency-Key"], json.loads(body)))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer == "hang":
            self.server.over.wait(30)
            return
        self.send_response(answer)
        if answer == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815

    def log_message(self, *arguments):
        pass
