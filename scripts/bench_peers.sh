#!/usr/bin/env bash
# Our aggregation rules and the peers' on the same shapes, in turn, on this machine, beside its own
# limits. Installs the peers from PyPI into target/peers.
#
# PEERS_TORCH=1 installs torch too (gigabytes), which byzfl needs. PEERS_SIZES="25,1000000 50,100000"
# chooses the shapes n,d.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${PEERS_VENV:-target/peers}
sizes=${PEERS_SIZES:-"10,100000 25,100000 25,1000000 50,1000000"}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
pip() { "$venv/bin/python" -m pip install --quiet "$@"; }
pip 'numpy>=2' 'flwr==1.41.0'
pip 'qora-fl' || echo "qora-fl cannot be installed here: left out"
if [ -n "${PEERS_TORCH:-}" ]; then
    pip 'byzfl==0.0.11' torch
else
    echo "PEERS_TORCH is not set: byzfl is left out"
fi
ours=$(mktemp)
trap 'rm -f "$ours"' EXIT
for size in $sizes; do
    cargo bench --quiet -p fedledger-contract --bench aggregation -- --json --only "$size" >>"$ours"
done
"$venv/bin/python" scripts/bench_peers.py "$ours"
