#!/usr/bin/env python3
"""Aggregates the matrices of `rule_vectors` with ByzFL and compares, coordinate by coordinate.

Usage: python3 scripts/compare_byzfl.py vectors.json    (in an environment with `byzfl`)
Prints one line a rule: the greatest difference in quanta of the ledger's grid (2^-16) and relative to the
aggregate's norm, over all attacks, seeds and rounds. Exits 1 when a rule differs by more than allowed.
"""

import json
import sys

import numpy as np
from byzfl import Average, GeometricMedian, Krum, Median, TrMean

# Quanta that may differ, or the share of the aggregate's norm. One quantum is rounding; the geometric
# median starts from the mean here and from zero there, so it is compared after 64 steps with the same
# smoothing of one quantum (ByzFL's default is three steps).
ALLOWED = {
    "mean": (1.0, 1e-3),
    "median": (1.0, 1e-3),
    "trimmed_mean": (1.0, 1e-3),
    "krum": (0.5, 1e-3),
    "geometric_median": (8.0, 1e-2),
}


def rules(f):
    return {
        "mean": Average(),
        "median": Median(),
        "trimmed_mean": TrMean(f=f),
        "krum": Krum(f=f),
        "geometric_median": GeometricMedian(nu=1.0, T=64),
    }


def main():
    with open(sys.argv[1]) as file:
        document = json.load(file)
    theirs = rules(document["f"])
    worst = {name: (0.0, 0.0, "") for name in theirs}
    for case in document["cases"]:
        updates = np.array(case["updates"], dtype=np.float64)
        for name, rule in theirs.items():
            ours = np.array(case["aggregates"][name], dtype=np.float64)
            # float64 and quanta as units: their arithmetic is then as exact as it can be.
            other = np.asarray(rule(updates.copy()), dtype=np.float64)
            quanta = float(np.abs(ours - other).max())
            share = float(np.linalg.norm(ours - other) / max(np.linalg.norm(ours), 1.0))
            if quanta > worst[name][0]:
                where = f"{case['attack']}, seed {case['seed']}, round {case['round']}"
                worst[name] = (quanta, share, where)
    print(f"{len(document['cases'])} matrices, f = {document['f']}")
    failed = False
    for name, (quanta, share, where) in worst.items():
        allowed = ALLOWED[name]
        good = quanta <= allowed[0] or share <= allowed[1]
        failed |= not good
        word = "same" if good else "DIFFERS"
        print(f"{name:18} {word:8} at most {quanta:.3f} quanta, {share:.2e} of the norm  {where}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
