#!/usr/bin/env python3
"""Scores a round's candidate models on rows that this hospital never trains on.

Reads what is asked as JSON on standard input and prints the answer as JSON on standard output;
docs/evaluation.md says what is in both. Needs Python 3 and NumPy.

This one is for logistic regression with tensors `weight` and `bias`, and for a file held_out.csv in
the folder where it runs: a line of names, then one row for each patient, numbers only, the label (0
or 1) in the column `label`. For another model, `row_losses` is what changes. Where the task names
classes, the first is label 0 and the second label 1.
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


def row_losses(model, features, labels):
    """The logarithmic loss of a model on each row: their mean is what training minimises, too."""
    logits = features @ model["weight"].ravel() + model["bias"].ravel()[0]
    # log(1 + exp(z)) - y·z, without overflow for a large z.
    return np.logaddexp(0.0, logits) - labels * logits


def mean(losses):
    """JSON has no NaN and no infinity; null stands for both and counts as the greatest loss."""
    loss = float(np.mean(losses))
    return loss if math.isfinite(loss) else None


def main():
    request = json.load(sys.stdin)
    features, labels = rows(HELD_OUT)
    # A class of which there are no rows is left out.
    classes = {name: labels == label for label, name in enumerate(request.get("classes", []))}
    classes = {name: of_class for name, of_class in classes.items() if of_class.any()}
    losses, by_class = {}, {}
    for candidate in request["candidates"]:
        with np.load(candidate["file"]) as model:
            of_rows = row_losses(model, features, labels)
        losses[candidate["model"]] = mean(of_rows)
        by_class[candidate["model"]] = {name: mean(of_rows[at]) for name, at in classes.items()}
    answer = {"num_examples": len(labels), "losses": losses}
    if classes:
        answer["losses_by_class"] = by_class
        answer["num_examples_by_class"] = {name: int(at.sum()) for name, at in classes.items()}
    json.dump(answer, sys.stdout)
    print(f"{request['task']} round {request['round']}: {len(labels)} rows", file=sys.stderr)


if __name__ == "__main__":
    main()
