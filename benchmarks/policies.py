"""
Does ``slo`` earn its place? ``python benchmarks/policies.py``.

Simulates a model whose batching pays, 3.9 + 0.44 b ms for b rows, on the three patterns and on Poisson
arrivals, at loads from 10 to 120 % of capacity, under every policy, with admission and expiry on and the
same seeded arrivals for all. Prints how much of the load each answers in time, and the ratios of ``slo`` to
the best other one; then how near the policies come to all that was possible in small cases. Writes the
pictures of docs/policies.md. Virtual time: the figures do not depend on the machine.

It takes a quarter of an hour on one core. ``--keep FILE`` keeps the figures, for ``--from FILE ...`` to draw.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from policy_cells import (
    NO_SLACK,
    RULES,
    SEEDS,
    SLO,
    UNITS,
    Cell,
    Goodputs,
    Rule,
    SmallCase,
    best,
    goodput,
    half_interval,
    is_any_other,
    is_rival,
    is_window,
    ratio_to,
    shares,
)
from policy_pictures import draw_goodputs, draw_ratios
from rich.console import Console
from rich.table import Table

SLOS_MS = (15.0, 25.0, 50.0)
LOADS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
SMALL_LOADS = (0.5, 0.9, 1.2, 2.0)
SMALL_SLOS_MS = (9.0, 12.0, 15.0)
SMALL_RULES = (SLO, NO_SLACK, Rule("eager"), Rule("window", 1), Rule("window", 2), Rule("window", 5))
PICTURES = Path(__file__).resolve().parent.parent / "docs" / "policies"

Found = dict[Cell, Goodputs]
Small = dict[SmallCase, dict[str, tuple[float, float]]]


def main() -> None:
    args = parse()
    if args.drawn_from:
        found, small = merged([json.loads(path.read_text("utf-8")) for path in args.drawn_from])
    else:
        with multiprocessing.Pool(args.processes) as pool:
            found = simulate(pool, args)
            small = {} if args.no_bound else against_the_bound(pool, args.cases)
    if args.keep:
        args.keep.write_text(json.dumps(kept(found, small)) + "\n", "utf-8")
    report(found, small)
    if args.pictures:
        args.pictures.mkdir(parents=True, exist_ok=True)
        (args.pictures / "goodput.svg").write_text(draw_goodputs(found), "utf-8")
        (args.pictures / "ratio.svg").write_text(draw_ratios(found), "utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--patterns", nargs="+", choices=list(UNITS), default=list(UNITS))
    parser.add_argument("--slos", nargs="+", type=float, default=SLOS_MS, metavar="MS")
    parser.add_argument("--loads", nargs="+", type=float, default=LOADS, help="1 is the capacity")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--cases", type=int, default=40, help="small cases of each kind")
    parser.add_argument("--no-bound", action="store_true", help="without the small cases")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--from", dest="drawn_from", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help=f"such as {PICTURES}")
    return parser.parse_args()


# ---- figures ---------------------------------------------------------------------------------------


def simulate(pool: Any, args: argparse.Namespace) -> Found:
    cells = [Cell(p, slo, load) for slo in args.slos for p in args.patterns for load in args.loads]
    runs = [(cell, rule, seed) for cell in cells for rule in RULES for seed in range(args.seeds)]
    found: Found = defaultdict(lambda: defaultdict(list))
    for done, ((cell, rule, _), share) in enumerate(
        zip(runs, pool.imap(_goodput, runs, chunksize=8), strict=True), 1
    ):
        found[cell][rule.name].append(share)
        if done % 500 == 0:
            print(f"{done} of {len(runs)} runs", file=sys.stderr, flush=True)
    return found


def _goodput(run: tuple[Cell, Rule, int]) -> float:
    return goodput(*run)


def against_the_bound(pool: Any, cases: int) -> Small:
    kinds = [SmallCase(load, slo) for slo in SMALL_SLOS_MS for load in SMALL_LOADS]
    asked = [(case, rule, range(cases)) for case in kinds for rule in SMALL_RULES]
    small: Small = defaultdict(dict)
    for (case, rule, _), found in zip(asked, pool.starmap(shares, asked, chunksize=1), strict=True):
        small[case][rule.name] = (statistics.mean(found), half_interval(found))
    return small


def kept(found: Found, small: Small) -> dict[str, Any]:
    return {
        "cells": [[*cell, goodputs] for cell, goodputs in found.items()],
        "small": [[*case, shares] for case, shares in small.items()],
    }


def merged(files: list[dict[str, Any]]) -> tuple[Found, Small]:
    cells = [(Cell(*cell), goodputs) for file in files for *cell, goodputs in file["cells"]]
    patterns = list(UNITS)
    cells.sort(key=lambda of: (of[0].slo_ms, patterns.index(of[0].pattern), of[0].load))
    found: Found = dict(cells)
    small: Small = {SmallCase(*case): shares for file in files for *case, shares in file["small"]}
    return found, small


# ---- tables ----------------------------------------------------------------------------------------


def report(found: Found, small: Small) -> None:
    console = Console(width=150)
    for slo_ms in sorted({cell.slo_ms for cell in found}):
        console.print(ratios(slo_ms, {cell: of for cell, of in found.items() if cell.slo_ms == slo_ms}))
    if small:
        console.print(bound_table(small))
    for line in summary(found, small):
        console.print(line, highlight=False)


def ratios(slo_ms: float, found: Found) -> Table:
    table = Table(title=f"answered within {slo_ms:g} ms, of all requests; slo over the others, ±95 %")
    for column in (
        "load",
        "slo",
        "best other",
        "ratio",
        "best window",
        "ratio",
        "with its rows chosen, too",
        "ratio",
    ):
        table.add_column(column, justify="left" if "best" in column or "chosen" in column else "right")
    for cell, goodputs in found.items():
        row = [f"{cell.pattern} {cell.load:.0%}", f"{statistics.mean(goodputs[SLO.name]):.3f}"]
        for among in (is_rival, is_window, is_any_other):
            ratio = ratio_to(goodputs, best(goodputs, among))
            row += [ratio.rival, f"{ratio.mean:.3f} ±{ratio.half:.3f}"]
        table.add_row(*row, end_section=cell.load == max(c.load for c in found))
    return table


def bound_table(small: Small) -> Table:
    table = Table(title="small cases: answered in time, of what was possible, ±95 %")
    table.add_column("case")
    for rule in SMALL_RULES:
        table.add_column("slo, no slack" if rule is NO_SLACK else rule.name, justify="right")
    for case, of in small.items():
        name = f"{case.requests} requests, {case.rows} rows, {case.slo_ms:g} ms, load {case.load:.0%}"
        table.add_row(name, *(f"{mean:.3f} ±{half:.3f}" for mean, half in of.values()))
    return table


def summary(found: Found, small: Small) -> list[str]:
    """The aims, and what came of them."""
    lines = []
    others = {cell: ratio_to(of, best(of, is_rival)) for cell, of in found.items()}
    windows = {cell: ratio_to(of, best(of, is_window)) for cell, of in found.items()}
    for name, ratios_, least in (("best other", others, min), ("best fixed window", windows, max)):
        cell = least(ratios_, key=lambda cell: ratios_[cell].mean)
        ratio = ratios_[cell]
        lines.append(
            f"slo over the {name}: {'least' if least is min else 'most'} {ratio.mean:.3f} ±{ratio.half:.3f}, "
            f"on {cell.pattern} at {cell.load:.0%}, SLO {cell.slo_ms:g} ms ({ratio.rival})"
        )
    below = sum(ratio.mean < 0.99 for ratio in others.values())
    lines.append(f"below 0.99 of the best other: {below} of {len(others)} cells")
    if small:
        mean = statistics.mean(of[SLO.name][0] for of in small.values())
        lines.append(f"slo over what was possible, {len(small)} kinds of small cases: mean {mean:.3f}")
    return lines


if __name__ == "__main__":
    main()
