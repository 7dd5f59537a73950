#!/usr/bin/env python3
"""Scores a round's candidate models on rows that this hospital never trains on.

Reads what is asked as JSON on standard input and prints the answer as JSON on standard output;
docs/evaluation.md says what is in both. Needs Python 3 and NumPy.

This one is for logistic regression with tensors `weight` and `bias`, and for a file held_out.csv in
the folder where it runs: a line of names, then one row for each patient, numbers only, the label (0
or 1) in the column `label`. For another model, `mean_loss` is what changes.
"""

import json
import math
import sys

import numpy as np

HELD_OUT = "held_out.csv"
LABEL = "label"


def rows(path):
    """The features (n × d, as in training) and the labels (n) of a file."""
    with open(path, encoding="utf-8") as file:
        names = file.readline().strip().split(",")
        table = np.loadtxt(file, delimiter=",", ndmin=2)
    label = names.index(LABEL)
    return np.delete(table, label, axis=1), table[:, label]


def mean_loss(model, features, labels):
    """The mean logarithmic loss of a model over rows: what training minimises, too."""
    logits = features @ model["weight"].ravel() + model["bias"].ravel()[0]
    # log(1 + exp(z)) - y·z, without overflow for a large z.
    return float(np.mean(np.logaddexp(0.0, logits) - labels * logits))


def main():
    request = json.load(sys.stdin)
    features, labels = rows(HELD_OUT)
    losses = {}
    for candidate in request["candidates"]:
        with np.load(candidate["file"]) as model:
            loss = mean_loss(model, features, labels)
        # JSON has no NaN and no infinity; null stands for both and counts as the greatest loss.
        losses[candidate["model"]] = loss if math.isfinite(loss) else None
    json.dump({"num_examples": len(labels), "losses": losses}, sys.stdout)
    print(f"{request['task']} round {request['round']}: {len(labels)} rows", file=sys.stderr)


if __name__ == "__main__":
    main()
