"""The first line of a chart: its title, what has to be said, which glyph is which run, the values under the cursor."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from ftstudio.text import safe_text
from ftstudio.tui.canvas import PLAIN, Glyphs, Ink, Line
from ftstudio.tui.scene import Scene, Trace, index_near
from ftstudio.tui.ticks import number_text

TITLE, NOTE, WARN = Ink("title"), Ink("note"), Ink("warn")


def outside(text: str, glyphs: Glyphs) -> str:
    """Text that is not ours, on one line, in signs that the terminal has."""
    shown = safe_text(text, one_line=True)
    return shown.encode("ascii", "backslashreplace").decode() if glyphs.name == "ascii" else shown


def header(scene: Scene, title: str, event: str, glyphs: Glyphs, width: int) -> Line:
    """The line, exactly `width` cells. When room is short, settings go first, then notes, then runs of the legend."""
    left: Line = [(title if cell_len(title) <= width else set_cell_size(title, width - 1) + glyphs.more, TITLE)]
    right = _legend(scene, glyphs, width - _width(left) - 2)
    for text, ink in [*_notes(scene, event, glyphs), *_settings(scene)]:
        piece = glyphs.join + text
        if _width(left) + cell_len(piece) + (_width(right) + 2 if right else 0) <= width:
            left.append((piece, ink))
    return [*left, (" " * (width - _width(left) - _width(right)), PLAIN), *right]


def _width(line: Line) -> int:
    return sum(cell_len(text) for text, _ in line)


def _notes(scene: Scene, event: str, glyphs: Glyphs) -> Line:
    """What a person must not miss."""
    notes: Line = [(event, NOTE)] if event else []
    not_finite, log_only = scene.hidden()
    if sum(len(trace.series) for trace in scene.traces) == 1:
        notes.append(("1 point so far", NOTE))
    if not_finite:
        notes.append((f"{not_finite:,} not finite", WARN))
    if log_only:
        notes.append((f"{log_only:,} {'<=' if glyphs.name == 'ascii' else '≤'} 0", WARN))
    for series in scene.left_out:
        notes.append((f"{outside(series.run_label, glyphs)} has no {scene.view.axis}", WARN))
    if lagging := sum(trace.lagging for trace in scene.traces):
        done = 1 - lagging / max(1, sum(len(trace.series) for trace in scene.traces))
        notes.append((f"smoothing {max(0.0, done):.0%}", NOTE))
    return notes


def _settings(scene: Scene) -> Line:
    settings: Line = []
    if scene.view.smoothing:
        settings.append((f"smoothed {scene.view.smoothing:g}", NOTE))
    if scene.view.log:
        settings.append(("log", NOTE))
    if scene.view.width is not None:
        settings.append(("zoomed", NOTE))
    return settings


def _legend(scene: Scene, glyphs: Glyphs, room: int) -> Line:
    """Glyph and name of each run, or glyph and value under the cursor; as many as there is room for."""
    if len(scene.traces) < 2 and scene.view.cursor is None:
        return []
    entries = [_entry(scene, trace, glyphs) for trace in scene.traces]
    for shown in range(len(entries), 0, -1):
        line: Line = [piece for entry in entries[:shown] for piece in entry][1:]
        if shown < len(entries):
            line.append((f" +{len(entries) - shown}", NOTE))
        if _width(line) <= room:
            return line
    return []


def _entry(scene: Scene, trace: Trace, glyphs: Glyphs) -> Line:
    sign = glyphs.runs[trace.hue % len(glyphs.runs)]
    text = outside(trace.series.run_label, glyphs)
    if scene.view.cursor is not None:
        text = _value(scene, trace)
    return [("  ", PLAIN), (sign, Ink("run", trace.hue)), (f" {text}", Ink("legend"))]


def _value(scene: Scene, trace: Trace) -> str:
    """The value nearest to the cursor as the curve shows it; of a single run the raw one as well."""
    assert scene.view.cursor is not None
    index = index_near(trace.series, scene.view.cursor, scene.view.axis)
    if index is None or index >= len(trace.front.curve):
        return "-"
    raw, shown = trace.series.raw.values[index], trace.front.curve.values[index]
    if scene.view.smoothing and len(scene.traces) == 1:
        return f"{number_text(shown)} raw {number_text(raw)}"
    return number_text(shown)
