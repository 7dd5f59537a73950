#!/usr/bin/env bash
# One ledger, built and run in every way that must not matter: release and dev profile, another
# target CPU, one and two threads, shuffled arrival. Every variant must print the same lines; see
# contract/examples/state_roots/main.rs for what they are. Shuffled arrival may change the state
# roots, because the log keeps the order, and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
home=target/determinism
mkdir -p "$home"
# Naming the target keeps build scripts and macros, which run here, out of RUSTFLAGS: they are
# compiled once for both target CPUs.
triple=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_INCREMENTAL=0

# build NAME PROFILE RUSTFLAGS: one build in its own folder of binaries.
build() {
    echo "building: $1"
    RUSTFLAGS="$3" cargo build --quiet --locked --profile "$2" --target "$triple" \
        --target-dir "$home/build" -p fedledger-contract --example state_roots
    local folder=$2
    [ "$2" = dev ] && folder=debug
    cp "$home/build/$triple/$folder/examples/state_roots" "$home/$1"
}

# compare NAME PATTERN ARGUMENT...: runs a build and compares the lines that match PATTERN with
# those of the first variant.
variants=0
compare() {
    local name=$1 pattern=$2
    shift 2
    local label="$name $*" lines="$home/lines"
    "$home/$name" "$@" >"$lines"
    if [ "$variants" -eq 0 ]; then
        cp "$lines" "$home/expected"
    fi
    if ! diff <(grep -E "$pattern" "$home/expected") <(grep -E "$pattern" "$lines") >"$home/diff"; then
        echo "determinism: \`$label\` differs from \`$first\`; the first difference:" >&2
        # Of each side the first line that differs: < is expected, > is found.
        sed -n '2{p;q}' "$home/diff" >&2
        grep -m 1 '^>' "$home/diff" >&2 || true
        exit 1
    fi
    variants=$((variants + 1))
    echo "agrees: $label"
}

build release release ""
build dev dev ""
names="release dev"
if [ "$(uname -m)" = x86_64 ] && grep -qw avx2 /proc/cpuinfo 2>/dev/null; then
    build release-v3 release "-C target-cpu=x86-64-v3"
    names="$names release-v3"
else
    echo "this CPU has no AVX2: the build for x86-64-v3 is skipped"
fi

first="release --threads 1"
for name in $names; do
    for threads in 1 2; do
        compare "$name" . --threads "$threads"
    done
    for seed in 1 2; do
        compare "$name" ' (decision|settled) ' --threads 2 --shuffle "$seed"
    done
done
heights=$(grep -c ' root ' "$home/expected")
echo "determinism: $variants variants agree on $heights heights"
