"""Makes the checks of one component, in a process that they may end: `python -m ftstudio.testing.worker JOB FINDINGS`.

JOB is a JSON file that `campaign.py` writes. A line is appended to FINDINGS before and after each check, in their
order, so that the parent knows which one a plugin was in when it called os._exit, crashed or hung. All checks share the
process, because torch costs seconds to load; the parent starts another one behind a check that ended it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from ftstudio.plugins import Offer, Record
from ftstudio.probe import collect, load
from ftstudio.testing import CHECKS, Subject


def subject_of(job: dict[str, Any]) -> Subject:
    """The component that a job names."""
    record = Record(
        name=job["name"],
        value=job["value"],
        distribution=job["distribution"],
        version=job["version"],
        status="active",
    )
    described = collect(load(record.value), record.value).get(job["kind"], ())
    component = next(c for c in described if c.name == job["component"])
    files = Path(job["files"]) if job["files"] else None
    return Subject(Offer(kind=job["kind"], component=component, record=record), Path(job["root"]), job["table"], files)


def main() -> None:
    """Make the checks that the job lists, then leave without waiting for anybody's threads."""
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    subject = subject_of(job)
    with Path(sys.argv[2]).open("a", encoding="utf-8") as findings:
        for number in job["checks"]:
            _tell(findings, {"result": "started"})
            result, says = CHECKS[number].tried(subject)
            _tell(findings, {"result": result, "says": says})
        sys.stdout.flush()
        os._exit(0)


def _tell(findings: Any, line: dict[str, Any]) -> None:
    findings.write(json.dumps(line) + "\n")
    findings.flush()


if __name__ == "__main__":
    main()
