#!/usr/bin/env bash
# The properties of the integer arithmetic, a million cases each (or as many as the first argument
# says). The test suite runs the same properties with a few hundred.
set -euo pipefail
cd "$(dirname "$0")/.."
export PROPTEST_CASES=${1:-1000000}
echo "$PROPTEST_CASES cases for each property"
time cargo test --release -p fedledger-contract --test arithmetic
