"""Text that means harm, and a folder of projects that carries it everywhere where text of others is shown.

lab(root, plugins)      projects, runs, data, logs, notes, samples, a plugin; all of them hostile
said("D", 7)            what the seventh row of data says; "D07" in it tells whence it came
"""

import json
import os

from hand_made import made
from screen import INVISIBLE

from ftstudio.files import toml_text, write_toml
from ftstudio.runs.notes import write_note

ESC = "\x1b"
LONG = 1_000_000
DANGERS = (
    f"{ESC}]0;a title\x07",
    f"{ESC}]2;a title{ESC}\\",
    f"{ESC}]8;;file:///etc/passwd{ESC}\\a link{ESC}]8;;{ESC}\\",
    f"{ESC}]52;c;ZXZpbA==\x07",
    f"{ESC}]4;1;?\x07",
    f"{ESC}]11;?{ESC}\\",
    f"{ESC}]9;a notice\x07",
    f"{ESC}]1337;File=inline=1:AAAA\x07",
    f"{ESC}]0;an OSC without an end",
    f"{ESC}P$qm{ESC}\\",
    f"{ESC}Pq#0;2;0;0;0~-{ESC}\\",
    f"{ESC}_Ga=T,f=24;AAAA{ESC}\\",
    f"{ESC}^a private message{ESC}\\",
    f"{ESC}Xa string{ESC}\\",
    f"{ESC}P a DCS without an end",
    f"{ESC}c",
    f"{ESC}[6n",
    f"{ESC}[c",
    f"{ESC}[>0q",
    f"{ESC}[21t",
    f"{ESC}[?47;1049l",
    f"{ESC}[!p",
    f"{ESC}[5;31;45m",
    f"{ESC}[007;007Hover there",
    f"{ESC}[2J{ESC}[3J",
    f"{ESC}[?25;2026h",
    f"{ESC}[200~rm -rf{ESC}[201~",
    f"{ESC}(0lqqk{ESC}(B",
    f"{ESC}#8",
    f"{ESC}{ESC}[A{ESC}[",
    "\x0e shifted \x0f",
    "\x9b31m\x9b6n",
    "\x9d0;a title\x9c",
    "\x90q\x9c\x9f\x98\x9e",
    "\x84\x85\x8d\x8e\x8f",
    "\udc9b6n \udc9d0;raw\udc9c \udcff",
    "\u202eright to left\u202c \u200f\u061c",
    "\u2066isolated\u2067and\u2068so\u2069",
    "\u200b\u200d\ufeff\u2060",
    "\x07\x07\x08\x08\x08\x08",
    "kept\roverwritten\r\n",
    "\x00 and \x7f",
    "\x0b\x0c\u2028\u2029\x1c\x1d",
    "[/] [/b] [b [red]on[/red] [@click=app.exit]here[/] [link=x]",
    "\\[ \\x1b[0m $(id) `id` %s {0}",
    "e" + "\u0301" * 300,
    "\uffff\ufffe \ufff9\ufffa\ufffb \U000e0041",
    "x" * LONG + f"{ESC}[5;31;45m",
)  # fmt: skip
COUNT = len(DANGERS)


def said(place, number):
    return f"{place}{number:02d} {DANGERS[number]} {place}{number:02d}"


def acts(danger):
    """Whether it does something to a terminal; a text that only looks odd (markup, accents, no width) may be printed."""
    end = danger[-1000:]
    return bool(INVISIBLE.search(end)) or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in end)


def words(place):
    """The beginnings that tell that a place was shown."""
    return {f"{place}{number:02d}" for number in range(COUNT)}


def in_toml(text):
    """As a TOML file can hold it: without lone surrogates, and short enough for one."""
    return text.encode("utf-8", "replace").decode()[:500]


def file_name(place, number):
    """As a name in a file system can be."""
    return os.fsdecode(os.fsencode(said(place, number).replace("/", "|").replace("\0", "~")[:60])[:200])


def raw(text):
    """As bytes: a lone surrogate is the byte that it stands for, a C1 control in one byte, that is."""
    return text.encode("utf-8", "surrogateescape")


PLUGIN = '''"""A plugin whose every word is hostile."""
import json, sys
from dataclasses import dataclass
from pathlib import Path
from ftstudio.api import Component, hookimpl, option

SAID = json.loads(Path(__file__).with_suffix(".json").read_text())
print("".join(SAID))
print("".join(SAID).encode("ascii", "replace").decode(), file=sys.stderr)

@dataclass(frozen=True, kw_only=True)
class Options:
    masked: bool = option(False, help=" ".join(SAID), label=SAID[0])
    max_length: int | None = option(None, help=SAID[3], ge=1, unit=SAID[15])

@hookimpl
def ftstudio_tokenizers():
    for number, summary in enumerate(SAID):
        yield Component(name=f"evil-{number:02d}", summary=summary, target="ftstudio.testing:FakeTokenizer",
                        options=Options, takes=("text",))
'''


def write_plugin(folder):
    """A distribution in a folder that is put into PYTHONPATH."""
    place = folder / "ftstudio_evil-1.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_bytes(raw(f"Metadata-Version: 2.1\nName: ftstudio-evil\nVersion: 1{DANGERS[3]}\n"))
    (place / "entry_points.txt").write_text("[ftstudio]\nevil = ftstudio_evil\n")
    (folder / "ftstudio_evil.py").write_text(PLUGIN)
    (folder / "ftstudio_evil.json").write_text(json.dumps([said("P", n)[:3000] for n in range(COUNT)]))


def project(name):
    """Tables that are hostile where they hold text."""
    return {
        "format": 1,
        "name": name,
        "description": in_toml(said("N", 3)),
        "model": {"use": "fake-model"},
        "dataset": {"use": "fake-data"},
        "tokenizer": {"use": "evil-00"},
        "trainer": {"use": "fake-walk", "note": in_toml(said("O", 16))},
        "generator": {
            "use": "fake-echo",
            "say": in_toml("".join(said("G", n) for n in range(20)))[:4000],
            "prompts": [in_toml(said("Q", n)) for n in range(COUNT)],
        },
    }


def lab(root):
    """Fill a root folder: one project whose every part is hostile, and one for each danger."""
    whole = root / "aa"
    whole.mkdir(parents=True)
    tables = project(in_toml(said("N", 0)))
    tables["dataset"] = {"use": "table", "path": f"{in_toml(file_name('V', 23))}.jsonl"}
    (whole / tables["dataset"]["path"]).write_text(rows())
    (whole / "project.toml").write_text(toml_text(tables))
    run = made(whole, "running", steps=(10, 20), reason=in_toml(said("R", 3)), host=in_toml("H" + DANGERS[22]))
    write_note(run, in_toml(said("T", 15)))
    run.events.write_text(events(), "utf-8")
    run.console.write_bytes(b"".join(raw(said("C", n)) + b"\n" for n in range(COUNT)))
    write_toml(run.inputs, {"data": {"shape": "text", "fingerprint": DANGERS[4]}, "model": {"name": DANGERS[16]}})
    for number in range(COUNT):
        aside = run.quarantine / file_name("A", number)
        aside.mkdir(parents=True)
        aside.with_name(aside.name + ".reason.txt").write_bytes(raw(said("W", number)[:300]))
        other = root / file_name("F", number)
        other.mkdir()
        (other / "project.toml").write_text(toml_text(project(in_toml(said("N", number)))))
        made(other, "failed", reason=in_toml(said("R", number)))


def rows():
    return "".join(json.dumps({"text": said("D", number)}) + "\n" for number in range(COUNT))


def events():
    """A run that says every danger, in messages, warnings and samples, and names some metrics so."""
    lines = [{"kind": "phase", "name": said("K", 8)}]
    for number in range(COUNT):
        lines.append({"kind": "message", "text": said("M", number)})
        lines.append({"kind": "sample", "step": number, "prompt": said("B", number), "text": said("S", number)})
        metrics = {"loss": 3.0 - number / 50, DANGERS[number % 4 * 12][:20]: number}
        lines.append({"kind": "metrics", "step": number, "metrics": metrics})
    lines.append({"kind": "sample", "step": COUNT, "prompt": said("B", 16), "text": said("S", 17)})
    lines.append({"kind": "warning", "text": said("U", 2)})
    return "".join(json.dumps({"t": 1.0 + i, "attempt": 1, "step": None, **e}) + "\n" for i, e in enumerate(lines))
