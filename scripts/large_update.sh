#!/usr/bin/env bash
# A round of 100 MB updates through four real nodes: handed in over the HTTP API, committed, fetched
# by everybody in pieces, aggregated by everybody, and replayed by an auditor. Takes some minutes and
# about 4 GB of disk. PROGRAM and FOLDER may be set; VALUES is the number of float32 parameters.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${PROGRAM:-target/release/fedledger}
folder=${FOLDER:-$(mktemp -d)}
values=${VALUES:-26214400}
if [ ! -x "$program" ]; then
    echo "large_update: $program is not there; build it with: cargo build --release" >&2
    exit 2
fi
net=$folder/net
trap '"$program" devnet down --dir "$net" >/dev/null || true; [ -n "${FOLDER:-}" ] || rm -rf "$folder"' EXIT
step() { printf '%(%T)T  %s\n' -1 "$*"; }

step "making four updates of $((values * 4)) bytes"
python3 - "$folder" "$values" <<'PYTHON'
import array, json, struct, sys
folder, values = sys.argv[1], int(sys.argv[2])
header = json.dumps({"weight": {"dtype": "F32", "shape": [values], "data_offsets": [0, 4 * values]}})
header = header.encode() + b" " * (-len(header) % 8)
for site in range(1, 5):
    period = array.array("f", [0.001 * ((k * 7 + site * 3) % 13 - 5.5) for k in range(4096)])
    body = (period * (values // 4096 + 1))[:values]
    body[0] = site / 100
    with open(f"{folder}/update-{site}.safetensors", "wb") as out:
        out.write(struct.pack("<Q", len(header)) + header + body.tobytes())
PYTHON
cat >"$folder/task.toml" <<TOML
id = "large"
description = "updates of 100 MB"
rounds = 1
byzantine = 1
rule = { name = "trimmed_mean" }
updates_min = 4
commit_window_ms = 600000
reveal_window_ms = 600000
decide_window_ms = 600000
[[tensors]]
name = "weight"
shape = [$values]
scale_bits = 16
TOML

step "starting four nodes in $net"
"$program" devnet up --dir "$net" --institutions 4
at() { "$program" --home "$net/hospital-$1" "${@:2}"; }
at 1 --output json task create "$folder/task.toml" >"$folder/created.json"
change=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["change"])' "$folder/created.json")
for site in 2 3; do at "$site" change approve "$change"; done
for site in 1 2 3 4; do
    until at "$site" task show large >/dev/null 2>&1; do sleep 0.2; done
    step "member $site hands in its update"
    at "$site" update submit "$folder/update-$site.safetensors" --task large --num-examples 10
done
step "waiting for the round to end"
at 1 round wait large 1 --timeout 900
step "the round has ended"
at 4 round show large 1
at 4 model pull large --out "$folder/model.safetensors"
"$program" devnet down --dir "$net"
step "replaying the ledger of member 2 from genesis"
"$program" audit replay "$net/hospital-2" --genesis "$net/genesis.json"
step "done"
