#!/usr/bin/python3
"""Draws the distribution of the reads that bench/lanes wrote with --csv, as SVG.

  lanes_plot.py CSV [SVG]

How long a read took, against the part of the reads that took no longer; a curve for each
phase. Upwards each line leaves a tenth of what the one below left: 90 %, 99 %, 99.9 %, for
it is the slow reads that are asked about. The scenario `many` also has a thin curve for
each container's own reads. To standard output without SVG.
"""

import csv
import math
import sys
from collections import defaultdict

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 34, 50
COLOURS = ("#1b6ca8", "#d1495b", "#2e933c", "#8d5a97", "#b8860b", "#555555")
LABELS = {0: "0", 1: "90 %", 2: "99 %", 3: "99.9 %", 4: "99.99 %", 5: "99.999 %"}


def read(path):
    """The scenario, and of each phase the milliseconds of each reader."""
    phases, scenario = {}, ""
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            scenario = row["scenario"]
            phases.setdefault(row["phase"], defaultdict(list))[row["reader"]].append(float(row["ms"]))
    return scenario, phases


class Axes:
    """Where a latency and a part of the reads lie on the sheet; both logarithmic."""

    def __init__(self, values):
        # A few reads that were much faster than the rest would take most of the width.
        quick = sorted(values)[len(values) // 200]
        self.low = math.floor(math.log10(max(quick, 1e-3)) * 10) / 10
        self.high = math.ceil(math.log10(max(values)) * 10) / 10 + 0.05
        self.top = min(5, math.log10(len(values)))

    def x(self, ms):
        at = (math.log10(max(ms, 1e-3)) - self.low) / (self.high - self.low)
        return LEFT + min(max(at, 0), 1) * (WIDTH - LEFT - RIGHT)

    def y(self, nines):
        return HEIGHT - BOTTOM - nines / self.top * (HEIGHT - TOP - BOTTOM)

    def ticks(self):
        for decade in range(math.floor(self.low), math.ceil(self.high) + 1):
            for digit in (1, 1.5, 2, 3, 5, 7):
                at = decade + math.log10(digit)
                if self.low <= at <= self.high:
                    yield 10 ** at


def curve(axes, values, colour, width, opacity=1.0):
    """Reads sorted, as a line; points that would coincide are left out."""
    values, points, last = sorted(values), [], None
    for i, ms in enumerate(values):
        left = 1 - (i + 0.5) / len(values)
        at = (round(axes.x(ms), 1), round(axes.y(min(-math.log10(left), axes.top)), 1))
        if last is None or abs(at[0] - last[0]) + abs(at[1] - last[1]) >= 0.8:
            points.append("%g,%g" % at)
            last = at
    return (f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" '
            f'stroke-width="{width}" stroke-opacity="{opacity}"/>')


def text(x, y, words, more=""):
    escaped = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:g}" y="{y:g}" {more}>{escaped}</text>'


def grid(axes):
    bottom, right = axes.y(0), WIDTH - RIGHT
    for ms in axes.ticks():
        x = axes.x(ms)
        yield f'<path d="M{x:.1f} {TOP}V{bottom:.1f}" stroke="#e4e4e4"/>'
        yield text(x, bottom + 18, f"{ms:g}", 'text-anchor="middle"')
    for nines, label in LABELS.items():
        if nines <= axes.top:
            y = axes.y(nines)
            yield f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#e4e4e4"/>'
            yield text(LEFT - 8, y + 4, label, 'text-anchor="end"')
    yield text((LEFT + right) / 2, HEIGHT - 10, "ms for a read", 'text-anchor="middle"')


def draw(scenario, phases):
    every = [ms for readers in phases.values() for took in readers.values() for ms in took]
    axes = Axes(every)
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif" font-size="12" fill="#222">')
    yield '<rect width="100%" height="100%" fill="#fff"/>'
    yield text(LEFT, 20, f"lanes {scenario}: reads that took no longer", 'font-size="14"')
    yield from grid(axes)
    for i, (phase, readers) in enumerate(phases.items()):
        colour = COLOURS[i % len(COLOURS)]
        if scenario == "many":
            for took in readers.values():
                yield curve(axes, took, colour, 0.4, 0.3)
        yield curve(axes, [ms for took in readers.values() for ms in took], colour, 2)
        y = TOP + 16 + 17 * i
        yield f'<path d="M{LEFT + 12} {y}h18" stroke="{colour}" stroke-width="2"/>'
        yield text(LEFT + 36, y + 4, phase)
    yield "</svg>"


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__.strip())
    scenario, phases = read(sys.argv[1])
    if not phases:
        sys.exit(f"{sys.argv[1]}: no reads in it")
    lines = "\n".join(draw(scenario, phases)) + "\n"
    if len(sys.argv) == 3:
        with open(sys.argv[2], "w") as file:
            file.write(lines)
    else:
        sys.stdout.write(lines)


if __name__ == "__main__":
    main()
