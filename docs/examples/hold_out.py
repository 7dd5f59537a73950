#!/usr/bin/env python3
"""Splits a hospital's rows once: python3 hold_out.py patients.csv writes training.csv and held_out.csv.

A quarter is held back, drawn with a fixed seed, so that running it again draws the same rows. With
several rows for one patient, give the patient's column (--patient NAME): they stay together, and the
column is left out. Nothing of held_out.csv may ever be trained on.
"""

import argparse
import csv
import random

SHARE = 0.25
SEED = 20260101


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--patient", metavar="NAME")
    args = parser.parse_args()
    with open(args.file, encoding="utf-8", newline="") as file:
        names, *table = list(csv.reader(file))
    who = names.index(args.patient) if args.patient else None
    patients = sorted({row[who] if who is not None else str(at) for at, row in enumerate(table)})
    held = set(random.Random(SEED).sample(patients, max(1, round(SHARE * len(patients)))))

    def without_patient(row):
        return [cell for at, cell in enumerate(row) if at != who]

    parts = {"training.csv": [], "held_out.csv": []}
    for at, row in enumerate(table):
        patient = row[who] if who is not None else str(at)
        parts["held_out.csv" if patient in held else "training.csv"].append(row)
    for name, part in parts.items():
        with open(name, "x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(without_patient(names))
            writer.writerows(without_patient(row) for row in part)


if __name__ == "__main__":
    main()
