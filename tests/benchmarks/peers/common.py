"""What the peers share: the work as a file says it, and what they say of how it went. No ftstudio in here.

A work file is JSON: model (a folder), rows (an .npz of ids, labels and starts), batch_size, steps, learning_rate,
dropout, threads. Rows come in the order of the file. The answer is JSON on stdout: seconds of each step, its loss,
real tokens a step, the peak of memory.
"""

import itertools
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np


def work():
    """The work file that the command line names, with its rows read."""
    told = json.loads(Path(sys.argv[1]).read_text())
    arrays = np.load(told["rows"])
    starts = arrays["starts"]
    told["rows"] = [
        (arrays["ids"][a:b].astype(np.int64), arrays["labels"][a:b].astype(np.int64))
        for a, b in itertools.pairwise(starts)
    ]
    return told


class Steps:
    """When each step ended, and with what loss; the first is left out of what is judged."""

    def __init__(self):
        self.ends, self.losses = [], []
        self.began = time.perf_counter()

    def done(self, loss=None):
        """To be called at the end of a step."""
        self.ends.append(time.perf_counter())
        if loss is not None:
            self.losses.append(loss)

    def tell(self, tokens):
        """Write the answer; `tokens` are the real tokens of all steps."""
        times = np.diff([self.began, *self.ends])
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        told = {"seconds": times.tolist(), "losses": self.losses, "tokens": tokens, "peak_bytes": memory}
        sys.stdout.write("\n" + json.dumps(told) + "\n")
