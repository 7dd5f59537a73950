#!/usr/bin/env bash
# fed_heart_disease through real nodes: four hospitals, four processes; without an attacker, and with
# one hostile hospital for each of six attacks. Prints what the ledger's model and plain averaging of
# the same updates reach. FOLDER holds one CSV file for each hospital (label, split, source_row, num).
#
#     scripts/heart.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
program=${PROGRAM:-target/release/fedledger}
data=${1:?usage: scripts/heart.sh FOLDER}
show() {
    "$program" demo --data "$data" --label label --split-column split --drop source_row,num \
        --rounds "${ROUNDS:-30}" "$@" |
        grep -E "^ +(fedledger|plain averaging) +accuracy|decisions recomputed"
}
echo "no attacker"
show --attackers 0
for attack in sign-flip label-flip inner-product alie backdoor sybil; do
    echo "$attack, one hostile hospital"
    show --attackers 1 --attack "$attack"
done
