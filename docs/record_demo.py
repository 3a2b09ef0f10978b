"""Make docs/demo.svg from a real run: `python docs/record_demo.py`.

Runs the quickstart in a scratch folder and draws what the command line said, as it said it, in 100 columns.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 100


def main() -> None:
    """Record the run and write the picture beside this file."""
    with tempfile.TemporaryDirectory() as scratch:
        program = [sys.executable, "-m", "ftstudio"]
        environment = {**os.environ, "COLUMNS": str(COLUMNS), "FTSTUDIO_PROJECTS": "projects"}
        subprocess.run(
            [*program, "new", "quickstart", "--from", "quickstart", "--root", "projects"], cwd=scratch, check=True
        )
        done = subprocess.run(
            [*program, "run", "quickstart"], cwd=scratch, check=True, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said = done.stdout.replace(f"{Path(scratch).resolve()}/", "").replace(
            f"{sys.executable} -m ftstudio", "ftstudio"
        )
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ ftstudio run quickstart", style="bold"))
    for line in said.splitlines():
        style = "cyan" if line.startswith("▸") else "dim" if line.startswith("  ") else ""
        console.print(Text(line, style=style))
    target = Path(__file__).with_name("demo.svg")
    console.save_svg(str(target), title="ftstudio")


if __name__ == "__main__":
    main()
