"""Dots: each is where it was asked for, in all three kinds of glyphs, and nothing outside the canvas fails."""

import pytest

from ftstudio.tui.canvas import ASCII, BLOCK, BRAILLE, GLYPHS, Canvas, Cells, Ink

ALL = pytest.mark.parametrize("glyphs", GLYPHS.values(), ids=GLYPHS)


def dots(canvas):
    """The set of (x, y) that are on, read back from the bits."""
    g = canvas.glyphs
    return {
        (x, y)
        for x in range(canvas.width)
        for y in range(canvas.height)
        if canvas.cells[y // g.down * canvas.columns + x // g.across] >> (x % g.across * g.down + y % g.down) & 1
    }


@pytest.mark.parametrize(
    ("x", "y", "char"), [(0, 0, "⠁"), (0, 3, "⡀"), (1, 0, "⠈"), (1, 3, "⢀"), (1, 2, "⠠"), (0, 2, "⠄")]
)
def test_a_braille_dot_is_the_one_that_unicode_means(x, y, char):
    canvas = Canvas(1, 1, BRAILLE)
    canvas.stroke(x, y, y)
    assert canvas.text() == char


@pytest.mark.parametrize(("x", "y", "char"), [(0, 0, "▘"), (1, 0, "▝"), (0, 1, "▖"), (1, 1, "▗")])
def test_a_block_dot_is_its_quadrant(x, y, char):
    canvas = Canvas(1, 1, BLOCK)
    canvas.stroke(x, y, y)
    assert canvas.text() == char


def test_all_dots_are_the_full_glyph():
    for glyphs, char in ((BRAILLE, "⣿"), (BLOCK, "█"), (ASCII, "|")):
        canvas = Canvas(1, 1, glyphs)
        for x in range(glyphs.across):
            canvas.stroke(x, 0, glyphs.down - 1)
        assert canvas.text() == char


def test_ascii_is_ascii():
    signs = [
        getattr(ASCII, n) for n in ("runs", "side", "rule", "resume", "checkpoint", "eval", "nan", "above", "join")
    ]
    assert "".join([*ASCII.dots, *signs, ASCII.below, ASCII.more]).isascii()


@ALL
def test_the_signs_of_runs_events_and_gaps_all_differ(glyphs):
    signs = [*glyphs.runs, glyphs.resume, glyphs.checkpoint, glyphs.eval, glyphs.nan, glyphs.above]
    assert len(set(signs)) == len(signs)


@ALL
@pytest.mark.parametrize(("top", "bottom"), [(0, 0), (1, 7), (7, 1), (0, 11), (3, 4), (5, 5)])
def test_a_stroke_sets_exactly_its_dots(glyphs, top, bottom):
    canvas = Canvas(3, 12 // glyphs.down, glyphs)
    canvas.stroke(2, top, bottom)
    assert dots(canvas) == {(2, y) for y in range(min(top, bottom), max(top, bottom) + 1)}


@ALL
def test_what_lies_outside_is_clipped(glyphs):
    canvas = Canvas(2, 2, glyphs)
    for x, top, bottom in [(-1, 0, 3), (canvas.width, 0, 3), (0, -9, -1), (0, canvas.height, 10**40)]:
        canvas.stroke(x, top, bottom)
    assert not any(canvas.cells)
    canvas.stroke(0, -(10**300), 10**300)
    assert dots(canvas) == {(0, y) for y in range(canvas.height)}


@ALL
@pytest.mark.parametrize(
    "ends", [(0, 0, 11, 11), (0, 11, 11, 0), (0, 3, 11, 5), (2, 0, 3, 11), (1, 1, 1, 9), (-5, 2, 30, 9)]
)
def test_a_line_has_no_gap(glyphs, ends):
    canvas = Canvas(12, 12, glyphs)
    canvas.line(*ends)
    found = dots(canvas)
    xs = {x for x, _ in found}
    assert xs == set(range(max(0, ends[0]), min(canvas.width - 1, ends[2]) + 1))
    for x in sorted(xs)[:-1]:
        here, there = ({y for column, y in found if column == c} for c in (x, x + 1))
        assert min(abs(a - b) for a in here for b in there) <= 1


def test_dots_of_two_solid_curves_in_one_cell_are_both_shown_and_faint_ones_are_covered():
    def laid(faint_first):
        cells = Cells(1, 1)
        for x, over in ((0, faint_first), (1, False)):
            canvas = Canvas(1, 1, BRAILLE)
            canvas.stroke(x, 0, 3)
            cells.lay(canvas, Ink("solid", x), over=over)
        return cells.line(0)

    assert laid(faint_first=False) == [("⣿", Ink("solid", 1))]
    assert laid(faint_first=True) == [("⢸", Ink("solid", 1))]


def test_a_line_of_cells_is_cut_where_the_ink_changes():
    cells = Cells(4, 1)
    cells.put(1, 0, "a", Ink("axis"))
    cells.put(2, 0, "b", Ink("axis"))
    cells.put(9, 0, "c", Ink("axis"))
    assert cells.line(0) == [(" ", Ink("plain")), ("ab", Ink("axis")), (" ", Ink("plain"))]
