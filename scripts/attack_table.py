#!/usr/bin/env python3
"""A table of `docs/attacks.md` from a sweep: attacks in rows, contracts in columns.

Usage: python3 scripts/attack_table.py FOLDER/sweep.csv [COLUMN]
COLUMN is accuracy_loss (the default), recall_loss, attack_success_gain, caught or underestimation.
Shares are told in points; `caught` as caught/attackers, with honest members wronged after a comma.
"""

import csv
import sys


def cell(row, column):
    if row["refused"]:
        return "refused"
    if column == "caught":
        wronged = int(row["honest_quarantined"]) + int(row["honest_quarantined_absent"])
        return f"{row['caught']}/{row['attackers']}" + (f", {wronged} wronged" if wronged else "")
    text = f"{100 * float(row[column]):.1f}" if row[column] else "–"
    return "0.0" if text == "-0.0" else text


def main():
    column = sys.argv[2] if len(sys.argv) > 2 else "accuracy_loss"
    with open(sys.argv[1]) as file:
        rows = list(csv.DictReader(file))
    contracts = list(dict.fromkeys(row["contract"] for row in rows))
    print("| attack | " + " | ".join(contracts) + " |")
    print("|---|" + "---|" * len(contracts))
    # What differs between rows beside the contract, and tells them apart.
    axes = ["attack", "schedule", "knowledge", "reports", "hostile", "changes", "data", "split", "model"]
    axes = [axis for axis in axes if axis in rows[0]]
    varying = [axis for axis in axes if axis == "attack" or len({row[axis] for row in rows}) > 1]
    for place in dict.fromkeys(tuple(row[axis] for axis in axes) for row in rows):
        cells = []
        for contract in contracts:
            found = [
                row
                for row in rows
                if tuple(row[axis] for axis in axes) == place and row["contract"] == contract
            ]
            cells.append(cell(found[0], column) if found else "")
        words = [word for axis, word in zip(axes, place) if axis in varying and word]
        print(f"| {'; '.join(words)} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
