#!/usr/bin/env bash
# Installs ByzFL into an environment of its own and compares with it: the aggregates of the same update
# matrices, and the time of the same experiment, one program after the other. Needs network for pip
# and, for the second part, wdbc.csv: a file with a column `label` and 30 features.
#   scripts/compare_byzfl.sh [wdbc.csv]
set -euo pipefail
cd "$(dirname "$0")/.."
home=${FEDLEDGER_BYZFL_ENV:-target/byzfl}
if ! "$home/bin/python" -c 'import byzfl' 2>/dev/null; then
    python3 -m venv "$home"
    "$home/bin/pip" install --quiet byzfl==0.0.11
fi
cargo run --quiet --release -p fedledger-sim --example rule_vectors > target/rule_vectors.json
"$home/bin/python" scripts/compare_byzfl.py target/rule_vectors.json
if [ $# -gt 0 ]; then
    cargo run --quiet --release -p fedledger-sim --example laboratory_speed
    "$home/bin/python" scripts/laboratory_speed.py "$1"
fi
