#!/usr/bin/env python3
"""Times fedledger's aggregation rules and those of other implementations on the same matrices.

Started by `bench_peers.sh`, which installs the others. For each size fedledger's bench and a peer, in a
process of its own, run in turn, so that nothing shares the processor and both meet the same machine; the
least of ours counts, as does the least of a peer's three. The matrices are the bench's: this script makes the same integers and hands them to the peers as float32, in units of
2^16. A peer's rule that takes longer than `--seconds` or more memory than there is is marked so.

Peers' parameters are the nearest to ours: Krum's neighbours are what each peer has, geometric medians take
3 iterations with ByzFL and 8 with ByzPy (ours 8), clipping radii are 100 (ByzFL's) or 1. Bulyan is
Flower's older one, iterated as in the paper, and its current one, which selects once.
"""

import argparse
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time

CHUNK = 1 << 16
BUCKET = 2
PEERS = ["byzfl-torch", "byzfl-numpy", "flwr", "flwr-new", "byzpy", "qora"]


# --- the matrix -------------------------------------------------------------------------------------


def matrix(n, d, bits):
    """The values of `updates` in contract/benches/aggregation/main.rs, and their sum."""
    import numpy as np

    multiplier, increment = 1_664_525, 1_013_904_223
    factors = np.empty(CHUNK, np.uint32)
    terms = np.empty(CHUNK, np.uint32)
    factor, term = 1, 0
    for at in range(CHUNK):
        factor = factor * multiplier & 0xFFFFFFFF
        term = (term * multiplier + increment) & 0xFFFFFFFF
        factors[at], terms[at] = factor, term
    values = np.empty(n * d, np.float32)
    total = 0
    half = 1 << (bits - 1)
    for chunk, begin in enumerate(range(0, n * d, CHUNK)):
        length = min(CHUNK, n * d - begin)
        seed = np.uint32(chunk ^ 0x9E3779B9)
        states = factors[:length] * seed + terms[:length]
        integers = (states >> np.uint32(32 - bits)).astype(np.int32) - half
        integers[integers == -half] += 1
        total += int(integers.sum(dtype=np.int64))
        values[begin : begin + length] = integers
    values /= 65536.0
    return values.reshape(n, d), total


# --- the peers' rules: each returns {rule: function without arguments} ------------------------------


def byzfl_rules(x, n, f):
    from byzfl import (
        ARC,
        NNM,
        Average,
        Bucketing,
        CenteredClipping,
        GeometricMedian,
        Krum,
        Median,
        MultiKrum,
        TrMean,
    )

    def after(stage, rule):
        return lambda: rule(stage(x))

    return {
        "mean": lambda: Average()(x),
        "median": lambda: Median()(x),
        "trimmed_mean": lambda: TrMean(f=f)(x),
        "krum": lambda: Krum(f=f)(x),
        "multi_krum": lambda: MultiKrum(f=f)(x),
        "geometric_median_8": lambda: GeometricMedian()(x),
        "centered_clipping_1": lambda: CenteredClipping(L=1)(x),
        "centered_clipping_3": lambda: CenteredClipping(L=3)(x),
        "nnm_trimmed_mean": after(NNM(f=f), TrMean(f=f)),
        "arc_trimmed_mean": after(ARC(f=f), TrMean(f=f)),
        "bucketing_median": after(Bucketing(s=BUCKET), Median()),
    }


def byzfl_torch(x, n, f):
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    tensor = torch.from_numpy(x)
    rules = byzfl_rules(tensor, n, f)
    # Differences, as ours are; the other mode is the matrix product that loses them.
    mode = "donot_use_mm_for_euclid_dist"
    rules["pairwise_distances"] = lambda: torch.cdist(tensor, tensor, compute_mode=mode)
    return rules


def flwr(x, n, f):
    from flwr.server.strategy import aggregate as a

    results = [([row], 1) for row in x]
    return {
        "mean": lambda: a.aggregate(results),
        "median": lambda: a.aggregate_median(results),
        "trimmed_mean": lambda: a.aggregate_trimmed_avg(results, (f + 0.5) / n),
        "krum": lambda: a.aggregate_krum(results, f, 0),
        "multi_krum": lambda: a.aggregate_krum(results, f, n - f),
        # It takes the selected out of the list that it is given.
        "bulyan": lambda: a.aggregate_bulyan(list(results), f, a.aggregate_krum, to_keep=0),
        "pairwise_distances": lambda: a._compute_distances([weights for weights, _ in results]),
    }


def flwr_new(x, n, f):
    import numpy as np
    from flwr.app import ArrayRecord, MetricRecord, RecordDict
    from flwr.serverapp.strategy.bulyan import aggregate_n_closest_weights
    from flwr.serverapp.strategy.fedtrimmedavg import trim_mean
    from flwr.serverapp.strategy.multikrum import compute_distances, select_multikrum
    from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

    contents = [
        RecordDict({"arrays": ArrayRecord([row]), "metrics": MetricRecord({"num-examples": 1})})
        for row in x
    ]

    def arrays(of):
        return [content["arrays"].to_numpy_ndarrays()[0] for content in of]

    def bulyan():
        theta = n - 2 * f
        chosen = [[array] for array in arrays(select_multikrum(contents, f, theta))]
        median = [np.median([weights[0] for weights in chosen], axis=0)]
        return aggregate_n_closest_weights(median, chosen, theta - 2 * f)

    def multi(kept):
        return aggregate_arrayrecords(select_multikrum(contents, f, kept), "num-examples")

    return {
        "mean": lambda: aggregate_arrayrecords(contents, "num-examples"),
        "median": lambda: np.median(arrays(contents), axis=0),
        "trimmed_mean": lambda: trim_mean(np.array(arrays(contents)), (f + 0.5) / n),
        "krum": lambda: multi(1),
        "multi_krum": lambda: multi(n - f),
        "bulyan": bulyan,
        "pairwise_distances": lambda: compute_distances([content["arrays"] for content in contents]),
    }


def byzpy(x, n, f):
    import torch
    from byzpy.aggregators import coordinate_wise as c
    from byzpy.aggregators import geometric_wise as g
    from byzpy.aggregators import norm_wise as w
    from byzpy.pre_aggregators import ARC, Bucketing, NearestNeighborMixing

    # Most of its rules fail on NumPy's arrays; those that do not are faster on them.
    rows = list(torch.from_numpy(x))

    def run(rule):
        return lambda: rule.aggregate(rows)

    def after(stage, rule):
        return lambda: rule.aggregate(stage.pre_aggregate(rows))

    return {
        "median": run(c.CoordinateWiseMedian()),
        "trimmed_mean": run(c.CoordinateWiseTrimmedMean(f)),
        "krum": lambda: g.Krum(f).aggregate(list(x)),
        "multi_krum": lambda: g.MultiKrum(f, n - f).aggregate(list(x)),
        "geometric_median_8": run(g.GeometricMedian(max_iter=8, init="mean")),
        "centered_clipping_1": run(w.CenteredClipping(c_tau=1.0, M=1)),
        "centered_clipping_3": run(w.CenteredClipping(c_tau=1.0, M=3)),
        "nnm_trimmed_mean": after(NearestNeighborMixing(f), c.CoordinateWiseTrimmedMean(f)),
        "arc_trimmed_mean": after(ARC(f), c.CoordinateWiseTrimmedMean(f)),
        "bucketing_median": after(Bucketing(BUCKET), c.CoordinateWiseMedian()),
    }


def qora(x, n, f):
    from qora import ByzantineAggregator

    # It wants one row in a matrix of its own from each client.
    rows = [row.reshape(1, -1) for row in x]

    def run(method, trim=0.0):
        return lambda: ByzantineAggregator(method, trim).aggregate(rows)

    return {
        "mean": run("fedavg"),
        "median": run("median"),
        "trimmed_mean": run("trimmed_mean", (f + 0.5) / n),
        "krum": run(f"krum:{f}"),
        "multi_krum": run(f"multi_krum:{f}:{n - 2 * f - 2}"),
    }


MAKERS = {
    "byzfl-torch": byzfl_torch,
    "byzfl-numpy": byzfl_rules,
    "flwr": flwr,
    "flwr-new": flwr_new,
    "byzpy": byzpy,
    "qora": qora,
}


# --- a peer's process -------------------------------------------------------------------------------


def say(**line):
    print(json.dumps(line), file=sys.__stdout__, flush=True)


def limit_memory():
    """As much again as is free now, less a reserve; what asks for more fails instead of the machine."""
    fields = {}
    for path in ("/proc/self/status", "/proc/meminfo"):
        with open(path) as file:
            fields.update(line.split(":", 1) for line in file if ":" in line)
    kilobytes = {name: int(fields[name].split()[0]) for name in ("VmSize", "MemAvailable")}
    most = (kilobytes["VmSize"] + int(0.7 * kilobytes["MemAvailable"])) << 10
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def work(peer, n, d, bits, wanted, seconds):
    # Whatever a library prints goes with its errors.
    sys.stdout = sys.stderr
    x, total = matrix(n, d, bits)
    rules = MAKERS[peer](x, n, (n - 3) // 4)
    limit_memory()
    say(ready=sorted(rules), sum=total)
    for name in wanted:
        if name not in rules:
            continue
        try:
            times = []
            begin = time.perf_counter()
            while len(times) < 4 and (len(times) < 2 or time.perf_counter() - begin < seconds / 3):
                start = time.perf_counter()
                rules[name]()
                times.append(time.perf_counter() - start)
            # The first run pays for what is made once.
            say(rule=name, ms=1e3 * min(times[1:]))
        except Exception as error:  # A peer may raise anything, and none of it ends the comparison.
            is_memory = isinstance(error, MemoryError) or "allocate" in str(error)
            say(rule=name, error="memory" if is_memory else "error", why=f"{error!r}"[:300])


# --- the comparison ---------------------------------------------------------------------------------


def ours(bench, n, d, bits, rules):
    """Rows of fedledger's bench by rule, the sum of the matrix, and what the machine is."""
    cargo = ["cargo", "bench", "--quiet", "-p", "fedledger-contract", "--bench", "aggregation", "--"]
    command = [bench] if bench else cargo
    command += ["--json", "--members", str(n), "--parameters", str(d), "--bits", str(bits)]
    if rules:
        command += ["--rules", ",".join(rules)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    rows, total, machine = {}, None, {}
    for line in map(json.loads, found.stdout.splitlines()):
        if "rule" in line:
            rows[line["rule"]] = line
        elif "sum" in line:
            total = line["sum"]
        else:
            machine = line
    return rows, total, machine


def lines_of(process, seconds):
    """Lines of a process, the first two minutes and each other `seconds` after the one before; None
    when one does not come in time."""
    descriptor = process.stdout.fileno()
    buffer, patience = b"", seconds + 120
    while True:
        ready, _, _ = select.select([descriptor], [], [], patience)
        if not ready:
            yield None
            return
        data = os.read(descriptor, 1 << 16)
        if not data:
            return
        buffer, patience = buffer + data, seconds
        *whole, buffer = buffer.split(b"\n")
        yield from (json.loads(line) for line in whole)


def theirs(peer, n, d, bits, names, seconds, total):
    """Milliseconds, or what went wrong, by rule."""
    found = {}
    waiting = list(names)
    while waiting:
        command = [sys.executable, __file__, "--worker", peer, str(n), str(d), str(bits)]
        command += [",".join(waiting), str(seconds)]
        errors = tempfile.TemporaryFile()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        known, trouble = None, "died"
        # Two runs at least, the first of which does not count.
        for line in lines_of(process, 2 * seconds):
            if line is None:
                trouble = f">{seconds}s"
                break
            if "ready" in line:
                assert line["sum"] == total, f"{peer} got another matrix than ours"
                known = set(line["ready"])
                waiting = [name for name in waiting if name in known]
                continue
            if "why" in line:
                print(f"{peer}, {line['rule']}: {line['why']}", file=sys.stderr)
            found[line["rule"]] = line.get("ms", line.get("error"))
            waiting.remove(line["rule"])
        else:
            process.wait()
            if known is None:
                errors.seek(0)
                tail = errors.read().decode(errors="replace").strip().splitlines()
                print(f"left out: {peer} does not start: {tail[-1:]}", file=sys.stderr)
                return {}
            if process.returncode == 0:
                return found
        process.kill()
        process.wait()
        if waiting:
            found[waiting.pop(0)] = trouble
    return found


def keep_least(rows, again):
    """Takes over what was faster the next time, limits too."""
    for name, row in again.items():
        known = rows.setdefault(name, row)
        for key in ("ms", "limit_ms"):
            known[key] = min(known[key], row[key])


def show(cell):
    if cell is None:
        return "-"
    return cell if isinstance(cell, str) else f"{cell:.2f}" if cell < 100 else f"{cell:.0f}"


def table(n, d, rows, columns):
    peers = list(columns)
    header = ["rule", "n", "d", "limit", "ours", "x limit", "memory %", *peers, "peer/ours"]
    lines = [header]
    for name, row in rows.items():
        cells = [columns[peer].get(name) for peer in peers]
        times = [cell for cell in cells if isinstance(cell, float)]
        factor = f"{min(times) / row['ms']:.1f}" if times else "-"
        line = [name, str(n), str(d), show(row["limit_ms"]), show(row["ms"])]
        line += [f"{row['ms'] / row['limit_ms']:.2f}", f"{row['memory_percent']:.1f}"]
        lines.append([*line, *map(show, cells), factor])
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths)), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", default="10,25")
    parser.add_argument("--parameters", default="100000,1000000")
    parser.add_argument("--rules", help="some of ours, by name; all without it")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--bits", type=int, default=21, help="binary digits of a value, with its sign")
    parser.add_argument("--seconds", type=int, default=60, help="most that a peer's rule may take")
    parser.add_argument("--bench", help="the bench as it was built; cargo runs it without this")
    arguments = parser.parse_args()
    rules = arguments.rules.split(",") if arguments.rules else None
    print("Times in ms, the least of several runs. limit: what memory or the vector units allow.")
    for d in map(int, arguments.parameters.split(",")):
        for n in map(int, arguments.members.split(",")):
            rows, columns = {}, {}
            for peer in arguments.peers.split(","):
                again, total, machine = ours(arguments.bench, n, d, arguments.bits, rules)
                keep_least(rows, again)
                if not rows:
                    print(f"n = {n}, d = {d} does not fit the memory: left out")
                    break
                columns[peer] = theirs(peer, n, d, arguments.bits, list(rows), arguments.seconds, total)
            if not rows:
                continue
            print(f"\n{machine['threads']} threads, {machine['vectors']}, "
                  f"{machine['multiply_adds'] / 1e9:.0f} billion multiply-adds a second, "
                  f"read {4e-6 * n * d / rows['read']['ms']:.1f} GB/s")
            table(n, d, rows, columns)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        peer, n, d, bits, wanted, seconds = sys.argv[2:]
        work(peer, int(n), int(d), int(bits), wanted.split(","), int(seconds))
    else:
        main()
