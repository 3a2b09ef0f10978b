"""What a chart shows, as text for a file: CSV with every value of the window, SVG as the picture.

Nothing is written here: the caller takes the text and writes it with `ftstudio.files.write_atomic`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from html import escape

from ftstudio.text import safe_text
from ftstudio.tui.scene import Layer, Scene, Trace, View, build, catch_up
from ftstudio.tui.series import MARKS, Series
from ftstudio.tui.ticks import Scale, number_text, scale, x_ticks, y_ticks

CSV_COLUMNS = ("run", "metric", "step", "tokens", "seconds", "value", "smoothed")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#e69f00", "#555555")
"""On white paper; a colour-blind reader tells them apart (Okabe and Ito 2008, the yellow made darker)."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 20, 36, 44  # pixels around the curves
_A_LETTER = 8  # pixels that a letter of a label takes at most
_SHAPES = {"resume": "M-3,-4L2,0L-3,4", "checkpoint": "M0,-7L4,0L-4,0Z", "eval": "M0,-7L4,0L-4,0Z"}


def csv_text(series: Sequence[Series], view: View) -> str:
    """Each value in the window, a row each; what a run does not know (tokens, seconds) stays empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for trace in _finished(series, view).traces:
        one, line = trace.series, trace.series.timeline
        smoothed = trace.front.curve.values if view.smoothing else None
        for i in range(trace.start, trace.end):
            step = one.steps[i]
            tokens, seconds = (track.at(step) if track.steps else "" for track in (line.tokens, line.time))
            smooth = "" if smoothed is None else smoothed[i]
            writer.writerow((one.run_label, one.name, f"{step:.15g}", tokens, seconds, one.raw.values[i], smooth))
    return out.getvalue()


def _finished(series: Sequence[Series], view: View) -> Scene:
    """The scene with its smoothed curves complete, however long that takes."""
    for one in series:
        catch_up(one, view, len(one))
    return build(series, view)


def svg_text(
    series: Sequence[Series], view: View, title: str = "", size: tuple[int, int] = (960, 480), hues: Sequence[int] = ()
) -> str:
    """The picture, `size` pixels wide and high: curves, axes, events, legend. It needs no script and no font file."""
    for one in series:
        catch_up(one, view, len(one))
    scene = build(series, view, hues)
    width, height = size[0] - _LEFT - _RIGHT, size[1] - _TOP - _BOTTOM
    scene.divide(width)
    place = scale(*scene.y, height, view.log) if scene.y else None
    body = [
        f'<text x="0" y="{20 - _TOP}" font-weight="bold">{_text(title or (series[0].name if series else ""))}</text>',
        *_axes(scene, width, height, place),
        *(_legend_entry(scene, number, width) for number in range(len(scene.traces))),
    ]
    if place:
        for faint in (True, False):
            for trace in reversed(scene.traces):
                body += [_path(scene, trace, layer, place) for layer in trace.layers if layer.faint is faint]
        body += [piece for trace in scene.traces for piece in _events(scene, trace, height)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" '
        f'viewBox="0 0 {size[0]} {size[1]}" font-family="sans-serif" font-size="12" fill="#222">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n<clipPath id="c"><rect x="-4" y="-8" width="{width + 8}" '
        f'height="{height + 12}"/></clipPath>\n<g transform="translate({_LEFT},{_TOP})">\n'
        + "\n".join(body)
        + "\n</g>\n</svg>\n"
    )


def _text(text: str) -> str:
    return escape(safe_text(text, one_line=True))


def _colour(trace: Trace) -> str:
    return COLOURS[trace.hue % len(COLOURS)]


def _axes(scene: Scene, width: int, height: int, place: Scale | None) -> Iterator[str]:
    yield f'<path d="M0,0V{height}H{width}" fill="none" stroke="#888"/>'
    yield f'<text x="{width / 2:g}" y="{height + 36}" text-anchor="middle" fill="#666">{scene.view.axis}</text>'
    for value, text in y_ticks(*scene.y, height // 16, scene.view.log) if scene.y and place else ():
        at = round(place(value), 1) if place else 0
        yield f'<path d="M0,{at}H{width}" stroke="#eee"/><text x="-6" y="{at + 4}" text-anchor="end">{text}</text>'
    for cell, text in x_ticks(*scene.x, width // _A_LETTER, scene.view.axis) if scene.points() > 1 else ():
        yield f'<text x="{(cell + len(text) / 2) * _A_LETTER:g}" y="{height + 18}" text-anchor="middle">{text}</text>'


def _legend_entry(scene: Scene, number: int, width: int) -> str:
    trace = scene.traces[number]
    x, name = width - 150 * (len(scene.traces) - number) + 20, _text(trace.series.run_label)
    return (
        f'<path d="M{x},{16 - _TOP}h16" stroke="{_colour(trace)}" stroke-width="2"/>'
        f'<text x="{x + 20}" y="{20 - _TOP}">{name}</text>'
    )


def _path(scene: Scene, trace: Trace, layer: Layer, place: Scale) -> str:
    """One path a curve: a stroke a column, and the pieces between columns; a lone value is a round dot."""
    strokes = [
        f"M{c.x},{place(c.high):.1f}V{place(c.low) + 0.01:.2f}"
        for c in layer.columns
        if c.low is not None and c.high is not None
    ]
    joins = [f"M{x0:g},{place(v0):.1f}L{x1:g},{place(v1):.1f}" for x0, v0, x1, v1 in scene.joins(trace, layer)]
    opacity = 0.3 if layer.faint else 1
    return (
        f'<path d="{"".join(strokes + joins)}" fill="none" stroke="{_colour(trace)}" stroke-width="1.5" '
        f'stroke-linecap="round" opacity="{opacity}" clip-path="url(#c)"/>'
    )


def _events(scene: Scene, trace: Trace, height: int) -> Iterator[str]:
    """A sign for each event in the window, one a pixel at most, with its name and step for a pointer that rests."""
    line, (low, high) = trace.series.timeline, scene.x
    track = line.track(scene.view.axis)
    for kind in MARKS:
        taken: set[int] = set()
        for step in line.marks[kind]:
            x = track.at(step) if track else step
            pixel = round(scene.column(x))
            if low <= x <= high and pixel not in taken:
                taken.add(pixel)
                fill = _colour(trace) if kind == "checkpoint" else "none"
                yield (
                    f'<path d="{_SHAPES[kind]}" transform="translate({pixel},{height})" fill="{fill}" '
                    f'stroke="{_colour(trace)}"><title>{kind} {number_text(step, 1)}</title></path>'
                )
