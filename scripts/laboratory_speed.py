#!/usr/bin/env python3
"""The `network` experiment of `laboratory_speed` as a plain PyTorch loop, with ByzFL's trimmed mean.

13 members with WDBC divided at random, a network of 30-64-1, 100 rounds of one pass in batches of 16,
four members that submit the opposite of what they learned, trimmed mean with f = 4. Data come from the
folder given as first argument: `wdbc.csv` with a header and a column `label`, all others features.
Prints the time of the rounds alone, without reading the data.
"""

import csv
import sys
import time

import numpy as np
import torch
from byzfl import TrMean

MEMBERS, HOSTILE, ROUNDS, BATCH, RATE, DECAY = 13, 4, 100, 16, 0.05, 1e-3


def load(path):
    with open(path) as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "label"]
    x = np.array([[float(row[name]) for name in names] for row in rows], dtype=np.float32)
    y = np.array([float(row["label"]) for row in rows], dtype=np.float32)
    return (x - x.mean(0)) / x.std(0), y


def main():
    torch.manual_seed(1)
    # For matrices this small further threads only wait for each other.
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    x, y = load(sys.argv[1])
    order = rng.permutation(len(y))
    cut = int(0.7 * len(y))
    parts = np.array_split(order[:cut], MEMBERS)
    sites = [(torch.tensor(x[part]), torch.tensor(y[part])) for part in parts]
    test = torch.tensor(x[order[cut:]]), y[order[cut:]]
    net = torch.nn.Sequential(torch.nn.Linear(30, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))
    loss = torch.nn.BCEWithLogitsLoss()
    rule = TrMean(f=HOSTILE)
    vector = torch.nn.utils.parameters_to_vector
    fill = torch.nn.utils.vector_to_parameters
    started = time.perf_counter()
    model = vector(net.parameters()).detach().clone()
    for _ in range(ROUNDS):
        updates = []
        for member, (data, labels) in enumerate(sites):
            fill(model.clone(), net.parameters())
            step = torch.optim.SGD(net.parameters(), lr=RATE, weight_decay=DECAY)
            shuffled = torch.randperm(len(labels))
            for batch in shuffled.split(BATCH):
                step.zero_grad()
                loss(net(data[batch]).squeeze(1), labels[batch]).backward()
                step.step()
            update = vector(net.parameters()).detach() - model
            updates.append(-update if member < HOSTILE else update)
        model = model + rule(torch.stack(updates))
    seconds = time.perf_counter() - started
    fill(model, net.parameters())
    with torch.no_grad():
        found = (net(test[0]).squeeze(1).numpy() >= 0) == (test[1] == 1)
    print(f"network, PyTorch {torch.__version__}: {MEMBERS} members, {ROUNDS} rounds in "
          f"{seconds:.2f} s, accuracy {found.mean():.3f}")


if __name__ == "__main__":
    main()
