#!/usr/bin/env bash
# Times every aggregation rule beside the other implementations on PyPI, in turn and on the same
# matrices, and prints one table. Installs them into an environment of its own under target/ (about
# 6 GB: PyPI's torch comes with its CUDA libraries); what cannot be installed is named and left out.
#   scripts/bench_peers.sh [--members 10,25] [--parameters 100000,1000000] [--seconds 60] ...
set -euo pipefail
cd "$(dirname "$0")/.."
home=${FEDLEDGER_PEERS_ENV:-target/peers}
python=$home/bin/python
[ -x "$python" ] || python3 -m venv "$home"
install() { # name to import, then what pip is asked for
    "$python" -c "import $1" 2>/dev/null && return
    "$home/bin/pip" install --quiet "${@:2}" || echo "left out: ${*:2} cannot be installed" >&2
}
install torch torch==2.15.0 numpy==2.4.6
install byzfl byzfl==0.0.11
install flwr flwr==1.41.0
install qora qora-fl==0.4.0
# It asks for a torch and a numpy of 2024, and runs with these.
install cloudpickle cloudpickle
install byzpy --no-deps byzpy==0.1.4
cargo bench --quiet -p fedledger-contract --bench aggregation --no-run
# Set on some machines for the sake of old versions of OpenBLAS; a current one chooses better.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
exec "$python" scripts/bench_peers.py "$@"
