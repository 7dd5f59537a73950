#!/usr/bin/env python3
"""One round of local training: python3 train.py base.npz update.npz, with training.csv beside it.

Logistic regression by gradient descent, as small as a trainer can be, for the walk through a round
in docs/evaluation.md: writes new weights minus base model, and prints how many rows it trained on.
Needs Python 3 and NumPy. --turn-labels trains on turned labels, as a hostile hospital would.
"""

import sys

import numpy as np

from score import rows

STEPS = 40
RATE = 0.5


def main():
    base_file, update_file, *flags = sys.argv[1:]
    features, labels = rows("training.csv")
    if "--turn-labels" in flags:
        labels = 1.0 - labels
    with np.load(base_file) as base:
        start = {name: base[name].astype(np.float64) for name in base.files}
    weight, bias = start["weight"].copy(), start["bias"].copy()
    for _ in range(STEPS):
        logits = features @ weight.ravel() + bias.ravel()[0]
        wrong = 1.0 / (1.0 + np.exp(-np.clip(logits, -50.0, 50.0))) - labels
        weight -= RATE * (features.T @ wrong / len(labels)).reshape(weight.shape)
        bias -= RATE * wrong.mean()
    np.savez(update_file, weight=weight - start["weight"], bias=bias - start["bias"])
    print(len(labels))


if __name__ == "__main__":
    main()
