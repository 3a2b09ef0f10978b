"""What a chart is to show, and the points of it, reduced to columns; how it is drawn is not known here.

A `View` is what a person has chosen: axis, window, smoothing, cursor. A `Scene` is what follows from a view, some
series and a number of columns: the ranges of both axes and, for each series, the first, last, smallest and largest
value of every column. The picture on the terminal and the exported one are both drawn from it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ftstudio.tui.curve import FANOUT, LEAST_POSITIVE, Curve, Derived
from ftstudio.tui.series import AXES, Series
from ftstudio.tui.ticks import y_range

SMOOTHING = (0.0, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
CATCH_UP = 20_000  # values a drawing may take into a smoothed curve: about 5 ms


@dataclass(frozen=True)
class View:
    """What a person has chosen to see. `width` None is everything; `end` None follows the newest value."""

    axis: str = "step"
    log: bool = False
    smoothing: float = 0.0
    width: float | None = None
    end: float | None = None
    cursor: float | None = None

    def smoother(self, by: int) -> View:
        """The next level of smoothing, up or down."""
        at = bisect_left(SMOOTHING, self.smoothing) + by
        return replace(self, smoothing=SMOOTHING[max(0, min(at, len(SMOOTHING) - 1))])

    def zoomed(self, factor: float, everything: tuple[float, float]) -> View:
        """The window `factor` times as wide, around the cursor, else from the right end."""
        low, high = self.window(everything)
        width = (high - low) * factor
        if width >= everything[1] - everything[0]:
            return replace(self, width=None, end=None)
        if factor < 1 and width < 1:
            return self
        share = 1.0 if self.cursor is None or not low <= self.cursor <= high else (self.cursor - low) / (high - low)
        return self._ending(low + share * (high - low) + (1 - share) * width, width, everything)

    def panned(self, share: float, everything: tuple[float, float]) -> View:
        """The window moved by a share of its width."""
        if self.width is None:
            return self
        high = self.window(everything)[1]
        return self._ending(high + share * self.width, self.width, everything)

    def _ending(self, end: float, width: float, everything: tuple[float, float]) -> View:
        end = max(end, everything[0] + width)
        return replace(self, width=width, end=None if end >= everything[1] else end)

    def window(self, everything: tuple[float, float]) -> tuple[float, float]:
        """The ends of what is shown of the axis."""
        if self.width is None:
            return everything
        end = everything[1] if self.end is None else self.end
        return end - self.width, end


class Column(NamedTuple):
    """The values [start, end) of a curve that fall into column x; `low` and `high` None when none can be drawn."""

    x: int
    start: int
    end: int
    low: float | None
    high: float | None


@dataclass
class Layer:
    """A curve of one series and, once the scene is divided, its columns. A faint one lies behind the smoothed one."""

    curve: Curve
    faint: bool = False
    columns: list[Column] = field(default_factory=list)


@dataclass
class Trace:
    """One series in the scene: its values [start, end) lie in the window; layers from back to front."""

    series: Series
    hue: int
    start: int
    end: int
    layers: list[Layer]
    lagging: int = 0  # values that the smoothed curve still misses

    @property
    def front(self) -> Layer:
        """The layer that is read."""
        return self.layers[-1]


@dataclass
class Scene:
    """What there is to draw; the first series is drawn last, on top."""

    view: View
    everything: tuple[float, float]
    x: tuple[float, float]
    y: tuple[float, float] | None  # None: nothing that can be drawn
    traces: list[Trace]
    left_out: list[Series]  # they have values, but not over this axis
    columns: int = 2

    def divide(self, columns: int) -> None:
        """Reduce every layer to so many columns, 2 or more; the middles of the first and last are the window's ends."""
        self.columns = columns
        low, high = self.x
        per = (high - low) / (columns - 1)
        edges = [low + (c - 0.5) * per for c in range(1, columns)]
        for trace in self.traces:
            grain = _grain((trace.end - trace.start) // columns)
            cuts = trace.series.cuts(edges, self.view.axis)
            inner = [min(max(cut // grain * grain, trace.start), trace.end) for cut in cuts]
            for layer in trace.layers:
                layer.columns = _columns(layer.curve, [trace.start, *inner, trace.end])

    def column(self, x: float) -> float:
        """Where on the columns a value of the axis lies: 0 is the middle of the first."""
        return (x - self.x[0]) / (self.x[1] - self.x[0]) * (self.columns - 1)

    def points(self) -> int:
        """How many values lie in the window."""
        return sum(trace.end - trace.start for trace in self.traces)

    def hidden(self) -> tuple[int, int]:
        """How many values in the window are not finite, and how many only a logarithmic axis cannot show."""
        not_finite = sum(t.series.raw.bad_count(t.start, t.end) for t in self.traces)
        return not_finite, sum(t.layers[0].curve.bad_count(t.start, t.end) for t in self.traces) - not_finite

    def joins(self, trace: Trace, layer: Layer) -> Iterable[tuple[float, float, float, float]]:
        """The straight pieces between columns as (x, value, x, value); none leads to what cannot be drawn."""
        curve, axis = layer.curve, self.view.axis
        if not layer.columns:
            yield from self._across(trace, curve)
            return
        at = self.column(trace.series.x(layer.columns[0].start - 1, axis)) if layer.columns[0].start else 0.0
        for x, start, _, _, _ in layer.columns:
            if start and curve.can_draw(start) and curve.can_draw(start - 1):
                yield at, curve.values[start - 1], x, curve.values[start]
            at = x
        last = layer.columns[-1].end
        if last < len(curve) and curve.can_draw(last) and curve.can_draw(last - 1):
            yield at, curve.values[last - 1], self.column(trace.series.x(last, axis)), curve.values[last]

    def _across(self, trace: Trace, curve: Curve) -> Iterable[tuple[float, float, float, float]]:
        """The piece that crosses a window between two values."""
        after = trace.start
        if 0 < after < len(curve) and curve.can_draw(after) and curve.can_draw(after - 1):
            xs = [self.column(trace.series.x(i, self.view.axis)) for i in (after - 1, after)]
            yield xs[0], curve.values[after - 1], xs[1], curve.values[after]


def build(series: Sequence[Series], view: View, hues: Sequence[int] = ()) -> Scene:
    """The scene of some series, not yet divided into columns. `hues` numbers their colours and glyphs."""
    shown = [(s, hues[i] if i < len(hues) else i) for i, s in enumerate(series) if s.has(view.axis)]
    everything = _everything([s for s, _ in shown], view.axis)
    low, high = view.window(everything)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    traces = [_trace(s, hue, view, (low, high)) for s, hue in shown]
    left_out = [s for s in series if len(s) and not s.has(view.axis)]
    return Scene(view, everything, (low, high), _y_range(traces, view.log), traces, left_out)


def _everything(series: Sequence[Series], axis: str) -> tuple[float, float]:
    """From the first to the last value; from 0 where that is about as near."""
    if not series:
        return 0.0, 0.0
    first = min(s.x(0, axis) for s in series)
    last = max(s.x(len(s) - 1, axis) for s in series)
    return (0.0 if 0 < first <= last / 2 else first), last


def _trace(series: Series, hue: int, view: View, window: tuple[float, float]) -> Trace:
    lagging = catch_up(series, view, CATCH_UP)
    positive, smooth = _derived(series, view)
    start, end = series.cuts((window[0], math.nextafter(window[1], math.inf)), view.axis)
    layers = [Layer(positive.curve if positive else series.raw, faint=smooth is not None)]
    if smooth:
        layers.append(Layer(smooth.curve))
    return Trace(series, hue, start, end, layers, lagging)


def _derived(series: Series, view: View) -> tuple[Derived | None, Derived | None]:
    """The curves that a view needs beside the raw one: what is above zero, and the smoothed one."""
    span = series.raw.span(0, len(series)) if view.log else None
    positive = series.derived(0.0, True) if span and span[0] <= LEAST_POSITIVE else None
    return positive, series.derived(view.smoothing, view.log) if view.smoothing else None


def catch_up(series: Series, view: View, limit: int) -> int:
    """Bring what a view needs of a series up to date, by at most `limit` values; returns how many are missing."""
    return sum(derived.catch_up(limit) for derived in _derived(series, view) if derived)


def _grain(a_column: int) -> int:
    """To which multiples columns are cut: whole blocks of the pyramid, as long as that moves no value by more than a
    sixteenth of a column. It saves most of the time of a million points, and loses none of them.
    """
    grain = 1
    while grain * FANOUT * 16 <= a_column:
        grain *= FANOUT
    return grain


def _columns(curve: Curve, cuts: Sequence[int]) -> list[Column]:
    most, span, start, found = len(curve), curve.span, cuts[0], []
    for x, cut in enumerate(cuts[1:]):
        end = min(cut, most)
        if start < end:
            found.append(Column(x, start, end, *(span(start, end) or (None, None))))
            start = end
    return found


def _y_range(traces: Sequence[Trace], log: bool) -> tuple[float, float] | None:
    layers = [(layer.curve, trace) for trace in traces for layer in trace.layers]
    spans = [curve.span(t.start, min(t.end, len(curve))) for curve, t in layers]
    found = [span for span in spans if span]
    return y_range(min(low for low, _ in found), max(high for _, high in found), log) if found else None


def next_axis(axis: str) -> str:
    """The axis after this one, the first after the last."""
    return AXES[(AXES.index(axis) + 1) % len(AXES)]


def index_near(series: Series, x: float, axis: str) -> int | None:
    """The value of a series that lies nearest to `x`; None when there is none over this axis."""
    if not series.has(axis):
        return None
    after = series.cuts([x], axis)[0]
    near = [i for i in (after - 1, after) if 0 <= i < len(series)]
    return min(near, key=lambda i: abs(series.x(i, axis) - x))


def snap(series: Series, x: float, axis: str, *, left: bool = False) -> float:
    """The place of the first value at or after `x`, or with `left` the last at or before it; the end's if none is."""
    at = series.cuts([x], axis)[0]
    if left and (at == len(series) or series.x(at, axis) > x):
        at -= 1
    return series.x(max(0, min(at, len(series) - 1)), axis)
