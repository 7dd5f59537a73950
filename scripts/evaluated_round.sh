#!/usr/bin/env bash
# A walk through a round whose candidates members score: five hospitals as processes on this machine,
# of which the last turns its labels. The first four nodes run docs/examples/score.py by themselves; the
# last hospital scores through the command line. Needs Python 3 with NumPy (PYTHON names another one).
#
#     scripts/evaluated_round.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "${PROGRAM:-target/release/fedledger}")
python=${PYTHON:-python3}
examples=$(realpath docs/examples)
rounds=${1:-3}
folder=$(mktemp -d)
net=$folder/net
cleanup() {
    "$program" devnet down --dir "$net" >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap cleanup EXIT
hospital() { # K VERB...: the command line beside hospital K's node
    local k=$1
    shift
    "$program" "$@" --home "$net/hospital-$k"
}

# Rows of eight features with one truth behind them, a share held back, for each hospital.
"$program" devnet up --dir "$net" --institutions 5 >/dev/null
"$program" devnet down --dir "$net" >/dev/null
for k in 1 2 3 4 5; do
    home=$net/hospital-$k
    (cd "$home" && "$python" - "$k" <<'PYTHON' && "$python" "$examples/hold_out.py" patients.csv)
import sys
import numpy as np
draw = np.random.default_rng(int(sys.argv[1]))
features = draw.normal(size=(240, 8))
truth = np.linspace(-2.0, 2.0, 8)
labels = (features @ truth + draw.logistic(size=240) > 0).astype(float)
names = ",".join(f"f{k}" for k in range(8)) + ",label"
np.savetxt("patients.csv", np.column_stack([features, labels]), "%.6f", ",", header=names, comments="")
PYTHON
    if [ "$k" != 5 ]; then
        sed -i "/^\[evaluator\]/,\$s|^command = .*|command = [\"$python\", \"$examples/score.py\"]|" \
            "$home/node.toml"
    fi
done
"$program" devnet up --dir "$net"

hospital 1 task create docs/examples/evaluated-task.toml
change=$(hospital 1 change list --output json | grep -o '"digest": "[0-9a-f]*"' | head -1 | cut -d'"' -f4)
for k in 2 3 4; do hospital "$k" change approve "$change" >/dev/null; done

for round in $(seq 1 "$rounds"); do
    for k in 1 2 3 4 5; do
        home=$net/hospital-$k
        turned=$([ "$k" = 5 ] && echo --turn-labels || true)
        rm -f "$home/base.npz" "$home/update.npz"
        hospital "$k" round wait heart "$round" --until commit >/dev/null
        hospital "$k" model pull heart --out "$home/base.npz" >/dev/null
        # shellcheck disable=SC2086
        count=$(cd "$home" && "$python" "$examples/train.py" base.npz update.npz $turned)
        hospital "$k" update submit "$home/update.npz" --task heart --round "$round" \
            --num-examples "$count" >/dev/null
    done
    # What the fifth hospital's own people do: wait, score, hand in.
    hospital 5 evaluation wait heart --out "$folder/candidates" --output json >"$folder/asked.json"
    (cd "$net/hospital-5" && "$python" "$examples/score.py") <"$folder/asked.json" |
        hospital 5 evaluation submit heart -
    hospital 1 round wait heart "$round" >/dev/null
done
echo
hospital 1 round show heart "$rounds"
echo
hospital 1 evaluation show heart "$rounds"
echo
hospital 1 status | grep -A 3 evaluator
