"""Times the aggregation rules of whatever peers are installed, and prints them beside ours.

Usage: bench_peers.py OURS.jsonl, where each line is a row of `cargo bench ... -- --json`. The shapes
are those of that file. Least time of a few runs, float32 inputs of the same distribution, f = (n-3)/4.
"""

import importlib.metadata
import json
import sys
import time

import numpy as np


def least(run, budget_s=20.0):
    """The least time of at most five runs, in milliseconds."""
    best, spent = float("inf"), 0.0
    for _ in range(5):
        start = time.perf_counter()
        run()
        took = time.perf_counter() - start
        best, spent = min(best, took), spent + took
        if spent > budget_s:
            break
    return 1e3 * best


def flower(matrix, f):
    from flwr.server.strategy import aggregate as flwr

    n = len(matrix)
    results = [([row], 1) for row in matrix]
    return {
        "mean": lambda: flwr.aggregate(results),
        "median": lambda: flwr.aggregate_median(results),
        "trimmed_mean": lambda: flwr.aggregate_trimmed_avg(results, f / n),
        "krum": lambda: flwr.aggregate_krum(results, f, 0),
        "multi_krum": lambda: flwr.aggregate_krum(results, f, n - f),
        "bulyan": lambda: flwr.aggregate_bulyan(results, f, flwr.aggregate_krum, to_keep=0),
    }


def byzfl(matrix, f, backend):
    import byzfl as peer

    if backend == "torch":
        import torch

        matrix = torch.from_numpy(matrix)
    trimmed, mixed = peer.TrMean(f), peer.NNM(f)
    clip, buckets, median = peer.ARC(f), peer.Bucketing(2), peer.Median()
    rules = {
        "mean": peer.Average(),
        "median": median,
        "trimmed_mean": trimmed,
        "krum": peer.Krum(f),
        "multi_krum": peer.MultiKrum(f),
        "geometric_median_8": peer.GeometricMedian(T=8),
        "centered_clipping_1": peer.CenteredClipping(L=1),
        "centered_clipping_3": peer.CenteredClipping(L=3),
        "nnm_trimmed_mean": lambda x: trimmed(mixed(x)),
        "arc_trimmed_mean": lambda x: trimmed(clip(x)),
        "bucketing_median": lambda x: median(buckets(x)),
    }
    return {name: (lambda rule=rule: rule(matrix)) for name, rule in rules.items()}


def qora(matrix, f):
    from qora import ByzantineAggregator

    n = len(matrix)

    def runner(method):
        def run():
            aggregator = ByzantineAggregator(method, f / n)
            return aggregator.aggregate(list(matrix))

        return run

    return {"median": runner("median"), "trimmed_mean": runner("trimmed_mean")}


PEERS = {
    "flwr": flower,
    "byzfl (numpy)": lambda matrix, f: byzfl(matrix, f, "numpy"),
    "byzfl (torch)": lambda matrix, f: byzfl(matrix, f, "torch"),
    "qora": qora,
}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.startswith("{")]
    ours = {}
    for row in rows:
        if "rule" in row:
            ours.setdefault((row["n"], row["d"]), {})[row["rule"]] = row
    for package in ["flwr", "byzfl", "torch", "qora-fl", "numpy"]:
        try:
            print(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            print(f"{package} is not installed")
    for (n, d), rules in ours.items():
        f = (n - 3) // 4
        generator = np.random.default_rng(1)
        matrix = generator.uniform(-1, 1, (n, d)).astype(np.float32)
        times = {}
        for peer, make in PEERS.items():
            try:
                runs = make(matrix, f)
            except Exception as fault:  # a peer that is absent or has another API is left out
                print(f"{peer}: {fault!r}", file=sys.stderr)
                continue
            for rule, run in runs.items():
                if d > 1_000_000 and rule not in ("mean", "median", "trimmed_mean"):
                    continue
                try:
                    times.setdefault(rule, {})[peer] = least(run)
                except Exception as fault:
                    print(f"{peer}, {rule}: {fault!r}", file=sys.stderr)
        print(f"\nn = {n}, d = {d}, f = {f}; milliseconds, ratios to the limit and to ours")
        for rule, row in rules.items():
            line = f"{rule:<22} ours {row['ms']:>9.2f}  x{row['ms'] / row['limit_ms']:<6.2f}"
            for peer, took in sorted(times.get(rule, {}).items(), key=lambda item: item[1]):
                line += f"  {peer} {took:.1f} ({took / row['ms']:.0f} x ours)"
            print(line)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
