"""
How fast is the simulator? ``python benchmarks/simulation.py``.

Poisson arrivals at 90 % of capacity through the serving core in virtual time, for each policy in turn, on
one core: requests a second of CPU time, median of several rounds. The aim is 200,000/s under ``window``.
"""

from __future__ import annotations

import argparse
import platform
import time

from harness import spread, spread_text
from policy_cells import Rule, arrivals, model
from rich.console import Console
from rich.table import Table

from streambox.simulate import replay

RULES = (Rule("window", 5), Rule("eager"), Rule("slo"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--units", type=int, default=1600, help="of 125 ms, that are simulated in a round")
    parser.add_argument("--load", type=float, default=0.9)
    args = parser.parse_args()
    instants = arrivals("poisson", args.load, 0, args.units)
    rates: dict[Rule, list[float]] = {rule: [] for rule in RULES}
    for _ in range(args.rounds):
        for rule, found in rates.items():
            begun = time.process_time()
            replay(instants, model(rule, 50))
            found.append(len(instants) / (time.process_time() - begun) / 1000)
    table = Table(title=f"{len(instants):,} requests a round, Python {platform.python_version()}")
    table.add_column("policy")
    table.add_column("thousand requests/s of CPU time", justify="right")
    for rule, found in rates.items():
        table.add_row(rule.name, spread_text(spread(found)))
    Console().print(table)


if __name__ == "__main__":
    main()
