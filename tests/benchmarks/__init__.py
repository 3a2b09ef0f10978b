"""Benchmarks: `make bench`, or `python -m tests.benchmarks [NAME...] [--rounds N] [--out FOLDER]`.

A benchmark is a module here with a `BENCHMARK` (harness.py); its docstring's first line is its title. Its variants run
by turns, round after round, since a machine drifts by a fifth while one waits: a ratio of medians means something, a
time alone little. Where a goal is a difference ("beyond interpreter start"), the baseline is one of the variants. Goals
of programs of one thread are judged by CPU time: on an idle machine it is the wall clock's, and on a busy one the wall
clock measures the neighbours.

The outcome is one JSON file and one Markdown table, with the machine described in both. A goal that is missed ends the
program with 1.
"""
