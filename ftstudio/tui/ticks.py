"""Numbers on the axes of a chart: which ones, how they are written, and where, so that no two touch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

GAP = 2  # cells between two labels of the horizontal axis
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_UNITS = ((12, "T"), (9, "G"), (6, "M"))  # powers of ten; each from ten of it on


def steps_from(smallest: float) -> Iterator[float]:
    """1, 2 and 5 times the powers of ten, from `smallest` up."""
    power = math.floor(math.log10(smallest))
    for exponent in range(power, 309):
        for digit in (1, 2, 5):
            step = float(f"{digit}e{exponent}")
            if step >= smallest * (1 - 1e-9):
                yield step


def _time_steps(smallest: float) -> Iterator[float]:
    yield from (step for step in _TIME_STEPS if step >= smallest)
    yield from (days * _DAY for days in steps_from(max(2.0, smallest / _DAY)))


def multiples(low: float, high: float, step: float) -> list[float]:
    """The multiples of a step within [low, high], at most 1,000."""
    first = math.ceil(low / step - 1e-9)
    count = min(1000, math.floor(high / step + 1e-9) - first + 1)
    return [(first + i) * step for i in range(count)]


def number_text(value: float, step: float = 0.0) -> str:
    """A number for people: thousands separated, M and G for large ones, an exponent for tiny ones.

    `step` is the distance to the next tick: it says how many digits are needed. Without one, four digits count.
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    size = abs(value)
    power = math.floor(math.log10(size))
    last = math.floor(math.log10(step) + 1e-9) if step else power - 3  # the power of ten of the last digit
    if size < 1e-3 or size >= 1e18:
        mantissa, exponent = f"{value:.{max(0, min(15, power - last))}e}".split("e")
        return f"{_trimmed(mantissa)}e{int(exponent)}"
    for unit, sign in _UNITS:
        if power > unit and last >= unit - 4:
            return _decimals(value / 10.0**unit, last - unit) + sign
    return _decimals(value, last)


def _decimals(value: float, last: int) -> str:
    return f"{value:,.{max(0, min(15, -last))}f}"


def _trimmed(mantissa: str) -> str:
    return mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa


def time_text(seconds: float, step: float = 1.0) -> str:
    """A time since the start of a run: "45 s", "10 min", "1 h 30", "2 d"."""
    if seconds == 0:
        return "0"
    if seconds < 2 * _MINUTE and step < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d}" if step < _MINUTE and rest else f"{minutes} min"
    if seconds < _DAY or step < _HOUR:
        hours, rest = divmod(round(seconds / _MINUTE), 60)
        return f"{hours:,} h {rest:02d}" if rest else f"{hours:,} h"
    days, rest = divmod(round(seconds / _HOUR), 24)
    return f"{days:,} d {rest} h" if rest else f"{days:,} d"


def axis_text(value: float, step: float, axis: str) -> str:
    """A label of the horizontal axis."""
    return time_text(value, step) if axis == "time" else number_text(value, step)


# ------------------------------------------------------------------------------------------- horizontal


def x_ticks(low: float, high: float, cells: int, axis: str) -> list[tuple[int, str]]:
    """Labels under `cells` cells as (first cell, text), from left to right, GAP or more apart.

    The right end is labelled whatever it is: it says how far a run has come. The others are round.
    """
    if high <= low:
        return []
    smallest = max((high - low) / max(1, cells // 4), 1.0 if axis != "time" and high - low >= 2 else 1e-12)
    end_step = max(10 ** math.floor(math.log10(high - low) - 2), 1.0 if axis == "tokens" or high == round(high) else 0)
    end = axis_text(high, end_step, axis)
    room = cells - len(end) - GAP
    for step in _time_steps(smallest) if axis == "time" else steps_from(smallest):
        placed = [
            _centred(axis_text(value, step, axis), (value - low) / (high - low), cells)
            for value in multiples(low, high, step)
        ]
        kept = [(at, text) for at, text in placed if at + len(text) <= room]
        if all(a + len(text) + GAP <= b for (a, text), (b, _) in pairwise(kept)):
            break
    else:
        kept = []
    start = axis_text(low, end_step, axis)
    if not kept and len(start) <= room:
        kept = [(0, start)]
    return [*kept, (cells - len(end), end)] if len(end) <= cells else []


def _centred(text: str, share: float, cells: int) -> tuple[int, str]:
    at = round(share * (cells - 1)) - len(text) // 2
    return max(0, min(at, cells - len(text))), text


# --------------------------------------------------------------------------------------------- vertical


def y_range(low: float, high: float, log: bool) -> tuple[float, float]:
    """A range somewhat wider than [low, high], with round ends, so that it moves seldom as values come.

    A range without extent, or one too narrow to count in, gets some around it.
    """
    if high - low <= 1e-12 * max(abs(low), abs(high)) or high - low < 1e-300:
        if log:
            return low / 2, high * 2
        around = next(steps_from(abs(low) / 10)) if abs(low) > 1e-290 else 1.0
        return low - around, high + around
    if log and high / low > 10:
        return _log_floor(low), -_log_floor(high, up=True)
    step = next(steps_from(high / 10 - low / 10))
    bottom, top = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return (low if log and bottom <= 0 else bottom), top


def _log_floor(value: float, up: bool = False) -> float:
    """The nearest of 1, 2, 5 x 10^n at or below; with `up` the negative of the nearest at or above."""
    power = math.floor(math.log10(value))
    around = [float(f"{d}e{p}") for p in (power - 1, power, power + 1) for d in (1, 2, 5)]
    if up:
        return -min(v for v in around if v >= value * (1 - 1e-9))
    return max(v for v in around if v <= value * (1 + 1e-9))


def y_ticks(low: float, high: float, rows: int, log: bool) -> list[tuple[float, str]]:
    """Values to label on an axis of `rows` rows, as (value, text), from the bottom up: at least two, the ends if
    nothing rounder lies between.
    """
    most = max(2, rows // 3)
    for values, step in _candidates(low, high, log, most):
        if 2 <= len(values) <= most:
            return [(v, number_text(v, step or _own_step(v))) for v in values]
    step = (high - low) / 4
    return [(low, number_text(low, step)), (high, number_text(high, step))]


def _own_step(value: float) -> float:
    return 10.0 ** math.floor(math.log10(abs(value)))


def _candidates(low: float, high: float, log: bool, most: int) -> Iterator[tuple[Sequence[float], float]]:
    if log and high / low > 5:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for digits, stride in (((1, 2, 5), 1), *(((1,), s) for s in (1, 2, 3, 5, 10, 20, 50, 100))):
            values = [float(f"{d}e{p}") for p in powers if p % stride == 0 for d in digits]
            yield [v for v in values if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)], 0.0
        yield [low, *(v for v in (float(f"1e{p}") for p in powers) if low < v < high), high], 0.0
        yield [low, high], 0.0
        return
    for count, step in enumerate(steps_from((high / most - low / most) / 2)):
        if count > 12:
            return
        yield multiples(low, high, step), step


def spaced(rows: Sequence[int], apart: int) -> list[int]:
    """Which of the rows (from the bottom up) to keep so that none is nearer than `apart` to the one before it."""
    kept: list[int] = []
    for index, row in enumerate(rows):
        if not kept or abs(rows[kept[-1]] - row) >= apart:
            kept.append(index)
    return kept


Scale = Callable[[float], float]


def scale(low: float, high: float, dots: int, log: bool) -> Scale:
    """A function from values to dots, 0 at the top, `dots - 1` at the bottom."""
    if log:
        top, per = math.log10(high), (dots - 1) / (math.log10(high) - math.log10(low))
        return lambda value: (top - math.log10(value)) * per
    per = (dots - 1) / (high - low)
    return lambda value: (high - value) * per
